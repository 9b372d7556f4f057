"""evigraph: one import name for everything, and the command line, where the indexer and the service meet.

    evigraph.schema       tables, rollups, checks, errors: what the others share
    evigraph.indexer      images and a network -> run folders -> a database
    evigraph.graphapi     a database -> GraphQL
    evigraph.migrations   databases of older revisions

    evigraph.reading      a database in Python and notebooks
    evigraph.cli          the console script: its commands, and what becomes of their errors
    evigraph.commands     the commands, a module each
    evigraph.options      options that several commands have
    evigraph.progress     progress bars

The folders of the first four lie at the top of the repository; here are links to them. `evigraph.open` is the door for
Python: docs/python.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evigraph.schema.errors import AmbiguousError, DatabaseError, EvidenceError, NotFoundError, UsageError

if TYPE_CHECKING:
    from evigraph.reading import Database

__all__ = ["AmbiguousError", "DatabaseError", "EvidenceError", "NotFoundError", "UsageError", "open"]


def open(path: str | Path, *, time_limit_ms: int | None = None, max_evidence_edges: int | None = None) -> Database:
    """A published database, to be asked from Python and notebooks, without a server; see docs/python.md.

    It is open until `close`, or until the `with` block ends whose subject it is.

    Args:
        path: The published file, or the pointer to it.
        time_limit_ms: What one question may wait for its SQL; the service's limit, 10 s, if None.
        max_evidence_edges: Edges of one decision's evidence before it is truncated; the service's, 5,000, if None.

    Raises:
        DatabaseError: It is missing, foreign, of another revision, or broken.
    """
    from evigraph.reading import Database

    return Database(path, time_limit_ms=time_limit_ms, max_evidence_edges=max_evidence_edges)
