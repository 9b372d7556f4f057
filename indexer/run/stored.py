"""The run that a folder holds already, and the options that `extend` gave it since it was begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from evigraph.indexer.run.settings import IndexSettings
from evigraph.indexer.shards.description import RunDescription
from evigraph.indexer.shards.extending import roll_forward
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.history import History
from evigraph.indexer.shards.listing import Listing, read_listing
from evigraph.indexer.shards.record import read_run
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.schema.errors import RunFolderError


@dataclass(frozen=True)
class StoredRun:
    """A run folder's `run.json`, and its listing; None where it keeps none."""

    description: RunDescription
    history: History
    listing: Listing | None


def stored_run(path: Path) -> StoredRun | None:
    """The run of a folder; None where there is none. An extension that was stopped as it ended is ended.

    Raises:
        RunFolderError: it cannot be read, or another process holds it.
    """
    if not (path / "run.json").is_file():
        return None
    if (path / "extending" / "whole.json").exists():
        with RunFolder.open_for_extending(path) as folder:
            roll_forward(folder)
    description, _, history = read_run(path)
    return StoredRun(description, history, read_listing(path, history.listing))


def run_of(path: Path) -> StoredRun:
    """The run of a folder that must hold one.

    Raises:
        RunFolderError: it holds none, cannot be read, or another process holds it.
    """
    stored = stored_run(path)
    if stored is None:
        raise RunFolderError(f"{path} is no run folder (it has no run.json); name one that `index` made")
    return stored


def with_extensions(settings: IndexSettings, stored: StoredRun | None) -> IndexSettings:
    """The settings with what `extend` added since, where they do not say themselves: the same command goes on."""
    for step in stored.history.extended if stored else ():
        settings = with_added(settings, step["added"])
    return settings


def with_added(settings: IndexSettings, added: Mapping[str, Any]) -> IndexSettings:
    """The settings with the options that one extension added.

    Args:
        settings: of before it.
        added: "thumbnails", "maps" (how many), "guided", "overlaps", "verify" (as JSON) and "context_layers" (those of
            before, those of now).
    """
    pictures, method = settings.pictures, settings.method
    if pictures.thumbnails is None and "thumbnails" in added:
        pictures = replace(pictures, thumbnails=added["thumbnails"])
    if not pictures.maps and "maps" in added:
        pictures = replace(pictures, maps=True, max_maps=added["maps"])
    if pictures.guided is None and "guided" in added:
        pictures = replace(pictures, guided=added["guided"])
    if "overlaps" in added:
        method = replace(method, overlaps=True)
    settings = replace(settings, pictures=pictures, method=method)
    if settings.verify is None and "verify" in added:
        settings = replace(settings, verify=verify_from(added["verify"]))
    if "context_layers" in added:
        before, now = added["context_layers"]
        mine = settings.context_layers
        if (None if mine is None else list(mine)) == before:
            settings = replace(settings, context_layers=tuple(now))
    return settings


def verify_from(record: Mapping[str, Any]) -> VerifySettings:
    """The inverse of `VerifySettings.to_json`."""
    stated = {f.name: record[f.name] for f in fields(VerifySettings) if f.name in record}
    values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in stated.items()}
    return VerifySettings(**values)
