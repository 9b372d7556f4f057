"""Latencies of GraphQL in process, as the HTTP view answers it: `Service.answer`, then JSON.

Questions differ between warming up and timing, so that blocks are warm and answers are not.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import orjson

from benchmarks.scale.questions import Question
from evigraph.graphapi.service.encoding import to_json
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.sql import Statement, on_statement
from evigraph.schema.database import open_read_only


@dataclass(frozen=True)
class Series:
    """Questions of one kind to one open service; the first `warm_up` are asked but not timed."""

    service: Service
    questions: list[Question]
    warm_up: int

    async def ask(self, question: Question) -> tuple[float, bytes]:
        """Milliseconds from the request to the bytes of its answer, and those."""
        start = time.perf_counter()
        answer = await self.service.answer(question.text, question.variables)
        body = to_json(answer.body)
        return 1e3 * (time.perf_counter() - start), body


def milliseconds(*series: Series) -> list[list[float]]:
    """Time of each timed question, per series; they take turns, so that drift hits all.

    Raises:
        ValueError: an answer has errors, or lacks the one that it is to have, or is empty.
    """

    async def ask() -> list[list[float]]:
        times: list[list[float]] = [[] for _ in series]
        for asked in zip(*(one.questions for one in series), strict=True):
            for one, question, own_times in zip(series, asked, times, strict=True):
                taken, body = await one.ask(question)
                _require_answer(question, body)
                own_times.append(taken)
        return [own_times[one.warm_up :] for one, own_times in zip(series, times, strict=True)]

    return asyncio.run(ask())


def milliseconds_and_sql(series: Series) -> tuple[list[float], list[float]]:
    """Time of each timed question, and of its statements alone, on a raw cursor without any of our code.

    Raises:
        ValueError: no statement was seen.
    """
    seen: list[Statement[Any]] = []

    async def ask(cursor: duckdb.DuckDBPyConnection) -> tuple[list[float], list[float]]:
        whole, alone = [], []
        for question in series.questions:
            seen.clear()
            taken, _ = await series.ask(question)
            statements = list(seen)
            if not statements:
                raise ValueError(f"no SQL statement was seen for {question.variables}")
            start = time.perf_counter()
            for statement in statements:
                cursor.execute(statement.text).fetchall()
            alone.append(1e3 * (time.perf_counter() - start))
            whole.append(taken)
        return whole[series.warm_up :], alone[series.warm_up :]

    # Another engine of the same file and settings: DuckDB shares one instance, and so the warm blocks.
    engine = open_read_only(series.service.database.pointer)
    try:
        connection: Any = engine.raw_connection().driver_connection
        with on_statement(seen.append):
            return asyncio.run(ask(connection.duplicate()))  # DuckDB's own cursor, not SQLAlchemy's wrapper
    finally:
        engine.dispose()


def cursor_after(service: Service, question: Question, path: tuple[str, ...], pages: int) -> str | None:
    """The cursor at which page `pages` of a listing ends, or the last but one where it has fewer; None of one page.

    Args:
        service: to ask.
        question: with the variable `after`.
        path: of the connection in the answer's data.
        pages: how many to turn.
    """

    async def turn() -> str | None:
        after: str | None = None
        for _ in range(pages):
            answer = await service.answer(question.text, question.variables | {"after": after})
            connection = answer.body["data"]
            for name in path:
                connection = connection[name]
            if not connection["pageInfo"]["hasNextPage"]:
                return after
            after = connection["pageInfo"]["endCursor"]
        return after

    return asyncio.run(turn())


def percentile(values: list[float], percent: float) -> float:
    """A percentile, interpolated."""
    return float(np.percentile(values, percent))


def _require_answer(question: Question, body: bytes) -> None:
    answer = orjson.loads(body)
    codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
    if codes != [code for code in (question.refused,) if code] or not answer.get("data"):
        raise ValueError(f"{question.variables}: {body[:300]!r}")
