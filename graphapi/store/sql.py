"""How requests run SQL: a statement with holes, the values written into it, its rows as named tuples.

1. A `Template` is SQL text, or a statement of SQLAlchemy's compiled to text, and the class of its rows. One whose shape
   is asked again and again is kept.
2. Values go into the text as literals. DuckDB 1.5 plans a statement with parameters twice, as it learns their types
   only with the values: a page of a rollup took 0.9 ms with literals and 1.5 ms with parameters.
3. The text runs on a connection of DuckDB's own, without SQLAlchemy's, which took as long as the SQL itself.
4. Rows are NamedTuples, whose fields have to be the statement's columns: so mypy knows what a row holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from duckdb import DuckDBPyConnection
from numpy.typing import NDArray
from sqlalchemy import BindParameter, ColumnElement, Executable, FromClause, bindparam
from sqlalchemy.engine import URL

from evigraph.schema.sql import literal

R = TypeVar("R", bound=tuple[Any, ...])
"""The class of a statement's rows, a NamedTuple."""

# Holes are `%(name)s`, and every other % is doubled.
_DIALECT = URL.create("duckdb").get_dialect()(paramstyle="pyformat")  # type: ignore[call-arg]
_HOLE = re.compile(r"(?<![:\w]):([a-z]\w*)")
KEPT = 512
"""Templates of each kind that are kept: making one of SQLAlchemy's takes about as long as running it."""

_listeners: list[Callable[[Statement[Any]], object]] = []


@dataclass(frozen=True)
class Statement(Generic[R]):
    """What DuckDB gets, and the class of its rows."""

    kind: type[R]
    text: str


class Template(Generic[R]):
    """A statement whose holes are filled anew for each request."""

    def __init__(self, kind: type[R], statement: str | Executable) -> None:
        """Of SQL text, with its holes as `:name`, or of SQLAlchemy's, with each as `hole(name)`."""
        self._kind = kind
        self._values: dict[str, Any] = {}
        if isinstance(statement, str):
            self._text = _HOLE.sub(r"%(\1)s", statement.replace("%", "%%"))
        else:
            compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
            self._text = str(compiled)
            self._values.update(compiled.params)

    def filled(self, **values: Any) -> Statement[R]:
        """The statement with these values in its holes; a tuple is the right side of IN."""
        literals = {name: literal(value) for name, value in (self._values | values).items()}
        return Statement(self._kind, self._text % literals)


def hole(name: str) -> BindParameter[Any]:
    """Where a value of a template goes."""
    return bindparam(name, required=False)


def columns_of(kind: type[R], table: FromClause) -> list[ColumnElement[Any]]:
    """The columns of a table that rows of a class hold."""
    names: tuple[str, ...] = getattr(kind, "_fields")  # noqa: B009 - mypy knows no bound for "a NamedTuple"
    return [table.c[name] for name in names]


@contextmanager
def on_statement(listener: Callable[[Statement[Any]], object]) -> Iterator[None]:
    """Call a function with each statement that any request of this process runs, until the block ends."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def execute(connection: DuckDBPyConnection, statement: Statement[Any]) -> DuckDBPyConnection:
    """Run a statement: the one place where requests do. Its rows are taken from what is returned.

    No other thread may use the connection meanwhile but to interrupt it.
    """
    for listener in _listeners:
        listener(statement)
    return connection.execute(statement.text)


def run(connection: DuckDBPyConnection, statement: Statement[R]) -> list[R]:
    """All rows of a statement.

    Raises:
        TypeError: Its columns are not the fields of its rows' class.
    """
    result = execute(connection, statement)
    make = _row_maker(statement.kind, tuple(column[0] for column in result.description))
    return [make(values) for values in result.fetchall()]


def columns(connection: DuckDBPyConnection, statement: Statement[Any]) -> dict[str, NDArray[Any]]:
    """The columns of a statement by name, none of which holds a null.

    Raises:
        TypeError: They are not the fields of its rows' class.
    """
    found: dict[str, NDArray[Any]] = execute(connection, statement).fetchnumpy()
    if statement.kind._fields != tuple(found):
        raise TypeError(f"{statement.kind.__name__} has other fields than its statement's columns {tuple(found)}")
    return found


@lru_cache(maxsize=KEPT)
def _row_maker(kind: Any, names: tuple[str, ...]) -> Callable[[Iterable[Any]], Any]:
    if kind._fields != names:
        raise TypeError(f"{kind.__name__} has the fields {kind._fields}, and its statement the columns {names}")
    make: Callable[[Iterable[Any]], Any] = kind._make
    return make
