"""Means to read what a page's commands left, and what the page says of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from tests.docs.scripts import ROOT
from tests.docs.tables import table_of


def rows(database: Path, statement: str) -> list[tuple[Any, ...]]:
    """What a statement gives of a published database."""
    with duckdb.connect(database, read_only=True) as connection:
        return connection.execute(statement).fetchall()


def answer(file: Path) -> Any:
    """The run in an answer that a command of the page wrote."""
    return json.loads(file.read_text(encoding="utf-8"))["data"]["run"]


def unsaid(page: str, phrases: Iterable[str]) -> Iterator[str]:
    """Which of the phrases, made of figures of the run, the page does not say; line ends and emphasis do not count."""
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").replace("*", "").split())
    return (f"{page} does not say {phrase!r}" for phrase in phrases if phrase not in text)


def unlike_table(page: str, made: list[list[str]]) -> Iterator[str]:
    """How the table whose header begins with the first two cells of `made` differs from its other rows."""
    stated = table_of(ROOT / "docs" / page, *made[0][:2])
    if stated != made[1:]:
        yield f"{page} has the table {stated}, made again it is {made[1:]}"
