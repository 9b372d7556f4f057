"""Building the database file of the next version, and reading it back before it is served."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from indexer import load
from indexer.shards import RunFolder
from migrations import migrate
from schema.checks import CheckResult, check_rollups, check_tables
from schema.database import REVISIONS, revision_of
from schema.errors import DatabaseError, InvariantError
from schema.models import BASE_TABLES, ROLLUP_TABLES, Base
from schema.rollups import build_rollups

Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total) before each step: verify, copy, load, rollups, checks, scan, swap."""


def build(
    building: Path,
    served: Path | None,
    folders: Sequence[RunFolder],
    report: Progress,
    without: Collection[str] = (),
) -> tuple[int, int]:
    """Make the new database file, closed and without a log; gives the images and edges loaded.

    It holds the runs of `served`, but for those named in `without`, and the runs of `folders`.
    """
    new_ids: list[int] = []
    with _writing(building) as connection:
        migrate(connection)
        connection.commit()
        old_names: dict[str, int] = {}
        if served is not None:
            load.attach(connection, _of_this_revision(served, building))
            rows = connection.exec_driver_sql("SELECT name, run_id FROM old.run").all()
            old_names = {row.name: row.run_id for row in rows if row.name not in without}
        # In ascending order of run, as the file is ordered.
        sources: dict[int, RunFolder | None] = dict.fromkeys(old_names.values())
        for folder in folders:
            name = folder.description.name
            run_id = old_names.get(name, max(sources, default=0) + 1)
            sources[run_id] = folder
            new_ids.append(run_id)
        for run_id, source in sorted(sources.items()):
            if source is None:
                report("copy", run_id, len(sources))
                load.copy_run(connection, run_id)
            else:
                load.load_run(connection, source, run_id, lambda done, total: report("load", done, total))
            connection.commit()
        _require_all(check_tables(connection), report)
        for done, run_id in enumerate(new_ids):
            report("rollups", done, len(new_ids))
            build_rollups(connection, run_id, lambda done, total: report("rollups", done, total))
            connection.commit()
        _require_all(check_rollups(connection), report)
        if served is not None:
            connection.commit()  # DuckDB detaches nothing that the current transaction has read
            connection.exec_driver_sql("DETACH old")
        counts = connection.exec_driver_sql(
            "SELECT coalesce(sum(image_count), 0)::BIGINT, coalesce(sum(edge_count), 0)::BIGINT "
            "FROM run WHERE list_contains($ids, run_id)",
            {"ids": new_ids},
        ).one()
        connection.commit()
        connection.exec_driver_sql("CHECKPOINT")
    return int(counts[0]), int(counts[1])


def _require_all(results: Iterable[CheckResult], report: Progress) -> None:
    for done, result in enumerate(results, start=1):
        report("checks", done, done)
        if not result.ok:
            raise InvariantError(
                f"not published, as invariant {result.name} is broken: {result.detail}; "
                "index again, or report this as a bug"
            )


def _of_this_revision(served: Path, building: Path) -> Path:
    """The served version, or a copy of it brought up to this program's revision."""
    if revision_of(served) == REVISIONS[-1]:
        return served
    copy = building.with_name(building.name + ".old")
    shutil.copyfile(served, copy)
    with _writing(copy) as connection:
        migrate(connection)
        connection.commit()
    return copy


@contextmanager
def _writing(file: Path) -> Iterator[Connection]:
    """The one connection to a database that is being built; closed, with its engine, at the end."""
    engine = create_engine(URL.create("duckdb", database=str(file)), poolclass=NullPool)
    connection = engine.connect()
    try:
        yield connection
    except BaseException:
        # Not rolled back: after a failed write DuckDB refuses even that, which would hide the first error.
        connection.invalidate()
        raise
    finally:
        connection.close()
        engine.dispose()


def scan(building: Path, report: Progress) -> None:
    """Read every block of the closed file: DuckDB finds a damaged one only when it is read."""
    wal = building.with_name(building.name + ".wal")
    if wal.exists():
        raise DatabaseError(f"DuckDB left {wal.name} behind; publish again")
    tables = BASE_TABLES + ROLLUP_TABLES
    connection = duckdb.connect(str(building), read_only=True)
    try:
        for done, table in enumerate(tables):
            report("scan", done, len(tables))
            columns = ", ".join(f'"{column.name}"' for column in Base.metadata.tables[table].columns)
            connection.execute(f'SELECT bit_xor(hash({columns})) FROM "{table}"').fetchall()
    finally:
        connection.close()
