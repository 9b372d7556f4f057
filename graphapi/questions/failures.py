"""Wrong decisions: which classes are confused, and the evidence of a layer for the predicted class beside that for the
true one.

A channel's importance in a decision is the sum over its edges' in the layer; its share is that of the sum over all
channels of the layer there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from sqlalchemy import func, literal, or_, select

from evigraph.graphapi.store.catalog import ClassInfo, RunInfo
from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.store.sql import KEPT, Statement, Template, columns_of, hole
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image
from evigraph.schema.tables.rollups import Confusion
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


class ConfusionRow(NamedTuple):
    """Of `confusion`."""

    run_id: int
    label_id: int
    predicted_id: int
    images: int


@lru_cache(maxsize=KEPT)
def confusions(of: str | None) -> Listing[ConfusionRow]:
    """Confusions, most images first; parent (run), or (run, class) `of` whose "label_id" or "predicted_id" they are."""
    rows = select(*columns_of(ConfusionRow, Confusion.__table__))
    order = (Order("images", int, descending=True), Order("label_id", int), Order("predicted_id", int))
    parent = ("run_id",) if of is None else ("run_id", of)
    return Listing("confusions" if of is None else f"confusions of {of}", ConfusionRow, rows, parent, order)


def least_accurate(run: RunInfo, count: int) -> list[ClassInfo]:
    """Classes with errors, the least accurate first; of equals those of more errors, then by index."""
    wrong = [entry for entry in run.classes.values() if entry.correct_count < entry.image_count]

    def place(entry: ClassInfo) -> tuple[float, int, int]:
        errors = entry.image_count - entry.correct_count
        return entry.correct_count / entry.image_count, -errors, entry.class_id

    return sorted(wrong, key=place)[:count]


def confusions_among(run_id: int, class_ids: Sequence[int]) -> Statement[ConfusionRow]:
    """The confusions that any of some classes has a part in, as label or as predicted class."""
    return _among().filled(run_id=run_id, class_ids=tuple(class_ids))


@cache
def _among() -> Template[ConfusionRow]:
    rows = select(*columns_of(ConfusionRow, Confusion.__table__)).where(
        Confusion.run_id == hole("run_id"),
        or_(*(column.op("IN")(hole("class_ids")) for column in (Confusion.label_id, Confusion.predicted_id))),
    )
    return Template(ConfusionRow, rows)


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
