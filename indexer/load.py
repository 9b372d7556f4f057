"""Loading runs into a database that is being built: from a run folder, or from an older version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from indexer.shards import RunFolder
from schema.models import BASE_TABLES, ROLLUP_TABLES, Base

EDGE_ORDER = 'decision_id, target_layer DESC, target_channel, target_y, target_x, "rank"'
"""Order of a run's edges in the file: all edges of a root, and those of one decomposition, lie together."""
EDGES_AT_A_TIME = 1_000_000
"""Edges sorted together while loading; a statement a shard took four times as long (2 M edges, 120 shards)."""
_ORDER = {
    "image": "image_id",
    "skipped_image": "image_id",
    "decision": "decision_id",
    "edge": EDGE_ORDER,
}


def load_run(connection: Connection, folder: RunFolder, run_id: int, progress: Callable[[int, int], None]) -> None:
    """Insert the base rows of a finished run folder.

    Shards are loaded in their order, some at a time, and those sorted: as they hold ascending ranges of images,
    the whole table comes out sorted while only a few shards are in memory.
    """
    _insert_description(connection, folder, run_id)
    for shards in _some_at_a_time(folder):
        progress(shards.start, folder.shard_count)
        for table, order in _ORDER.items():
            columns = ", ".join(f'"{c.name}"' for c in Base.metadata.tables[table].columns if c.name != "run_id")
            connection.exec_driver_sql(
                f'INSERT INTO "{table}" (run_id, {columns}) '
                f"SELECT $run_id, {columns} FROM read_parquet($files) ORDER BY {order}",
                {"run_id": run_id, "files": [str(folder.shard_file(shard, table)) for shard in shards]},
            )
    connection.exec_driver_sql(_COUNT_RUN, {"run_id": run_id})


def _some_at_a_time(folder: RunFolder) -> Iterator[range]:
    """Ranges of shards of about EDGES_AT_A_TIME edges, as their manifest entries state."""
    start, edges = 0, 0
    for shard in range(folder.shard_count):
        edges += (folder.manifest(shard) or {})["files"]["edge"]["rows"]
        if edges >= EDGES_AT_A_TIME or shard == folder.shard_count - 1:
            yield range(start, shard + 1)
            start, edges = shard + 1, 0


def copy_run(connection: Connection, run_id: int) -> None:
    """Insert a run of the attached database `old`, rollups too, in the order in which it lies there."""
    for table in BASE_TABLES + ROLLUP_TABLES:
        columns = ", ".join(f'"{c.name}"' for c in Base.metadata.tables[table].columns)
        connection.exec_driver_sql(
            f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM old."{table}" WHERE run_id = $run_id',
            {"run_id": run_id},
        )


_COUNT_RUN = """
    UPDATE run SET
        image_count = (SELECT count(*) FROM image WHERE run_id = $run_id),
        skipped_count = (SELECT count(*) FROM skipped_image WHERE run_id = $run_id),
        decision_count = (SELECT count(*) FROM decision WHERE run_id = $run_id),
        edge_count = (SELECT count(*) FROM edge WHERE run_id = $run_id),
        labelled_count = (SELECT count(label_id) FROM image WHERE run_id = $run_id),
        correct_count = (SELECT count(*) FROM image WHERE run_id = $run_id AND label_id = predicted_id)
    WHERE run_id = $run_id
"""


def _insert_description(connection: Connection, folder: RunFolder, run_id: int) -> None:
    description = folder.description
    tables = Base.metadata.tables
    counts = ("image_count", "skipped_count", "decision_count", "edge_count", "labelled_count", "correct_count")
    run: dict[str, Any] = {
        name: getattr(description, name)
        for name in ("name", "model", "weights_sha256", "dataset", "dataset_sha256", "top_n", "mask_threshold")
    }
    run |= {
        "run_id": run_id,
        "settings": description.settings,
        "indexer_version": description.indexer_version,
        "created_at": folder.created_at,
        "finished_at": folder.finished_at(),
    } | dict.fromkeys(counts, 0)
    connection.execute(tables["run"].insert(), run)
    for table, rows in (
        ("layer", description.layers),
        ("class", description.classes),
        ("context_label", description.context_labels),
    ):
        if rows:
            connection.execute(tables[table].insert(), [{"run_id": run_id, **vars(row)} for row in rows])


def attach(connection: Connection, file: Path) -> None:
    """Attach a version read-only as `old`."""
    connection.exec_driver_sql(f"ATTACH {_quoted(file)} AS old (READ_ONLY)")


def _quoted(file: Path) -> str:
    return "'" + str(file).replace("'", "''") + "'"
