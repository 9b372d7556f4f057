"""What is done to a published database beside publishing: upgrade it, list and delete its runs, return to a version.

Each change is made as `publish` makes it: the next version is built beside the served one and swapped in, or nothing
changes. A rollback moves the pointer alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from evigraph.indexer.publish.build import Progress, build
from evigraph.indexer.publish.replacement import replace, silent
from evigraph.indexer.publish.versions import VersionedFile
from evigraph.schema.asked import asked_run
from evigraph.schema.database import REVISIONS, open_read_only, resolve, runs_of, state_of
from evigraph.schema.errors import DatabaseError, NotFoundError, UsageError, in_shell
from evigraph.schema.tables.dataset import Run


@dataclass(frozen=True)
class MigrateReport:
    """What a migrate did; where the database was as this program makes it already, nothing."""

    db: Path
    version: Path
    from_revision: str
    revision: str
    rollups: tuple[str, ...]
    """Names of the rollups that were stale."""
    size_bytes: int
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether a new version was made."""
        return self.from_revision != self.revision or bool(self.rollups)


@dataclass(frozen=True)
class RunSummary:
    """A run of a database; `accuracy` is over its labelled images, None where there are none."""

    name: str
    model: str
    dataset: str
    image_count: int
    skipped_count: int
    decision_count: int
    edge_count: int
    accuracy: float | None
    is_default: bool
    indexer_version: str
    created_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class DeleteReport:
    """What a deletion did."""

    db: Path
    version: Path
    deleted: tuple[str, ...]
    kept: tuple[str, ...]
    """Names of the runs that the database still holds."""
    asked: str | None
    """The run that is asked from now on where a query names none; None where that is as it was, or no run is left."""
    size_bytes: int
    seconds: float


@dataclass(frozen=True)
class DefaultReport:
    """What naming the default run did."""

    db: Path
    version: Path
    default: str
    before: str | None
    """The default until now; None where there was none."""


@dataclass(frozen=True)
class RollbackReport:
    """What a rollback did; the version it came from is kept until the next publish."""

    db: Path
    version: Path
    from_version: Path
    revision: str
    runs: tuple[str, ...] | None
    """Names of the runs served now; None where the version has an older revision or stale rollups, until `migrate`."""


def migrate(db: Path, progress: Progress | None = None) -> MigrateReport:
    """Bring a database to this program's revision and rollups; one that has both is left as it is.

    Raises:
        DatabaseError: there is none, it is foreign, newer or being changed by another process, or the disk is full.
            The served version is as it was.
    """
    started = time.monotonic()
    report = progress or silent
    version, (old, stale) = resolve(db), state_of(db)
    if old != REVISIONS[-1] or stale:

        def upgrade(building: Path, served: Path | None) -> None:
            build(building, _still_served(db, served), [], report)

        version, _ = replace(db, upgrade, report, again="migrate again")
    return MigrateReport(db, version, old, REVISIONS[-1], stale, version.stat().st_size, time.monotonic() - started)


def list_runs(db: Path) -> list[RunSummary]:
    """The runs of a database, in the order in which they were first published.

    Raises:
        DatabaseError: there is none, or it is foreign, of another revision or broken.
    """
    accuracy = Run.correct_count / func.nullif(Run.labelled_count, 0)
    made: dict[str, Any] = {"accuracy": accuracy, "is_default": func.coalesce(Run.is_default, False)}
    columns = [made[name] if name in made else getattr(Run, name) for name in _SUMMARY]
    engine = open_read_only(db)
    try:
        with engine.connect() as connection:
            return [RunSummary(*row) for row in connection.execute(select(*columns).order_by(Run.run_id))]
    finally:
        engine.dispose()


_SUMMARY = tuple(RunSummary.__dataclass_fields__)


def delete_runs(names: Sequence[str], db: Path, progress: Progress | None = None) -> DeleteReport:
    """Publish a version without these runs; without its last run a database is valid, and empty.

    Raises:
        UsageError: no name is given, or (NotFoundError) there is no such run.
        DatabaseError: as for `migrate`.
    """
    started = time.monotonic()
    report = progress or silent
    if not names:
        raise UsageError(f"no run named; `evigraph runs list --db {in_shell(db)}` lists them")
    deleted = tuple(dict.fromkeys(names))
    _require_runs(deleted, db)

    def without(building: Path, served: Path | None) -> tuple[tuple[str, ...], str]:
        old = _still_served(db, served)
        every = _require_runs(deleted, old)
        build(building, served, [], report, without=deleted)
        return tuple(name for name in every if name not in deleted), asked_run(runs_of(old).values())[0].name

    version, (kept, before) = replace(db, without, report, again="delete again")
    asked = asked_run(runs_of(version).values())[0].name if kept else before
    changed = None if asked == before else asked
    return DeleteReport(db, version, deleted, kept, changed, version.stat().st_size, time.monotonic() - started)


def set_default(name: str, db: Path, progress: Progress | None = None) -> DefaultReport:
    """Publish a version in which this run is the one that is asked where a query names none.

    Raises:
        NotFoundError: there is no such run.
        DatabaseError: as for `migrate`.
    """
    _require_runs([name], db)

    def named(building: Path, served: Path | None) -> str | None:
        old = _still_served(db, served)
        _require_runs([name], old)
        build(building, old, [], progress or silent, default=name)
        return next((run.name for run in list_runs(old) if run.is_default), None)

    version, before = replace(db, named, progress or silent, again="name the default again")
    return DefaultReport(db, version, name, before)


def rollback(db: Path, *, forward: bool = False) -> RollbackReport:
    """Return to the version before the current one, or `forward` again to the one that was returned from.

    The current version is not read: it may be damaged, gone, or of a newer revision.

    Raises:
        DatabaseError: there is no such version, it cannot be opened, or another process changes the database.
    """
    files = VersionedFile(db)
    if not db.is_symlink():
        resolve(db)
        raise DatabaseError(f"{db} is a plain file without versions, so there is nothing to go back to")
    with files.locked():
        current = files.pointed_to()
        target = files.newer_than(current) if forward else files.previous_to(current)
        if current is None or target is None:
            raise DatabaseError(_no_version(db, current, files, forward))
        revision, stale = state_of(target)
        runs = None
        if revision == REVISIONS[-1] and not stale:
            runs = tuple(run.name for run in list_runs(target))
        try:
            files.point_to(target)
        except OSError as error:
            raise DatabaseError(f"{db} cannot be moved to {target.name}: {error.strerror}") from error
    return RollbackReport(db, target, current, revision, runs)


def _no_version(db: Path, current: Path | None, files: VersionedFile, forward: bool) -> str:
    name = current.name if current is not None else db.readlink()
    if forward:
        return f"{name} is the newest version of {db}, so there is nothing to go forward to"
    newer = files.newer_than(current)
    message = f"no version before {name} is kept, so there is nothing to go back to"
    if newer is not None:
        return f"{message}; `evigraph rollback --forward --db {in_shell(db)}` returns to {newer.name}"
    return f"{message}; only the one before the last publish is"


def _still_served(db: Path, served: Path | None) -> Path:
    """The served version, which may have been removed since it was looked for."""
    return served if served is not None else resolve(db)


def _require_runs(names: Sequence[str], db: Path) -> list[str]:
    """Names of all runs of a database, these among them."""
    every = [run.name for run in list_runs(db)]
    for name in names:
        if name not in every:
            raise NotFoundError("run", name, every, f"in {db}; `evigraph runs list --db {in_shell(db)}` lists them")
    return every
