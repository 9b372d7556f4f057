"""The listings that GraphQL offers, each a SELECT over one rollup (or `image`) with its order; those of context labels
are in `graphapi.listings_context`.

Means and rates are computed here in double precision, so that what is sorted by is what is shown.
Filters that are None do not filter; class and outcome None mean the rollup's row over all of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Double, Select, and_, cast, func, literal, select

from graphapi.paging import Listing, Order
from schema.tables.dataset import Image, SkippedImage
from schema.tables.rollups import (
    ALL_CLASSES,
    ANY_OUTCOME,
    ChannelEdge,
    ChannelPeak,
    ChannelSupport,
    ClassRoots,
    Confusion,
)
from schema.views import edge

KEPT = 512
"""Statements kept of each listing: building one takes a third of the time of answering it."""


def ratio(upper: Any, lower: Any) -> ColumnElement[Any]:
    """A quotient in double precision."""
    return cast(upper, Double) / cast(lower, Double)


def total(column: Any) -> ColumnElement[Any]:
    """A sum of counts."""
    return cast(func.sum(column), BigInteger)


def of_outcome(table: Any, outcome: str | None) -> ColumnElement[bool]:
    """Rows of one outcome; None for all, which who reads sums."""
    return literal(True) if outcome is None else table.outcome == outcome


def _sums(table: Any) -> tuple[ColumnElement[Any], ...]:
    """The measures of a rollup summed over outcomes."""
    return (
        total(table.decisions).label("decisions"),
        total(table.edges).label("edges"),
        func.sum(table.share_sum).label("share_sum"),
        func.sum(table.importance_sum).label("importance_sum"),
    )


def _measures(summed: Any) -> tuple[ColumnElement[Any], ...]:
    """What is shown of sums that are joined with their `ClassRoots`."""
    return (
        summed.decisions,
        summed.edges,
        ratio(summed.decisions, ClassRoots.decisions).label("rate"),
        ratio(summed.share_sum, summed.edges).label("mean_share"),
        ratio(summed.importance_sum, summed.decisions).label("mean_importance"),
    )


@lru_cache(maxsize=KEPT)
def _support(role: str, outcome: str | None) -> Any:
    table = ChannelSupport
    key = (table.run_id, table.layer_id, table.channel, table.class_id)
    summed = (
        select(*key, *_sums(table))
        .where(table.role == role, of_outcome(table, outcome))
        .group_by(*key)
        .subquery("summed")
        .c
    )
    roots = and_(
        ClassRoots.run_id == summed.run_id,
        ClassRoots.class_id == summed.class_id,
        ClassRoots.role == role,
        ClassRoots.outcome == (outcome or ANY_OUTCOME),
    )
    return (
        select(
            summed.run_id,
            summed.layer_id,
            summed.channel,
            summed.class_id,
            *_measures(summed),
        ).join(ClassRoots, roots)
    ), summed.class_id


def _measure(order_by: str) -> Order:
    return Order(order_by, int if order_by in ("decisions", "edges") else float, descending=True)


@lru_cache(maxsize=KEPT)
def channels_of_class(class_id: int | None, role: str, outcome: str | None, order_by: str) -> Listing:
    """channelSupport: the channels of a layer for one class, or for all; parent (run, layer)."""
    rows, of_class = _support(role, outcome)
    rows = rows.where(of_class == (ALL_CLASSES if class_id is None else class_id))
    order = (_measure(order_by), Order("channel", int))
    return Listing(f"channelSupport by {order_by}", rows, ("run_id", "layer_id"), order)


@lru_cache(maxsize=KEPT)
def classes_of_channel(role: str, outcome: str | None, order_by: str) -> Listing:
    """Channel.support: the classes that a channel supports; parent (run, layer, channel)."""
    rows, of_class = _support(role, outcome)
    rows = rows.where(of_class != ALL_CLASSES)
    order = (_measure(order_by), Order("class_id", int))
    return Listing(f"support by {order_by}", rows, ("run_id", "layer_id", "channel"), order)


@lru_cache(maxsize=KEPT)
def channel_edges(end: str, class_id: int | None, role: str) -> Listing:
    """Channel.supporters (`end` "target": the parent is explained) and Channel.supports (`end` "source").

    Most decisions first, then most edges; parent (run, layer, channel) of that end.
    """
    other = "source" if end == "target" else "target"
    summed = (_rolled_up_edges(role) if class_id is None else _edges_of_class(class_id, role)).subquery("summed").c
    roots = and_(
        ClassRoots.run_id == summed.run_id,
        ClassRoots.class_id == (ALL_CLASSES if class_id is None else class_id),
        ClassRoots.role == role,
        ClassRoots.outcome == ANY_OUTCOME,
    )
    rows = select(
        summed.run_id,
        summed.target_layer,
        summed.target_channel,
        summed.source_layer,
        summed.source_channel,
        *_measures(summed),
    ).join(ClassRoots, roots)
    order = (
        Order("decisions", int, descending=True),
        Order("edges", int, descending=True),
        Order(f"{other}_layer", int),
        Order(f"{other}_channel", int),
    )
    tag = "supporters" if end == "target" else "supports"
    return Listing(tag, rows, ("run_id", f"{end}_layer", f"{end}_channel"), order)


def _rolled_up_edges(role: str) -> Select[Any]:
    """Edges between channels over all classes."""
    table = ChannelEdge
    key = (table.run_id, table.target_layer, table.target_channel, table.source_layer, table.source_channel)
    return select(*key, *_sums(table)).where(table.role == role).group_by(*key)


def _edges_of_class(class_id: int, role: str) -> Select[Any]:
    """The same of one class, from its edges, which lie together; the last bit of a decision's id tells its role."""
    key = (edge.c.run_id, edge.c.target_layer, edge.c.target_channel, edge.c.source_layer, edge.c.source_channel)
    return (
        select(
            *key,
            func.count(edge.c.decision_id.distinct()).label("decisions"),
            func.count().label("edges"),
            func.sum(edge.c.share).label("share_sum"),
            func.sum(edge.c.importance).label("importance_sum"),
        )
        .where(edge.c.root_class_id == class_id, edge.c.decision_id % 2 == int(role == "label"))
        .group_by(*key)
    )


