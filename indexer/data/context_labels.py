"""The labels of semantic maps, from the list that each dataset brings with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from evigraph.indexer.data.tables import Table, read_table, read_text, whole_number
from evigraph.schema.errors import DataError

VOID = "void"
"""The name in a class file that stands for no label."""

UNNAMED = frozenset({VOID, "unknown", "unlabeled"})
"""What published lists call a region that was given no label."""

MAX_MASK_VALUE = 65535
"""The largest that an indexed image holds."""

_LISTS = ("classes.csv", "labelmap.txt", "class_dict.csv")
"""What a folder's list of labels may be called, the first that is there."""

_COLOUR_ENTRY = re.compile(r"([^:]*[^:\s][^:]*):\s*([0-9]{1,3}\s*,\s*[0-9]{1,3}\s*,\s*[0-9]{1,3})\s*(?::.*)?")

_ENTRY = re.compile(r"([0-9]{1,9})\s*:\s*(.*)")


class MapFields(TypedDict):
    """What a `DataSource` is told of its maps; see there."""

    context_labels: Mapping[int, str]
    map_lookup: tuple[int, ...]
    map_voids: frozenset[int]
    map_colours: Mapping[int, int]


@dataclass(frozen=True)
class ContextLabels:
    """The labels that maps can hold.

    Attributes:
        names: by label id, from 1.
        lookup: label id by mask value, 0 for void; values beyond its end are void.
        voids: mask values that are known to mean void.
        colours: label id by colour (65536 * red + 256 * green + blue), of maps in colours.
    """

    names: Mapping[int, str]
    lookup: tuple[int, ...]
    voids: frozenset[int] = frozenset()
    colours: Mapping[int, int] = field(default_factory=dict)

    def of_source(self) -> MapFields:
        """The fields of a `DataSource` that say what its maps hold."""
        return {
            "context_labels": self.names,
            "map_lookup": self.lookup,
            "map_voids": self.voids,
            "map_colours": self.colours,
        }

    @classmethod
    def of_values(cls, names: Mapping[int, str], voids: Collection[int] = ()) -> ContextLabels:
        """Of names by mask value, and the values that are known to mean void.

        An id is the mask value, so that maps can be read beside the database; only a label stored as 0, which is
        void downstream, gets the lowest value that is free.
        """
        ids = {value: value for value in sorted(names)}
        if 0 in ids:
            ids[0] = next(value for value in range(1, len(ids) + 1) if value not in ids)
        lookup = [0] * (max(ids) + 1)
        for value, label_id in ids.items():
            lookup[value] = label_id
        by_id = {label_id: names[value] for value, label_id in ids.items()}
        return cls(dict(sorted(by_id.items())), tuple(lookup), frozenset(voids))


def has_labels(root: Path) -> bool:
    """Whether a folder names its labels itself."""
    return any((root / name).is_file() for name in _LISTS)


def labels_of_folder(root: Path) -> ContextLabels:
    """The labels that the first of classes.csv, labelmap.txt and class_dict.csv in a folder names.

    Raises:
        DataError: none is there, or it is malformed.
    """
    name = next((name for name in _LISTS if (root / name).exists()), _LISTS[0])
    return read_labelmap(root / name) if name == "labelmap.txt" else read_class_file(root / name)


def read_labelmap(path: Path) -> ContextLabels:
    """From CVAT's labelmap.txt: lines such as "cat:128,0,0::", of maps in colours; ids are by line, from 1.

    Raises:
        DataError: a missing or malformed file; names the line.
    """
    entries: list[_Coloured] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _COLOUR_ENTRY.fullmatch(line.strip())
        channels = [int(channel) for channel in entry[2].split(",")] if entry else []
        if entry is None or max(channels) > 255:
            raise DataError(f"{path}, line {number}: {line.strip()!r} is no label; write lines such as 'cat:128,0,0::'")
        entries.append(_Coloured(number, line.strip(), entry[1].strip(), channels))
    return _of_colours(path, entries, "write lines such as 'cat:128,0,0::'")


@dataclass(frozen=True)
class _Coloured:
    """A label's line in a list, its name and the three channels of its colour."""

    number: int
    line: str
    name: str
    channels: Sequence[int]


