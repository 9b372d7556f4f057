"""Values written into statements mean what they did, whatever they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import pytest
from sqlalchemy import column, select, table, text

from evigraph.graphapi.store import matching, sql


class Shown(NamedTuple):
    shown: Any


class Thing(NamedTuple):
    a: int
    b: int
    n: int


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("CREATE TABLE thing AS SELECT i % 3 AS a, i % 2 AS b, i AS n FROM range(12) AS r(i)")
        yield opened


VALUES = [
    0,
    -(2**63),
    2**40,
    True,
    None,
    0.1,
    -1e-300,
    0.12345678901234567,
    math.pi,
    "it's",
    "'; DROP TABLE thing; --",
    '"%(a)s" %% $1 \\',
    "a\nb",
    "Übersicht",
    "",
    [1, 2],
    ["a'b"],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back(connection: duckdb.DuckDBPyConnection, value: Any) -> None:
    """As a hole of a template, in SQLAlchemy's words or in SQL, and as a bound value alike."""
    template = sql.Template(Shown, select(sql.hole("value").label("shown")))
    written = sql.Template(Shown, "SELECT :value AS shown -- 100 % of '50 %'")
    bound = sql.Template(Shown, text("SELECT :value AS shown").bindparams(value=value))
    for statement in (template.filled(value=value), written.filled(value=value), bound.filled()):
        (row,) = sql.run(connection, statement)
        assert row.shown == value
        assert type(row.shown) is type(value)
    assert len(sql.run(connection, sql.Template(Thing, "FROM thing").filled())) == 12


def test_a_null_byte_ends_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    """DuckDB refuses it within quotes, and runs nothing."""
    with pytest.raises(duckdb.ParserException):
        sql.run(connection, sql.Template(Shown, "SELECT :value AS shown").filled(value="a\0'; DROP TABLE thing; --"))
    assert sql.run(connection, sql.Template(Shown, "SELECT count(*) AS shown FROM thing").filled()) == [(12,)]


def test_casts_are_no_holes(connection: duckdb.DuckDBPyConnection) -> None:
    """`::` is DuckDB's cast, and a colon within a name stays."""
    statement = sql.Template(Shown, "SELECT [:first::TINYINT, 2]::INTEGER[] AS shown").filled(first=1)
    assert sql.run(connection, statement) == [([1, 2],)]


def test_rows_have_the_columns_of_their_class(connection: duckdb.DuckDBPyConnection) -> None:
    """A column too few, too many, or at another place is an error that names both."""
    for columns in ("a, b", "a, b, n, n AS m", "b, a, n"):
        with pytest.raises(TypeError, match=r"Thing has the fields \('a', 'b', 'n'\), and its statement the columns"):
            sql.run(connection, sql.Template(Thing, f"SELECT {columns} FROM thing").filled())


def test_listeners_see_statements_until_their_block_ends(connection: duckdb.DuckDBPyConnection) -> None:
    statement = sql.Template(Shown, "SELECT 1 AS shown").filled()
    seen: list[sql.Statement[Any]] = []
    with sql.on_statement(seen.append):
        sql.run(connection, statement)
    sql.run(connection, statement)
    assert seen == [statement]


@pytest.mark.parametrize(
    "keys", [[(1, 0)], [(0, 0), (0, 1)], [(0, 0), (1, 1)], [(2, 1), (2, 1), (0, 0)], [(7, 7)]], ids=repr
)
def test_matching(connection: duckdb.DuckDBPyConnection, keys: list[tuple[int, int]]) -> None:
    """A template of one shape finds the rows of any keys of that shape."""
    thing = table("thing", column("a"), column("b"), column("n"))
    wanted = matching.condition([thing.c.a, thing.c.b], matching.shape_of(keys))
    rows = sql.run(connection, sql.Template(Thing, select(thing).where(wanted)).filled(**matching.values(keys)))
    assert sorted(row.n for row in rows) == [n for n in range(12) if (n % 3, n % 2) in keys]