@lru_cache(maxsize=KEPT)
def peaks() -> Listing:
    """Channel.peaks, the largest contribution first; parent (run, layer, channel)."""
    rows = select(*ChannelPeak.__table__.c)
    return Listing("peaks", rows, ("run_id", "layer_id", "channel"), (Order("position", int),))


@lru_cache(maxsize=KEPT)
def images(label_id: int | None, predicted_id: int | None, outcome: str | None) -> Listing:
    """Run.images in the data's order; an unlabelled image has no outcome. Parent (run)."""
    conditions: list[ColumnElement[bool]] = [literal(True)]
    if label_id is not None:
        conditions.append(Image.label_id == label_id)
    if predicted_id is not None:
        conditions.append(Image.predicted_id == predicted_id)
    if outcome == "correct":
        conditions.append(Image.label_id == Image.predicted_id)
    if outcome == "wrong":
        conditions.append(Image.label_id != Image.predicted_id)
    rows = select(*Image.__table__.c).where(*conditions)
    return Listing("images", rows, ("run_id",), (Order("image_id", int),))


@lru_cache(maxsize=KEPT)
def skipped_images() -> Listing:
    """Run.skippedImages in the data's order; parent (run)."""
    rows = select(*SkippedImage.__table__.c)
    return Listing("skippedImages", rows, ("run_id",), (Order("image_id", int), Order("uri", str)))


@lru_cache(maxsize=KEPT)
def confusions() -> Listing:
    """Run.confusions, most images first; parent (run)."""
    rows = select(*Confusion.__table__.c)
    order = (Order("images", int, descending=True), Order("label_id", int), Order("predicted_id", int))
    return Listing("confusions", rows, ("run_id",), order)
