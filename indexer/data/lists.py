"""Images whose labels are in a CSV file of the user's own, without semantic maps and with them.

    FILE.csv            columns uri (relative to the file's folder), label (key, name or index; empty = unlabelled)

    DIR/images/**/NAME.jpg
    DIR/masks/**/NAME.png    same path; the label ids of the image, at its size
    DIR/classes.csv          mask_value,name
    DIR/labels.csv           optional: uri or file, label (one class), labels (tags, separated by semicolons)

Lines of labels.csv whose image is not there are passed over, so that a part of a set can be used as it is.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path, PurePosixPath

from evigraph.indexer.data.context_labels import read_class_file
from evigraph.indexer.data.listing import image_uris, some_image_uris
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples, split_tags
from evigraph.indexer.data.sources import layout
from evigraph.indexer.data.tables import Row, Table, read_table
from evigraph.schema.errors import DataError, UsageError


@layout("list", "FILE.csv")
def open_list(request: DataRequest) -> DataSource:
    """List the images that a CSV file names."""
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


@layout("scenes", "DIR")
def open_scenes(request: DataRequest) -> DataSource:
    """List a folder of images beside indexed maps."""
    root = request.place
    uris = some_image_uris(root, "images")
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
    """The classes and tags in labels.csv, by uri, and how the class labels were matched.

    The column "label" names one class of the network. The column "labels" (what follows in brackets is a remark)
    holds tags, separated by semicolons; without a column "label" the classes are those that tags name.
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
