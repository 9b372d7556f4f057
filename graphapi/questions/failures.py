"""Wrong decisions, and the evidence of a layer for the predicted class beside that for the true one.

A channel's importance in a decision is the sum over its edges' in the layer; its share is that of the sum over all
channels of the layer there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from sqlalchemy import func, literal, select

from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.store.sql import KEPT, Statement, Template, columns_of, hole
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image
from evigraph.schema.views import edge as edge_view


class ChannelRow(NamedTuple):
    """A channel as evidence of a decision; the place and the context label are of its edge of most importance."""

    decision_id: int
    channel: int
    importance: float
    share: float
    edges: int
    y: int
    x: int
    context_label_id: int | None
    context_iou: float | None


@lru_cache(maxsize=KEPT)
def failures(label_id: int | None, predicted_id: int | None) -> Listing[ImageRow]:
    """Run.failures: wrongly predicted images in the data's order; parent (run)."""
    rows = select(*columns_of(ImageRow, Image.__table__)).where(
        Image.label_id != Image.predicted_id,
        literal(True) if label_id is None else Image.label_id == label_id,
        literal(True) if predicted_id is None else Image.predicted_id == predicted_id,
    )
    return Listing("failures", ImageRow, rows, ("run_id",), (Order("image_id", int),))


def evidence_of(run_id: int, layer_id: int, images: Sequence[ImageRow]) -> Statement[ChannelRow]:
    """The channels of a layer in both decisions of some images, the most important of each decision first."""
    return _evidence().filled(
        run_id=run_id,
        upper_layer=layer_id + 1,
        class_ids=tuple({class_id for row in images for class_id in (row.label_id, row.predicted_id)}),
        decision_ids=tuple(ids.decision_id(row.image_id, is_label) for row in images for is_label in (0, 1)),
    )


@cache
def _evidence() -> Template[ChannelRow]:
    edge = edge_view.c
    order = (edge.importance, -edge.target_channel, -edge.target_y, -edge.target_x)
    columns = (edge.source_y, edge.source_x, edge.context_label_id, edge.context_iou)
    best = [func.arg_max(func.row(column), func.row(*order)) for column in columns]
    importance = func.sum(edge.importance)
    return Template(
        ChannelRow,
        select(
            edge.decision_id,
            edge.source_channel.label("channel"),
            importance.label("importance"),
            (importance / func.sum(importance).over(partition_by=edge.decision_id)).label("share"),
            func.count().label("edges"),
            *(
                func.struct_extract(value, 1).label(name)
                for name, value in zip(ChannelRow._fields[-4:], best, strict=True)
            ),
        )
        .where(
            edge.run_id == hole("run_id"),
            edge.root_class_id.op("IN")(hole("class_ids")),
            edge.target_layer == hole("upper_layer"),
            edge.decision_id.op("IN")(hole("decision_ids")),
        )
        .group_by(edge.decision_id, edge.source_channel)
        .order_by(edge.decision_id, importance.desc(), edge.source_channel),
    )


def by_decision(rows: Iterable[ChannelRow]) -> dict[int, list[ChannelRow]]:
    """Rows under their decision, in their order."""
    grouped: dict[int, list[ChannelRow]] = {}
    for row in rows:
        grouped.setdefault(row.decision_id, []).append(row)
    return grouped
