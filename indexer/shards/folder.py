"""Run folders: Parquet shards that a killed indexer resumes from.

    RUN/run.json                     the run's description, written when the folder is made
    RUN/shards/00003.edge.parquet    the columns of evigraph.schema.tables less run_id; so too for the other tables
    RUN/shards/00003.json            the shard's manifest entry, written last: bytes and SHA-256 of each file,
                                     and digests of the description and inputs that it was made with
    RUN/listing.1f0c3a5d9e7b.jsonl   its images, by which a later change of the data is noticed
    RUN/finished.json                written when every shard is there
    RUN/extending                    what `extend` has made so far (`extending`)
    RUN/lock                         held while a process works on the folder

A shard holds a range of image ids and depends on nothing but those images and the run's settings, so any
worker may make any shard in any order. A shard without a true manifest entry is not there, and is made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from evigraph.indexer.shards import durable
from evigraph.indexer.shards.description import ClassRow, ContextLabelRow, LayerRow, RunDescription
from evigraph.indexer.shards.files import OPTIONAL, SHARD_SCHEMAS, ShardTables, fault_in_files, shard_file, write_files
from evigraph.indexer.shards.history import Change, History
from evigraph.indexer.shards.listing import Listing, remove_other_listings, write_listing
from evigraph.indexer.shards.record import (
    brief,
    json_bytes,
    read_run,
    reason,
    refuse_foreign,
    refuse_other_settings,
    write_run,
)
from evigraph.schema.errors import InvariantError, RunFolderError, in_shell

__all__ = [
    "SHARD_SCHEMAS",
    "ClassRow",
    "ContextLabelRow",
    "LayerRow",
    "RunDescription",
    "RunFolder",
    "ShardTables",
]

_READERS = 2
"""Threads that read shards to compare them with their manifest entries."""


class RunFolder:
    """A run folder, locked while it is open; use it as a context manager."""

    def __init__(
        self,
        path: Path,
        description: RunDescription,
        created_at: datetime,
        lock: int | None,
        history: History | None = None,
    ) -> None:
        self.path, self.description, self.created_at = path, description, created_at
        self.history = history or History()
        self._lock = lock
        self._digest = description.digest()
        self._ranges = description.image_ranges()

    @classmethod
    def open_for_writing(
        cls, path: Path, description: RunDescription, listing: Listing | None = None, change: Change | None = None
    ) -> Self:
        """Make the folder, or go on with one of the same description.

        Args:
            path: of the folder.
            description: of the run.
            listing: of its images; kept where the folder is made, or with a change.
            change: of the data since the folder was last written; None for none.

        Raises:
            RunFolderError: another process holds it, its settings are others, or it cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            refuse_foreign(path)
            lock = durable.lock(path / "lock")
        except OSError as error:
            raise RunFolderError(
                f"run folder {path} cannot be written: {reason(error)}; give another --run folder"
            ) from error
        if lock is None:
            raise RunFolderError(f"run folder {path} is in use by another process; wait for it or stop it")
        try:
            if (path / "run.json").exists():
                stored, created_at, history = read_run(path)
                if change is not None and listing is not None and stored.digest() == change.before:
                    history = history.changed(change.before, change.stale, write_listing(path, listing))
                    (path / "finished.json").unlink(missing_ok=True)
                    write_run(path, description, created_at, history)
                    remove_other_listings(path, history.listing)
                else:
                    refuse_other_settings(path, stored, description)
            else:
                created_at = datetime.now(UTC)
                (path / "shards").mkdir(exist_ok=True)
                history = History(listing=write_listing(path, listing) if listing else None)
                write_run(path, description, created_at, history)
                remove_other_listings(path, history.listing)
            for leftover in (path / "shards").glob(f"*{durable.TEMPORARY_SUFFIX}"):
                leftover.unlink()
        except OSError as error:
            os.close(lock)
            raise RunFolderError(f"run folder {path} cannot be written: {reason(error)}") from error
        except BaseException:
            os.close(lock)
            raise
        return cls(path, description, created_at, lock, history)

    @classmethod
    def open_for_reading(cls, path: Path) -> Self:
        """Open a folder that no indexer is working on.

        Raises:
            RunFolderError: there is none, an indexer holds it, or its description cannot be read.
        """
        return cls._open(path, shared=True)

    @classmethod
    def open_for_extending(cls, path: Path) -> Self:
        """Open a folder alone, whatever its description.

        Raises:
            RunFolderError: likewise.
        """
        return cls._open(path, shared=False)

    @classmethod
    def _open(cls, path: Path, *, shared: bool) -> Self:
        if not (path / "run.json").is_file():
            raise RunFolderError(f"{path} is no run folder (it has no run.json); name one that `index` made")
        try:
            lock = durable.lock(path / "lock", shared=shared)
        except OSError as error:
            raise RunFolderError(f"run folder {path} cannot be read: {reason(error)}") from error
        if lock is None:
            raise RunFolderError(
                f"run folder {path} is being written by another process, such as `evigraph index`; wait for it to end"
            )
        try:
            if shared and (path / "extending" / "whole.json").exists():
                raise RunFolderError(
                    f"run folder {path}: `evigraph extend` was stopped as it put its files in place; "
                    f"run `evigraph extend {in_shell(path)}` with the same options to end it"
                )
            description, created_at, history = read_run(path)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, description, created_at, lock, history)

    def described(self, description: RunDescription) -> RunFolder:
        """The folder under another description, as it will be; the lock stays with this one."""
        return RunFolder(self.path, description, self.created_at, None, self.history)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock; closing twice is harmless."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def shard_count(self) -> int:
        """Number of shards that make the run whole."""
        return len(self._ranges)

    def image_range(self, shard: int) -> range:
        """The image ids of a shard."""
        return self._ranges[shard]

    def shard_file(self, shard: int, table: str) -> Path:
        """Where a shard keeps a table; absolute, as pyarrow and DuckDB take a leading ~ for the home folder."""
        return shard_file(self.path / "shards", shard, table).absolute()

    def read(self, shard: int, table: str, columns: list[str] | None = None) -> pa.Table:
        """Rows of a shard that has the table; `pq.read_table` looks for a dataset first, which takes as long."""
        with pq.ParquetFile(self.shard_file(shard, table)) as file:
            return file.read(columns, use_threads=False)

    def files(self, table: str) -> list[Path]:
        """The files of a table, of the shards that have one."""
        entries = ((shard, self.manifest(shard) or {}) for shard in range(self.shard_count))
        return [self.shard_file(shard, table) for shard, entry in entries if table in entry.get("files", {})]

    def manifest(self, shard: int) -> dict[str, Any] | None:
        """The shard's manifest entry, or None where it is missing or unreadable."""
        with suppress(OSError, ValueError):
            entry = json.loads(self._manifest_file(shard).read_bytes())
            return entry if isinstance(entry, dict) else None
        return None

    def fault(self, shard: int) -> str | None:
        """What is wrong with a shard; None where its entry and every file are as they were written."""
        entry = self.manifest(shard)
        images = self.image_range(shard)
        name = f"shard {self._manifest_file(shard).name}"
        if entry is None:
            return f"{name} is missing or cannot be read"
        made_of = entry.get("description")
        if made_of != self._digest and not self.history.accepts(made_of, shard):
            return f"{name} was made with {self._other_provenance(entry)}"
        other = f"{name} is not a manifest entry of images {images.start} to {images.stop - 1}"
        try:
            files = set(entry["files"]) | set(OPTIONAL)
            if entry["images"] != [images.start, images.stop] or files != SHARD_SCHEMAS.keys():
                return other
            return fault_in_files(self.path / "shards", shard, entry["files"])
        except (KeyError, TypeError, AttributeError):  # JSON, but of another shape
            return other

    def _other_provenance(self, entry: dict[str, Any]) -> str:
        """How a shard that was made by another description differs from run.json."""
        made_of = entry.get("provenance")
        for name, stated in self.description.provenance().items():
            if isinstance(made_of, dict) and made_of.get(name, stated) != stated:
                return f"{name} = {brief(made_of[name])}, where run.json says {brief(stated)}"
        return "other settings than run.json"

    def pending_shards(self) -> list[int]:
        """The shards still to be made: those that are missing or not as they were written."""
        return [shard for shard in range(self.shard_count) if self.fault(shard) is not None]

    def require_whole(self, progress: Callable[[int, int], None]) -> None:
        """Read every shard and compare it with its manifest entry; `progress` gets (done, total).

        Raises:
            RunFolderError: shards are missing, or one is not as it was written.
        """
        missing = sum(not self._manifest_file(shard).exists() for shard in range(self.shard_count))
        if missing or not self.is_finished():
            raise RunFolderError(
                f"run folder {self.path} is unfinished: {missing} of {self.shard_count} shards are missing; "
                "run the same `evigraph index` command again to complete it"
            )
        threads = ThreadPoolExecutor(_READERS)
        try:
            for shard, fault in enumerate(threads.map(self.fault, range(self.shard_count))):
                progress(shard, self.shard_count)
                if fault is not None:
                    raise RunFolderError(
                        f"run folder {self.path}: {fault}; run the same `evigraph index` command again to remake it, "
                        "or index into a new folder"
                    )
        finally:
            threads.shutdown(cancel_futures=True)

    def is_finished(self) -> bool:
        """Whether `finish` was called and no shard was written since."""
        return (self.path / "finished.json").is_file()

    def finished_at(self) -> datetime:
        """When the last shard was done.

        Raises:
            RunFolderError: the run is not finished.
        """
        try:
            record = json.loads((self.path / "finished.json").read_bytes())
            return datetime.fromisoformat(record["finished_at"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"run folder {self.path} is not finished; run the same `evigraph index` command again"
            ) from error

    def write_shard(self, shard: int, tables: ShardTables) -> None:
        """Write a shard: its files, then its manifest entry.

        Raises:
            RunFolderError: the rows are not those of the shard's images, or the disk is full or broken.
        """
        images = self.image_range(shard)
        ids = sorted(tables["image"]["image_id"].to_pylist() + tables["skipped_image"]["image_id"].to_pylist())
        if ids != list(images):
            raise RunFolderError(
                f"shard {shard} must hold images {images.start} to {images.stop - 1} once each, "
                f"but got {len(ids)} of them; report this as a bug"
            )
        try:
            (self.path / "finished.json").unlink(missing_ok=True)
            files = write_files(self.path / "shards", shard, tables)
            entry = {
                "description": self._digest,
                "provenance": self.description.provenance(),
                "images": [images.start, images.stop],
                "files": files,
            }
            durable.write_bytes(self._manifest_file(shard), json_bytes(entry))
        except (pa.ArrowException, KeyError, InvariantError) as error:
            raise RunFolderError(
                f"the rows of shard {shard} are not of its tables: {reason(error)}; report this as a bug"
            ) from error
        except OSError as error:
            raise RunFolderError(
                f"shard {shard} of {self.path} could not be written: {reason(error)}; "
                "what is there is kept: make room and run the same command again"
            ) from error

    def finish(self) -> None:
        """Declare the run whole; again on a finished run it changes nothing.

        Raises:
            RunFolderError: shards are still pending.
        """
        pending = self.pending_shards()
        if pending:
            raise RunFolderError(
                f"run folder {self.path} still misses {len(pending)} of {self.shard_count} shards; "
                "run the same `evigraph index` command again"
            )
        if self.is_finished():
            return
        entries = [self.manifest(shard) or {} for shard in range(self.shard_count)]
        counts = {
            table: sum(entry["files"].get(table, {"rows": 0})["rows"] for entry in entries) for table in SHARD_SCHEMAS
        }
        record = {"finished_at": datetime.now(UTC).isoformat(), "rows": counts}
        try:
            durable.write_bytes(self.path / "finished.json", json_bytes(record))
        except OSError as error:
            raise RunFolderError(f"run folder {self.path} cannot be finished: {reason(error)}") from error

    def _manifest_file(self, shard: int) -> Path:
        return self.path / "shards" / f"{shard:05d}.json"
