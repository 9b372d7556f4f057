"""Published synthetic databases, made once, and copies that a test may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import open_read_only, resolve
from evigraph.schema.tables import BASE_TABLES, ROLLUP_TABLES
from evigraph.schema.tables.base import Base
from tests.support.synthetic import synthetic_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder of 40 images in three shards; not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "run"
    synthetic_run(path)
    return path


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run above with its evidence tested too, published; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    synthetic_run(folder / "run", verified=True)
    publish([folder / "run"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="session")
def of_one_run(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first run published, alone in its folder; not to be changed."""
    db = tmp_path_factory.mktemp("of_one_run") / "evidence.duckdb"
    publish([run_dir], db)
    return db


@pytest.fixture
def own(of_one_run: Path, tmp_path: Path) -> Path:
    """The same as a database of this test's own."""
    return copied(of_one_run, tmp_path / "own")


@pytest.fixture
def writable(published: Path, tmp_path: Path) -> Iterator[Connection]:
    """A connection to a copy that may be broken."""
    copy = tmp_path / "copy.duckdb"
    shutil.copyfile(resolve(published), copy)
    engine = create_engine(URL.create("duckdb", database=str(copy)), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def editable(writable: Connection) -> Connection:
    """The same with `edge` as a table of a row an edge, so that a test may break single edges."""
    writable.exec_driver_sql("CREATE TABLE edge_rows AS SELECT * FROM edge ORDER BY ALL")
    writable.exec_driver_sql("DROP VIEW edge")
    writable.exec_driver_sql("ALTER TABLE edge_rows RENAME TO edge")
    return writable


def copied(db: Path, folder: Path) -> Path:
    """A copy of a published database, with all that lies beside it, in a new folder."""
    shutil.copytree(db.parent, folder, symlinks=True)
    return folder / db.name


def rows_of(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted, less the moments at which a run was made."""
    engine = open_read_only(db)
    rows_by_table = {}
    with engine.connect() as connection:
        for table in BASE_TABLES + ROLLUP_TABLES:
            names = [c.name for c in Base.metadata.tables[table].columns if c.name not in ("created_at", "finished_at")]
            columns = ", ".join(f'"{name}"' for name in names)
            rows = connection.exec_driver_sql(f'SELECT {columns} FROM "{table}" ORDER BY ALL').all()
            rows_by_table[table] = [tuple(str(v) if isinstance(v, dict) else v for v in row) for row in rows]
    engine.dispose()
    return rows_by_table
