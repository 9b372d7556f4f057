"""Building the database file of the next version, and reading it back before it is served."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from evigraph.indexer.publish import load
from evigraph.indexer.shards.folder import RunFolder
from evigraph.migrations import migrate
from evigraph.schema.checks.checks import CheckResult, check_rollups, check_tables
from evigraph.schema.database import REVISIONS, log_is_elsewhere, runs_of, state_of
from evigraph.schema.errors import DatabaseError, InvariantError
from evigraph.schema.rollups.filling import build_rollups
from evigraph.schema.rollups.keeping import remake_rollups
from evigraph.schema.sql import identifier, literal, quoted

CHECKED_EDGES = 500_000
"""Of a run of more edges `publish` checks a sample of about so many; `evigraph check` checks all."""
Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total) before each step: verify, copy, load, rollups, checks, scan, swap."""


def build(
    building: Path,
    served: Path | None,
    folders: Sequence[RunFolder],
    report: Progress,
    without: Collection[str] = (),
    memory_limit: str | None = None,
    default: str | None = None,
) -> tuple[int, int]:
    """Make the new database file, closed and without a log; gives the images and edges loaded.

    It holds the runs of `served`, but for those named in `without`, and the runs of `folders`. Where all runs of
    `served` stay, its file is copied as it is, which costs what the disk takes; where one goes, the others are
    inserted anew, so that nothing of it is left. `default` names the default run; without it that of `served` stays the
    default, also where it is published again.
    """
    names = [folder.description.name for folder in folders]
    there = {} if served is None else runs_of(served)
    old = {name: run.run_id for name, run in there.items()}
    stays = all(name not in without and name not in names for name in old)
    if served is not None and stays:
        report("copy", 0, 1)
        shutil.copyfile(_up_to_date(served, building, report), building)
    with _writing(building) as connection:
        if memory_limit is not None:
            connection.exec_driver_sql(f"SET memory_limit = {literal(memory_limit)}")
        migrate(connection)
        connection.commit()
        remake_rollups(connection)
        # A run that is published again keeps its id; in ascending order of run, as the file is ordered.
        free = itertools.count(max(old.values(), default=0) + 1)
        new = {old.get(name) or next(free): folder for name, folder in zip(names, folders, strict=True)}
        kept = {run_id for name, run_id in old.items() if name not in without and name not in names}
        if served is not None and not stays:
            load.attach(connection, _up_to_date(served, building, report))
        for run_id in sorted(new if stays else kept | new.keys()):
            if run_id in new:
                load.load_run(connection, new[run_id], run_id, lambda done, total: report("load", done, total))
            else:
                report("copy", run_id, len(kept))
                load.copy_run(connection, run_id)
            connection.commit()
        _name_default(connection, default or next((run.name for run in there.values() if run.is_default), None))
        connection.commit()
        _require_all(check_tables(connection, runs=new, sample_edges=CHECKED_EDGES), report)
        for run_id in sorted(new):
            build_rollups(connection, run_id, lambda done, total: report("rollups", done, total))
            connection.commit()
        _require_all(check_rollups(connection, runs=new, sample_edges=CHECKED_EDGES), report)
        if served is not None and not stays:
            load.detach(connection)
        counts = connection.exec_driver_sql(
            "SELECT coalesce(sum(image_count), 0)::BIGINT, coalesce(sum(edge_count), 0)::BIGINT "
            "FROM run WHERE list_contains($ids, run_id)",
            {"ids": list(new)},
        ).one()
        connection.commit()
        connection.exec_driver_sql("CHECKPOINT")
    return int(counts[0]), int(counts[1])


def _name_default(connection: Connection, name: str | None) -> None:
    """Make the run of this name the default, and no other; None for none."""
    connection.exec_driver_sql("UPDATE run SET is_default = (name = $name) IS TRUE", {"name": name})


def _require_all(results: Iterable[CheckResult], report: Progress) -> None:
    report("checks", 0, 1)  # the first result takes most of the time
    for done, result in enumerate(results, start=1):
        report("checks", done, done)
        if not result.ok:
            raise InvariantError(
                f"not published, as invariant {result.name} is broken: {result.detail}; "
                "index again, or report this as a bug"
            )


def _up_to_date(served: Path, building: Path, report: Progress) -> Path:
    """The served version, or a copy of it of this program's revision and rollups."""
    revision, stale = state_of(served)
    if revision == REVISIONS[-1] and not stale:
        return served
    copy = building.with_name(building.name + ".old")
    shutil.copyfile(served, copy)
    with _writing(copy) as connection:
        migrate(connection)
        connection.commit()
        remake_rollups(connection, lambda done, total: report("rollups", done, total), every=revision != REVISIONS[-1])
        _require_all(check_rollups(connection, sample_edges=CHECKED_EDGES), report)
        connection.commit()
        connection.exec_driver_sql("CHECKPOINT")
    return copy


@contextmanager
def _writing(file: Path) -> Iterator[Connection]:
    """The one connection to a database that is being built; closed, with its engine, at the end."""
    with _writable(file) as path:
        engine = create_engine(URL.create("duckdb", database=str(path)), poolclass=NullPool)
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


@contextmanager
def _writable(file: Path) -> Iterator[Path]:
    """Where DuckDB can write a file: in its own place, or in a temporary one from where it is moved at the end."""
    if not log_is_elsewhere(str(file.absolute())):
        yield file
        return
    with TemporaryDirectory(prefix="evigraph-") as folder:
        elsewhere = Path(folder) / "building"
        if file.exists():
            shutil.move(file, elsewhere)
        yield elsewhere
        shutil.move(elsewhere, file)


def scan(building: Path, report: Progress) -> None:
    """Read every block of the closed file: DuckDB finds a damaged one only when it is read."""
    wal = building.with_name(building.name + ".wal")
    if wal.exists():
        raise DatabaseError(f"DuckDB left {wal.name} behind; publish again")
    with _reading(building) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        for done, table in enumerate(map(identifier, tables)):
            report("scan", done, len(tables))
            columns = quoted(name for name, *_ in connection.execute(f"DESCRIBE {table}").fetchall())
            connection.execute(f"SELECT bit_xor(hash({columns})) FROM {table}").fetchall()


@contextmanager
def _reading(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(file), read_only=True)
    try:
        yield connection
    finally:
        connection.close()
