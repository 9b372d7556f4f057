"""Values and names written into SQL: DuckDB reads back what was given."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest

from evigraph.schema.sql import identifier, literal, quoted


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -7, 2**40, 0.1, -1e300, 5e-324, float("inf"), "", "it's", 'a "b" \\ %s $x {y}', "å\n日",
     [1, 2], ["a", "o'b", None], [[0.5], []]],
)  # fmt: skip
def test_a_literal_is_read_back(value: Any) -> None:
    row = duckdb.sql(f"SELECT {literal(value)} AS value").fetchone()
    assert row == (value,)
    assert type(row[0]) is type(value)


def test_a_tuple_is_what_in_takes() -> None:
    assert duckdb.sql(f"SELECT i FROM range(9) AS r(i) WHERE i IN {literal((2, 3))}").fetchall() == [(2,), (3,)]


@pytest.mark.parametrize("value", [b"x", {"a": 1}, date(2026, 1, 2), [b"x"]])
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no literal in SQL; give it as a parameter"):
        literal(value)


def test_names_are_quoted() -> None:
    names = ("rank", 'a "b"', "x; DROP TABLE t")
    table = f"(SELECT 1, 2, 3) AS {identifier('select')}({quoted(names)})"
    assert duckdb.sql(f"SELECT {quoted(names)} FROM {table}").columns == list(names)
