"""Opening a published database: the pointer, the revision, and a read-only engine.

`evidence.duckdb` is a symlink, the pointer, to a versioned file beside it (`evidence.20260102T030405-1a2b3c.duckdb`).
`publish` moves the pointer; a reader resolves it and opens the file by its own name, because DuckDB keeps one
instance per path in a process and would hand out the old database under the new content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from evigraph.schema.errors import DatabaseError, first_line, in_shell
from evigraph.schema.tables.selects import digests

REVISIONS = ("0001", "0002", "0003", "0004", "0006")
"""Alembic revisions that this program knows, oldest first; a test holds them to those in `migrations/`."""

_MAGIC = slice(8, 12)  # DuckDB's main header: an 8-byte checksum, then "DUCK"


def resolve(path: Path) -> Path:
    """The versioned file that `path` points to now (or `path` itself where it is a plain file).

    Raises:
        DatabaseError: there is no file, or it is not a DuckDB database.
    """
    version = path.resolve()
    if not version.exists():
        if path.is_symlink():
            raise DatabaseError(
                f"database {path} points to {version.name}, which is gone; return to the version before it with "
                f"`evigraph rollback --db {in_shell(path)}`, or remove {path} and publish its runs again"
            )
        raise DatabaseError(f"no database {path}; make one with `evigraph publish RUN_DIR --db {in_shell(path)}`")
    try:
        with version.open("rb") as file:
            header = file.read(_MAGIC.stop)
    except OSError as error:
        raise DatabaseError(
            f"database {path} cannot be read: {error.strerror}; name a file that `evigraph publish` made"
        ) from error
    if header[_MAGIC] != b"DUCK":
        raise DatabaseError(f"{path} is not a DuckDB database; name a file that `evigraph publish` made")
    return version


def open_read_only(path: Path, pointer: Path | None = None) -> Engine:
    """An engine on the version that `path` points to now; it stays on that version when the pointer moves.

    Its connections read only, use one thread each, reach no other file, and cannot change that. Give each
    thread a connection of its own: DuckDB 1.5.6 loses rows where two share one.

    Args:
        path: the pointer, or a version.
        pointer: what an error names, where `path` is the version that it points to.

    Raises:
        DatabaseError: there is none, it is no evigraph database, or it is of another revision or has other rollups.
    """
    engine = _engine(resolve(path))
    path = pointer or path
    try:
        revision, stale = _read_state(engine, path)
        mend = f"bring it up to date with `evigraph migrate --db {in_shell(path)}`"
        if revision != REVISIONS[-1]:
            raise DatabaseError(
                f"database {path} has the older revision {revision}, this program reads {REVISIONS[-1]}; {mend}"
            )
        if stale:
            raise DatabaseError(
                f"database {path} has rollups that this program declares otherwise ({', '.join(stale)}); {mend}"
            )
    except BaseException:
        engine.dispose()
        raise
    return engine


def revision_of(path: Path) -> str:
    """The Alembic revision of a database, which may be older than this program's.

    Raises:
        DatabaseError: it cannot be opened, is no evigraph database, or is newer than this program.
    """
    return state_of(path)[0]


def state_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """The revision of a database, and the names of its stale rollups.

    Raises:
        DatabaseError: as for `revision_of`.
    """
    engine = _engine(resolve(path))
    try:
        return _read_state(engine, path)
    finally:
        engine.dispose()


def stale_rollups(connection: Connection) -> tuple[str, ...]:
    """Names of the rollups whose declaration is not the one that they were made by, or is no more."""
    declared = digests()
    if connection.exec_driver_sql("FROM duckdb_tables() WHERE table_name = 'rollup_declaration'").first() is None:
        return tuple(declared)  # of before revision 0004
    rows = connection.exec_driver_sql("SELECT name, sha256 FROM rollup_declaration").all()
    made = {row.name: row.sha256 for row in rows}
    return tuple(name for name in declared | made if declared.get(name) != made.get(name))


@dataclass(frozen=True)
class RunOrigin:
    """A published run, and what it was made from."""

    run_id: int
    name: str
    model: str
    weights_sha256: str
    dataset: str
    dataset_sha256: str


def runs_of(path: Path) -> dict[str, RunOrigin]:
    """The runs of a database by name, in the order of their ids, whatever its revision.

    Raises:
        DatabaseError: it cannot be read.
    """
    engine = _engine(resolve(path))
    columns = ", ".join(field.name for field in fields(RunOrigin))
    try:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(f"SELECT {columns} FROM run ORDER BY run_id").all()
    except DBAPIError as error:
        raise DatabaseError(f"database {path} cannot be read: {one_line(error)}") from error
    finally:
        engine.dispose()
    return {row.name: RunOrigin(*row) for row in rows}


def _engine(file: Path) -> Engine:
    path = str(file.absolute())
    closed = {"enable_external_access": "false", "lock_configuration": "true"}
    # Late materialisation made "the top rows of an image" 6 to 10 times slower (DuckDB 1.5.6).
    settings: dict[str, str | int] = {"threads": 1, "late_materialization_max_rows": 0}
    if not log_is_elsewhere(path):
        settings |= closed
    engine = create_engine(URL.create("duckdb", database=path), connect_args={"read_only": True, "config": settings})
    if log_is_elsewhere(path):
        # DuckDB would not let itself look for the log there; so it is closed off once the file is open.
        @event.listens_for(engine, "connect")
        def close_off(connection: Any, _: object) -> None:
            if connection.execute("SELECT current_setting('lock_configuration')").fetchone() == (False,):
                for name, value in closed.items():
                    connection.execute(f"SET {name} = {value}")

    return engine


def log_is_elsewhere(path: str) -> bool:
    """Whether DuckDB's log of a file is not beside it: .wal is put before the first ?, be that in a folder's name."""
    return "?" in path


def _read_state(engine: Engine, path: Path) -> tuple[str, tuple[str, ...]]:
    try:
        with engine.connect() as connection:
            tables = connection.exec_driver_sql("SELECT table_name FROM duckdb_tables()").scalars().all()
            if not {"alembic_version", "run", "decision"} <= set(tables):
                raise DatabaseError(
                    f"{path} is a DuckDB database but not one of evigraph; name a file that `evigraph publish` made"
                )
            revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            if revision not in REVISIONS:
                raise DatabaseError(
                    f"database {path} has revision {revision}, newer than {REVISIONS[-1]} that this program knows; "
                    "use the version of evigraph that made it, or a later one"
                )
            return str(revision), stale_rollups(connection)
    except (DBAPIError, duckdb.Error) as error:
        raise DatabaseError(
            f"database {path} cannot be opened: {one_line(error)}; where it is damaged, "
            f"`evigraph rollback --db {in_shell(path)}` returns to the version before it, "
            "and a new --db takes its runs again"
        ) from error


def one_line(error: BaseException) -> str:
    """The first line of a database error, without SQLAlchemy's wrapping and DuckDB's kind of error."""
    origin = getattr(error, "orig", None) or error
    return re.sub(r"^[A-Za-z]+ Error: ", "", first_line(origin, None))
