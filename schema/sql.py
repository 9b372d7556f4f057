"""Values and names as DuckDB's SQL: the one place where either becomes text."""

from __future__ import annotations

from collections.abc import Iterable


def literal(value: object) -> str:
    """A value as SQL: None, a bool, an int, a float, a str, a list of these, or a tuple of these as IN takes it.

    Raises:
        TypeError: it is of another type, which has to be a parameter.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"  # without the cast it would be a DECIMAL
    if isinstance(value, str):
        # A backslash means itself, and DuckDB refuses a text that a null byte ends within quotes.
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))})"
    raise TypeError(f"a {type(value).__name__} has no literal in SQL; give it as a parameter")


def identifier(name: str) -> str:
    """The name of a table or column, be it a keyword or not."""
    return '"' + name.replace('"', '""') + '"'


def quoted(names: Iterable[str]) -> str:
    """A list of columns."""
    return ", ".join(map(identifier, names))
