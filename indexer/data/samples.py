"""A listing of images: what every kind of data becomes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evigraph.indexer.data.classes import ClassList
from evigraph.indexer.data.tables import Row, Table


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        uri: posix path relative to the source's root.
        label_ids: the classes of the network that are right for it, ascending: none where it is unlabelled,
            several where several things are to be seen.
        map_uri: its semantic map, relative to the source's map root; None where it has none.
        tags: its labels in the data's own words, sorted, whether or not the network has such classes.
        removed: whether it was of the data when the run was begun, and is no longer.
    """

    uri: str
    label_ids: tuple[int, ...] = ()
    map_uri: str | None = None
    tags: tuple[str, ...] = ()
    removed: bool = False

    @property
    def label_id(self) -> int | None:
        """The label where there is exactly one; which of several is taken depends on the logits (`run.rows`)."""
        return self.label_ids[0] if len(self.label_ids) == 1 else None


@dataclass(frozen=True)
class DataSource:
    """A listing of images.

    Attributes:
        spec: as given to `open_source`.
        root: the folder that uris are relative to.
        samples: sorted by uri in code point order, those that were added to a run later behind; the position is the
            image id.
        class_list: one entry for each output of the network.
        context_labels: name by label id (from 1; 0 is void), empty without semantic maps.
        map_lookup: label id by mask value; values beyond its end are void.
        map_colours: label id by colour (65536 * red + 256 * green + blue), of maps in colours; else empty.
        map_voids: mask values that are known to mean no label; others that have no label id are told of.
        labels_by: how labels were matched to classes: "key or name", "normalised name", "key", "index",
            "sorted folders", "label" or "tags".
        map_root: the folder that map uris are relative to, where it is not `root`.
        notes: how files and labels were read, where the user should know, a sentence each.
    """

    spec: str
    root: Path
    samples: tuple[Sample, ...]
    class_list: ClassList
    context_labels: Mapping[int, str] = field(default_factory=dict)
    map_lookup: tuple[int, ...] = ()
    labels_by: str = "label"
    map_root: Path | None = None
    notes: tuple[str, ...] = ()
    map_colours: Mapping[int, int] = field(default_factory=dict)
    map_voids: frozenset[int] = frozenset()

    @property
    def has_maps(self) -> bool:
        """Whether there are semantic maps, so that edges get context labels."""
        return bool(self.context_labels)

    def path(self, uri: str) -> Path:
        """The file of an image's uri."""
        return self.root / uri

    def map_path(self, map_uri: str) -> Path:
        """The file of a semantic map's uri."""
        return (self.map_root or self.root) / map_uri

    def digest(self) -> str:
        """SHA-256 of the listing: each image's uri, size, labels and tags, its map's uri and size, the context labels.

        It notices images that were added, taken away, renamed, given other labels, or changed in size in
        bytes, and so for maps. It reads no pixels: a file replaced by one of just the same size goes unnoticed.
        Where the data lies and when its files were written make no difference.
        """
        digest = hashlib.sha256(b"evigraph listing 2\n")
        labels = [[label_id, name] for label_id, name in sorted(self.context_labels.items())]
        colours = [sorted(self.map_colours.items())] if self.map_colours else []
        digest.update(json.dumps([labels, self.map_lookup, *colours]).encode() + b"\n")
        for sample in self.samples:
            map_size = _size(self.map_path(sample.map_uri)) if sample.map_uri else None
            size = _size(self.path(sample.uri))
            line = [sample.uri, size, sample.label_ids, sample.map_uri, map_size, sample.tags]
            digest.update(json.dumps(line).encode() + b"\n")
        return digest.hexdigest()


def sorted_samples(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """In the order of a listing: by uri, in code point order."""
    return tuple(sorted(samples, key=lambda sample: sample.uri))


def split_tags(table: Table, row: Row, column: str) -> tuple[str, ...]:
    """The tags in a cell, which semicolons separate; sorted, each once."""
    parts = [part.strip() for part in row.cells[column].split(";")]
    if parts != [""] and not all(parts):
        raise table.error(row, f"labels {row.cells[column]!r} has an empty label; separate labels by single semicolons")
    return tuple(sorted({part for part in parts if part}))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
