"""Edges as a stream of Arrow batches, in bounded memory: for notebooks, which JSON would drown.

The rows are those of the view `edge` in the order in which they lie, which is by class, layer and decision, with what
its ids stand for beside them. DuckDB gives batch after batch; each is written in the format and its bytes are handed on
before the next is read. pyarrow is loaded when the first export begins, so that a service without exports does without.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Integer, case, func, literal_column, null, select
from sqlalchemy.types import String

from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_class, find_layer, find_run
from evigraph.graphapi.store.sql import Statement, Template, execute
from evigraph.schema import ids
from evigraph.schema.errors import NotFoundError, UsageError
from evigraph.schema.sql import literal
from evigraph.schema.views import edge

MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""Formats by name; arrow is the IPC stream."""
BATCH_ROWS = 50_000
"""Rows of a batch, which is about 6 MB and a row group of Parquet."""


@dataclass(frozen=True)
class EdgeFilter:
    """Which edges: of a run, of the roots of a class, into a layer, of a decision role; None for all."""

    run: str | None = None
    class_name: str | None = None
    layer: str | None = None
    role: str | None = None


def edges_statement(runs: tuple[RunInfo, ...], wanted: EdgeFilter) -> Statement[tuple[Any, ...]]:
    """The edges that pass a filter, with names beside their ids.

    Raises:
        NotFoundError, AmbiguousError: A name stands for nothing, or for several things.
        UsageError: A class or a layer is named without its run, or the role is unknown.
    """
    for name, value in (("class", wanted.class_name), ("layer", wanted.layer)):
        if value is not None and wanted.run is None:
            raise UsageError(f"{name} {value!r} without its run: runs differ in their classes and layers; name the run")
    if wanted.role not in (None, "predicted", "label"):
        raise UsageError(f"unknown role {wanted.role!r}; give predicted or label")
    column = edge.c
    chosen = runs if wanted.run is None else (find_run(runs, wanted.run),)
    conditions: list[ColumnElement[bool]] = [column.run_id.in_([run.run_id for run in chosen])]
    if wanted.class_name is not None:
        conditions.append(column.root_class_id == find_class(chosen[0], wanted.class_name).class_id)
    if wanted.layer is not None:
        layer = find_layer(chosen[0], wanted.layer)
        if layer is chosen[0].layers[-1]:
            known = [one.name for one in chosen[0].layers[:-1]]
            raise NotFoundError("layer with evidence", wanted.layer, known, f"; there are {', '.join(known)}")
        # On the target, which is what the table is ordered by.
        conditions.append(column.target_layer == layer.layer_id + 1)
    if wanted.role is not None:
        conditions.append(ids.is_label(column.decision_id) == (wanted.role == "label"))
    runs_by_id = {run.run_id: run for run in chosen}
    layers = {run_id: {layer.layer_id: layer.name for layer in run.layers} for run_id, run in runs_by_id.items()}
    labels = {run_id: run.context_labels for run_id, run in runs_by_id.items()}
    rows = select(
        _name({run_id: run.name for run_id, run in runs_by_id.items()}, column.run_id).label("run"),
        column.decision_id,
        # A root's id tells its image and role: looking them up took a third of the time.
        ids.image_id_of(column.decision_id).cast(Integer).label("image_id"),
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


class Batches(Protocol):
    """A pyarrow RecordBatchReader."""

    schema: Any

    def read_next_batch(self) -> Any:
        """The next batch; StopIteration after the last."""


def batches(connection: Connection, statement: Statement[Any]) -> Batches:
    """The rows of a statement as Arrow batches, which are read as they are asked for.

    The connection must not be used for anything else meanwhile.
    """
    own: Any = connection.connection.driver_connection
    reader: Batches = execute(own, statement).to_arrow_reader(BATCH_ROWS)
    return reader


def encoded(reader: Batches, format_name: str) -> Iterator[bytes]:
    """The bytes of a file of the format in parts: its head, each batch, its end.

    Args:
        reader: The rows; read to the end.
        format_name: One of MEDIA_TYPES.
    """
    sink = _Drain()
    with _writer(sink, reader.schema, format_name) as writer:
        yield sink.take()
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            writer.write_batch(batch)
            yield sink.take()
    yield sink.take()


class _Drain(io.RawIOBase):
    """A file that is written to, and whose bytes are taken out in between."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """As `io` asks before it writes."""
        return True

    def write(self, part: Any) -> int:
        """Keep a part until it is taken."""
        self._parts.append(bytes(part))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        """Bytes written so far, taken or not."""
        return self._written

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _writer(sink: _Drain, schema: Any, format_name: str) -> Any:
    import pyarrow.csv
    import pyarrow.ipc
    import pyarrow.parquet

    if format_name == "csv":
        return pyarrow.csv.CSVWriter(sink, schema)
    if format_name == "parquet":
        return pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")
    return pyarrow.ipc.new_stream(sink, schema)
