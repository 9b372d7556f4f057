"""Loading runs into a database that is being built: from a run folder, or from an older version."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection

from evigraph.indexer.publish.localization import add_localization
from evigraph.indexer.shards.edges import FOLDED, fold
from evigraph.indexer.shards.folder import LayerRow, RunFolder
from evigraph.indexer.shards.guided_files import guided_files
from evigraph.schema.sql import identifier, literal, quoted
from evigraph.schema.tables import BASE_TABLES, ROLLUPS, SHARD_TABLES
from evigraph.schema.tables.base import Base, columns_of, order_of
from evigraph.schema.tables.pictures import GuidedCrop

EDGES_AT_A_TIME = 500_000
"""About so many edges of a run folder are folded at a time, some 100 MB."""
_ROWS_AT_A_TIME = 4096
_PATTERN = "*?["
"""Signs by which DuckDB takes a path for a pattern."""
_AHEAD = 2
"""So many such are made while DuckDB takes those before."""


def load_run(connection: Connection, folder: RunFolder, run_id: int, progress: Callable[[int, int], None]) -> None:
    """Insert the base rows of a finished run folder; `progress` gets (shards done, shards).

    Raises:
        InvariantError: the edges of a shard contradict its decompositions.
    """
    _insert_description(connection, folder, run_id)
    for table in SHARD_TABLES:
        _insert_files(connection, table, run_id, folder.files(table))
    _insert_files(connection, GuidedCrop.__tablename__, run_id, guided_files(folder))
    for fill in _OLD_VERIFICATION:
        connection.exec_driver_sql(fill, {"run_id": run_id})
    _insert_decompositions(connection, folder, run_id, progress)
    add_localization(connection, folder, run_id)
    connection.exec_driver_sql(_COUNT_RUN, {"run_id": run_id})


def _insert_files(connection: Connection, table: str, run_id: int, parquet: Iterable[Path]) -> None:
    files = [str(file) for file in parquet]
    if not files:
        return
    schema = pq.read_schema(files[0])
    names = [name for name in columns_of(table) if name != "run_id"]
    # A column that a folder of before it lacks stays null, also where rows are ordered by it.
    stored = ", ".join(identifier(name) if name in schema.names else f"NULL AS {identifier(name)}" for name in names)
    insert = f"INSERT INTO {identifier(table)} (run_id, {quoted(names)}) SELECT {literal(run_id)}, {stored}"
    if not any(sign in file for sign in _PATTERN for file in files):
        connection.exec_driver_sql(f"{insert} FROM read_parquet({literal(files)}) ORDER BY {order_of(table)}")
        return
    # DuckDB would take the path for a pattern, and read whichever files it fits.
    batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_A_TIME))
    with _registered(connection, "stored", pa.RecordBatchReader.from_batches(schema, batches)):
        connection.exec_driver_sql(f"{insert} FROM stored ORDER BY {order_of(table)}")


def _insert_decompositions(
    connection: Connection, folder: RunFolder, run_id: int, progress: Callable[[int, int], None]
) -> None:
    """Stream the folded shards into one sorted insert; DuckDB sorts on the disk what its memory limit does not hold."""
    tables = _folded(folder, progress)
    first = next(tables)
    batches = (batch for table in itertools.chain([first], tables) for batch in table.to_batches())
    reader = pa.RecordBatchReader.from_batches(first.schema, batches)
    columns = quoted(first.schema.names)
    with _registered(connection, "folded", reader):
        connection.exec_driver_sql(
            f"INSERT INTO decomposition (run_id, {columns}) "
            f"SELECT {literal(run_id)}, {columns} FROM folded ORDER BY {order_of('decomposition')}"
        )


@contextmanager
def _registered(connection: Connection, name: str, rows: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
    """Rows under a name that SQL may use: with each parameter DuckDB would look for pandas, which takes 0.1 ms."""
    duck: Any = connection.connection.driver_connection
    duck.register(name, rows)
    try:
        yield
    finally:
        duck.unregister(name)


def _folded(folder: RunFolder, progress: Callable[[int, int], None]) -> Iterator[pa.Table]:
    """The decompositions of the run in the order of the images, some shards at a time; those to come are being made."""
    scales = _scales(folder.description.layers)
    with ThreadPoolExecutor(_AHEAD) as threads:
        coming: deque[tuple[range, Future[pa.Table]]] = deque()
        for shards in _shard_ranges(folder):
            coming.append((shards, threads.submit(_fold, folder, shards, scales)))
            if len(coming) > _AHEAD:
                yield _next(coming, folder, progress)
        while coming:
            yield _next(coming, folder, progress)


def _next(
    coming: deque[tuple[range, Future[pa.Table]]], folder: RunFolder, progress: Callable[[int, int], None]
) -> pa.Table:
    shards, table = coming.popleft()
    progress(shards.start, folder.shard_count)
    return table.result()


def _fold(folder: RunFolder, shards: range, scales: NDArray[np.int16]) -> pa.Table:
    decision, decomposition, edge = (
        pa.concat_tables([folder.read(shard, table, columns) for shard in shards])
        for table, columns in (
            ("decision", ["decision_id", "class_id"]),
            ("decomposition", None),
            ("edge", list(FOLDED)),
        )
    )
    row = np.searchsorted(decision["decision_id"].to_numpy(), decomposition["decision_id"].to_numpy())
    return fold(edge, decomposition, decision["class_id"].to_numpy()[row], scales)


def _scales(layers: tuple[LayerRow, ...]) -> NDArray[np.int16]:
    """(layers, 2): how many places of the layer below there are to one of each layer, down and across.

    1 for the lowest layer, which nothing is below, and for the logits, whose one place is at 0.
    """
    ratios = [(1, 1)]
    for lower, upper in itertools.pairwise(layers):
        ratios.append((max(1, round(lower.height / upper.height)), max(1, round(lower.width / upper.width))))
    ratios[-1] = (1, 1)
    return np.array(ratios, dtype=np.int16)


def _shard_ranges(folder: RunFolder) -> Iterator[range]:
    """Ranges of shards of about EDGES_AT_A_TIME edges, as their manifest entries state."""
    start, edges = 0, 0
    for shard in range(folder.shard_count):
        edges += (folder.manifest(shard) or {})["files"]["edge"]["rows"]
        if edges >= EDGES_AT_A_TIME or shard == folder.shard_count - 1:
            yield range(start, shard + 1)
            start, edges = shard + 1, 0


_OLD = identifier("old.version")
"""Name of an attached version. DuckDB names a file by what is before its first dot, so none is named so by chance."""


def copy_run(connection: Connection, run_id: int) -> None:
    """Insert a run of the attached version, rollups too, in the order in which it lies there."""
    every = {table: columns_of(table) for table in BASE_TABLES} | {n: list(r.columns()) for n, r in ROLLUPS.items()}
    for table, names in every.items():
        name, columns = identifier(table), quoted(names)
        connection.exec_driver_sql(
            f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {_OLD}.{name} WHERE run_id = $run_id",
            {"run_id": run_id},
        )


_OLD_VERIFICATION = (
    """
    UPDATE verification SET fill = run.settings->'verify'->>'occlude' FROM run
    WHERE run.run_id = verification.run_id AND run.run_id = $run_id AND method = 'occlude' AND fill IS NULL
      AND (run.settings->'verify'->>'occlude') IN ('grey', 'blur')
    """,
    """
    UPDATE verification SET control_shape = 'box', control_area = area
    WHERE run_id = $run_id AND control_top IS NOT NULL AND control_area IS NULL
    """,
)
"""What a folder of before fills and areas of controls were kept says by its settings, and by what there was then."""
_COUNT_RUN = """
    UPDATE run SET
        image_count = (SELECT count(*) FROM image WHERE run_id = $run_id),
        skipped_count = (SELECT count(*) FROM skipped_image WHERE run_id = $run_id),
        decision_count = (SELECT count(*) FROM decision WHERE run_id = $run_id),
        edge_count = (SELECT coalesce(sum(len(evidence)), 0) FROM decomposition WHERE run_id = $run_id),
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
        "is_default": False,
    } | dict.fromkeys(counts, 0)
    connection.execute(tables["run"].insert(), run)
    for table, rows in (
        ("layer", description.layers),
        ("class", description.classes),
        ("context_label", description.context_labels),
    ):
        if rows:
            described = pa.Table.from_pylist([{"run_id": run_id, **vars(row)} for row in rows])
            with _registered(connection, "described", described):
                connection.exec_driver_sql(f"INSERT INTO {identifier(table)} BY NAME FROM described")


def attach(connection: Connection, file: Path) -> None:
    """Attach a version, read-only, for `copy_run`."""
    connection.exec_driver_sql(f"ATTACH {literal(str(file))} AS {_OLD} (READ_ONLY)")


def detach(connection: Connection) -> None:
    """Detach it again."""
    connection.commit()  # DuckDB detaches nothing that the current transaction has read
    connection.exec_driver_sql(f"DETACH {_OLD}")
