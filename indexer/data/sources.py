"""The images of a run: what `--data` names, as a sorted listing with labels and semantic maps.

    imagefolder:DIR     DIR/CLASS/**/IMAGE, the label being the class whose key or name is CLASS
    list:FILE.csv       columns uri (relative to the file's folder), label (key, name, index; empty = unlabelled)
    scenes:DIR          DIR/images/**, DIR/masks/** (same path, .png), DIR/classes.csv, DIR/labels.csv or not
    voc:DIR             PASCAL VOC (`indexer.data.voc`)
    pascal-context:DIR  PASCAL-Context's maps over VOC's images (the same module)
    ade20k:DIR          ADE20K's scene parsing set (`indexer.data.scene_sets`)
    coco-stuff:DIR      COCO under COCO-Stuff's maps (the same module)

A sample's place in the listing is its image id, whether or not the file can be decoded.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from evigraph.indexer.data.classes import ClassList, check_class_count
from evigraph.indexer.data.context_labels import read_class_file
from evigraph.indexer.data.listing import IMAGE_SUFFIXES, image_uris, subfolders
from evigraph.indexer.data.request import DataRequest, parse_options
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples, split_tags
from evigraph.indexer.data.scene_sets import open_ade20k, open_coco_stuff
from evigraph.indexer.data.tables import Row, Table, read_table
from evigraph.indexer.data.voc import open_pascal_context, open_voc
from evigraph.schema.errors import DataError, UsageError, near_matches


@dataclass(frozen=True)
class _Kind:
    """One kind of data: what follows its name and how it is listed."""

    place: str
    open: Callable[[DataRequest], DataSource]
    options: tuple[str, ...] = ()


def open_source(spec: str, classes: ClassList | None, class_count: int) -> DataSource:
    """List the images that `spec` names.

    Args:
        spec: KIND:PLACE, as this module's docstring has them; sets with options take ?NAME=VALUE&NAME=VALUE behind it.
        classes: the network's classes in output order, if known.
        class_count: the network's outputs.

    Raises:
        UsageError: no such kind of data, or a wrong option.
        DataError: a missing or empty folder, classes or labels that match nothing, a malformed file.
    """
    name, _, place = spec.partition(":")
    kind = _KINDS.get(name)
    options = {}
    if kind and kind.options and "?" in place:
        place, _, text = place.rpartition("?")
        options = parse_options(spec, text, kind.options)
    if kind is None or not place:
        raise UsageError(f"data {spec!r} is none of {', '.join(f'{n}:{k.place}' for n, k in _KINDS.items())}")
    if classes is not None:
        check_class_count(classes, class_count)
    return kind.open(DataRequest(spec, Path(place).expanduser(), classes, class_count, options))


def _open_imagefolder(request: DataRequest) -> DataSource:
    root = request.place
    folders = subfolders(root)
    uris = {folder: image_uris(root, folder, outside=(root,)) for folder in folders}
    if not any(uris.values()):
        found = "no class folders" if not folders else f"no images in its {len(folders)} folders"
        raise DataError(
            f"{str(root)!r} has {found}; images ({' '.join(sorted(IMAGE_SUFFIXES))}) must lie in {root}/CLASS/"
        )
    with_images = [folder for folder in folders if uris[folder]]
    class_list, label_ids, labels_by = _match_folders(root, folders, with_images, request.classes, request.class_count)
    samples = [Sample(uri, (label_ids[folder],)) for folder in with_images for uri in uris[folder]]
    return DataSource(request.spec, root, sorted_samples(samples), class_list, labels_by=labels_by)


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


def _open_list(request: DataRequest) -> DataSource:
    path, table = request.place, read_table(request.place, ("uri", "label"))
    samples: dict[str, Sample] = {}
    for row in table.rows:
        uri = _inside(table, row, row.cells["uri"])
        if uri in samples:
            raise table.error(row, f"uri {uri!r} is given twice")
        samples[uri] = Sample(uri, _label(table, row, request))
    if not samples:
        raise DataError(f"{path} lists no images; give one a line below the header")
    return DataSource(request.spec, path.parent, sorted_samples(samples.values()), request.class_list)


def _open_scenes(request: DataRequest) -> DataSource:
    root = request.place
    uris = image_uris(root, "images")
    if not uris:
        raise DataError(f"{str(root / 'images')!r} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))})")
    maps = set(image_uris(root, "masks"))
    labels = read_class_file(root / "classes.csv")
    labelled: dict[str, Sample] = {}
    labels_by = "label"
    if (root / "labels.csv").is_file():
        labelled, labels_by = _read_scene_labels(root / "labels.csv", set(uris), request)
    samples = []
    for uri in uris:
        map_uri = f"masks/{PurePosixPath(uri).relative_to('images').with_suffix('.png')}"
        sample = labelled.get(uri, Sample(uri))
        samples.append(replace(sample, map_uri=map_uri if map_uri in maps else None))
    if not any(sample.map_uri for sample in samples):
        raise DataError(
            f"none of the {len(uris)} images has a semantic map; {uris[0]!r} needs "
            f"'masks/{PurePosixPath(uris[0]).relative_to('images').with_suffix('.png')}'"
        )
    return DataSource(
        request.spec, root, sorted_samples(samples), request.class_list, labels.names, labels.lookup, labels_by
    )


def _read_scene_labels(path: Path, uris: set[str], request: DataRequest) -> tuple[dict[str, Sample], str]:
    """The classes and tags in labels.csv, by uri, and how classes were found.

    The column "label" names one class of the network. The column "labels" (what follows in brackets is a remark)
    holds tags, parted by semicolons; without a column "label" the classes are those that tags name. Lines of images
    that are not there are passed over, so that a part of a set can be used as it is.
    """
    table = read_table(path, ())
    column = next((name for name in ("uri", "file") if name in table.columns), None)
    tag_column = next((name for name in table.columns if name.partition("(")[0].strip() == "labels"), None)
    named = "label" in table.columns
    if tag_column is None and not named:
        return {}, "label"
    if column is None:
        raise DataError(f"{path} has no column 'uri' or 'file' beside its labels; name the image that each line is of")
    samples: dict[str, Sample] = {}
    for row in table.rows:
        uri = _inside(table, row, row.cells[column])
        uri = uri if uri in uris else f"images/{uri}"
        if uri in samples:
            raise table.error(row, f"image {uri!r} is given twice")
        if uri in uris:
            tags = split_tags(table, row, tag_column) if tag_column else ()
            label_ids = _label(table, row, request) if named else request.label_ids(tags)
            samples[uri] = Sample(uri, label_ids, None, tags)
    if table.rows and not samples:
        raise DataError(f"{path} names no image of {str(path.parent / 'images')!r}; give paths relative to that folder")
    return samples, "label" if named else "tags"


def _label(table: Table, row: Row, request: DataRequest) -> tuple[int, ...]:
    """The class of a line, none where the cell is empty."""
    text = row.cells["label"]
    if not text:
        return ()
    try:
        return (request.class_list.find(text),)
    except UsageError as error:
        # classes without names can be meant by their index alone
        hint = "" if request.classes else "; name the network's classes with --classes FILE, or give indices"
        raise table.error(row, f"label: {error}{hint}") from None


def _inside(table: Table, row: Row, text: str) -> str:
    uri = posixpath.normpath(text)
    if not text or uri == ".":
        raise table.error(row, "an empty uri")
    if uri.startswith(("/", "../")) or uri == "..":
        raise table.error(row, f"uri {text!r} lies outside {str(table.path.parent)!r}; give a path relative to it")
    return uri


_KINDS = {
    "imagefolder": _Kind("DIR", _open_imagefolder),
    "list": _Kind("FILE.csv", _open_list),
    "scenes": _Kind("DIR", _open_scenes),
    "voc": _Kind("DIR", open_voc, ("split", "year")),
    "pascal-context": _Kind("DIR", open_pascal_context, ("images", "labels", "split", "year")),
    "ade20k": _Kind("DIR", open_ade20k, ("split",)),
    "coco-stuff": _Kind("DIR", open_coco_stuff, ("split",)),
}
