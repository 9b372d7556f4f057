"""The listings of context labels, and the terms of what they are held against.

    rate       edges whose mask overlaps the label best / all edges of the same channel or layer, class, role and
               outcome, with and without a label
    base rate  the mean, over all roots of that class, role and outcome, of the part of the network's input that the
               label covers in the root's image: the rate that would be expected if evidence lay anywhere alike
    lift       rate / base rate: above 1 where evidence lies on the label more than its area explains
    presence   the share of those roots whose image shows the label at all

Rows hold what the rate comes from; its base is looked up where it is asked for, as joining it took twice the time of
the rest.
So "sky", which covers half of every image of a class, has a lift near 1 where half of the evidence lies on it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Double, Select, Subquery, and_, cast, func, literal, null, select

from evigraph.graphapi.questions.support import double_sum, of_outcome, ratio, total
from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.sql import KEPT
from evigraph.schema.tables.rollups import (
    ALL_CLASSES,
    ANY_OUTCOME,
    ChannelContext,
    ClassContext,
    ClassLabel,
    ClassRoots,
    LayerProfile,
)


@lru_cache(maxsize=KEPT)
def context_labels(role: str) -> Listing:
    """Channel.contextLabels, most edges first; parent (run, layer, channel, class), class ALL_CLASSES for all.

    All edges of the channel are asked for beside it: joined to it they took three times as long.
    """
    table = ChannelContext
    parent = ("run_id", "layer_id", "channel", "class_id")
    columns = [getattr(table, name) for name in parent]
    iou_sum = cast(table.iou_sum, Double).label("iou_sum")
    rows = select(*columns, table.label_id, table.edges, null().label("decisions"), iou_sum).where(table.role == role)
    return Listing("contextLabels", rows, parent, (Order("edges", int, descending=True), Order("label_id", int)))


@lru_cache(maxsize=KEPT)
def context_labels_of_class(one_layer: bool, role: str, outcome: str | None, order_by: str) -> Listing:
    """Run.contextLabels and Class.contextLabels; parent (run, class), class ALL_CLASSES for all, and the layer if one.

    Without a layer those are taken together where edges have labels.
    """
    table = ClassContext
    key = [table.run_id, table.class_id, *([table.layer_id] if one_layer else [])]
    summed = (
        select(
            *key,
            table.label_id,
            (total(table.decisions) if one_layer else null()).label("decisions"),
            total(table.edges).label("edges"),
            double_sum(table.iou_sum).label("iou_sum"),
        )
        .where(table.role == role, of_outcome(table, outcome))
        .group_by(*key, table.label_id)
        .subquery("summed")
    )
    every = _every_edge(one_layer, role, outcome).subquery("every")
    same = [column.key for column in key]
    of_class = and_(*(every.c[name] == summed.c[name] for name in same))
    rows = select(*summed.c, every.c.edges.label("every_edge")).join(every, of_class)
    first = Order("edges", int, descending=True)
    if order_by == "lift":
        base = _base_rates(role, outcome)
        of_label = and_(*(base.c[name] == summed.c[name] for name in ("run_id", "class_id", "label_id")))
        # Of runs without areas 0: a key of a page cannot be null.
        lift = func.coalesce(ratio(summed.c.edges, every.c.edges) / base.c.base_rate, literal(0.0))
        rows = rows.add_columns(lift.label("lift_or_zero")).outerjoin(base, of_label)
        first = Order("lift_or_zero", float, descending=True)
    return Listing(f"contextLabels by {order_by}", rows, tuple(same), (first, Order("label_id", int)))


def _every_edge(one_layer: bool, role: str, outcome: str | None) -> Select[Any]:
    """All edges into a layer of each class, labelled or not; the profile names the layer above, which is decomposed."""
    table = LayerProfile
    key: list[Any] = [table.run_id, table.class_id]
    source = table.layer_id - 1
    if one_layer:
        key.append(source.label("layer_id"))
    rows = select(*key, total(table.edges).label("edges")).where(table.role == role, of_outcome(table, outcome))
    if not one_layer:
        labelled = select(ClassContext.layer_id).where(
            ClassContext.run_id == table.run_id, ClassContext.class_id == ALL_CLASSES, ClassContext.layer_id == source
        )
        rows = rows.where(labelled.exists())
    return rows.group_by(table.run_id, table.class_id, *([source] if one_layer else []))


def _base_rates(role: str, outcome: str | None) -> Subquery:
    """base_rate of each label by run and class."""
    table = ClassLabel
    key = (table.run_id, table.class_id, table.label_id)
    shown = (
        select(*key, func.sum(table.area_sum).label("area_sum"))
        .where(table.role == role, of_outcome(table, outcome))
        .group_by(*key)
        .subquery("shown")
        .c
    )
    roots = and_(
        ClassRoots.run_id == shown.run_id,
        ClassRoots.class_id == shown.class_id,
        ClassRoots.role == role,
        ClassRoots.outcome == (outcome or ANY_OUTCOME),
    )
    rate = ratio(shown.area_sum, ClassRoots.decisions).label("base_rate")
    return select(shown.run_id, shown.class_id, shown.label_id, rate).join(ClassRoots, roots).subquery("base")
