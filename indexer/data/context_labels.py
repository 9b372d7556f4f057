"""The labels of semantic maps, from the list that each dataset brings with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from evigraph.indexer.data.tables import read_table, read_text
from evigraph.schema.errors import DataError

VOID = "void"
"""The name in a class file that stands for no label."""

UNNAMED = frozenset({VOID, "unknown", "unlabeled"})
"""What published lists call a region that was given no label."""

MAX_MASK_VALUE = 65535
"""The largest that an indexed image holds."""

_ENTRY = re.compile(r"(\d+)\s*:\s*(.*)")


@dataclass(frozen=True)
class ContextLabels:
    """The labels that maps can hold.

    Attributes:
        names: by label id, from 1.
        lookup: label id by mask value, 0 for void; values beyond its end are void.
    """

    names: Mapping[int, str]
    lookup: tuple[int, ...]

    @classmethod
    def of_values(cls, names: Mapping[int, str]) -> ContextLabels:
        """Of names by mask value.

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
        return cls(dict(sorted(by_id.items())), tuple(lookup))


def read_class_file(path: Path) -> ContextLabels:
    """From a CSV with the columns mask_value and name; "void" is no label, and may be given to several values.

    Raises:
        DataError: a missing or malformed file; names the line.
    """
    table = read_table(path, ("mask_value", "name"))
    names: dict[int, str] = {}
    for row in table.rows:
        text, name = row.cells["mask_value"], row.cells["name"]
        if not (text.isascii() and text.isdigit() and int(text) <= MAX_MASK_VALUE):
            raise table.error(row, f"mask_value {text!r} is not a whole number from 0 to {MAX_MASK_VALUE}")
        if int(text) in names:
            raise table.error(row, f"mask_value {text} is given twice")
        if not name or (name in names.values() and name != VOID):
            raise table.error(row, f"name {name!r} is {'given twice' if name else 'empty'}")
        names[int(text)] = name
    labels = {value: name for value, name in names.items() if name != VOID}
    if not labels:
        raise DataError(f"{path} names no label; give mask_value,name one a line")
    return ContextLabels.of_values(labels)


def read_label_list(path: Path, skip: Collection[str] = UNNAMED) -> dict[int, str]:
    """Names by number from lines such as "12: grass", as PASCAL-Context and COCO-Stuff have them.

    Names that are in `skip`, and the number 0, are left out. A name that two numbers share gets its number added.

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
    names = {value: name for value, name in names.items() if value and name not in skip}
    if not names:
        raise DataError(f"{path} names no label; write lines such as '12: grass'")
    return told_apart(names)


def told_apart(names: Mapping[int, str]) -> dict[int, str]:
    """The same names, with the number added to those that several share."""
    counts = Counter(names.values())
    return {value: name if counts[name] == 1 else f"{name} ({value})" for value, name in names.items()}
