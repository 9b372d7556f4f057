"""What `extend` adds to a finished run, made beside it and put in place when all of it is there.

    RUN/extending/run.json                      the description that the run will have, and what is added
    RUN/extending/00003.thumbnail.parquet       files that the shard lacks, or that take the place of its own
    RUN/extending/00003.json                    the shard's manifest entry to be, written last
    RUN/extending/whole.json                    from here on the files are moved

1. Until `whole.json` is there the run is what it was: it can be published, and a stopped extension goes on.
2. From then on it is what it will be: `roll_forward` moves what is not yet moved, whoever is killed in between, and a
   folder in that state is not read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evigraph.indexer.shards import durable
from evigraph.indexer.shards.description import RunDescription
from evigraph.indexer.shards.files import SHARD_SCHEMAS, ShardTables, fault_in_files, shard_file, write_table
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.record import json_bytes, read_run, reason, write_run
from evigraph.schema.errors import RunFolderError


class Extension:
    """An extension of a run whose folder is open for it alone."""

    def __init__(self, folder: RunFolder, description: RunDescription, added: Mapping[str, Any]) -> None:
        """Begin it, or go on with one of the same description.

        Raises:
            RunFolderError: the disk is full or broken.
        """
        self.folder, self.description, self.path = folder, description, folder.path / "extending"
        record = {"description": description.to_json(), "added": dict(added)}
        try:
            if _read(self.path / "run.json") != json.loads(json_bytes(record)):
                shutil.rmtree(self.path, ignore_errors=True)
                self.path.mkdir()
                durable.write_bytes(self.path / "run.json", json_bytes(record))
            for leftover in self.path.glob(f"*{durable.TEMPORARY_SUFFIX}"):
                leftover.unlink()
        except OSError as error:
            raise self._failed(error) from error

    def pending(self) -> list[int]:
        """The shards that have no true entry yet."""
        return [shard for shard in range(self.folder.shard_count) if not self._is_staged(shard)]

    def _is_staged(self, shard: int) -> bool:
        entry = _read(self._entry(shard))
        if entry is None or entry.get("description") != self.description.digest():
            return False
        own = (self.folder.manifest(shard) or {}).get("files", {})
        staged = {table: file for table, file in entry["files"].items() if own.get(table) != file}
        return fault_in_files(self.path, shard, staged) is None

    def stage(self, shard: int, tables: ShardTables) -> None:
        """Write what a shard gets: tables that it lacks, or that take the place of its own; then its entry to be.

        Raises:
            RunFolderError: the disk is full or broken.
        """
        entry = self.folder.manifest(shard) or {}
        try:
            made = {
                name: write_table(shard_file(self.path, shard, name), SHARD_SCHEMAS[name], table)
                for name, table in tables.items()
                if table.num_rows
            }
            stated = {"description": self.description.digest(), "files": {**entry["files"], **made}}
            durable.write_bytes(self._entry(shard), json_bytes({**entry, **stated}))
        except OSError as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """Put everything in place; every shard must be staged.

        Raises:
            RunFolderError: the disk is full or broken.
        """
        try:
            durable.write_bytes(self.path / "whole.json", b"{}\n")
        except OSError as error:
            raise self._failed(error) from error
        roll_forward(self.folder)

    def _entry(self, shard: int) -> Path:
        return self.path / f"{shard:05d}.json"

    def _failed(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"run folder {self.folder.path} cannot be extended: {reason(error)}; the run is as it was: make room and "
            "run the same command again"
        )


def roll_forward(folder: RunFolder) -> bool:
    """End an extension that is whole; gives whether there was one. The folder must be opened anew afterwards.

    Raises:
        RunFolderError: the disk is full or broken.
    """
    staging, shards = folder.path / "extending", folder.path / "shards"
    if not (staging / "whole.json").exists():
        return False
    record = json.loads((staging / "run.json").read_bytes())
    description = RunDescription.from_json(record["description"])
    try:
        (folder.path / "finished.json").unlink(missing_ok=True)
        for pattern in ("*.parquet", "[0-9]*.json"):  # a shard's entry after its files
            for file in sorted(staging.glob(pattern)):
                file.replace(shards / file.name)
            durable.sync_folder(shards)
        for entry in sorted((folder.path / "guided").glob("*.json")):
            crops = json.loads(entry.read_bytes())
            durable.write_bytes(entry, json_bytes({**crops, "description": description.digest()}))
        stored, created_at, history = read_run(folder.path)
        if stored.digest() != description.digest():
            added = {"at": datetime.now(UTC).isoformat(), "from": stored.digest(), "added": record["added"]}
            history = history.with_added(added)
            write_run(folder.path, description, created_at, history)
    except OSError as error:
        raise RunFolderError(
            f"run folder {folder.path} cannot be extended: {reason(error)}; make room and run the same command again"
        ) from error
    RunFolder(folder.path, description, created_at, None, history).finish()
    (staging / "whole.json").unlink()
    shutil.rmtree(staging, ignore_errors=True)
    return True


def _read(file: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        record = json.loads(file.read_bytes())
        return record if isinstance(record, dict) else None
    return None
