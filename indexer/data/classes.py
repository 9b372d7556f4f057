"""The classes of a network, in output order, and the names that folders and labels give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evigraph.indexer.data.tables import Table, parse_table, read_text
from evigraph.schema.errors import AmbiguousError, DataError, NotFoundError

ID_COLUMNS = ("key", "wnid", "id", "synset", "folder")
"""Columns taken for the key where a class file has several beside index and name; else the first."""


@dataclass(frozen=True)
class ClassEntry:
    """One output of the network: its index, the key that folder names are matched to, and a name to show."""

    index: int
    key: str
    name: str


@dataclass(frozen=True)
class ClassList:
    """All classes of a network, entry i being output i.

    Attributes:
        entries: in output order; keys are unique, names need not be (ImageNet has two "crane").
        path: the file that the user gave, or None for names that came with the weights or the folders.
    """

    entries: tuple[ClassEntry, ...]
    path: Path | None = None

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.entries)

    @classmethod
    def from_names(cls, names: Sequence[str], path: Path | None = None) -> ClassList:
        """Classes whose key is their name, or "name (index)" for a name that several share."""
        counts = Counter(names)
        keys = [name if counts[name] == 1 else f"{name} ({index})" for index, name in enumerate(names)]
        return cls(tuple(ClassEntry(i, k, n) for i, (k, n) in enumerate(zip(keys, names, strict=True))), path)

    @cached_property
    def _by_key(self) -> dict[str, int]:
        return {entry.key: entry.index for entry in self.entries}

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        by_name: dict[str, list[int]] = {}
        for entry in self.entries:
            by_name.setdefault(entry.name, []).append(entry.index)
        return by_name

    def match(self, text: str) -> int | None:
        """Index of the class whose key or else name is `text`; None where there is none.

        Raises:
            AmbiguousError: no key is `text`, and several classes have that name.
        """
        if text in self._by_key:
            return self._by_key[text]
        indices = self._by_name.get(text, [])
        if len(indices) > 1:
            raise AmbiguousError("class name", text, (f"{self.entries[i].key!r} (index {i})" for i in indices))
        return indices[0] if indices else None

    def find(self, text: str) -> int:
        """Index of the class whose key, else name, else index is `text`.

        Raises:
            NotFoundError: there is none; names near matches.
            AmbiguousError: several classes have that name.
        """
        index = self.match(text)
        if index is None and text.isascii() and text.isdigit() and int(text) < len(self):
            index = int(text)
        if index is None:
            raise NotFoundError("class", text, self.known(), f"among the {len(self)} classes")
        return index

    def known(self) -> Iterable[str]:
        """Every key and name, for near matches."""
        return dict.fromkeys(text for entry in self.entries for text in (entry.key, entry.name))


def numbered_classes(class_count: int) -> ClassList:
    """Classes named by their index, where nothing else is known."""
    return ClassList.from_names([str(index) for index in range(class_count)])


def read_classes(path: Path, class_count: int | None = None) -> ClassList:
    """Read a class file: one name a line in output order, or a CSV with columns index, an id, name.

    A first line that names both columns "index" and "name" makes it a CSV; so does the suffix .csv.

    Args:
        path: UTF-8 text.
        class_count: outputs of the network, if known.

    Raises:
        DataError: missing or malformed file, indices not 0..n-1, keys given twice, or n != class_count.
    """
    text = read_text(path)
    header = {cell.strip().casefold() for cell in text.split("\n", 1)[0].split(",")}
    if path.suffix.lower() == ".csv" or {"index", "name"} <= header:
        classes = ClassList(_entries(parse_table(path, text, ("index", "name"))), path)
    else:
        classes = ClassList.from_names(_names(path, text), path)
    if not classes.entries:
        raise DataError(f"{path} names no class; give one name a line, in the network's output order")
    repeated = [key for key, count in Counter(entry.key for entry in classes.entries).items() if count > 1]
    if repeated:
        raise DataError(f"{path} gives the key {repeated[0]!r} to two classes; keys must differ")
    if class_count is not None:
        check_class_count(classes, class_count)
    return classes


def check_class_count(classes: ClassList, class_count: int) -> None:
    """Raise DataError unless there is one class for each of the network's `class_count` outputs."""
    if len(classes) != class_count:
        where = f"{classes.path} names" if classes.path else "there are"
        raise DataError(
            f"{where} {len(classes)} classes, but the network has {class_count} outputs; "
            f"give the classes of this network with --classes FILE"
        )


def _names(path: Path, text: str) -> list[str]:
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if "" in lines and lines != [""]:
        raise DataError(f"{path}, line {lines.index('') + 1}: blank; every line must name one class")
    return [line for line in lines if line]


def _entries(table: Table) -> tuple[ClassEntry, ...]:
    others = [column for column in table.columns if column not in ("index", "name")]
    key_column = next((column for column in ID_COLUMNS if column in others), others[0] if others else None)
    if key_column is None:
        # without an id the name is the key, told apart by the index where two classes share it
        by_index = {entry.index: entry.name for entry in _indexed(table, "name")}
        return ClassList.from_names([by_index[index] for index in range(len(by_index))]).entries
    return tuple(sorted(_indexed(table, key_column), key=lambda entry: entry.index))


def _indexed(table: Table, key_column: str) -> list[ClassEntry]:
    entries: dict[int, ClassEntry] = {}
    for row in table.rows:
        index_text, key, name = row.cells["index"], row.cells[key_column], row.cells["name"]
        if not (index_text.isascii() and index_text.isdigit()):
            raise table.error(row, f"index {index_text!r} is not a whole number from 0")
        if not key or not name:
            raise table.error(row, f"an empty {'name' if not name else key_column!r}")
        index = int(index_text)
        if index in entries:
            raise table.error(row, f"index {index} is given twice")
        entries[index] = ClassEntry(index, key, name)
    missing = sorted(set(range(len(entries))) - entries.keys())
    if missing:
        raise DataError(f"{table.path} has {len(entries)} classes but no index {missing[0]}; indices must be 0 to n-1")
    return list(entries.values())
