"""A published database read in process, as the service reads it: for commands that answer without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from evigraph.graphapi.store.live import Version
    from evigraph.graphapi.store.session import Session

T = TypeVar("T")


@contextmanager
def version_of(db: Path) -> Iterator[Version]:
    """The version that a pointer names now; DatabaseError where it cannot be read."""
    from evigraph.graphapi.store.live import Version
    from evigraph.schema.database import resolve

    version = Version(resolve(db), db)
    try:
        yield version
    finally:
        version.close()


def asked_of_run(
    db: Path, name: str | None, question: Callable[[Session], Coroutine[None, None, T]]
) -> tuple[T, str | None]:
    """As `asked`, with a note on which run answers where no name is given and the database has several."""
    from evigraph.graphapi.store.names import unnamed_note

    async def noted(session: Session) -> tuple[T, str | None]:
        return await question(session), unnamed_note(session.runs, name)

    return asked(db, noted)


def asked(db: Path, question: Callable[[Session], Coroutine[None, None, T]]) -> T:
    """The answer to a question about a database, under the default limits of the service.

    Raises:
        EvidenceError: The database cannot be read, or whatever the question raises.
    """
    from evigraph.graphapi.store.session import Session
    from evigraph.graphapi.store.settings import Settings

    with version_of(db) as version, ThreadPoolExecutor(1) as thread:
        return asyncio.run(question(Session(version, Settings(), thread)))
