"""The listings of context labels, and the terms of what they are held against.

    rate       edges whose mask overlaps the label best / all edges of the same channel or layer, class, role and
               outcome, with and without a label
    base rate  the mean, over all roots of that class, role and outcome, of the part of the network's input that the
               label covers in the root's image: the rate that would be expected if evidence lay anywhere alike
    lift       rate / base rate: above 1 where evidence lies on the label more than its area explains
    presence   the share of those roots whose image shows the label at all

Rows hold what the rate comes from; the base rate is looked up only where it is asked for, since joining it took twice
as long as all the rest. So "sky", which covers half of every image of a class, has a lift near 1 where half of the
evidence lies on it.

A label here is the one of the largest IoU, whose lift favours regions of the mask's size: what does not is in
`questions.localization`.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Double, Select, Subquery, and_, cast, func, literal, null, select

from evigraph.graphapi.questions.support import double_sum, of_outcome, ratio, total
from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.sql import KEPT
from evigraph.schema.tables.evidence import ALL_CHANNELS, ALL_LAYERS, Localization
from evigraph.schema.tables.rollups import (
    ALL_CLASSES,
    ANY_OUTCOME,
    ChannelContext,
    ClassContext,
    ClassLabel,
    ClassRoots,
    LayerProfile,
)

BY_LOCALIZATION = "localization"
"""The order by the excess: how many more edges have their peak on the label than its area explains.

Of evidence placed anywhere it is 0 whatever the label's size. The lift, or its lower end, would put small regions
first: a label that covers a tenth of an image can have a lift of 10 at most, and one that covers half of it of 2."""


_EXCESS = func.coalesce(cast(Localization.peak_sum - Localization.area_sum, Double), literal(0.0))


class ChannelContextRow(NamedTuple):
    """Edges into one channel that a context label overlaps best, of the roots of a class or of all.

    excess_or_zero is None unless the order is by it.
    """

    run_id: int
    layer_id: int
    channel: int
    class_id: int
    label_id: int
    edges: int
    iou_sum: float
    excess_or_zero: float | None


class ClassContextRow(NamedTuple):
    """Edges into a layer that a context label overlaps best, and their roots.

    layer_id and decisions are None of all layers together. every_edge counts the edges without a context label too;
    lift_or_zero and excess_or_zero are None unless the order is by them.
    """

    run_id: int
    class_id: int
    layer_id: int | None
    label_id: int
    decisions: int | None
    edges: int
    iou_sum: float
    every_edge: int
    lift_or_zero: float | None
    excess_or_zero: float | None


class ShownRow(NamedTuple):
    """Of `class_label`."""

    run_id: int
    class_id: int
    role: str
    label_id: int
    outcome: str
    decisions: int
    area_sum: Decimal


class EveryEdgeRow(NamedTuple):
    """Of `channel_support`: a channel's edges, with a context label and without."""

    run_id: int
    layer_id: int
    channel: int
    class_id: int
    role: str
    edges: int


@lru_cache(maxsize=KEPT)
def context_labels(role: str, order_by: str) -> Listing[ChannelContextRow]:
    """Channel.contextLabels, by edges or localization; parent (run, layer, channel, class), class ALL_CLASSES for all.

    All edges of the channel are asked for beside it: joined to it they took three times as long.
    """
    table = ChannelContext
    key = (table.run_id, table.layer_id, table.channel, table.class_id, table.label_id)
    localized = order_by == BY_LOCALIZATION
    excess = _EXCESS if localized else null()
    rows = select(*key, table.edges, cast(table.iou_sum, Double).label("iou_sum"), excess.label("excess_or_zero"))
    rows = rows.where(table.role == role)
    if localized:
        names = ("run_id", "layer_id", "channel", "class_id", "label_id", "role")
        same = [getattr(Localization, name) == getattr(table, name) for name in names]
        rows = rows.outerjoin(Localization, and_(*same, Localization.outcome == ANY_OUTCOME))
    order = (Order("edges", int, descending=True), Order("label_id", int))
    return Listing(
        "contextLabels by localization" if localized else "contextLabels",
        ChannelContextRow,
        rows,
        ("run_id", "layer_id", "channel", "class_id"),
        (Order("excess_or_zero", float, descending=True), *order) if localized else order,
    )


@lru_cache(maxsize=KEPT)
def context_labels_of_class(one_layer: bool, role: str, outcome: str | None, order_by: str) -> Listing[ClassContextRow]:
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
    parent = tuple(column.key for column in key)
    base, of = _base_rates(role, outcome), summed.c
    by_lift = order_by == "lift"
    # Of runs without areas 0: a key of a page cannot be null.
    lift = func.coalesce(ratio(of.edges, every.c.edges) / base.c.base_rate, literal(0.0)) if by_lift else null()
    localized = order_by == BY_LOCALIZATION
    rows = select(
        of.run_id,
        of.class_id,
        (of.layer_id if one_layer else null()).label("layer_id"),
        *(of.label_id, of.decisions, of.edges, of.iou_sum),
        every.c.edges.label("every_edge"),
        lift.label("lift_or_zero"),
        (_EXCESS if localized else null()).label("excess_or_zero"),
    ).join(every, and_(*(every.c[name] == of[name] for name in parent)))
    if by_lift:
        of_label = and_(*(base.c[name] == of[name] for name in ("run_id", "class_id", "label_id")))
        rows = rows.outerjoin(base, of_label)
    if localized:
        one = Localization
        same = [getattr(one, name) == of[name] for name in ("run_id", "class_id", "label_id")]
        same += [one.layer_id == (of.layer_id if one_layer else ALL_LAYERS), one.channel == ALL_CHANNELS]
        rows = rows.outerjoin(one, and_(*same, one.role == role, one.outcome == (outcome or ANY_OUTCOME)))
    edges, label = Order("edges", int, descending=True), Order("label_id", int)
    orders = {
        "edges": (edges, label),
        "lift": (Order("lift_or_zero", float, descending=True), label),
        BY_LOCALIZATION: (Order("excess_or_zero", float, descending=True), edges, label),
    }
    return Listing(f"contextLabels by {order_by}", ClassContextRow, rows, parent, orders[order_by])


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
