"""What one request may use: a pinned version, SQL on a thread pool under a time limit, and its budgets."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Generic, TypeVar

from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from evigraph.graphapi.store import sql
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.errors import LimitError, QueryTimeoutError
from evigraph.graphapi.store.live import Version
from evigraph.graphapi.store.settings import Settings
from evigraph.graphapi.store.sql import R, Statement

T = TypeVar("T")

_INTERRUPT_EVERY_S = 0.02


class Session:
    """One request's access to its version of the database."""

    def __init__(self, version: Version, settings: Settings, pool: Executor) -> None:
        self.version = version
        self.settings = settings
        self._pool = pool
        self._deadline = time.monotonic() + settings.time_limit_ms / 1000
        self._statements = 0
        self._objects = 0

    @property
    def runs(self) -> tuple[RunInfo, ...]:
        """The runs of the database, the newest first."""
        return self.version.runs

    async def rows(self, statement: Statement[R]) -> list[R]:
        """All rows of one statement, run on the thread pool.

        Raises:
            QueryTimeoutError: The request's time limit passed; the statement was interrupted.
            LimitError: The request needs too many statements or its answer holds too many rows.
        """
        rows = await self._run(_Job(self.version, lambda connection: sql.run(connection, statement)))
        self.spend(len(rows))
        return rows

    async def columns(self, statement: Statement[Any]) -> dict[str, NDArray[Any]]:
        """The columns of one statement, of numbers that are never null, by name: for rows that are many and not shown.

        Raises:
            QueryTimeoutError: The request's time limit passed; the statement was interrupted.
            LimitError: The request needs too many statements.
        """
        return await self._run(_Job(self.version, lambda connection: sql.columns(connection, statement)))

    async def _run(self, job: _Job[T]) -> T:
        """What a job gives, run on the thread pool."""
        self._statements += 1
        if self._statements > self.settings.max_statements:
            raise LimitError(
                f"the query needs more than {self.settings.max_statements} SQL statements; "
                "ask for fewer lists with different arguments at once"
            )
        future = asyncio.get_running_loop().run_in_executor(self._pool, job.run)
        try:
            left_s = max(0.0, self._deadline - time.monotonic())
            return await asyncio.wait_for(asyncio.shield(future), left_s)
        except TimeoutError:
            await _stopped(job, future)
            raise QueryTimeoutError(
                f"the query took longer than {self.settings.time_limit_ms} ms; ask for less at once"
            ) from None
        except asyncio.CancelledError:
            await _stopped(job, future)
            raise

    async def loaded(self, module: str) -> None:
        """Import a module on the thread pool, whose libraries take seconds on a busy machine the first time.

        The time limit bounds what a query asks for, which this is not: the limit begins again where it was.
        """
        begun = time.monotonic()
        await asyncio.get_running_loop().run_in_executor(self._pool, importlib.import_module, module)
        self._deadline += time.monotonic() - begun

    async def compute(self, function: Callable[[], T]) -> T:
        """The result of a function of some 100 ms, run on the thread pool: the event loop goes on meanwhile.

        Raises:
            QueryTimeoutError: The request's time limit passed; the thread ends what it does all the same.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, function)
        left_s = max(0.0, self._deadline - time.monotonic())
        try:
            return await asyncio.wait_for(asyncio.shield(future), left_s)
        except TimeoutError:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise QueryTimeoutError(
                f"the query took longer than {self.settings.time_limit_ms} ms; ask for less at once"
            ) from None

    def spend(self, objects: int) -> None:
        """Count objects of the answer; LimitError when they pass `max_objects`."""
        self._objects += objects
        if self._objects > self.settings.max_objects:
            raise LimitError(
                f"the answer would hold more than {self.settings.max_objects} objects; "
                "lower `first`, or `maxDepth` and `top` of evidence"
            )


class _Job(Generic[T]):
    """One statement on one thread, which another thread may interrupt."""

    def __init__(self, version: Version, ask: Callable[[DuckDBPyConnection], T]) -> None:
        self._version = version
        self._ask = ask
        self._lock = threading.Lock()  # so that a connection is never interrupted after it was given back
        self._running: DuckDBPyConnection | None = None
        self._cancelled = False

    def run(self) -> T:
        """What the statement gives.

        Raises:
            InterruptedError: The job was cancelled before it began.
        """
        if self._cancelled:
            raise InterruptedError
        with self._version.connection() as connection:
            with self._lock:
                self._running = connection
            try:
                return self._ask(connection)
            finally:
                with self._lock:
                    self._running = None

    def interrupt(self) -> None:
        """Stop the statement if it runs, else keep it from starting."""
        self._cancelled = True
        with self._lock:
            if self._running is not None:
                self._running.interrupt()


async def _stopped(job: _Job[Any], future: asyncio.Future[Any]) -> None:
    """Interrupt until the thread has let go of its connection: one call may come before the statement starts."""
    while not future.done():
        job.interrupt()
        await asyncio.wait([future], timeout=_INTERRUPT_EVERY_S)
    future.exception()  # read, so that asyncio does not report it: the request has failed already
