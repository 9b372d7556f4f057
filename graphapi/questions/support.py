"""The listings that GraphQL offers, each a SELECT over one rollup (or `image`) with its order; those of context labels
are in `graphapi.questions.context`.

Rows hold counts and sums in double precision; means and rates are taken of them in Python, which in SQL took half as
long as all the rest. A mean that is sorted by is computed in both, by the same division of the same doubles.
A filter that is None does not filter; for the class it means the rollup's row over all classes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Select,
    and_,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
)

from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.store.sql import KEPT, columns_of
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image, ImageTag, SkippedImage
from evigraph.schema.tables.rollups import (
    ALL_CLASSES,
    ANY_OUTCOME,
    ChannelEdge,
    ChannelPeak,
    ChannelSupport,
    ClassRoots,
)
from evigraph.schema.views import edge


class SupportRow(NamedTuple):
    """Support of one class, or of all, by one channel; sorted_by is the quotient that the order is by, if it is one."""

    run_id: int
    layer_id: int
    channel: int
    class_id: int
    decisions: int
    edges: int
    share_sum: float
    importance_sum: float
    sorted_by: float | None


class EdgeRow(NamedTuple):
    """Edges between two channels, of the roots of one class or of all."""

    run_id: int
    class_id: int
    target_layer: int
    target_channel: int
    source_layer: int
    source_channel: int
    decisions: int
    edges: int
    share_sum: float
    importance_sum: float


class PeakRow(NamedTuple):
    """Of `channel_peak`."""

    run_id: int
    layer_id: int
    channel: int
    position: int
    image_id: int
    decision_id: int
    y: int
    x: int
    contribution: float
    share: float
    feature: float
    activation: float


class ClassPeakRow(NamedTuple):
    """A place of a channel in the hierarchies of one class, with the strongest edge into it; `position` is none."""

    run_id: int
    layer_id: int
    channel: int
    position: int
    image_id: int
    decision_id: int
    y: int
    x: int
    contribution: float
    share: float
    feature: float
    activation: float
    class_id: int
    target_layer: int


class SkippedRow(NamedTuple):
    """Of `skipped_image`."""

    run_id: int
    image_id: int
    uri: str
    reason: str


_Z = NormalDist().inv_cdf(0.975)


def wilson(count: int, whole: int) -> tuple[float, float]:
    """The 95 % confidence interval of count / whole by Wilson's score: within 0..1, also of none and of all."""
    rate, shrink = count / whole, _Z * _Z / whole
    middle = (rate + shrink / 2) / (1 + shrink)
    half = _Z * math.sqrt(rate * (1 - rate) / whole + shrink / whole / 4) / (1 + shrink)
    # Of none and of all an end is the rate itself; rounding would leave it beside.
    return (0.0 if count == 0 else middle - half, 1.0 if count == whole else middle + half)


def ratio(upper: Any, lower: Any) -> ColumnElement[Any]:
    """A quotient in double precision."""
    return cast(upper, Double) / cast(lower, Double)


def total(column: Any) -> ColumnElement[Any]:
    """A sum of counts."""
    return cast(func.sum(column), BigInteger)


def of_outcome(table: Any, outcome: str | None) -> ColumnElement[bool]:
    """Rows of one outcome; None for those of all, to be summed."""
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


def edge_sums(edges: Any) -> tuple[ColumnElement[Any], ...]:
    """The same measures of edges themselves, to be grouped."""
    return (
        func.count(edges.decision_id.distinct()).label("decisions"),
        func.count().label("edges"),
        double_sum(edges.share).label("share_sum"),
        double_sum(edges.importance).label("importance_sum"),
    )


def _support(role: str, outcome: str | None, order_by: str) -> Select[Any]:
    """Support of classes by channels."""
    table = ChannelSupport
    key = (table.run_id, table.layer_id, table.channel, table.class_id)
    decisions, edges = total(table.decisions), total(table.edges)
    quotient: ColumnElement[Any] = {
        "rate": ratio(decisions, ClassRoots.decisions),
        "mean_share": ratio(double_sum(table.share_sum), edges),
        "mean_importance": ratio(double_sum(table.importance_sum), decisions),
    }.get(order_by, null())
    rows = select(*key, *_sums(table), quotient.label("sorted_by")).group_by(*key)
    if order_by == "rate":
        roots = and_(
            ClassRoots.run_id == table.run_id,
            ClassRoots.class_id == table.class_id,
            ClassRoots.role == role,
            ClassRoots.outcome == (outcome or ANY_OUTCOME),
        )
        rows = rows.join(ClassRoots, roots).group_by(ClassRoots.decisions)
    return rows.where(table.role == role, of_outcome(table, outcome))


def _measure(order_by: str) -> Order:
    is_count = order_by in ("decisions", "edges")
    return Order(order_by if is_count else "sorted_by", int if is_count else float, descending=True)


@lru_cache(maxsize=KEPT)
def channels_of_class(role: str, outcome: str | None, order_by: str) -> Listing[SupportRow]:
    """channelSupport: the channels of a layer for one class, or for ALL_CLASSES; parent (run, layer, class)."""
    rows, order = _support(role, outcome, order_by), (_measure(order_by), Order("channel", int))
    return Listing(f"channelSupport by {order_by}", SupportRow, rows, ("run_id", "layer_id", "class_id"), order)


