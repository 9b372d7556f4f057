"""The database that is served, and its replacement while requests run.

`publish` moves a pointer to a new file. Each request asks which file the pointer names; the first to see a new one
opens it, and later requests use it. A request keeps the version that it began with, and a version that was replaced is
closed when its last request ends. A server without requests looks for a new version now and then: the disk space of
a removed file is given back only when no process has it open.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import duckdb
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from evigraph.graphapi.store.catalog import RunInfo, read_catalog
from evigraph.graphapi.store.settings import Settings
from evigraph.schema.database import one_line, open_read_only, resolve
from evigraph.schema.errors import DatabaseError

logger = logging.getLogger("evigraph.graphapi")

_OPEN_ATTEMPTS = 5
"""Two publishes in a row may remove a file between the moment it is named and the moment it is opened."""


class Version:
    """One published file, opened read-only; `users` counts the requests that use it."""

    def __init__(self, file: Path, pointer: Path | None = None) -> None:
        self.file = file
        self.engine: Engine = open_read_only(file, pointer)
        try:
            # Kept open: DuckDB drops a database with its last connection, and the file may be gone by then.
            self._anchor: Connection = self.engine.connect()
            self.runs: tuple[RunInfo, ...] = read_catalog(self._anchor)
            self._anchor.rollback()
        except (DBAPIError, duckdb.Error) as error:
            self.engine.dispose()
            raise DatabaseError(f"database {file} cannot be read: {one_line(error)}; publish it again") from error
        self._opening = threading.Lock()
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self.users = 0

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that nothing else uses until the block ends: DuckDB 1.5 loses rows where threads share one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            with self._opening:
                connection = self._anchor.connection.driver_connection.duplicate()  # type: ignore[union-attr]
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def run(self, run_id: int) -> RunInfo:
        """The run of this id."""
        return next(run for run in self.runs if run.run_id == run_id)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._idle:
            connection.close()
        self._anchor.close()
        self.engine.dispose()


class LiveDatabase:
    """The newest version behind a pointer; may be used from several threads and event loops."""

    def __init__(self, pointer: Path, settings: Settings) -> None:
        """Open the version that is published now.

        Raises:
            DatabaseError: It is missing, foreign, of another revision, or broken.
        """
        self.pointer = pointer
        self._look_every_s = settings.look_every_ms / 1000
        self._retry_after_s = settings.retry_after_ms / 1000
        self._lock = threading.Lock()  # guards _current and every `users`
        self._opening = threading.Lock()  # one thread at a time opens a version
        self._refused: tuple[Path, float] | None = None
        self._current = self._open_newest()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Version]:
        """The newest version, kept open until the block ends."""
        if self._is_stale():
            await asyncio.to_thread(self._move)
        with self._lock:
            version = self._current
            version.users += 1
        try:
            yield version
        finally:
            with self._lock:
                version.users -= 1
                done = version is not self._current and version.users == 0
            if done:
                version.close()

    async def watch(self) -> None:
        """Move to each new version even where no request comes; runs until it is cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            if self._is_stale():
                await asyncio.to_thread(self._move)

    def close(self) -> None:
        """Close the current version; no request may be running."""
        with self._opening:  # `watch` may have been cancelled while its thread goes on
            self._current.close()

    def _is_stale(self) -> bool:
        # Only links are followed here: opening and closing the file, as `schema.database.resolve` does, would
        # drop the lock that DuckDB holds on it (POSIX locks go with any descriptor of the process).
        newest = self.pointer.resolve()
        if not newest.exists():
            return False  # what is open still answers
        if self._refused is not None and self._refused[0] == newest:
            return time.monotonic() > self._refused[1]
        return newest != self._current.file

    def _move(self) -> None:
        """Open the newest version and make it current; keep the old one if it cannot be opened."""
        with self._opening:
            if not self._is_stale():
                return
            before = self._refused
            try:
                version = self._open_newest()
            except DatabaseError as error:
                if before is None or self._refused is None or before[0] != self._refused[0]:  # once for each version
                    logger.error("the new version is not served: %s; still serving %s", error, self._current.file)
                return
            self._refused = None
            with self._lock:
                old, self._current = self._current, version
                unused = old.users == 0
            logger.info("now serving %s", version.file)
            if unused:
                old.close()

    def _open_newest(self) -> Version:
        for attempt in range(_OPEN_ATTEMPTS):
            file = self.pointer.resolve()
            try:
                return Version(resolve(self.pointer), self.pointer)
            except DatabaseError:
                if attempt + 1 == _OPEN_ATTEMPTS or self.pointer.resolve() == file:
                    self._refused = (file, time.monotonic() + self._retry_after_s)
                    raise
        raise DatabaseError(f"{self.pointer}: replaced too often to be opened; try again")
