"""Publishing: run folders become the next version of a database, or nothing changes.

1. The run folders are verified: every shard is there and is as it was written.
2. A new file is built beside the served one: Alembic's schema, the runs of the served version, the new runs,
   rollups, invariants.
3. It is checkpointed, closed, read in full once, renamed to a version, and the pointer is moved to it.

Killed or failing before the pointer has moved, the served version is untouched; the next publish cleans up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
from sqlalchemy.exc import DBAPIError

from indexer.build import Progress, build, scan
from indexer.shards import RunFolder
from indexer.versions import VersionedFile
from schema.database import one_line, resolve, revision_of
from schema.errors import DatabaseError, UsageError


@dataclass(frozen=True)
class PublishReport:
    """What a publish did."""

    db: Path
    version: Path
    runs: tuple[str, ...]
    """Names of the runs published now; the database may hold more."""
    image_count: int
    edge_count: int
    """Both over the runs published now."""
    size_bytes: int
    seconds: float


def publish(run_dirs: Sequence[Path], db: Path, progress: Progress | None = None) -> PublishReport:
    """Publish finished runs to `db`; a run of a name that is there already is replaced and keeps its id.

    Raises:
        UsageError: no run folder is given, or two bear one name.
        RunFolderError: a run folder is unfinished, damaged or in use.
        DatabaseError: `db` is foreign, newer or being published to, the disk is full, or
            (InvariantError) the new version breaks an invariant. The served version is as it was.
    """
    started = time.monotonic()
    report = progress or _silent
    files = VersionedFile(db)
    with ExitStack() as stack:
        folders = [stack.enter_context(RunFolder.open_for_reading(Path(path))) for path in run_dirs]
        _require_distinct_names(folders)
        for folder in folders:
            folder.require_whole(lambda done, total: report("verify", done, total))
        _served_version(db)  # a foreign file is refused before anything is put beside it
        stack.enter_context(files.locked())
        served = _served_version(db)
        files.clean(served, files.previous_to(served))
        building = files.new_building()
        try:
            image_count, edge_count = build(building, served, folders, report)
            scan(building, report)
            report("swap", 0, 1)
            version = files.promote(building)
        except BaseException as error:
            with suppress(OSError):
                files.clean(served, files.previous_to(served))
            if not isinstance(error, (OSError, DBAPIError, duckdb.Error)):
                raise
            raise DatabaseError(
                f"the next version of {db} could not be built: {one_line(error)}; "
                f"{'nothing is published' if served is None else 'the served version is as it was'}, "
                "so mend that and publish again"
            ) from error
        with suppress(OSError):  # it is published; what could not be removed now is removed the next time
            files.clean(version, served if served in files.versions() else files.previous_to(version))
        report("swap", 1, 1)
    return PublishReport(
        db=db,
        version=version,
        runs=tuple(folder.description.name for folder in folders),
        image_count=image_count,
        edge_count=edge_count,
        size_bytes=version.stat().st_size,
        seconds=time.monotonic() - started,
    )


def _served_version(db: Path) -> Path | None:
    """The version served now; None where there is none yet."""
    if not db.is_symlink() and not db.exists():
        return None
    revision_of(db)
    return resolve(db)


def _require_distinct_names(folders: list[RunFolder]) -> None:
    if not folders:
        raise UsageError("no run folder given; name at least one that `evigraph index` made")
    by_name: dict[str, Path] = {}
    for folder in folders:
        name = folder.description.name
        if name in by_name:
            raise UsageError(
                f"run folders {by_name[name]} and {folder.path} both hold a run named {name!r}; "
                "publish one of them, or index one again with another --name"
            )
        by_name[name] = folder.path


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
    del stage, done, total
