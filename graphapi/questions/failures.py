"""Wrong decisions, and the evidence of a layer for the predicted class beside that for the true one.

A channel's importance in a decision is the sum over its edges' in the layer; its share is that of the sum over all
channels of the layer there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, and_, func, literal, select

from evigraph.graphapi.store.paging import Listing, Order
from evigraph.schema.tables.dataset import Image
from evigraph.schema.views import edge as edge_view


def failures(label_id: int | None, predicted_id: int | None) -> Listing:
    """Run.failures: wrongly predicted images in the data's order; parent (run)."""
    rows = select(*Image.__table__.c).where(
        Image.label_id != Image.predicted_id,
        literal(True) if label_id is None else Image.label_id == label_id,
        literal(True) if predicted_id is None else Image.predicted_id == predicted_id,
    )
    return Listing("failures", rows, ("run_id",), (Order("image_id", int),))


def evidence_of(run_id: int, layer_id: int, images: Sequence[Any]) -> Select[Any]:
    """The channels of a layer in both decisions of some images, the most important of each decision first.

    Columns decision_id, channel, importance, share, edges; and of the edge of most importance y, x, context_label_id
    and context_iou.
    """
    edge = edge_view.c
    class_ids = sorted({class_id for row in images for class_id in (row.label_id, row.predicted_id)})
    decision_ids = [2 * row.image_id + role for row in images for role in (0, 1)]
    order = (edge.importance, -edge.target_channel, -edge.target_y, -edge.target_x)
    best = {
        name: func.arg_max(func.row(edge[name]), func.row(*order))
        for name in ("source_y", "source_x", "context_label_id", "context_iou")
    }
    importance = func.sum(edge.importance)
    return (
        select(
            edge.decision_id,
            edge.source_channel.label("channel"),
            importance.label("importance"),
            (importance / func.sum(importance).over(partition_by=edge.decision_id)).label("share"),
            func.count().label("edges"),
            *(func.struct_extract(value, 1).label(name) for name, value in best.items()),
        )
        .where(
            and_(
                edge.run_id == run_id,
                edge.root_class_id.in_(class_ids),
                edge.target_layer == layer_id + 1,
                edge.decision_id.in_(decision_ids),
            )
        )
        .group_by(edge.decision_id, edge.source_channel)
        .order_by(edge.decision_id, importance.desc(), edge.source_channel)
    )


def by_decision(rows: Iterable[Any]) -> dict[int, list[Any]]:
    """Rows under their decision, in their order."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.decision_id, []).append(row)
    return found
