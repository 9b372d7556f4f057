"""Edges as a stream of Arrow batches, in bounded memory: for notebooks, which JSON would drown.

The rows are those of the view `edge` in the order in which they lie, which is by class, layer and decision, with what
its ids stand for beside them. DuckDB gives batch after batch; `edge_images` adds what is known of their images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, case, func, literal_column, null, select
from sqlalchemy.types import String

from evigraph.graphapi.files.edge_images import EdgeImages, ImageFilter, NamedEdges
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import LayerInfo, RunInfo
from evigraph.graphapi.store.names import evidence_layer, find_class, find_layer, find_run
from evigraph.graphapi.store.sql import Statement, Template, execute
from evigraph.schema import ids
from evigraph.schema.errors import UsageError
from evigraph.schema.sql import literal
from evigraph.schema.views import edge

BATCH_ROWS = 50_000
"""Rows of a batch, which is about 6 MB and a row group of Parquet."""
ROLES = ("predicted", "label")
OUTCOMES = ("correct", "wrong")


@dataclass(frozen=True)
class EdgeFilter:
    """Which edges; None for all.

    Attributes:
        run: Of this run; it has to be named for what runs differ in.
        class_name: Of the roots of this class.
        source_layer: Whose evidence is in this layer.
        target_layer: Into whose channels evidence is decomposed: of this layer, the logits for the roots themselves.
        role: Of the roots: predicted or label.
        top: The edges of the largest contribution of each decomposition.
        images: Of these images.
    """

    run: str | None = None
    class_name: str | None = None
    source_layer: str | None = None
    target_layer: str | None = None
    role: str | None = None
    top: int | None = None
    images: ImageFilter = field(default_factory=ImageFilter)


def open_edges(connection: Connection, runs: tuple[RunInfo, ...], wanted: EdgeFilter) -> NamedEdges:
    """The edges that pass a filter, read batch after batch as they are asked for.

    The connection must not be used for anything else until they are closed.

    Raises:
        NotFoundError, AmbiguousError: A name stands for nothing, or for several things.
        UsageError: A class or a layer is named without its run, or a value is none that the filter takes.
    """
    chosen = _runs(runs, wanted)
    conditions = _conditions(chosen, wanted)
    images = EdgeImages(connection, chosen)
    conditions.append(images.chosen(wanted.images, edge.c.root_class_id, edge.c.decision_id, edge.c.run_id))
    statement = _statement(chosen, images.offsets, conditions)
    own: Any = connection.connection.driver_connection
    return images.named(execute(own, statement).to_arrow_reader(BATCH_ROWS))


def _runs(runs: tuple[RunInfo, ...], wanted: EdgeFilter) -> tuple[RunInfo, ...]:
    """The runs that are asked of; one alone needs no name."""
    if wanted.run is not None:
        return (find_run(runs, wanted.run),)
    of_run = {
        "class": wanted.class_name,
        "source layer": wanted.source_layer,
        "target layer": wanted.target_layer,
        "label": wanted.images.label,
        "predicted": wanted.images.predicted,
    }
    for name, value in of_run.items():
        if value is not None and len(runs) != 1:
            raise UsageError(f"{name} {value!r} without its run: runs differ in their classes and layers; name the run")
    return runs


def _conditions(chosen: Sequence[RunInfo], wanted: EdgeFilter) -> list[ColumnElement[bool]]:
    for name, value, known in (("role", wanted.role, ROLES), ("outcome", wanted.images.outcome, OUTCOMES)):
        if value is not None and value not in known:
            raise UsageError(f"unknown {name} {value!r}; give {' or '.join(known)}")
    column = edge.c
    conditions: list[ColumnElement[bool]] = [column.run_id.in_([run.run_id for run in chosen])]
    if wanted.class_name is not None:
        conditions.append(column.root_class_id == find_class(chosen[0], wanted.class_name).class_id)
    if wanted.source_layer is not None or wanted.target_layer is not None:
        # On the target, which is what the table is ordered by.
        conditions.append(column.target_layer == _target_layer(chosen[0], wanted).layer_id)
    if wanted.role is not None:
        conditions.append(ids.is_label(column.decision_id) == (wanted.role == "label"))
    if bounded("top", wanted.top, 1) is not None:
        conditions.append(column["rank"] < wanted.top)
    return conditions


def _target_layer(run: RunInfo, wanted: EdgeFilter) -> LayerInfo:
    """The layer that is decomposed in the edges that are asked for, by either of its ends or by both."""
    target = None if wanted.target_layer is None else find_layer(run, wanted.target_layer)
    if target is run.layers[0]:
        above = ", ".join(layer.name for layer in run.layers[1:])
        raise UsageError(f"target layer: {target.name!r} is the lowest, and not decomposed; take one of {above}")
    if target is not None and wanted.source_layer is None:
        return target
    above_source = run.layers[run.layers.index(evidence_layer(run, wanted.source_layer or "")) + 1]
    if target is not None and target is not above_source:
        raise UsageError(
            f"no edge leads from {target.name!r} to {wanted.source_layer!r}: the evidence of a layer is in the one "
            f"below; leave one of the two out, or take {above_source.name!r} as target layer"
        )
    return above_source


def _statement(
    chosen: Sequence[RunInfo], offsets: Mapping[int, int], conditions: Sequence[ColumnElement[bool]]
) -> Statement[tuple[Any, ...]]:
    column = edge.c
    layers = {run.run_id: {layer.layer_id: layer.name for layer in run.layers} for run in chosen}
    labels = {run.run_id: run.context_labels for run in chosen}
    classes = {run.run_id: {class_id: entry.name for class_id, entry in run.classes.items()} for run in chosen}
    # A root's id tells its image and role: looking them up took a third of the time.
    image_id = ids.image_id_of(column.decision_id).cast(Integer)
    begin = case(*((column.run_id == run_id, offset) for run_id, offset in offsets.items())) if offsets else 0
    rows = select(
        _name({run.run_id: run.name for run in chosen}, column.run_id).label("run"),
        column.decision_id,
        image_id.label("image_id"),
        case((ids.is_label(column.decision_id), "label"), else_="predicted").label("role"),
        column.root_class_id.label("class_id"),
        _name_in_run(layers, column.target_layer).label("target_layer"),
        column.target_channel,
        column.target_y,
        column.target_x,
        _name_in_run(layers, column.source_layer).label("source_layer"),
        column.source_channel,
        column.source_y,
        column.source_x,
        column.contribution,
        column.share,
        column["rank"],
        column.feature,
        column.activation,
        column.importance,
        _name_in_run(labels, column.context_label_id).label("context_label"),
        column.context_iou,
        _name_in_run(labels, column.context_peak_label_id).label("context_label_at_peak"),
        column.context_peak_mass.label("context_activation_share"),
        _name_in_run(classes, column.root_class_id).label("class"),
        (image_id + begin).cast(Integer).label("_image"),
    ).where(*conditions)
    return Template(tuple, rows).filled()


def _name(names: Mapping[int, str], column: Any) -> Any:
    """SQL for the name of an id, null where it has none: from a list, since a join puts rows in another order."""
    each = [names.get(place) for place in range(max(names, default=-1) + 1)]
    return func.list_extract(literal_column(f"{literal(each)}::VARCHAR[]"), column + 1)


def _name_in_run(names: Mapping[int, Mapping[int, str]], column: Any) -> Any:
    """The same of ids that are a run's own; `names` by run_id."""
    of_runs = [(edge.c.run_id == run_id, _name(of_run, column)) for run_id, of_run in names.items()]
    return case(*of_runs) if of_runs else null().cast(String)
