"""The listing of a run: what each image was when it was indexed, so that ids stay and changes are noticed.

    RUN/listing.1f0c3a5d9e7b.jsonl    what the values of maps stand for, then an image a line, in the order of ids

1. A file of the same size and time of writing is taken to be the same. Where only the time differs its SHA-256 decides.
2. Images that the run has keep their ids; those that are gone keep them too, and are skipped. New ones follow, sorted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evigraph.indexer.shards import durable
from evigraph.schema.errors import RunFolderError

_THREADS = 4


@dataclass(frozen=True)
class FileState:
    """A file when it was listed: bytes, time of writing in nanoseconds, SHA-256; all None where it was not there."""

    size: int | None = None
    written_ns: int | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path | None, before: FileState | None = None) -> FileState:
        """Of a file as it is now; one that looks as before is not read again."""
        if path is None:
            return cls()
        try:
            status = path.stat()
            seen = (status.st_size, status.st_mtime_ns)
            if before is not None and (before.size, before.written_ns) == seen:
                return before
            return cls(*seen, durable.sha256_of(path))
        except (OSError, ValueError):  # ValueError: a NUL in the path
            return cls()

    def same_content(self, other: FileState) -> bool:
        """Whether both hold the same bytes."""
        return self.sha256 == other.sha256


@dataclass(frozen=True)
class ListedImage:
    """An image of the listing: its place, what the data says of it, its file and that of its semantic map."""

    uri: str
    label_ids: tuple[int, ...]
    tags: tuple[str, ...]
    map_uri: str | None
    image: FileState
    map: FileState
    removed: bool = False

    def same(self, other: ListedImage) -> bool:
        """Whether both give the same rows."""
        mine, its = (
            (one.removed, one.label_ids, one.tags, one.map_uri, one.image.sha256, one.map.sha256)
            for one in (self, other)
        )
        return mine == its


@dataclass(frozen=True)
class Listing:
    """The images of a run.

    Attributes:
        images: in the order of their ids.
        maps_sha256: of what the values of semantic maps stand for.
    """

    images: Sequence[ListedImage] = ()
    maps_sha256: str = ""


def states_of(paths: Sequence[Path | None], before: Sequence[FileState | None]) -> list[FileState]:
    """The states of files, read side by side."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(FileState.of, paths, before))


def read_listing(run: Path, name: str | None) -> Listing | None:
    """The listing of a run folder; None where it keeps none.

    Raises:
        RunFolderError: it cannot be read.
    """
    if name is None:
        return None
    try:
        head, *lines = (run / name).read_text().splitlines()
        return Listing([_listed(json.loads(line)) for line in lines], json.loads(head)["maps_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{run / name} cannot be read as a run's listing ({type(error).__name__}); index into a new folder"
        ) from error


def write_listing(run: Path, listing: Listing) -> str:
    """Write a listing beside those that there are; gives its name.

    Raises:
        OSError: as the file system reports it.
    """
    lines = [{"maps_sha256": listing.maps_sha256}, *(asdict(image) for image in listing.images)]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    name = f"listing.{hashlib.sha256(content).hexdigest()[:12]}.jsonl"
    durable.write_bytes(run / name, content)
    return name


def remove_other_listings(run: Path, name: str | None) -> None:
    """Remove those that `run.json` no longer names."""
    for file in run.glob("listing.*.jsonl*"):
        if file.name != name:
            with suppress(OSError):
                file.unlink()


def _listed(record: dict[str, Any]) -> ListedImage:
    tuples = {name: tuple(record[name]) for name in ("label_ids", "tags")}
    return ListedImage(**{**record, **tuples, "image": FileState(**record["image"]), "map": FileState(**record["map"])})
