"""Values written into statements mean what they did, whatever they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from sqlalchemy import column, select, table, text

from evigraph.graphapi.store import matching, sql


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
    """As a hole of a template and as a bound value alike."""
    template = sql.Template(select(sql.hole("value").label("shown")))
    bound = sql.Template(text("SELECT :value AS shown").bindparams(value=value))
    for statement in (template.filled(value=value), bound.filled()):
        (row,) = sql.run(connection, statement)
        assert row.shown == value
        assert type(row.shown) is type(value)
    assert len(sql.run(connection, sql.Template(text("FROM thing")).filled())) == 12


def test_a_null_byte_ends_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    """DuckDB refuses it within quotes, and runs nothing."""
    with pytest.raises(duckdb.ParserException):
        sql.run(connection, sql.Template(select(sql.hole("value"))).filled(value="a\0'; DROP TABLE thing; --"))
    assert sql.run(connection, sql.Template(text("SELECT count(*) AS things FROM thing")).filled())[0].things == 12


@pytest.mark.parametrize(
    "keys", [[(1, 0)], [(0, 0), (0, 1)], [(0, 0), (1, 1)], [(2, 1), (2, 1), (0, 0)], [(7, 7)]], ids=repr
)
def test_matching(connection: duckdb.DuckDBPyConnection, keys: list[tuple[int, int]]) -> None:
    """A template of one shape finds the rows of any keys of that shape."""
    thing = table("thing", column("a"), column("b"), column("n"))
    wanted = matching.condition([thing.c.a, thing.c.b], matching.shape_of(keys))
    rows = sql.run(connection, sql.Template(select(thing).where(wanted)).filled(**matching.values(keys)))
    assert sorted(row.n for row in rows) == [n for n in range(12) if (n % 3, n % 2) in keys]
