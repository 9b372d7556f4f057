"""The files of a published database: versions, and the pointer that says which one is served.

    evidence.duckdb                               the pointer: a symlink to a version in the same folder
    evidence.20260102T030405.678901-1a2b3c.duckdb a version: whole, checked, never written again
    evidence.<version>.building                   a version being made (with DuckDB's .wal and .tmp beside it)
    evidence.duckdb.lock                          held by the one that changes any of these

The version before the current one is kept until the next publish: for readers that are about to open it, and to
return to. Versions are in the order of their names, which follow the clock but never run back.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evigraph.indexer.shards import durable
from evigraph.schema.errors import DatabaseError

BUILDING_SUFFIX = ".building"
_MOMENT = "%Y%m%dT%H%M%S.%f"
_VERSION = r"\d{8}T\d{6}\.\d{6}-[0-9a-f]{6}"


class VersionedFile:
    """One database path and the versions behind it. Make changes only inside `locked()`."""

    def __init__(self, pointer: Path) -> None:
        self._folder = pointer.parent.resolve()
        self.pointer = self._folder / pointer.name
        self._wal = self.pointer.with_name(self.pointer.name + ".wal")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the publisher's lock, which whatever changes the files or the pointer takes.

        Raises:
            DatabaseError: another process holds it, or the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = durable.lock(self.pointer.with_name(self.pointer.name + ".lock"))
        except OSError as error:
            raise DatabaseError(
                f"database {self.pointer} cannot be written: {error.strerror}; give another --db"
            ) from error
        if held is None:
            raise DatabaseError(
                f"another publish to {self.pointer} is at work, or a migrate, delete or rollback; wait for it to end"
            )
        try:
            yield
        finally:
            os.close(held)

    def new_building(self, served: Path | None) -> Path:
        """A fresh name for a version to be built under, after the served one's whatever the clock says."""
        moment = datetime.now(UTC)
        if served is not None and served in self.versions():
            moment = max(moment, self._moment_of(served) + timedelta(microseconds=1))
        return self.pointer.with_name(
            f"{self.pointer.stem}.{moment.strftime(_MOMENT)}-{secrets.token_hex(3)}{BUILDING_SUFFIX}"
        )

    def _moment_of(self, version: Path) -> datetime:
        stamp = version.name[len(self.pointer.stem) + 1 :].partition("-")[0]
        return datetime.strptime(stamp, _MOMENT).replace(tzinfo=UTC)

    def versions(self) -> list[Path]:
        """Every whole version, oldest first, served or not."""
        return sorted(path for path in self._folder.iterdir() if self._is_version(path))

    def pointed_to(self) -> Path | None:
        """The version that the pointer names, be it there or not; None where it names none, as a plain file."""
        if not self.pointer.is_symlink():
            return None
        named = self._folder / self.pointer.readlink()
        return named if self._is_version(named) else None

    def _is_version(self, path: Path) -> bool:
        pattern = rf"{re.escape(self.pointer.stem)}\.{_VERSION}{re.escape(self.pointer.suffix)}"
        return path.parent == self._folder and re.fullmatch(pattern, path.name, re.ASCII) is not None

    def promote(self, building: Path) -> Path:
        """Name a finished building as a version and move the pointer to it, each step atomic and on the disk.

        A plain file at the pointer's place becomes the version before this one.
        """
        version = building.with_name(building.name.removesuffix(BUILDING_SUFFIX) + self.pointer.suffix)
        durable.sync_file(building)
        building.rename(version)
        durable.sync_folder(self._folder)
        if self.pointer.exists() and not self.pointer.is_symlink():
            self._keep_plain(version)
        self.point_to(version)
        return version

    def point_to(self, version: Path) -> None:
        """Move the pointer, in one atomic step that is on the disk afterwards."""
        stem = version.name.removesuffix(self.pointer.suffix)
        link = version.with_name(f"{stem}{BUILDING_SUFFIX}{durable.TEMPORARY_SUFFIX}")
        link.unlink(missing_ok=True)
        # No version is ever opened for writing under this name, so such a log belongs to nothing; DuckDB would
        # replay it into the version.
        self._wal.unlink(missing_ok=True)
        link.symlink_to(version.name)
        link.replace(self.pointer)
        durable.sync_folder(self._folder)

    def _keep_plain(self, version: Path) -> None:
        modified = datetime.fromtimestamp(self.pointer.stat().st_mtime, UTC)
        moment = min(modified, self._moment_of(version) - timedelta(microseconds=1)).strftime(_MOMENT)
        kept = self.pointer.with_name(f"{self.pointer.stem}.{moment}-000000{self.pointer.suffix}")
        with suppress(OSError):  # a file system without hard links: readers of the old file still hold it
            kept.hardlink_to(self.pointer)
        if self._wal.exists():
            self._wal.replace(kept.with_name(kept.name + ".wal"))

    def clean(self, *keep: Path | None) -> None:
        """Remove what a killed publish left and every version but these."""
        for version in self.versions():
            if version not in keep:
                remove(version)
        leftover = re.compile(rf"{re.escape(self.pointer.stem)}\.({_VERSION}){re.escape(BUILDING_SUFFIX)}.*")
        for path in self._folder.iterdir():
            if leftover.fullmatch(path.name):
                remove(path)

    def previous_to(self, current: Path | None) -> Path | None:
        """The version before a given one, which may itself be gone; None where that is no version, as a plain file."""
        if current is None or not self._is_version(current):
            return None
        return max((version for version in self.versions() if version < current), default=None)

    def newer_than(self, current: Path | None) -> Path | None:
        """The version after a given one: the one that was rolled back from."""
        if current is None or not self._is_version(current):
            return None
        return min((version for version in self.versions() if version > current), default=None)


def remove(path: Path) -> None:
    """Remove a file or folder of ours with what DuckDB keeps beside it; nothing there is fine."""
    for beside in (path, path.with_name(path.name + ".wal"), path.with_name(path.name + ".tmp")):
        if beside.is_dir() and not beside.is_symlink():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
