"""The listings that GraphQL offers, each a SELECT over one rollup (or `image`) with its order.

Means and rates are computed here in double precision, so that what is sorted by is what is shown.
Filters that are None do not filter; class and outcome None mean the rollup's row over all of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, and_, cast, literal, select

from graphapi.paging import Listing, Order
from schema.models import (
    ALL_CLASSES,
    ANY_OUTCOME,
    ChannelContext,
    ChannelEdge,
    ChannelPeak,
    ChannelSupport,
    ClassRoots,
    Confusion,
    Image,
    SkippedImage,
)


def _ratio(upper: Any, lower: Any) -> ColumnElement[Any]:
    return cast(upper, Double) / cast(lower, Double)


def _support(role: str, outcome: str | None) -> Any:
    table = ChannelSupport
    roots = and_(
        ClassRoots.run_id == table.run_id,
        ClassRoots.class_id == table.class_id,
        ClassRoots.role == table.role,
        ClassRoots.outcome == table.outcome,
    )
    return (
        select(
            table.run_id,
            table.layer_id,
            table.channel,
            table.class_id,
            table.decisions,
            table.edges,
            _ratio(table.decisions, ClassRoots.decisions).label("rate"),
            _ratio(table.share_sum, table.edges).label("mean_share"),
            _ratio(table.importance_sum, table.decisions).label("mean_importance"),
        )
        .join(ClassRoots, roots)
        .where(table.role == role, table.outcome == (outcome or ANY_OUTCOME))
    )


def _measure(order_by: str) -> Order:
    return Order(order_by, int if order_by in ("decisions", "edges") else float, descending=True)


def channels_of_class(class_id: int | None, role: str, outcome: str | None, order_by: str) -> Listing:
    """channelSupport: the channels of a layer for one class, or for all; parent (run, layer)."""
    rows = _support(role, outcome).where(ChannelSupport.class_id == (ALL_CLASSES if class_id is None else class_id))
    order = (_measure(order_by), Order("channel", int))
    return Listing(f"channelSupport by {order_by}", rows, ("run_id", "layer_id"), order)


def classes_of_channel(role: str, outcome: str | None, order_by: str) -> Listing:
    """Channel.support: the classes that a channel supports; parent (run, layer, channel)."""
    rows = _support(role, outcome).where(ChannelSupport.class_id != ALL_CLASSES)
    order = (_measure(order_by), Order("class_id", int))
    return Listing(f"support by {order_by}", rows, ("run_id", "layer_id", "channel"), order)


def context_labels(class_id: int | None, role: str) -> Listing:
    """Channel.contextLabels, most edges first; parent (run, layer, channel).

    The rate's denominator is all edges into the channel from the same roots, labelled or not.
    """
    table = ChannelContext
    all_edges = and_(
        ChannelSupport.run_id == table.run_id,
        ChannelSupport.layer_id == table.layer_id,
        ChannelSupport.channel == table.channel,
        ChannelSupport.class_id == table.class_id,
        ChannelSupport.role == table.role,
        ChannelSupport.outcome == ANY_OUTCOME,
    )
    rows = (
        select(
            table.run_id,
            table.layer_id,
            table.channel,
            table.label_id,
            table.edges,
            _ratio(table.edges, ChannelSupport.edges).label("rate"),
            _ratio(table.iou_sum, table.edges).label("mean_iou"),
        )
        .join(ChannelSupport, all_edges)
        .where(table.role == role, table.class_id == (ALL_CLASSES if class_id is None else class_id))
    )
    order = (Order("edges", int, descending=True), Order("label_id", int))
    return Listing("contextLabels", rows, ("run_id", "layer_id", "channel"), order)


def channel_edges(end: str, class_id: int | None, role: str) -> Listing:
    """Channel.supporters (`end` "target": the parent is explained) and Channel.supports (`end` "source").

    Most decisions first, then most edges; parent (run, layer, channel) of that end.
    """
    table = ChannelEdge
    other = "source" if end == "target" else "target"
    roots = and_(
        ClassRoots.run_id == table.run_id,
        ClassRoots.class_id == table.class_id,
        ClassRoots.role == table.role,
        ClassRoots.outcome == ANY_OUTCOME,
    )
    rows = (
        select(
            table.run_id,
            table.target_layer,
            table.target_channel,
            table.source_layer,
            table.source_channel,
            table.decisions,
            table.edges,
            _ratio(table.decisions, ClassRoots.decisions).label("rate"),
            _ratio(table.share_sum, table.edges).label("mean_share"),
            _ratio(table.importance_sum, table.decisions).label("mean_importance"),
        )
        .join(ClassRoots, roots)
        .where(table.role == role, table.class_id == (ALL_CLASSES if class_id is None else class_id))
    )
    order = (
        Order("decisions", int, descending=True),
        Order("edges", int, descending=True),
        Order(f"{other}_layer", int),
        Order(f"{other}_channel", int),
    )
    tag = "supporters" if end == "target" else "supports"
    return Listing(tag, rows, ("run_id", f"{end}_layer", f"{end}_channel"), order)


def peaks() -> Listing:
    """Channel.peaks, the largest contribution first; parent (run, layer, channel)."""
    rows = select(*ChannelPeak.__table__.c)
    return Listing("peaks", rows, ("run_id", "layer_id", "channel"), (Order("position", int),))


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


def skipped_images() -> Listing:
    """Run.skippedImages in the data's order; parent (run)."""
    rows = select(*SkippedImage.__table__.c)
    return Listing("skippedImages", rows, ("run_id",), (Order("image_id", int), Order("uri", str)))


def confusions() -> Listing:
    """Run.confusions, most images first; parent (run)."""
    rows = select(*Confusion.__table__.c)
    order = (Order("images", int, descending=True), Order("label_id", int), Order("predicted_id", int))
    return Listing("confusions", rows, ("run_id",), order)