@lru_cache(maxsize=KEPT)
def classes_of_channel(role: str, outcome: str | None, order_by: str) -> Listing[SupportRow]:
    """Channel.support: the classes that a channel supports; parent (run, layer, channel)."""
    rows = _support(role, outcome, order_by).where(ChannelSupport.class_id != ALL_CLASSES)
    order = (_measure(order_by), Order("class_id", int))
    return Listing(f"support by {order_by}", SupportRow, rows, ("run_id", "layer_id", "channel"), order)


@lru_cache(maxsize=KEPT)
def channel_edges(end: str, of_class: bool, role: str) -> Listing[EdgeRow]:
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
    rows = _edges_of_class(role) if of_class else _rolled_up_edges(role)
    return Listing(tag, EdgeRow, rows, parent, order)


def _rolled_up_edges(role: str) -> Select[Any]:
    """Edges between channels over all classes."""
    table = ChannelEdge
    key = (table.target_layer, table.target_channel, table.source_layer, table.source_channel)
    every_class = literal(ALL_CLASSES).label("class_id")
    rows = select(table.run_id, every_class, *key, *_sums(table))
    return rows.where(table.role == role).group_by(table.run_id, *key)


def _edges_of_class(role: str) -> Select[Any]:
    """The same by class, from its edges, which lie together."""
    of = edge.c
    key = (of.target_layer, of.target_channel, of.source_layer, of.source_channel)
    return (
        select(
            of.run_id,
            of.root_class_id.label("class_id"),
            *key,
            *edge_sums(of),
        )
        .where(ids.is_label(of.decision_id) == (role == "label"))
        .group_by(of.run_id, of.root_class_id, *key)
    )


@lru_cache(maxsize=KEPT)
def peaks() -> Listing[PeakRow]:
    """Channel.peaks, the largest contribution first; parent (run, layer, channel)."""
    rows = select(*columns_of(PeakRow, ChannelPeak.__table__))
    return Listing("peaks", PeakRow, rows, ("run_id", "layer_id", "channel"), (Order("position", int),))


_BEST = "contribution DESC, target_layer, target_channel, target_y, target_x"


@lru_cache(maxsize=KEPT)
def peaks_of_class(role: str) -> Listing[ClassPeakRow]:
    """Channel.peaks of the roots of one class: of each place the largest contribution of all edges into it.

    From its edges, which lie together: a rollup by class would be about as long as `edge`. Parent (run, class, layer
    above, channel), as edges are ordered by the layer decomposed; the largest contribution first.
    """
    of = edge.c
    layers = (of.target_layer, of.source_layer)
    place = (of.run_id, of.root_class_id, *layers, of.source_channel, of.decision_id, of.source_y, of.source_x)
    rows = select(
        of.run_id,
        of.source_layer.label("layer_id"),
        of.source_channel.label("channel"),
        literal(0).label("position"),
        cast(ids.image_id_of(of.decision_id), Integer).label("image_id"),
        of.decision_id,
        of.source_y.label("y"),
        of.source_x.label("x"),
        *(
            literal_column(f"first({name} ORDER BY {_BEST})").label(name)
            for name in ("contribution", "share", "feature", "activation")
        ),
        of.root_class_id.label("class_id"),
        of.target_layer,
    )
    rows = rows.where(ids.is_label(of.decision_id) == (role == "label")).group_by(*place)
    order = (
        Order("contribution", float, descending=True),
        Order("decision_id", int),
        Order("y", int),
        Order("x", int),
    )
    return Listing("peaks of class", ClassPeakRow, rows, ("run_id", "class_id", "target_layer", "channel"), order)


class ImageFilter(NamedTuple):
    """Which images: None does not filter. An unlabelled image has no outcome."""

    label_id: int | None = None
    predicted_id: int | None = None
    outcome: str | None = None
    uri_prefix: str | None = None
    search: str | None = None
    tag: str | None = None


@lru_cache(maxsize=KEPT)
def images(wanted: ImageFilter) -> Listing[ImageRow]:
    """Run.images in the data's order; parent (run)."""
    label_id, predicted_id, outcome, uri_prefix, search, tag = wanted
    conditions: list[ColumnElement[bool]] = []
    if uri_prefix is not None:
        conditions.append(func.starts_with(Image.uri, literal(uri_prefix)))
    if search is not None:
        conditions.append(func.contains(func.lower(Image.uri), func.lower(literal(search))))
    if tag is not None:
        tagged = and_(ImageTag.run_id == Image.run_id, ImageTag.image_id == Image.image_id, ImageTag.tag == tag)
        conditions.append(select(ImageTag.tag).where(tagged).exists())
    if label_id is not None:
        conditions.append(Image.label_id == label_id)
    if predicted_id is not None:
        conditions.append(Image.predicted_id == predicted_id)
    if outcome == "correct":
        conditions.append(Image.label_id == Image.predicted_id)
    if outcome == "wrong":
        conditions.append(Image.label_id != Image.predicted_id)
    rows = select(*columns_of(ImageRow, Image.__table__)).where(*conditions)
    return Listing("images", ImageRow, rows, ("run_id",), (Order("image_id", int),))


@lru_cache(maxsize=KEPT)
def skipped_images() -> Listing[SkippedRow]:
    """Run.skippedImages in the data's order; parent (run)."""
    rows = select(*columns_of(SkippedRow, SkippedImage.__table__))
    return Listing("skippedImages", SkippedRow, rows, ("run_id",), (Order("image_id", int), Order("uri", str)))
