"""The files of a published database: versions, and the pointer that says which one is served.

    evidence.duckdb                               the pointer: a symlink to a version in the same folder
    evidence.20260102T030405.678901-1a2b3c.duckdb a version: whole, checked, never written again
    evidence.<version>.building                   a version being made (with DuckDB's .wal and .tmp beside it)
    evidence.duckdb.lock                          held by the one publisher

The version before the current one is kept until the next publish, for readers that are about to open it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from indexer import durable
from schema.errors import DatabaseError

BUILDING_SUFFIX = ".building"
_VERSION = r"\d{8}T\d{6}\.\d{6}-[0-9a-f]{6}"


class VersionedFile:
    """One database path and the versions behind it. Make changes only inside `locked()`."""

    def __init__(self, pointer: Path) -> None:
        self._folder = pointer.parent.resolve()
        self.pointer = self._folder / pointer.name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the publisher's lock.

        Raises:
            DatabaseError: another publisher holds it, or the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = durable.lock(self.pointer.with_name(self.pointer.name + ".lock"))
        except OSError as error:
            raise DatabaseError(f"database {self.pointer} cannot be written: {error.strerror}") from error
        if held is None:
            raise DatabaseError(f"another publish to {self.pointer} is at work; wait for it to end")
        try:
            yield
        finally:
            os.close(held)

    def new_building(self) -> Path:
        """A fresh name for a version to be built under; names sort by time."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        return self.pointer.with_name(f"{self.pointer.stem}.{moment}-{secrets.token_hex(3)}{BUILDING_SUFFIX}")

    def versions(self) -> list[Path]:
        """Every whole version, oldest first, served or not."""
        pattern = re.compile(rf"{re.escape(self.pointer.stem)}\.{_VERSION}{re.escape(self.pointer.suffix)}", re.ASCII)
        return sorted(path for path in self._folder.iterdir() if pattern.fullmatch(path.name))

    def promote(self, building: Path) -> Path:
        """Name a finished building as a version and move the pointer to it, each step atomic and on the disk.

        A plain file at the pointer's place becomes the version before this one.
        """
        version = building.with_name(building.name.removesuffix(BUILDING_SUFFIX) + self.pointer.suffix)
        durable.sync_file(building)
        building.rename(version)
        durable.sync_folder(self._folder)
        wal = self.pointer.with_name(self.pointer.name + ".wal")
        if self.pointer.is_symlink() or not self.pointer.exists():
            # No version is ever opened for writing under this name, so such a log belongs to nothing; DuckDB
            # would replay it into the new version.
            wal.unlink(missing_ok=True)
        else:
            self._keep_plain(wal)
        link = building.with_name(building.name + durable.TEMPORARY_SUFFIX)
        link.symlink_to(version.name)
        link.replace(self.pointer)
        durable.sync_folder(self._folder)
        return version

    def _keep_plain(self, wal: Path) -> None:
        modified = datetime.fromtimestamp(self.pointer.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%S.%f")
        kept = self.pointer.with_name(f"{self.pointer.stem}.{modified}-000000{self.pointer.suffix}")
        with suppress(OSError):  # a file system without hard links: readers of the old file still hold it
            kept.hardlink_to(self.pointer)
        if wal.exists():
            wal.replace(kept.with_name(kept.name + ".wal"))

    def clean(self, current: Path | None, previous: Path | None = None) -> None:
        """Remove what a killed publish left and every version but these two."""
        for version in self.versions():
            if version not in (current, previous):
                remove(version)
        leftover = re.compile(rf"{re.escape(self.pointer.stem)}\.({_VERSION}){re.escape(BUILDING_SUFFIX)}.*")
        for path in self._folder.iterdir():
            if leftover.fullmatch(path.name):
                remove(path)

    def previous_to(self, current: Path | None) -> Path | None:
        """The version before a given one; None where that is itself no version, as a plain file."""
        versions = self.versions()
        if current not in versions:
            return None
        position = versions.index(current)
        return versions[position - 1] if position else None


def remove(path: Path) -> None:
    """Remove a file or folder of ours with what DuckDB keeps beside it; nothing there is fine."""
    for beside in (path, path.with_name(path.name + ".wal"), path.with_name(path.name + ".tmp")):
        if beside.is_dir() and not beside.is_symlink():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
