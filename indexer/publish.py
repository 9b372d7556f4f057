"""Publishing: run folders become the next version of a database, or nothing changes.

1. The run folders are verified: every shard is there and is as it was written.
2. A new file is built beside the served one: Alembic's schema, the runs of the served version, the new runs,
   rollups, invariants.
3. It is checkpointed, closed, read in full once, renamed to a version, and the pointer is moved to it.

Killed or failing before the pointer has moved, the served version is untouched; the next publish cleans up.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from indexer import load
from indexer.shards import RunFolder
from indexer.versions import VersionedFile
from migrations import migrate
from schema.checks import CheckResult, check_rollups, check_tables
from schema.database import REVISIONS, one_line, resolve, revision_of
from schema.errors import DatabaseError, InvariantError, UsageError
from schema.models import BASE_TABLES, ROLLUP_TABLES, Base
from schema.rollups import build_rollups

Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total) before each step: verify, copy, load, rollups, checks, scan, swap."""


@dataclass(frozen=True)
class PublishReport:
    """What a publish did."""

    db: Path
    version: Path
    runs: tuple[str, ...]
    """Names of the runs published now; the database may hold more."""
    image_count: int
    edge_count: int
    """Both over the runs published now."""
    size_bytes: int
    seconds: float


def publish(run_dirs: Sequence[Path], db: Path, progress: Progress | None = None) -> PublishReport:
    """Publish finished runs to `db`; a run of a name that is there already is replaced and keeps its id.

    Raises:
        UsageError: no run folder is given, or two bear one name.
        RunFolderError: a run folder is unfinished, damaged or in use.
        DatabaseError: `db` is foreign, newer or being published to, the disk is full, or
            (InvariantError) the new version breaks an invariant. The served version is as it was.
    """
    started = time.monotonic()
    report = progress or _silent
    files = VersionedFile(db)
    with ExitStack() as stack:
        folders = [stack.enter_context(RunFolder.open_for_reading(Path(path))) for path in run_dirs]
        _require_distinct_names(folders)
        for folder in folders:
            folder.require_whole(lambda done, total: report("verify", done, total))
        _served_version(db)  # a foreign file is refused before anything is put beside it
        stack.enter_context(files.locked())
        served = _served_version(db)
        files.clean(served, files.previous_to(served))
        building = files.new_building()
        try:
            image_count, edge_count = _build(building, served, folders, report)
            _scan(building, report)
            report("swap", 0, 1)
            version = files.promote(building)
        except BaseException as error:
            with suppress(OSError):
                files.clean(served, files.previous_to(served))
            if not isinstance(error, (OSError, DBAPIError, duckdb.Error)):
                raise
            raise DatabaseError(
                f"the next version of {db} could not be built: {one_line(error)}; "
                f"{'nothing is published' if served is None else 'the served version is as it was'}, "
                "so mend that and publish again"
            ) from error
        with suppress(OSError):  # it is published; what could not be removed now is removed the next time
            files.clean(version, served if served in files.versions() else files.previous_to(version))
        report("swap", 1, 1)
    return PublishReport(
        db=db,
        version=version,
        runs=tuple(folder.description.name for folder in folders),
        image_count=image_count,
        edge_count=edge_count,
        size_bytes=version.stat().st_size,
        seconds=time.monotonic() - started,
    )


def _build(building: Path, served: Path | None, folders: list[RunFolder], report: Progress) -> tuple[int, int]:
    """Make the new database file, closed and without a log; gives the images and edges loaded."""
    new_ids: list[int] = []
    with _writing(building) as connection:
        migrate(connection)
        connection.commit()
        old_names: dict[str, int] = {}
        if served is not None:
            load.attach(connection, _of_this_revision(served, building))
            rows = connection.exec_driver_sql("SELECT name, run_id FROM old.run").all()
            old_names = {row.name: row.run_id for row in rows}
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
            build_rollups(connection, run_id)
            connection.commit()
        _require_all(check_rollups(connection), report)
        if served is not None:
            connection.exec_driver_sql("DETACH old")
        counts = connection.exec_driver_sql(
            "SELECT sum(image_count)::BIGINT, sum(edge_count)::BIGINT FROM run WHERE run_id IN $ids",
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


def _scan(building: Path, report: Progress) -> None:
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


def _served_version(db: Path) -> Path | None:
    """The version served now; None where there is none yet."""
    if not db.is_symlink() and not db.exists():
        return None
    revision_of(db)
    return resolve(db)


def _require_distinct_names(folders: list[RunFolder]) -> None:
    if not folders:
        raise UsageError("no run folder given; name at least one that `evigraph index` made")
    by_name: dict[str, Path] = {}
    for folder in folders:
        name = folder.description.name
        if name in by_name:
            raise UsageError(
                f"run folders {by_name[name]} and {folder.path} both hold a run named {name!r}; "
                "publish one of them, or index one again with another --name"
            )
        by_name[name] = folder.path


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
    del stage, done, total
