"""The database that is served, and its replacement while requests run.

`publish` moves a pointer to a new file. Each request asks which file the pointer names; the first to see a new one
opens it, and later requests use it. A request keeps the version that it began with, and a version that was replaced is
closed when its last request ends. A server without requests looks for a new version now and then: the disk space of
a removed file is given back only when no process has it open.

A plain file, which somebody copied and which is no version, may be replaced by another of its name. DuckDB keeps one
instance a path, so the old one is closed before the new one is opened, and requests wait meanwhile. Where the same
file was written over, nothing more is read of it before it is opened anew: its pages are no longer those that DuckDB
knows of.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
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
_SETTLED_S = 0.3
"""A file that was not written to for so long is taken for whole."""
_DRAIN_SPARE_S = 5.0
"""What a request may take beside its statements."""


class UnavailableError(DatabaseError):
    """The database is being replaced; the same request can be answered a little later."""

    code = "UNAVAILABLE"


@dataclass(frozen=True)
class FileState:
    """A file as it is now: equal states mean equal content."""

    path: Path
    file: tuple[int, int]
    """Device and inode; another file was put at this path where they differ."""
    content: tuple[int, int]
    """Bytes, and nanoseconds of the last write."""

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """The state of the file behind links; None where there is none.

        Only links are followed: opening and closing the file would drop the lock that DuckDB holds on it (POSIX locks
        go with any descriptor of the process).
        """
        try:
            return cls.at(path.resolve())
        except OSError:  # a loop of links
            return None

    @classmethod
    def at(cls, file: Path) -> FileState | None:
        """The state of a file whose path has no links; None where there is none."""
        try:
            status = file.stat()
        except OSError:
            return None
        return cls(file, (status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns))


class Version:
    """One published file, opened read-only; `users` counts the requests that use it."""

    def __init__(self, file: Path, pointer: Path | None = None) -> None:
        self.file = file
        self.state = FileState.at(file)
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
        """A connection that nothing else uses until the block ends: DuckDB 1.5 loses rows where threads share one.

        Raises:
            UnavailableError: The file was written over.
        """
        if self.is_overwritten():
            raise UnavailableError(f"database {self.file} was overwritten while it was read; ask again")
        try:
            connection = self._idle.pop()
        except IndexError:
            with self._opening:
                connection = self._anchor.connection.driver_connection.duplicate()  # type: ignore[union-attr]
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def is_overwritten(self) -> bool:
        """Whether the file that is open has another content than when it was opened."""
        now, then = FileState.at(self.file), self.state
        return now is not None and then is not None and now.file == then.file and now.content != then.content

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
        self._drain_limit_s = settings.time_limit_ms / 1000 + _DRAIN_SPARE_S
        self._lock = threading.Condition()  # guards _current and every `users`; told when a request ends
        self._opening = threading.Lock()  # one thread at a time opens a version
        self._refused: tuple[FileState | None, float] | None = None
        self._current: Version | None = self._open_newest()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Version]:
        """The newest version, kept open until the block ends.

        Raises:
            UnavailableError: A plain file was replaced by one that cannot be opened, or not yet.
        """
        if self._is_stale():
            await asyncio.to_thread(self._move)
        with self._lock:
            version = self._current
            if version is None or version.is_overwritten():
                raise UnavailableError(
                    f"database {self.pointer} is being overwritten, or no database any more; ask again a little later"
                )
            version.users += 1
        try:
            yield version
        finally:
            with self._lock:
                version.users -= 1
                done = version is not self._current and version.users == 0
                self._lock.notify_all()
            if done:
                version.close()

    @property
    def state(self) -> FileState | None:
        """Of the file that requests read now; None while there is none. A request moves it on, and never back."""
        version = self._current
        return None if version is None else version.state

    async def watch(self) -> None:
        """Move to each new version even where no request comes; runs until it is cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            if self._is_stale():
                await asyncio.to_thread(self._move)

    def close(self) -> None:
        """Close the current version; no request may be running."""
        with self._opening:  # `watch` may have been cancelled while its thread goes on
            if self._current is not None:
                self._current.close()

    def _is_stale(self) -> bool:
        newest = FileState.of(self.pointer)
        if newest is None:
            return False  # what is open still answers
        if self._refused is not None and self._refused[0] == newest:
            return time.monotonic() > self._refused[1]
        return self._current is None or newest != self._current.state

    def _move(self) -> None:
        """Open the newest version and make it current; keep the old one if it cannot be opened."""
        with self._opening:
            if not self._is_stale():
                return
            before = self._refused
            try:
                if self._is_replaced():
                    self._let_go()
                version = self._open_newest()
            except DatabaseError as error:
                if before is None or self._refused is None or before[0] != self._refused[0]:  # once for each version
                    served = f"still serving {self._current.file}" if self._current else "nothing is served"
                    logger.error("the new version is not served: %s; %s", error, served)
                return
            self._refused = None
            with self._lock:
                old, self._current = self._current, version
                unused = old is not None and old.users == 0
            logger.info("now serving %s", version.file)
            if old is not None and unused:
                old.close()

    def _is_replaced(self) -> bool:
        """Whether the file that is open is no longer the one of its path, or has another content."""
        newest = FileState.of(self.pointer)
        return self._current is not None and newest is not None and newest.path == self._current.file

    def _let_go(self) -> None:
        """Close the current version when its requests have ended and the new file is no longer written to.

        Raises:
            UnavailableError: That takes too long; the old version stays, and is moved from later.
        """
        state, before = FileState.of(self.pointer), None
        while state != before:
            time.sleep(_SETTLED_S)
            state, before = FileState.of(self.pointer), state
        with self._lock:
            old = self._current
            if old is None:
                return
            if not self._lock.wait_for(lambda: old.users == 0, self._drain_limit_s):
                self._refused = (state, time.monotonic() + self._retry_after_s)
                raise UnavailableError(f"{old.users} requests still read the file that {self.pointer} replaces")
            self._current = None
        old.close()

    def _open_newest(self) -> Version:
        for attempt in range(_OPEN_ATTEMPTS):
            state = FileState.of(self.pointer)
            try:
                version = Version(resolve(self.pointer), self.pointer)
            except DatabaseError:
                if attempt + 1 == _OPEN_ATTEMPTS or FileState.of(self.pointer) == state:
                    self._refused = (state, time.monotonic() + self._retry_after_s)
                    raise
                continue
            if FileState.at(version.file) in (version.state, None):
                return version
            version.close()  # its file was replaced meanwhile: which of the two is open is not known
        raise UnavailableError(f"{self.pointer}: replaced too often to be opened; try again")
