"""The one way in which a published database changes: the next version is built beside it and swapped in, whole.

1. The publisher's lock is taken, and what a killed change left is removed.
2. The next version is built under a name of its own, read in full once, and flushed to the disk.
3. It is named as a version, and the pointer is moved to it; each of the two is one atomic step.

Killed or failing before the pointer has moved, the served version is untouched; the next change cleans up.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import duckdb
from sqlalchemy.exc import DBAPIError

from evigraph.indexer.publish.build import Progress, scan
from evigraph.indexer.publish.versions import VersionedFile
from evigraph.schema.database import one_line, resolve, revision_of
from evigraph.schema.errors import DatabaseError

T = TypeVar("T")


def replace(
    db: Path, build: Callable[[Path, Path | None], T], report: Progress, *, again: str = "publish again"
) -> tuple[Path, T]:
    """Put what `build` makes in the place of the served version.

    Args:
        db: the pointer.
        build: called with the path to build at and the served version, None where there is none.
        report: told of each step.
        again: what to do once the cause of a failure is mended.

    Returns:
        The new version, and what `build` returned.

    Raises:
        DatabaseError: `db` is foreign, newer or being changed by another process, the disk is full, or
            (InvariantError) the new version breaks an invariant. The served version is as it was.
    """
    files = VersionedFile(db)
    served_version(db)  # a foreign file is refused before anything is put beside it
    with files.locked():
        served = served_version(db)
        # A version that was rolled back from stays until another takes its place.
        kept = (served, files.previous_to(served), files.newer_than(served))
        files.clean(*kept)
        building = files.new_building(served)
        try:
            made = build(building, served)
            scan(building, report)
            report("swap", 0, 1)
            version = files.promote(building)
        except BaseException as error:
            with suppress(OSError):
                files.clean(*kept)
            if not isinstance(error, (OSError, DBAPIError, duckdb.Error)):
                raise
            raise DatabaseError(
                f"the next version of {db} could not be built: {one_line(error)}; "
                f"{'nothing is published' if served is None else 'the served version is as it was'}, "
                f"so mend that and {again}"
            ) from error
        with suppress(OSError):  # it is published; what could not be removed now is removed the next time
            files.clean(version, served if served in files.versions() else files.previous_to(version))
        report("swap", 1, 1)
    return version, made


def served_version(db: Path) -> Path | None:
    """The version served now; None where there is none yet.

    Raises:
        DatabaseError: what is there is no evigraph database, or newer than this program.
    """
    if not db.is_symlink() and not db.exists():
        return None
    revision_of(db)
    return resolve(db)


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
    del stage, done, total