def _of_colours(path: Path, entries: Collection[_Coloured], hint: str) -> ContextLabels:
    names: dict[int, str] = {}
    colours: dict[int, int] = {}
    voids = set()
    for entry in entries:
        colour = entry.channels[0] * 65536 + entry.channels[1] * 256 + entry.channels[2]
        if colour in colours or colour in voids or entry.name in names.values():
            raise DataError(f"{path}, line {entry.number}: {entry.line!r} repeats a name or a colour; give each once")
        if entry.name.casefold() in UNNAMED:
            voids.add(colour)
        else:
            colours[colour] = len(names) + 1
            names[len(names) + 1] = entry.name
    if not names:
        raise DataError(f"{path} names no label; {hint}")
    return ContextLabels(names, (), frozenset(voids), colours)


def _of_colour_table(table: Table) -> ContextLabels:
    """Of the columns name, r, g, b, as CamVid's class_dict.csv has them."""
    entries = []
    for row in table.rows:
        channels = [whole_number(row.cells[column]) for column in "rgb"]
        if not row.cells["name"] or any(value is None or value > 255 for value in channels):
            raise table.error(row, "not a name and r, g, b from 0 to 255")
        shown = ",".join(row.cells[column] for column in ("name", *"rgb"))
        entries.append(_Coloured(row.line, shown, row.cells["name"], [value or 0 for value in channels]))
    return _of_colours(table.path, entries, "give name,r,g,b one a line")


def read_class_file(path: Path) -> ContextLabels:
    """From a CSV with the columns mask_value and name; "void" is no label, and may be given to several values.

    With the columns name, r, g, b instead it is of maps in colours.

    Raises:
        DataError: a missing or malformed file; names the line.
    """
    table = read_table(path, ("name",))
    if {"r", "g", "b"} <= {*table.columns} and "mask_value" not in table.columns:
        return _of_colour_table(table)
    table = read_table(path, ("mask_value", "name"))
    names: dict[int, str] = {}
    for row in table.rows:
        text, name = row.cells["mask_value"], row.cells["name"]
        value = whole_number(text)
        if value is None or value > MAX_MASK_VALUE:
            raise table.error(row, f"mask_value {text!r} is not a whole number from 0 to {MAX_MASK_VALUE}")
        if value in names:
            raise table.error(row, f"mask_value {text} is given twice")
        if name.casefold() == VOID:
            name = VOID
        if not name or (name in names.values() and name != VOID):
            raise table.error(row, f"name {name!r} is {'given twice' if name else 'empty'}")
        names[value] = name
    labels = {value: name for value, name in names.items() if name != VOID}
    if not labels:
        raise DataError(f"{path} names no label; give mask_value,name one a line")
    return ContextLabels.of_values(labels, names.keys() - labels.keys())


def read_label_list(path: Path, skip: Collection[str] = UNNAMED) -> tuple[dict[int, str], frozenset[int]]:
    """Names by number from lines such as "12: grass", as PASCAL-Context and COCO-Stuff have them; and numbers of none.

    Names that are in `skip`, and the number 0, are of none. A name that two numbers share gets its number added.

    Raises:
        DataError: a missing or malformed file; names the line.
    """
    names: dict[int, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        entry = _ENTRY.fullmatch(line.strip())
        if entry is None or not entry[2] or int(entry[1]) > MAX_MASK_VALUE:
            raise DataError(f"{path}, line {number}: {line.strip()!r} is not a label; write lines such as '12: grass'")
        if int(entry[1]) in names:
            raise DataError(f"{path}, line {number}: label {int(entry[1])} is given twice; name each once")
        names[int(entry[1])] = entry[2]
    kept = {value: name for value, name in names.items() if value and name not in skip}
    if not kept:
        raise DataError(f"{path} names no label; write lines such as '12: grass'")
    return told_apart(kept), frozenset(names.keys() - kept.keys())


def told_apart(names: Mapping[int, str]) -> dict[int, str]:
    """The same names, with the number added to those that several share."""
    counts = Counter(names.values())
    return {value: name if counts[name] == 1 else f"{name} ({value})" for value, name in names.items()}
