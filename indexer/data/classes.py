"""The classes of a network, in output order, and the names that folders and labels give them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from evigraph.indexer.data.class_files import NamedClass, parse_classes
from evigraph.indexer.data.formats import composed
from evigraph.indexer.data.tables import read_text, whole_number
from evigraph.schema.errors import AmbiguousError, DataError, NotFoundError


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
        notes: how the file was read, where the user should know, a sentence each.
    """

    entries: tuple[ClassEntry, ...]
    path: Path | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.entries)

    @classmethod
    def from_names(cls, names: Sequence[str], path: Path | None = None) -> ClassList:
        """Classes whose key is their name, or "name (index)" for a name that several share."""
        names = [composed(name) for name in names]
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

    @cached_property
    def _by_plain(self) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
        """Classes by their key and name in plain form; and by one of several names that commas separate."""
        whole: dict[str, set[int]] = {}
        parts: dict[str, set[int]] = {}
        for entry in self.entries:
            for text in (entry.key, entry.name):
                whole.setdefault(plain(text), set()).add(entry.index)
            for text in entry.name.split(","):
                parts.setdefault(plain(text), set()).add(entry.index)
        return whole, parts

    def match(self, text: str) -> int | None:
        """Index of the class whose key or else name is `text`; None where there is none.

        Raises:
            AmbiguousError: no key is `text`, and several classes have that name.
        """
        text = composed(text)
        if text in self._by_key:
            return self._by_key[text]
        return self._only(text, self._by_name.get(text, []))

    def match_loosely(self, text: str) -> int | None:
        """As `match`, else the class of that name without regard to case, spaces, hyphens, underscores, dots, slashes.

        Of a class's name such as "tench, Tinca tinca" each part counts where no whole name fits; of `text` the first.

        Raises:
            AmbiguousError: several classes have that name.
        """
        index = self.match(text)
        if index is not None:
            return index
        for form in (plain(text), plain(text.partition(",")[0])):
            for of in self._by_plain:
                if form and form in of:
                    return self._only(text, sorted(of[form]))
        return None

    def are_several(self, text: str) -> bool:
        """Whether `text` is not one class's name, but those of several with commas between."""
        if any(plain(text) in of for of in self._by_plain):
            return False
        parts = [{at for of in self._by_plain for at in of.get(plain(part), ())} for part in text.split(",")]
        return all(parts) and not set.intersection(*parts)

    def match_only(self, text: str) -> int | None:
        """As `match_loosely`; None too where several classes have that name."""
        try:
            return self.match_loosely(text)
        except AmbiguousError:
            return None

    def _only(self, text: str, indices: Sequence[int]) -> int | None:
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
        number = whole_number(text)
        if index is None and number is not None and number < len(self):
            index = number
        if index is None:
            raise NotFoundError("class", text, self.known(), f"among the {len(self)} classes")
        return index

    def known(self) -> Iterable[str]:
        """Every key and name, for near matches."""
        return dict.fromkeys(text for entry in self.entries for text in (entry.key, entry.name))

    def is_named(self, index: int, text: str) -> bool:
        """Whether the class of an index, which need not be one, is loosely called that."""
        return index < len(self) and any(index in of.get(plain(text), ()) for of in self._by_plain)

    def shown(self, text: str, index: int) -> str:
        """What a folder or label was matched to, for a note: "'n01440764' is class 0 (tench)"."""
        name = self.entries[index].name
        return f"{text!r} is class {index}" + (f" ({name})" if name not in (str(index), text) else "")

    def displaced(self, names: Sequence[str]) -> list[tuple[int, int]]:
        """Outputs that `names`, of the same outputs in order, calls what this list has at another output.

        Returns:
            (output, the output that has its name here) pairs. Names that no class here has say nothing.
        """
        found = []
        for index, name in enumerate(names):
            form = plain(name)
            here = {at for of in self._by_plain for at in of.get(form, ())}
            if len(here) == 1 and index not in here:
                found.append((index, here.pop()))
        return found


def plain(text: str) -> str:
    """A name without regard to case, Unicode's form and what separates words: Golden_Retriever is golden retriever."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\s_\-./]+", " ", folded).strip()


def numbered_classes(class_count: int) -> ClassList:
    """Classes named by their index, where nothing else is known."""
    return ClassList.from_names([str(index) for index in range(class_count)])


def read_classes(path: Path, class_count: int | None = None, names: Sequence[str] | None = None) -> ClassList:
    """Read a class file, of any of the shapes in `class_files`.

    Args:
        path: text.
        class_count: outputs of the network, if known.
        names: of the outputs in order, where the weights carry them: the file must not have them in another order.

    Raises:
        DataError: missing or malformed file, indices not 0..n-1, keys given twice, n != class_count, or another order.
    """
    parsed = parse_classes(path, read_text(path))
    classes = ClassList(_entries(parsed.classes), path, parsed.notes)
    repeated = [key for key, count in Counter(entry.key for entry in classes.entries).items() if count > 1]
    if repeated:
        raise DataError(f"{path} gives the key {repeated[0]!r} to two classes; keys must differ")
    if class_count is not None:
        check_class_count(classes, class_count)
    if names is not None and len(names) == len(classes):
        _check_order(classes, names)
        if not any(classes.is_named(index, name) for index, name in enumerate(names)):
            note = (
                f"classes: no name in {path} is one that the weights have for the same output (0 is {names[0]!r} there)"
            )
            return replace(classes, notes=(*classes.notes, note))
    return classes


def check_class_count(classes: ClassList, class_count: int) -> None:
    """Raise DataError unless there is one class for each of the network's `class_count` outputs."""
    if len(classes) != class_count:
        where = f"{classes.path} names" if classes.path else "there are"
        hint = ""
        if class_count == len(classes) + 1:
            hint = "; where the first output is a background, name it before the others"
        if class_count == len(classes) - 1 and classes.path:
            hint = f"; the first of it is {classes.entries[0].name!r}: if that is a header, remove it"
        counted = f"{len(classes)} class{'' if len(classes) == 1 else 'es'}"
        raise DataError(
            f"{where} {counted}, but the network has {class_count} output{'' if class_count == 1 else 's'}; "
            f"give the classes of this network with --classes FILE{hint}"
        )


def _entries(classes: Sequence[NamedClass]) -> tuple[ClassEntry, ...]:
    """In order, with the name for a key where the file gives none."""
    if all(key is None for key, _ in classes):
        return ClassList.from_names([name for _, name in classes]).entries
    return tuple(ClassEntry(i, composed(key or name), composed(name)) for i, (key, name) in enumerate(classes))


def _check_order(classes: ClassList, names: Sequence[str]) -> None:
    displaced = classes.displaced(names)
    if len(displaced) > 1:  # one alone is a name that two lists give to neighbours, as "sunglasses"
        index, there = displaced[0]
        raise DataError(
            f"{classes.path} is not in the order of these weights: by their own names output {index} is "
            f"{names[index]!r}, which the file has at {there} ({len(displaced)} such); give the classes in output order"
        )
