"""The labels of semantic maps, from the list that each dataset brings with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from evigraph.indexer.data.tables import read_table, read_text, whole_number
from evigraph.schema.errors import DataError

VOID = "void"
"""The name in a class file that stands for no label."""

UNNAMED = frozenset({VOID, "unknown", "unlabeled"})
"""What published lists call a region that was given no label."""

MAX_MASK_VALUE = 65535
"""The largest that an indexed image holds."""

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


def labels_of_folder(root: Path) -> ContextLabels:
    """The labels that classes.csv in a folder names, or labelmap.txt where that alone is there.

    Raises:
        DataError: neither is there, or it is malformed.
    """
    if (root / "labelmap.txt").is_file() and not (root / "classes.csv").exists():
        return read_labelmap(root / "labelmap.txt")
    return read_class_file(root / "classes.csv")


def read_labelmap(path: Path) -> ContextLabels:
    """From CVAT's labelmap.txt: lines such as "cat:128,0,0::", of maps in colours; ids are by line, from 1.

    Raises:
        DataError: a missing or malformed file; names the line.
    """
    names: dict[int, str] = {}
    colours: dict[int, int] = {}
    voids = set()
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _COLOUR_ENTRY.fullmatch(line.strip())
        channels = [int(channel) for channel in entry[2].split(",")] if entry else []
        if entry is None or max(channels) > 255:
            raise DataError(f"{path}, line {number}: {line.strip()!r} is no label; write lines such as 'cat:128,0,0::'")
        name, colour = entry[1].strip(), channels[0] * 65536 + channels[1] * 256 + channels[2]
        if colour in colours or colour in voids or name in names.values():
            raise DataError(f"{path}, line {number}: {line.strip()!r} repeats a name or a colour; give each once")
        if name.casefold() in UNNAMED:
            voids.add(colour)
        else:
            colours[colour] = len(names) + 1
            names[len(names) + 1] = name
    if not names:
        raise DataError(f"{path} names no label; write lines such as 'cat:128,0,0::'")
    return ContextLabels(names, (), frozenset(voids), colours)


def read_class_file(path: Path) -> ContextLabels:
    """From a CSV with the columns mask_value and name; "void" is no label, and may be given to several values.

    Raises:
        DataError: a missing or malformed file; names the line.
    """
    table = read_table(path, ("mask_value", "name"))
    names: dict[int, str] = {}
    for row in table.rows:
        text, name = row.cells["mask_value"], row.cells["name"]
        value = whole_number(text)
        if value is None or value > MAX_MASK_VALUE:
            raise table.error(row, f"mask_value {text!r} is not a whole number from 0 to {MAX_MASK_VALUE}")
        if value in names:
            raise table.error(row, f"mask_value {text} is given twice")
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
