"""Latencies of GraphQL in process, as the HTTP view answers it: `Service.answer`, then JSON.

Questions differ between warming up and timing, so that blocks are warm and answers are not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
from sqlalchemy import Engine, event

from benchmarks.scale_questions import Question
from graphapi.encoding import to_json
from graphapi.execution import Service
from graphapi.settings import Settings
from schema.database import open_read_only

WARM_UP = 50
"""Questions of a kind asked before the timed ones."""


class Asked:
    """A service kept open on one database, with its questions by kind, those of the warm-up first."""

    def __init__(self, db: Path, questions: dict[str, list[Question]]) -> None:
        self.db, self.questions = db, questions
        self.service = Service(db, Settings())

    async def seconds(self, question: Question) -> tuple[float, bytes]:
        """Time from the request to the bytes of its answer, and those."""
        start = time.perf_counter()
        answer = await self.service.answer(question.text, question.variables)
        body = to_json(answer.body)
        return time.perf_counter() - start, body


def milliseconds(databases: list[Asked], kind: str) -> list[list[float]]:
    """Time of each question of a kind, per database; they take turns, so that drift hits all.

    Raises:
        ValueError: an answer has errors or is empty.
    """

    async def ask() -> list[list[float]]:
        times: list[list[float]] = [[] for _ in databases]
        for n in range(len(databases[0].questions[kind])):
            for database, found in zip(databases, times, strict=True):
                question = database.questions[kind][n]
                taken, body = await database.seconds(question)
                _require_answer(question, body)
                found.append(1e3 * taken)
        return [found[WARM_UP:] for found in times]

    return asyncio.run(ask())


def milliseconds_and_sql(database: Asked, kind: str) -> tuple[list[float], list[float]]:
    """Time of each question, and of the statements that it made, on a raw cursor without any of our code.

    Raises:
        ValueError: no statement was seen.
    """

    async def ask(cursor: duckdb.DuckDBPyConnection) -> tuple[list[float], list[float]]:
        whole, sql = [], []
        for question in database.questions[kind]:
            with _statements() as seen:
                taken, _ = await database.seconds(question)
            if not seen:
                raise ValueError(f"no SQL statement was seen for {question.variables}")
            start = time.perf_counter()
            for statement, parameters in seen:
                cursor.execute(statement, parameters).fetchall()
            sql.append(1e3 * (time.perf_counter() - start))
            whole.append(1e3 * taken)
        return whole[WARM_UP:], sql[WARM_UP:]

    # Another engine of the same file and settings: DuckDB shares one instance, and so the warm blocks.
    engine = open_read_only(database.db)
    try:
        connection: Any = engine.raw_connection().driver_connection
        return asyncio.run(ask(connection.duplicate()))  # DuckDB's own cursor, not the wrapper that SQLAlchemy uses
    finally:
        engine.dispose()


@contextmanager
def _statements() -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is sent meanwhile, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def percentile(values: list[float], percent: float) -> float:
    """A percentile, interpolated."""
    return float(np.percentile(values, percent))


def _require_answer(question: Question, body: bytes) -> None:
    answer = orjson.loads(body)
    if "errors" in answer or not answer.get("data"):
        raise ValueError(f"{question.variables}: {body[:300]!r}")
