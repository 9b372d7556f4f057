"""A measurement is one class and one line of a list: here one that only this test knows, in a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evigraph.indexer.evidence.measurement import DecomposedBatch, Measurement, RecordedBatch, Rows, in_order
from evigraph.indexer.evidence.observe import Kept, Noted, Observer, Part
from evigraph.indexer.run import measurements
from evigraph.indexer.run.measurements import Run
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.indexer.shards import files
from evigraph.indexer.shards.folder import RunFolder
from tests.support import tiny

TABLE = "window_sum"
SCHEMA = pa.schema(
    {
        "decision_id": pa.int32(),
        "target_layer": pa.int16(),
        "target_channel": pa.int32(),
        "target_y": pa.int16(),
        "target_x": pa.int16(),
        "source_channel": pa.int32(),
        "total": pa.float32(),
    }
)


class WindowSums(Measurement):
    """The sum of each kept activation map, which is the contribution times the area of the map (Eq. 4)."""

    tables = (TABLE,)

    def observers(self, batch: RecordedBatch) -> Sequence[Sequence[Observer]]:
        return [(self,)] * len(batch.record.features)

    def observe(self, part: Part, kept: Kept) -> Noted:
        """A row of its own for each kept channel."""
        del part
        rows = {"target": kept.row, "source_channel": kept.channel, "total": kept.windows.sum((1, 2))}
        return Noted(rows={TABLE: rows})

    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        levels = []
        for level in batch.host_levels:
            rows = dict(level.rows.get(TABLE, {"target": np.empty(0, dtype=int)}))
            node = rows.pop("target")
            of_target = {name: values[node] for name, values in batch.target_columns(level).items()}
            levels.append(of_target | rows)
        # Made late, as a picture would be.
        return {TABLE: lambda: in_order(levels)}


@pytest.fixture
def settings(tmp_path: Path) -> IndexSettings:
    data = f"imagefolder:{tiny.draw_images(tmp_path / 'images', 10)}"
    execution = Execution(workers=0, batch_size=4, shard_size=6)
    return IndexSettings(tiny.MODEL, "random", data, tmp_path / "run", execution=execution,
                         preprocessing=tiny.PREPROCESSING)  # fmt: skip


def test_its_rows_reach_the_shards(settings: IndexSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row an edge, those of nodes that several roots share too, in the order of the edges' targets."""

    def make(run: Run) -> Measurement:
        assert run.first_total == 10
        return WindowSums()

    monkeypatch.setattr(measurements, "MAKERS", [*measurements.MAKERS, make])
    monkeypatch.setitem(files.SHARD_SCHEMAS, TABLE, SCHEMA)
    monkeypatch.setattr(files, "OPTIONAL", files.OPTIONAL | {TABLE})
    index(settings)
    with RunFolder.open_for_reading(settings.run) as folder:
        edges, sums = (
            pa.concat_tables([pq.read_table(file) for file in folder.files(table)]).to_pylist()
            for table in ("edge", TABLE)
        )
        sizes = [(layer.height * layer.width) for layer in folder.description.layers]
    names = [name for name in SCHEMA.names if name != "total"]
    by_key = {tuple(row[name] for name in names): row["total"] for row in sums}
    assert len(by_key) == len(sums) == len(edges) > 100
    for edge in edges:
        total = by_key[tuple(edge[name] for name in names)]
        assert total == pytest.approx(edge["contribution"] * sizes[edge["source_layer"]], rel=1e-4)
    targets = [tuple(row[name] for name in names[:-1]) for row in sums]
    edge_targets = [tuple(edge[name] for name in names[:-1]) for edge in edges]
    assert list(dict.fromkeys(targets)) == list(dict.fromkeys(edge_targets))


def test_it_costs_nobody_else_a_byte(settings: IndexSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index(settings)
    other = IndexSettings(**{**vars(settings), "run": tmp_path / "other", "name": "run"})
    monkeypatch.setattr(measurements, "MAKERS", [*measurements.MAKERS, lambda run: WindowSums()])  # noqa: ARG005
    monkeypatch.setitem(files.SHARD_SCHEMAS, TABLE, SCHEMA)
    monkeypatch.setattr(files, "OPTIONAL", files.OPTIONAL | {TABLE})
    index(other)
    for file in sorted((settings.run / "shards").glob("*.parquet")):
        assert file.read_bytes() == (other.run / "shards" / file.name).read_bytes(), file.name
