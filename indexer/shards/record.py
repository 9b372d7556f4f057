"""`run.json`, and the other small records of a run folder."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from evigraph.indexer.shards import durable
from evigraph.indexer.shards.description import RunDescription
from evigraph.indexer.shards.history import History
from evigraph.schema.errors import RunFolderError, in_shell

FORMAT = 2
"""Version of the folder's layout; a folder of another version is refused."""
_EXTENDABLE = ("settings.pictures", "settings.verify", "settings.overlaps")
"""Settings that `evigraph extend` adds to a finished run."""


def read_run(path: Path) -> tuple[RunDescription, datetime, History]:
    """What `run.json` holds.

    Raises:
        RunFolderError: it cannot be read.
    """
    try:
        record = json.loads((path / "run.json").read_bytes())
        if record["format"] != FORMAT:
            raise RunFolderError(
                f"run folder {path} has format {record['format']}, this program reads {FORMAT}; index into a new folder"
            )
        created_at = datetime.fromisoformat(record["created_at"])
        return RunDescription.from_json(record), created_at, History.from_json(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{path / 'run.json'} cannot be read as a run's description ({type(error).__name__}: {error}); "
            "index into a new folder"
        ) from error


def write_run(path: Path, description: RunDescription, created_at: datetime, history: History) -> None:
    """Write `run.json`, the one file by which a run is what it is.

    Raises:
        OSError: as the file system reports it.
    """
    head = {"format": FORMAT, "created_at": created_at.isoformat()}
    durable.write_bytes(path / "run.json", json_bytes({**head, **description.to_json(), **history.to_json()}))


def refuse_other_settings(path: Path, stored: RunDescription, wanted: RunDescription) -> None:
    """Refuse to go on with a run under another description.

    Raises:
        RunFolderError: they differ; the message names the first setting that does.
    """
    difference = stored.difference(wanted)
    if difference is not None:
        name, old, new = difference
        later = not old and name.startswith(_EXTENDABLE)
        hint = f"add them with `evigraph extend {in_shell(path)}`, or give" if later else "give"
        raise RunFolderError(
            f"run folder {path} was made with {name} = {brief(old)}, not {brief(new)}; "
            f"{hint} the settings it was made with, or another --run folder"
        )


def brief(value: Any) -> str:
    """A value as JSON, of at most 80 characters."""
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def reason(error: BaseException) -> str:
    """What went wrong, in a line."""
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]


def json_bytes(record: dict[str, Any]) -> bytes:
    """A record as the files of a run folder hold it."""
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def refuse_foreign(path: Path) -> None:
    """Refuse a folder of other things. One where making the folder was cut short is taken up again.

    Raises:
        RunFolderError: it holds something else.
    """
    begun = {"lock", "shards", f"run.json{durable.TEMPORARY_SUFFIX}"}
    listing = re.compile(rf"listing\.[0-9a-f]+\.jsonl({re.escape(durable.TEMPORARY_SUFFIX)})?")
    others = (entry.name for entry in path.iterdir() if entry.name not in begun and not listing.fullmatch(entry.name))
    if not (path / "run.json").exists() and any(others):
        raise RunFolderError(f"{path} is not empty and is no run folder; name a new or empty folder")
