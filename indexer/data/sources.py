"""The images of a run: what `--data` names, as a sorted listing with labels and semantic maps.

    imagefolder:DIR   DIR/CLASS/**/IMAGE, the label being the class whose key or name is CLASS
    list:FILE.csv     columns uri (relative to the file's folder), label (key, name, index; empty = unlabelled)
    scenes:DIR        DIR/images/**, DIR/masks/** (same path, .png), DIR/classes.csv, DIR/labels.csv or not

A sample's place in the listing is its image id, whether or not the file can be decoded.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from indexer.data.classes import ClassList, check_class_count, numbered_classes
from indexer.data.listing import IMAGE_SUFFIXES, image_uris, subfolders
from indexer.data.tables import Row, Table, read_table
from schema.errors import DataError, UsageError, near_matches

VOID = "void"
"""The name in a scenes classes.csv that is no label."""


@dataclass(frozen=True)
class Sample:
    """One image: `uri` and `map_uri` are posix paths relative to the root."""

    uri: str
    label_id: int | None = None
    map_uri: str | None = None


@dataclass(frozen=True)
class DataSource:
    """A listing of images.

    Attributes:
        spec: as given to `open_source`.
        root: the folder that uris are relative to.
        samples: sorted by uri in code point order; the position is the image id.
        class_list: one entry for each output of the network.
        context_labels: name by label id (1..255; 0 is void), empty without semantic maps.
        map_lookup: 256 bytes, label id by mask value.
        labels_by: how labels were matched to classes: "key or name", "sorted folders" or "label".
    """

    spec: str
    root: Path
    samples: tuple[Sample, ...]
    class_list: ClassList
    context_labels: Mapping[int, str] = field(default_factory=dict)
    map_lookup: bytes = bytes(256)
    labels_by: str = "label"

    @property
    def has_maps(self) -> bool:
        """Whether there are semantic maps, so that edges get context labels."""
        return bool(self.context_labels)

    def path(self, uri: str) -> Path:
        """The file of a uri."""
        return self.root / uri

    def digest(self) -> str:
        """SHA-256 of the listing: each image's uri, size and label, its map's uri and size, the context labels.

        It notices images that were added, taken away, renamed, given another label, or changed in size in
        bytes, and so for maps. It reads no pixels: a file replaced by one of just the same size goes unnoticed.
        Where the data lies and when its files were written make no difference.
        """
        digest = hashlib.sha256(b"evigraph listing 1\n")
        labels = [[label_id, name] for label_id, name in sorted(self.context_labels.items())]
        digest.update(json.dumps([labels, self.map_lookup.hex()]).encode() + b"\n")
        for sample in self.samples:
            map_size = self._size(sample.map_uri) if sample.map_uri else None
            line = [sample.uri, self._size(sample.uri), sample.label_id, sample.map_uri, map_size]
            digest.update(json.dumps(line).encode() + b"\n")
        return digest.hexdigest()

    def _size(self, uri: str) -> int | None:
        try:
            return self.path(uri).stat().st_size
        except OSError:
            return None


def open_source(spec: str, classes: ClassList | None, class_count: int) -> DataSource:
    """List the images that `spec` names.

    Args:
        spec: "imagefolder:DIR", "list:FILE.csv" or "scenes:DIR".
        classes: the network's classes in output order, if known.
        class_count: the network's outputs.

    Raises:
        UsageError: no such kind of data.
        DataError: a missing or empty folder, classes or labels that match nothing, a malformed file.
    """
    kind, _, location = spec.partition(":")
    if kind not in _SOURCES or not location:
        raise UsageError(f"data {spec!r} is none of imagefolder:DIR, list:FILE.csv, scenes:DIR")
    if classes is not None:
        check_class_count(classes, class_count)
    return _SOURCES[kind](spec, Path(location).expanduser(), classes, class_count)


def _open_imagefolder(spec: str, root: Path, classes: ClassList | None, class_count: int) -> DataSource:
    folders = subfolders(root)
    uris = {folder: image_uris(root, folder, outside=(root,)) for folder in folders}
    if not any(uris.values()):
        found = "no class folders" if not folders else f"no images in its {len(folders)} folders"
        raise DataError(
            f"{str(root)!r} has {found}; images ({' '.join(sorted(IMAGE_SUFFIXES))}) must lie in {root}/CLASS/"
        )
    with_images = [folder for folder in folders if uris[folder]]
    class_list, label_ids, labels_by = _match_folders(root, folders, with_images, classes, class_count)
    samples = [Sample(uri, label_ids[folder]) for folder in with_images for uri in uris[folder]]
    return DataSource(spec, root, _sorted(samples), class_list, labels_by=labels_by)


def _match_folders(
    root: Path, folders: list[str], with_images: list[str], classes: ClassList | None, class_count: int
) -> tuple[ClassList, dict[str, int], str]:
    """The class of each folder: by key, by name, else all folders in sorted order, one for each output.

    Sorted order is what torchvision trains with. It is taken only where no class file was given and no folder
    has the name of a class, since it is a guess that nothing can check.
    """
    matched = {folder: classes.match(folder) for folder in with_images} if classes else {}
    label_ids = {folder: label for folder, label in matched.items() if label is not None}
    if classes and len(label_ids) == len(with_images):
        return classes, label_ids, "key or name"
    if not label_ids and len(folders) == class_count and (classes is None or classes.path is None):
        by_order = {folder: index for index, folder in enumerate(folders)}
        return classes or ClassList.from_names(folders), by_order, "sorted folders"
    unmatched = [folder for folder in with_images if folder not in label_ids]
    shown = ", ".join(map(repr, unmatched[:5])) + (f" and {len(unmatched) - 5} more" if len(unmatched) > 5 else "")
    if classes is None:
        raise DataError(
            f"{str(root)!r} has {len(folders)} class folders and the network {class_count} outputs; "
            f"say which is which with --classes FILE (folders: {shown})"
        )
    near = near_matches(unmatched[0], classes.known())
    raise DataError(
        f"{len(unmatched)} of {len(with_images)} folders in {str(root)!r} match no class: {shown}"
        + (f"; near {unmatched[0]!r}: {', '.join(map(repr, near))}" if near else "")
        + f"; rename them, or name the classes in output order with --classes FILE "
        f"(now {classes.path or 'the names that came with the weights'})"
    )


def _open_list(spec: str, path: Path, classes: ClassList | None, class_count: int) -> DataSource:
    table = read_table(path, ("uri", "label"))
    class_list = classes or numbered_classes(class_count)
    samples: dict[str, Sample] = {}
    for row in table.rows:
        uri = _inside(table, row, row.cells["uri"])
        if uri in samples:
            raise table.error(row, f"uri {uri!r} is given twice")
        samples[uri] = Sample(uri, _label(table, row, class_list, classes is not None))
    if not samples:
        raise DataError(f"{path} lists no images; give one a line below the header")
    return DataSource(spec, path.parent, _sorted(samples.values()), class_list)


def _open_scenes(spec: str, root: Path, classes: ClassList | None, class_count: int) -> DataSource:
    uris = image_uris(root, "images")
    if not uris:
        raise DataError(f"{str(root / 'images')!r} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))})")
    maps = set(image_uris(root, "masks"))
    context_labels, lookup = _read_context_labels(root / "classes.csv")
    class_list = classes or numbered_classes(class_count)
    label_ids: dict[str, int | None] = {}
    if (root / "labels.csv").is_file():
        label_ids = _read_scene_labels(root / "labels.csv", set(uris), class_list, classes is not None)
    samples = []
    for uri in uris:
        map_uri = f"masks/{PurePosixPath(uri).relative_to('images').with_suffix('.png')}"
        samples.append(Sample(uri, label_ids.get(uri), map_uri if map_uri in maps else None))
    if not any(sample.map_uri for sample in samples):
        raise DataError(
            f"none of the {len(uris)} images has a semantic map; {uris[0]!r} needs "
            f"'masks/{PurePosixPath(uris[0]).relative_to('images').with_suffix('.png')}'"
        )
    return DataSource(spec, root, _sorted(samples), class_list, context_labels, lookup)


def _read_context_labels(path: Path) -> tuple[dict[int, str], bytes]:
    """Label names by id, and the id of each mask value: 0 for void and for values that the file does not name.

    An id is the mask value, so that maps can be read beside the database; only a label stored as 0, which
    is void downstream, gets the lowest value that is free.
    """
    table = read_table(path, ("mask_value", "name"))
    names: dict[int, str] = {}
    for row in table.rows:
        text, name = row.cells["mask_value"], row.cells["name"]
        if not (text.isascii() and text.isdigit() and int(text) <= 255):
            raise table.error(row, f"mask_value {text!r} is no whole number from 0 to 255")
        if int(text) in names:
            raise table.error(row, f"mask_value {text} is given twice")
        if not name or (name in names.values() and name != VOID):
            raise table.error(row, f"name {name!r} is {'given twice' if name else 'empty'}")
        names[int(text)] = name
    labels = {value: name for value, name in names.items() if name != VOID}
    if not labels:
        raise DataError(f"{path} names no label; give mask_value,name one a line")
    lookup = bytearray(256)
    for value in labels:
        lookup[value] = value
    if 0 in labels:
        free = next((value for value in range(1, 256) if value not in labels), None)
        if free is None:
            raise DataError(f"{path} names all 256 mask values; one must stay free for void")
        labels[free], lookup[0] = labels.pop(0), free
    return dict(sorted(labels.items())), bytes(lookup)


def _read_scene_labels(path: Path, uris: set[str], class_list: ClassList, named: bool) -> dict[str, int | None]:
    """The classes in labels.csv, by uri.

    Lines of images that are not there are passed over, so that a part of a set can be used as it is. Without
    a column "label" (as where the file lists what the maps hold) images are unlabelled.
    """
    table = read_table(path, ())
    column = next((name for name in ("uri", "file") if name in table.columns), None)
    if "label" not in table.columns:
        return {}
    if column is None:
        raise DataError(f"{path} has no column 'uri' or 'file' beside 'label'; name the image that each label is of")
    label_ids: dict[str, int | None] = {}
    for row in table.rows:
        uri = _inside(table, row, row.cells[column])
        uri = uri if uri in uris else f"images/{uri}"
        if uri in label_ids:
            raise table.error(row, f"image {uri!r} is given twice")
        if uri in uris:
            label_ids[uri] = _label(table, row, class_list, named)
    if table.rows and not label_ids:
        raise DataError(f"{path} names no image of {str(path.parent / 'images')!r}; give paths relative to that folder")
    return label_ids


def _label(table: Table, row: Row, class_list: ClassList, named: bool) -> int | None:
    """The class of a line; `named` is False where classes have no names, and only indices can be meant."""
    text = row.cells["label"]
    if not text:
        return None
    try:
        return class_list.find(text)
    except UsageError as error:
        hint = "" if named else "; name the network's classes with --classes FILE, or give indices"
        raise table.error(row, f"label: {error}{hint}") from None


def _inside(table: Table, row: Row, text: str) -> str:
    uri = posixpath.normpath(text)
    if not text or uri == ".":
        raise table.error(row, "an empty uri")
    if uri.startswith(("/", "../")) or uri == "..":
        raise table.error(row, f"uri {text!r} lies outside {str(table.path.parent)!r}; give a path relative to it")
    return uri


def _sorted(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.uri))


_SOURCES: dict[str, Callable[[str, Path, ClassList | None, int], DataSource]] = {
    "imagefolder": _open_imagefolder,
    "list": _open_list,
    "scenes": _open_scenes,
}
