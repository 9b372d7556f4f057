"""The listings that GraphQL offers, each a SELECT over one rollup (or `image`) with its order; those of context labels
are in `graphapi.questions.context`.

Rows hold counts and sums in double precision, of which who shows them takes means and rates: in SQL that took half as
long as all the rest. A mean that is sorted by is computed in both, by the same division of the same doubles.
Filters that are None do not filter; class and outcome None mean the rollup's row over all of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Double, Select, and_, cast, func, select, true

from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.sql import KEPT
from evigraph.schema.tables.dataset import Image, SkippedImage
from evigraph.schema.tables.rollups import (
    ALL_CLASSES,
    ANY_OUTCOME,
    ChannelEdge,
    ChannelPeak,
    ChannelSupport,
    ClassRoots,
    Confusion,
)
from evigraph.schema.views import edge


def ratio(upper: Any, lower: Any) -> ColumnElement[Any]:
    """A quotient in double precision."""
    return cast(upper, Double) / cast(lower, Double)


def total(column: Any) -> ColumnElement[Any]:
    """A sum of counts."""
    return cast(func.sum(column), BigInteger)


def of_outcome(table: Any, outcome: str | None) -> ColumnElement[bool]:
    """Rows of one outcome; None for all, which who reads sums."""
    return true() if outcome is None else table.outcome == outcome


def double_sum(column: Any) -> ColumnElement[Any]:
    """A sum of measures in double precision."""
    return cast(func.sum(column), Double)


def _sums(table: Any) -> tuple[ColumnElement[Any], ...]:
    """The measures of a rollup summed over outcomes."""
    return (
        total(table.decisions).label("decisions"),
        total(table.edges).label("edges"),
        double_sum(table.share_sum).label("share_sum"),
        double_sum(table.importance_sum).label("importance_sum"),
    )


def _support(role: str, outcome: str | None, order_by: str) -> Select[Any]:
    """Support of classes by channels, with the column that it is sorted by."""
    table = ChannelSupport
    key = (table.run_id, table.layer_id, table.channel, table.class_id)
    rows = select(*key, *_sums(table)).where(table.role == role, of_outcome(table, outcome)).group_by(*key)
    decisions, edges = total(table.decisions), total(table.edges)
    if order_by == "mean_share":
        return rows.add_columns(ratio(double_sum(table.share_sum), edges).label(order_by))
    if order_by == "mean_importance":
        return rows.add_columns(ratio(double_sum(table.importance_sum), decisions).label(order_by))
    if order_by == "rate":
        roots = and_(
            ClassRoots.run_id == table.run_id,
            ClassRoots.class_id == table.class_id,
            ClassRoots.role == role,
            ClassRoots.outcome == (outcome or ANY_OUTCOME),
        )
        rate = ratio(decisions, ClassRoots.decisions).label(order_by)
        return rows.add_columns(rate).join(ClassRoots, roots).group_by(ClassRoots.decisions)
    return rows


def _measure(order_by: str) -> Order:
    return Order(order_by, int if order_by in ("decisions", "edges") else float, descending=True)


@lru_cache(maxsize=KEPT)
def channels_of_class(role: str, outcome: str | None, order_by: str) -> Listing:
    """channelSupport: the channels of a layer for one class, or for ALL_CLASSES; parent (run, layer, class)."""
    order = (_measure(order_by), Order("channel", int))
    parent = ("run_id", "layer_id", "class_id")
    return Listing(f"channelSupport by {order_by}", _support(role, outcome, order_by), parent, order)


@lru_cache(maxsize=KEPT)
def classes_of_channel(role: str, outcome: str | None, order_by: str) -> Listing:
    """Channel.support: the classes that a channel supports; parent (run, layer, channel)."""
    rows = _support(role, outcome, order_by).where(ChannelSupport.class_id != ALL_CLASSES)
    order = (_measure(order_by), Order("class_id", int))
    return Listing(f"support by {order_by}", rows, ("run_id", "layer_id", "channel"), order)


@lru_cache(maxsize=KEPT)
def channel_edges(end: str, of_class: bool, role: str) -> Listing:
    """Channel.supporters (`end` "target": the parent is explained) and Channel.supports (`end` "source").

    Most decisions first, then most edges; parent (run, layer, channel) of that end, and the class if of one.
    """
    other = "source" if end == "target" else "target"
    order = (
        Order("decisions", int, descending=True),
        Order("edges", int, descending=True),
        Order(f"{other}_layer", int),
        Order(f"{other}_channel", int),
    )
    tag = "supporters" if end == "target" else "supports"
    parent = ("run_id", f"{end}_layer", f"{end}_channel", *(("class_id",) if of_class else ()))
    return Listing(tag, _edges_of_class(role) if of_class else _rolled_up_edges(role), parent, order)


def _rolled_up_edges(role: str) -> Select[Any]:
    """Edges between channels over all classes."""
    table = ChannelEdge
    key = (table.run_id, table.target_layer, table.target_channel, table.source_layer, table.source_channel)
    return select(*key, *_sums(table)).where(table.role == role).group_by(*key)


def _edges_of_class(role: str) -> Select[Any]:
    """The same by class, from its edges, which lie together; the last bit of a decision's id tells its role."""
    of = edge.c
    key = (of.run_id, of.root_class_id, of.target_layer, of.target_channel, of.source_layer, of.source_channel)
    return (
        select(
            *key,
            of.root_class_id.label("class_id"),
            func.count(of.decision_id.distinct()).label("decisions"),
            func.count().label("edges"),
            double_sum(of.share).label("share_sum"),
            double_sum(of.importance).label("importance_sum"),
        )
        .where(of.decision_id % 2 == int(role == "label"))
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
    conditions: list[ColumnElement[bool]] = []
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
