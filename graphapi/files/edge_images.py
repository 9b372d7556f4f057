"""The images of exported edges: what each batch of edges is given of them, and which of them a filter chooses.

Images are few beside edges, so their names are held as columns in memory, and each batch of edges takes its own from
there: a join would put the edges in another order, as the planner chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Integer, and_, case, false, func, literal_column, or_, select, true

from evigraph.graphapi.files.formats import Batches
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_class
from evigraph.graphapi.store.sql import Template, execute
from evigraph.schema import ids
from evigraph.schema.errors import NotFoundError
from evigraph.schema.sql import literal
from evigraph.schema.tables.dataset import Image

_FEW = 500
"""So many images are named one by one; DuckDB then skips the blocks without them."""


class ImageFilter(NamedTuple):
    """Which images: one uri, of one label, of one predicted class, of one outcome; None for all."""

    uri: str | None = None
    label: str | None = None
    predicted: str | None = None
    outcome: str | None = None


class EdgeImages:
    """The images of some runs, as columns."""

    def __init__(self, connection: Connection, runs: Sequence[RunInfo]) -> None:
        """Read them; two columns of text and two of ids, in the order of run and image."""
        import pyarrow as pa

        rows = Template(
            tuple,
            select(Image.run_id, Image.image_id, Image.uri, Image.label_id, Image.predicted_id)
            .where(Image.run_id.in_([run.run_id for run in runs]))
            .order_by(Image.run_id, Image.image_id),
        ).filled()
        own: Any = connection.connection.driver_connection
        table = execute(own, rows).to_arrow_table().combine_chunks()
        self._runs = runs
        self._run_ids: NDArray[np.int32] = table["run_id"].to_numpy()
        self._image_ids: NDArray[np.int32] = table["image_id"].to_numpy()
        self._label_ids: NDArray[np.int64] = table["label_id"].fill_null(-1).to_numpy()
        self._predicted_ids: NDArray[np.int32] = table["predicted_id"].to_numpy()
        self.offsets = self._placed()
        self._columns = {
            "image_uri": table["uri"].combine_chunks(),
            "label_id": table["label_id"].combine_chunks(),
            "label": pa.array(self._class_names(self._label_ids), pa.string()),
            "predicted_id": table["predicted_id"].combine_chunks(),
            "predicted": pa.array(self._class_names(self._predicted_ids), pa.string()),
        }

    def _placed(self) -> dict[int, int]:
        """Where each run's images begin in `_positions`, which has the row of each image id, or -1."""
        offsets, length = {}, 0
        for run in self._runs:
            of_run = self._image_ids[self._run_ids == run.run_id]
            offsets[run.run_id] = length
            length += int(of_run.max(initial=-1)) + 1
        self._positions = np.full(length, -1, dtype=np.int64)
        begins = np.zeros(len(self._run_ids), dtype=np.int64)
        for run_id, offset in offsets.items():
            begins[self._run_ids == run_id] = offset
        self._positions[begins + self._image_ids] = np.arange(len(self._image_ids))
        return offsets

    def _class_names(self, class_ids: NDArray[Any]) -> NDArray[np.object_]:
        names = np.full(len(class_ids), None, dtype=object)
        for run in self._runs:
            # The last is of -1, which is no class.
            of_class = np.full(max(run.classes, default=-1) + 2, None, dtype=object)
            for class_id, entry in run.classes.items():
                of_class[class_id] = entry.name
            rows = self._run_ids == run.run_id
            names[rows] = of_class[class_ids[rows]]
        return names

    def chosen(self, wanted: ImageFilter, root_class: Any, decision_id: Any, run_id: Any) -> ColumnElement[bool]:
        """SQL that is true of the edges of the images that pass a filter.

        Raises:
            NotFoundError, AmbiguousError: A name stands for nothing, or for several things.
        """
        mask = np.ones(len(self._image_ids), dtype=bool)
        if wanted.label is not None:
            mask &= self._label_ids == find_class(self._runs[0], wanted.label).class_id
        if wanted.predicted is not None:
            mask &= self._predicted_ids == find_class(self._runs[0], wanted.predicted).class_id
        if wanted.outcome is not None:
            right = self._label_ids == self._predicted_ids
            mask &= (self._label_ids >= 0) & (right if wanted.outcome == "correct" else ~right)
        if wanted.uri is not None:
            mask &= self._called(wanted.uri)
        if mask.all():
            return true()
        of_runs = [
            and_(run_id == run.run_id, self._of_run(mask & (self._run_ids == run.run_id), root_class, decision_id))
            for run in self._runs
        ]
        return or_(*of_runs)

    def _called(self, uri: str) -> NDArray[np.bool_]:
        import pyarrow.compute as pc

        uris = self._columns["image_uri"]
        same: NDArray[np.bool_] = np.asarray(pc.equal(uris, uri))
        if not same.any():
            last = uri.rsplit("/", 1)[-1]
            alike = uris.filter(pc.match_substring(uris, last, ignore_case=True))[:100].to_pylist()
            raise NotFoundError("image", uri, alike or uris[:1000].to_pylist(), "; images go by their uri")
        return same

    def _of_run(self, mask: NDArray[np.bool_], root_class: Any, decision_id: Any) -> ColumnElement[bool]:
        images = self._image_ids[mask]
        if not len(images):
            return false()
        classes = sorted({*self._label_ids[mask].tolist(), *self._predicted_ids[mask].tolist()} - {-1})
        of_class = root_class.in_(classes) if len(classes) <= _FEW else true()
        if len(images) <= _FEW:
            roots = [ids.decision_id(image, is_label) for image in images.tolist() for is_label in (0, 1)]
            return and_(of_class, decision_id.in_(roots))
        # A bit an image: as a list of ids DuckDB would make it a join.
        bits = np.zeros(int(images.max()) + 1, dtype=np.uint8)
        bits[images] = 1
        text = (bits + ord("0")).tobytes().decode()
        image_id = ids.image_id_of(decision_id).cast(Integer)
        bit = case((image_id < len(bits), func.get_bit(literal_column(f"{literal(text)}::BIT"), image_id)), else_=0)
        return and_(of_class, bit == 1)

    def named(self, reader: Batches) -> NamedEdges:
        """The edges of a reader with columns of their images; `_image` says which, as `offsets` places them."""
        return NamedEdges(reader, self._positions, self._columns)


class NamedEdges:
    """Batches of edges with their images' columns in the place of `_image`; counts the rows that were read."""

    def __init__(self, reader: Batches, positions: NDArray[np.int64], columns: dict[str, Any]) -> None:
        import pyarrow as pa

        self._reader, self._positions, self._columns = reader, positions, columns
        kept = [field for field in reader.schema if field.name != "_image"]
        self._kept = [field.name for field in kept]
        self._schema = pa.schema([*kept, *(pa.field(name, column.type) for name, column in columns.items())])
        self.row_count = 0

    def close(self) -> None:
        """Let go of the statement; until then the file cannot be opened anew in this process, and a try waits."""
        self._reader.close()

    @property
    def schema(self) -> Any:
        """Of the batches."""
        return self._schema

    def read_next_batch(self) -> Any:
        """The next batch; StopIteration after the last."""
        import pyarrow as pa

        batch = self._reader.read_next_batch()
        self.row_count += batch.num_rows
        rows = pa.array(self._positions[batch.column("_image").to_numpy()])
        kept = [batch.column(name) for name in self._kept]
        return pa.record_batch([*kept, *(column.take(rows) for column in self._columns.values())], self._schema)
