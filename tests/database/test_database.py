"""Opening a database: what is refused, and what a reader may not do."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from sqlalchemy.exc import DBAPIError

from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import open_read_only, resolve
from evigraph.schema.errors import DatabaseError


def _no_database(path: Path) -> None:
    path.write_bytes(b"id,name\n1,cat\n")


def _empty(path: Path) -> None:
    path.touch()


def _foreign(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE run (x INTEGER)")


def _truncated(path: Path) -> None:
    _foreign(path)
    path.write_bytes(path.read_bytes()[:5000])


def _folder(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to("gone.duckdb")


REFUSED = [
    (_no_database, "is not a DuckDB database; name a file"),
    (_empty, "is not a DuckDB database; name a file"),
    (_foreign, "is a DuckDB database but not one of evigraph"),
    (_truncated, "cannot be opened"),
    (_folder, "cannot be read: Is a directory"),
    (_dangling, "points to gone.duckdb, which is gone"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refused_with_one_line_and_left_alone(make, message: str, tmp_path: Path, run_dir: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x.duckdb"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for attempt in (lambda: open_read_only(path), lambda: publish([run_dir], path)):
        with pytest.raises(DatabaseError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.duckdb"]


def test_a_missing_database_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"no database .*x\.duckdb; make one with `evigraph publish"):
        open_read_only(tmp_path / "x.duckdb")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM edge",
        "CREATE TABLE t (x INTEGER)",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY run TO '/tmp/never.csv'",
        "ATTACH ':memory:' AS other",
        "SET threads = 4",
        "SET enable_external_access = true",
    ],
)
def test_a_reader_can_change_and_reach_nothing(published: Path, statement: str) -> None:
    engine = open_read_only(published)
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_reader_stays_on_its_version_and_a_new_one_gets_the_next(run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([run_dir], db)
    first, first_file = open_read_only(db), resolve(db)
    publish([run_dir], db)
    publish([run_dir], db)
    assert not first_file.exists()  # removed while it was open
    assert resolve(db) != first_file
    second = open_read_only(db)
    for engine in (first, second):
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM edge").scalar_one() > 0
        engine.dispose()
