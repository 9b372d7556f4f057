"""evigraph: one import name for everything, and the command line, where the indexer and the service meet.

    evigraph.schema       tables, rollups, checks, errors: what the others share
    evigraph.indexer      images and a network -> run folders -> a database
    evigraph.graphapi     a database -> GraphQL
    evigraph.migrations   databases of older revisions

    evigraph.cli          the console script: its commands, and what becomes of their errors
    evigraph.commands     the commands, a module each
    evigraph.options      options that several commands have
    evigraph.progress     progress bars

The folders of the first four lie at the top of the repository; here are links to them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evigraph.reading import Database


def open(path: str | Path) -> Database:
    """A published database, to be asked from Python; see `evigraph.reading`.

    Raises:
        DatabaseError: It is missing, foreign, of another revision, or broken.
    """
    from evigraph.reading import Database

    return Database(path)
