"""Images whose labels are in a CSV file of the user's own, without semantic maps and with them.

    FILE.csv            columns uri (relative to the file's folder), label (key, name or index; empty = unlabelled);
                        or, without a header, an image's path and its label on each line. Of an image with several
                        right classes the cell has all, separated by ; or |, or there are several columns: label, label,
                        or label1, label2. A file of paths alone is of unlabelled images.

    DIR/images/**/NAME.jpg
    DIR/masks/**/NAME.png    same path; the label ids of the image, at its size
    DIR/classes.csv          mask_value,name; or labelmap.txt, for masks in colours (CVAT)
    DIR/labels.csv           optional: uri or file, label (one class), labels (tags, separated by semicolons)

Lines of labels.csv whose image is not there are passed over, so that a part of a set can be used as it is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from evigraph.indexer.data.context_labels import labels_of_folder
from evigraph.indexer.data.formats import LeftOut, image_suffix, suffix_of
from evigraph.indexer.data.labels import BACKGROUND_OUTPUTS
from evigraph.indexer.data.listing import FileNames, ListPaths, image_uris, some_image_uris
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples, split_tags
from evigraph.indexer.data.sources import layout
from evigraph.indexer.data.tables import (
    DELIMITERS,
    Row,
    Table,
    parse_table,
    read_table,
    read_text,
    whole_number,
)
from evigraph.schema.errors import DataError, UsageError

MASK_SUFFIXES = frozenset({".png", ".bmp", ".gif", ".tif", ".tiff"})
"""Of types that keep every value, as JPEG does not."""


_COLUMNS = {
    "uri": (
        *("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "img_path"),
        *("image_name", "img", "image_id", "id"),
    ),
    "label": ("class", "class_name", "label_name", "target", "category", "class_id", "label_id"),
}
"""What else the columns of a list are called, the likeliest first."""

SEPARATORS = (";", "|")
"""What may stand between the labels of an image in one cell."""

_UNLABELLED = frozenset({"-1", "nan", "none", "null", "n/a", "na", "?", "unknown", "unlabeled", "unlabelled"})
"""What lists have where an image has no label, in lower case."""


@layout("list", "FILE.csv")
def open_list(request: DataRequest) -> DataSource:
    """List the images that a CSV file names."""
    table = _read_list(request.place)
    columns = _label_columns(table)
    paths, labels = ListPaths(table, "uri"), LabelColumn(request)
    samples: dict[str, Sample] = {}
    for row in table.rows:
        uri = paths.uri(row)
        if uri in samples:
            raise table.error(row, f"uri {uri!r} is given twice; give all its labels in one line, as cat;dog")
        samples[uri] = Sample(uri, _labels(table, row, columns, labels))
    if not samples:
        raise DataError(f"{request.place} lists no images; give one a line below the header")
    if not any(map(paths.exists, samples)):
        first = next(iter(samples))
        raise DataError(
            f"none of the {len(samples)} images that {request.place} lists is there; {first!r} would be "
            f"{str(paths.root / first)!r}; give paths with their suffix, relative to the list's folder or absolute"
        )
    return DataSource(
        request.spec,
        paths.root,
        sorted_samples(samples.values()),
        request.class_list,
        notes=(*labels.notes(), *_several_note(samples.values()), *paths.notes()),
    )


def _label_columns(table: Table) -> list[str]:
    """The columns of labels, in their order; none in a list of paths alone.

    Raises:
        DataError: there is none, but another column that may be meant.
    """
    columns = [name for name in table.columns if re.fullmatch(r"labels|label([ _-]?[0-9]+)?", name)]
    others = [name for name in table.columns if name != "uri"]
    if not columns and others:
        raise DataError(
            f"{table.path} has no column 'label'; its columns are {', '.join(map(repr, table.columns))}: call the one "
            "of labels so, or leave all but 'uri' out where images have no labels"
        )
    return columns


def _several_note(samples: Collection[Sample]) -> tuple[str, ...]:
    several = sum(len(sample.label_ids) > 1 for sample in samples)
    return (f"labels: {several} of {len(samples)} images have several right classes",) if several else ()


@layout("scenes", "DIR")
def open_scenes(request: DataRequest) -> DataSource:
    """List a folder of images beside indexed maps."""
    root, left_out = request.place, LeftOut()
    uris = some_image_uris(root, "images", left_out)
    masks = [uri for uri in image_uris(root, "masks", left_out=LeftOut()) if suffix_of(uri) in MASK_SUFFIXES]
    maps = FileNames(masks)
    labels = labels_of_folder(root)
    labelled: dict[str, Sample] = {}
    labels_by = "label"
    notes: tuple[str, ...] = ()
    if (root / "labels.csv").is_file():
        labelled, labels_by, notes = _read_scene_labels(root / "labels.csv", set(uris), request)
    stems = {uri: f"masks/{PurePosixPath(uri).relative_to('images').with_suffix('')}" for uri in uris}
    samples = [replace(labelled.get(uri, Sample(uri)), map_uri=maps.find(stem)) for uri, stem in stems.items()]
    if not any(sample.map_uri for sample in samples):
        raise DataError(
            f"none of the {len(uris)} images has a semantic map; {uris[0]!r} needs {stems[uris[0]] + '.png'!r}"
        )
    return DataSource(
        request.spec,
        root,
        sorted_samples(samples),
        request.class_list,
        labels_by=labels_by,
        notes=(*notes, *maps.notes("semantic map"), *left_out.notes()),
        **labels.of_source(),
    )


def _read_list(path: Path) -> Table:
    """The table of a list; of one without a header, as Caffe's tools write them, with the columns put over it."""
    text = read_text(path)
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    if _is_image(first):
        lines = [(number, line.strip().strip('"')) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        for number, line in lines:
            if not _is_image(line):
                raise DataError(f"{path}, line {number}: {line!r} is not the path of an image, as line 1 is")
        return Table(path, ("uri",), tuple(Row(number, {"uri": line}) for number, line in lines))
    for mark in (*DELIMITERS, " "):
        cells = first.rsplit(mark, 1)
        if len(cells) == 2 and _is_image(cells[0]):
            rows = [
                Row(number, {"uri": uri.strip().strip('"'), "label": label.strip().strip('"')})
                for number, line in enumerate(text.split("\n"), 1)
                if line.strip()
                for uri, found, label in (line.strip().rpartition(mark),)
                if found or _refuse(path, number, line)
            ]
            return Table(path, ("uri", "label"), tuple(rows))
    for mark in DELIMITERS:
        if first.count(mark) > 1 and _is_image(first.split(mark)[0]):
            return _with_columns_of_labels(path, text, mark)
    return parse_table(path, text, ("uri",), _COLUMNS, repeated="label")


def _is_image(text: str) -> bool:
    return bool(image_suffix(PurePosixPath(text.strip().strip('"').replace("\\", "/")).name))


def _with_columns_of_labels(path: Path, text: str, mark: str) -> Table:
    """The table of a list without a header whose lines are a path and any number of labels."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    split = [(number, next(csv.reader([line], delimiter=mark))) for number, line in lines]
    columns = ("uri", *(f"label {place}" for place in range(1, max(len(cells) for _, cells in split))))
    rows = [
        Row(number, dict(zip(columns, [*(cell.strip() for cell in cells), *[""] * len(columns)], strict=False)))
        for number, cells in split
    ]
    return Table(path, columns, tuple(rows))


def _refuse(path: Path, number: int, line: str) -> bool:
    raise DataError(f"{path}, line {number}: {line.strip()!r} is not a path and a label, as line 1 is")


def _read_scene_labels(
    path: Path, uris: set[str], request: DataRequest
) -> tuple[dict[str, Sample], str, tuple[str, ...]]:
    """The classes and tags in labels.csv, by uri; how the class labels were matched; and what is to be said of it.

    The column "label" names one class of the network. The column "labels" (what follows in brackets is a remark)
    holds tags, separated by semicolons; without a column "label" the classes are those that tags name.
    """
    table = read_table(path, ())
    column = next((name for name in ("uri", "file") if name in table.columns), None)
    tag_column = next((name for name in table.columns if name.partition("(")[0].strip() == "labels"), None)
    named = "label" in table.columns
    if tag_column is None and not named:
        return {}, "label", ()
    if column is None:
        raise DataError(f"{path} has no column 'uri' or 'file' beside its labels; name the image that each line is of")
    paths, labels = ListPaths(table, column, inside=uris), LabelColumn(request)
    samples: dict[str, Sample] = {}
    for row in table.rows:
        uri = paths.uri(row)
        if uri in samples:
            raise table.error(row, f"image {uri!r} is given twice")
        if uri in uris:
            tags = split_tags(table, row, tag_column) if tag_column else ()
            label_ids = _labels(table, row, ["label"], labels) if named else request.label_ids(tags)
            samples[uri] = Sample(uri, label_ids, None, tags)
    if table.rows and not samples:
        raise DataError(f"{path} names no image of {str(path.parent / 'images')!r}; give paths relative to that folder")
    return samples, "label" if named else "tags", (*labels.notes(), *paths.notes())


def _labels(table: Table, row: Row, columns: Sequence[str], labels: LabelColumn) -> tuple[int, ...]:
    """The right classes of a line, ascending; none where its cells are empty."""
    texts = [row.cells[column] for column in columns]
    return tuple(sorted({label for text in texts if text for label in _of_cell(table, row, text, labels)}))


def _of_cell(table: Table, row: Row, text: str, labels: LabelColumn) -> list[int]:
    """The classes of a cell: the one that all of it names, else those that its parts name."""
    try:
        return [labels.find(part) for part in labels.parts(text)]
    except UsageError as error:
        # classes without names can be meant by their index alone
        hint = "" if labels.request.classes else "; name the network's classes with --classes FILE, or give indices"
        if text.casefold() in _UNLABELLED:
            hint = "; leave the cell empty where an image has no label"
        raise table.error(row, f"label: {error}{hint}") from None


@dataclass
class LabelColumn:
    """The labels of a list, one after the other; how they were matched is known at the end."""

    request: DataRequest
    _indices: dict[str, int] = field(default_factory=dict)
    _loose: dict[str, int] = field(default_factory=dict)
    _named: dict[str, int] = field(default_factory=dict)

    def find(self, text: str) -> int:
        """The class whose key or name is `text`, else loosely so, else its index from 0.

        Raises:
            UsageError: there is none, or several; or a column has indices, and names that are numbers too.
        """
        classes = self.request.class_list
        index = classes.match(text)
        number = whole_number(re.sub(r"\.0+$", "", text))
        if index is None and number is not None and number < len(classes):
            self._indices[text] = number
            return self._one_meaning(number)
        if index is None:
            index = classes.match_loosely(text)
            if index is None:
                return classes.find(text)  # raises, with near matches
            if classes.are_several(text):
                raise UsageError(f"{text!r} names several classes; give one, or separate them by semicolons")
            self._loose[text] = index
        elif number is not None and self.request.classes is None:
            self._indices[text] = index
        elif number is not None and number != index:
            self._named[text] = index
        return self._one_meaning(index)

    def parts(self, text: str) -> list[str]:
        """The labels of a cell: all of it where a class is called so, else what ; or | separate."""
        classes = self.request.class_list
        mark = next((mark for mark in SEPARATORS if mark in text), None)
        if mark is None or classes.match(text) is not None or classes.match_only(text) is not None:
            return [text]
        return [part.strip() for part in text.split(mark) if part.strip()]

    def _one_meaning(self, index: int) -> int:
        if self._named and self._indices:
            named, by_index = next(iter(self._named)), next(iter(self._indices))
            raise UsageError(
                f"{by_index!r} is an index and {named!r} the name of class {self._named[named]}; a column has "
                "indices, or names that are numbers: give keys or names throughout"
            )
        return index

    def notes(self) -> tuple[str, ...]:
        """How labels were matched other than by key or name.

        Raises:
            DataError: they are indices, of a network that may have a background class before the others.
        """
        notes = []
        if self._indices:
            lowest, top = min(self._indices.values()), max(self._indices.values())
            outputs = self.request.class_count
            if self.request.classes is None and outputs == BACKGROUND_OUTPUTS and top < outputs - 1:
                raise DataError(
                    f"labels are indices from {lowest} to {top}, and the network has {outputs} outputs: whether output "
                    "0 is a background, which would move every class by one, cannot be told; give --classes FILE"
                )
            text, index = next(iter(self._indices.items()))
            note = f"labels: class indices from 0 ({len(self._indices)} different): {self._shown(text, index)}"
            notes.append(note if lowest == 0 else f"{note} (the least is {lowest})")
        if self._loose:
            text, index = next(iter(self._loose.items()))
            notes.append(
                "labels: class names without regard to case and to what separates words "
                f"({len(self._loose)} different): {self._shown(text, index)}"
            )
        return tuple(notes)

    def _shown(self, text: str, index: int) -> str:
        return self.request.class_list.shown(text, index)
