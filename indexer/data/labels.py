"""Which class of the network each class folder is: by key, name or index, and never by a guess.

Folders are matched by the first of these that fits all of them, and what was done is said:

1. key or name, as written;
2. WordNet id, alone or before a name ("n01440764 tench"); ImageNet's 1,000 ids are known by their sorted order;
3. name, behind a number ("7_goldfish") or alone, without regard to case and to what separates words;
4. index from 0 ("400", "class_007");
5. sorted order, as torchvision's ImageFolder trains, where nothing is known of the classes and the names are neither
   indices nor WordNet ids.

What fits none of them, or fits in two ways, is refused with what to give.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evigraph.indexer.data.class_files import WNID, are_imagenet
from evigraph.indexer.data.classes import ClassEntry, ClassList, numbered_classes, plain
from evigraph.indexer.data.formats import composed
from evigraph.indexer.data.tables import whole_number
from evigraph.schema.errors import DataError
from evigraph.schema.near import near_matches

IMAGENET_OUTPUTS = 1000
"""ImageNet's devkit numbers its classes from 1 in another order than that of networks' outputs."""

BACKGROUND_OUTPUTS = 1001
"""Of networks that put a background class before ImageNet's, as TensorFlow's do: an index is then off by one."""

_WNID_FOLDER = re.compile(rf"({WNID.pattern})(?:[\s_\-.:,]+(.*\S))?", re.IGNORECASE)

_NUMBERED = re.compile(
    r"(?:([^0-9]*[^0-9\s_\-.:=#])[\s_\-.:=#]*|#)?([0-9]{1,9})(?:[\s_\-.:]+(\S*[^\W\d_].*))?", re.DOTALL
)
"""A word, a number, a name: "class_007", "7", "007.Kestrel"; but not "-1" or "1.5"."""

_INDEX_WORDS = frozenset({"", "c", "cat", "category", "class", "cls", "id", "idx", "index", "label", "target", "y"})
"""Words before a number that is meant as a class's index."""

_GIVE = "give --classes FILE with a key or name for each output that folders can be matched to"


@dataclass(frozen=True)
class Matched:
    """The class of each folder that holds images, and how it was found (`DataSource.labels_by`)."""

    classes: ClassList
    label_ids: Mapping[str, int]
    labels_by: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Folders:
    """Class folders: `all` of them, in sorted order, and those that hold images (`used`)."""

    root: Path
    all: Sequence[str]
    used: Sequence[str]
    classes: ClassList | None
    class_count: int

    def error(self, problem: str) -> DataError:
        return DataError(f"{str(self.root)!r}: {problem}")


def match_folders(
    root: Path, folders: Sequence[str], used: Sequence[str], classes: ClassList | None, class_count: int
) -> Matched:
    """The class of each folder in `used`.

    Args:
        root: where they lie, for messages.
        folders: all class folders, in sorted order.
        used: those that hold images.
        classes: of the network, if anything is known of them.
        class_count: outputs of the network.

    Raises:
        DataError: nothing says for certain which class each is.
        AmbiguousError: a folder's name is that of two classes.
    """
    given = _Folders(root, folders, used, classes, class_count)
    ways = (_by_key_or_name, _by_wnid, _by_name_behind_number, _by_loose_name, _by_index, _by_sorted_order)
    for way in ways:
        if matched := way(given):
            return matched
    raise _unmatched(given)


def _by_key_or_name(given: _Folders) -> Matched | None:
    if given.classes is None:
        return None
    found = {folder: given.classes.match(folder) for folder in given.used}
    label_ids = {folder: index for folder, index in found.items() if index is not None}
    return Matched(given.classes, label_ids, "key or name") if len(label_ids) == len(found) else None


def _by_wnid(given: _Folders) -> Matched | None:
    matches = {folder: _WNID_FOLDER.fullmatch(folder) for folder in given.used}
    split = {folder: (match[1].lower(), match[2]) for folder, match in matches.items() if match}
    if len(split) < len(matches):
        return None
    if given.classes is not None:
        by_key = {folder: given.classes.match(wnid) for folder, (wnid, _) in split.items()}
        if None not in by_key.values():
            return _checked_names(given, given.classes, {f: i for f, i in by_key.items() if i is not None}, split)
    wnids = sorted({match[1].lower() for folder in given.all if (match := _WNID_FOLDER.fullmatch(folder))})
    if are_imagenet(wnids) and len(given.all) == given.class_count == len(wnids) and _may_be_imagenet(given.classes):
        by_order = {folder: wnids.index(wnid) for folder, (wnid, _) in split.items()}
        note = (
            "labels: the folders are ImageNet's 1,000 WordNet ids, whose sorted order is that of the outputs of "
            f"published networks: {wnids[0]!r} is class 0 and {wnids[-1]!r} class 999"
        )
        return Matched(given.classes or ClassList.from_names(given.all), by_order, "sorted folders", (note,))
    if all(name for _, name in split.values()):
        names = {folder: name for folder, (_, name) in split.items() if name}
        if matched := _by_names(given, names, "behind their WordNet id"):
            return matched
    raise given.error(
        f"the {len(given.used)} folders are WordNet ids such as {given.used[0]!r}, and no id of a class is known; "
        "give --classes FILE with the id of each output: a CSV with the columns index, wnid, name, or a list of "
        "ImageNet's such as LOC_synset_mapping.txt or imagenet_class_index.json"
    )


def _may_be_imagenet(classes: ClassList | None) -> bool:
    """Whether names, where there are any, begin and end as ImageNet's."""
    if classes is None:
        return True
    return "tench" in plain(classes.entries[0].name) and "toilet" in plain(classes.entries[-1].name)


def _checked_names(
    given: _Folders, classes: ClassList, label_ids: dict[str, int], split: Mapping[str, tuple[str, str | None]]
) -> Matched:
    """Folders matched by an id in front of their name, unless a name is that of another class."""
    for folder, (_, name) in split.items():
        named = classes.match_only(name) if name else None
        if named is not None and named != label_ids[folder]:
            raise given.error(
                f"folder {folder!r} has the id of class {label_ids[folder]} and the name of class {named}; "
                f"rename it, or correct {classes.path or 'the class names'}"
            )
    example = next(iter(split))
    shown = classes.shown(example, label_ids[example])
    note = f"labels: folders were matched by the WordNet id that they begin with: {shown}"
    return Matched(classes, label_ids, "key", (note,))


def _by_name_behind_number(given: _Folders) -> Matched | None:
    numbered = _numbers(given.used)
    if given.classes is None or numbered is None or not numbered.names:
        return None
    # of two classes of one name it is the one of that number
    told = {
        folder: given.classes.entries[number].key if given.classes.is_named(number, name) else name
        for folder, name in numbered.names.items()
        for number in (numbered.numbers[folder],)
    }
    return _by_names(given, told, "behind their number")


def _by_names(given: _Folders, names: Mapping[str, str], where: str) -> Matched | None:
    """By a part of each folder's name; None unless all parts name a class."""
    if given.classes is None:
        return None
    found = {folder: given.classes.match_loosely(name) for folder, name in names.items()}
    label_ids = {folder: index for folder, index in found.items() if index is not None}
    if len(label_ids) < len(found):
        return None
    _refuse_shared(given, label_ids)
    example = next(iter(label_ids))
    note = f"labels: folders were matched by the name {where}: {given.classes.shown(example, label_ids[example])}"
    return Matched(given.classes, label_ids, "normalised name", (note,))


def _by_loose_name(given: _Folders) -> Matched | None:
    if given.classes is None:
        return None
    exact = {folder: given.classes.match(folder) for folder in given.used}
    found = {folder: given.classes.match_loosely(folder) if index is None else index for folder, index in exact.items()}
    label_ids = {folder: index for folder, index in found.items() if index is not None}
    if len(label_ids) < len(found):
        return None
    _refuse_shared(given, label_ids)
    loose = [folder for folder, index in exact.items() if index is None]
    note = (
        f"labels: {len(loose)} of {len(found)} folders were matched to class names without regard to case and to what "
        f"separates words: {given.classes.shown(loose[0], label_ids[loose[0]])}"
    )
    return Matched(given.classes, label_ids, "normalised name", (note,))


def _refuse_shared(given: _Folders, label_ids: Mapping[str, int]) -> None:
    """Refuse two folders that only loosely have the name of one class: they may be two classes."""
    first: dict[int, str] = {}
    for folder, index in label_ids.items():
        other = first.setdefault(index, folder)
        if composed(other) != composed(folder):
            raise given.error(f"folders {other!r} and {folder!r} may both be class {index}; rename or merge them")


@dataclass(frozen=True)
class _Numbered:
    """Folders that are a number with one word before it: the numbers, and the names behind them, if all have one."""

    word: str
    numbers: Mapping[str, int]
    names: Mapping[str, str]

    @property
    def in_text_order(self) -> bool:
        """Whether sorting the folders as text and by number is the same."""
        by_text = [self.numbers[folder] for folder in sorted(self.numbers)]
        return by_text == sorted(by_text)


def _numbers(folders: Sequence[str]) -> _Numbered | None:
    matches = {folder: match for folder in folders if (match := _NUMBERED.fullmatch(folder))}
    if len(matches) < len(folders) or any(_WNID_FOLDER.fullmatch(folder) for folder in folders):
        return None
    words = {(match[1] or "").casefold().strip() for match in matches.values()}
    named = {folder: match[3] for folder, match in matches.items() if match[3]}
    if len(words) != 1 or len(named) not in (0, len(matches)):
        return None
    return _Numbered(words.pop(), {folder: int(match[2]) for folder, match in matches.items()}, named)


def _by_index(given: _Folders) -> Matched | None:
    numbered = _numbers(given.used)
    count, classes = given.class_count, given.classes
    if numbered is None or (classes is not None and (numbered.names or numbered.word not in _INDEX_WORDS)):
        return None
    everywhere = {int(match[2]) for folder in given.all if (match := _NUMBERED.fullmatch(folder))}
    top, all_there = max(everywhere), len(everywhere) == len(given.all) == count
    shown = f"the folders {given.used[0]!r} to {given.used[-1]!r}"
    if len({*numbered.numbers.values()}) < len(numbered.numbers):
        if numbered.names:
            return None
        raise given.error(f"two of {shown} have one number; {_GIVE}")
    if all_there and numbered.in_text_order and classes is None:
        if everywhere == set(range(count)):
            return _sorted(given, "whose numbers, which are their sorted order, are the class indices")
        if everywhere == set(range(1, count + 1)) and count != IMAGENET_OUTPUTS:
            return _sorted(given, "whose numbers, which are their sorted order, count from 1")
    if top >= count:
        if numbered.in_text_order and all_there and top > count:
            return None  # no indices at all, as ages are
        raise given.error(
            f"{shown} are numbered to {top}, and the {count} outputs from 0 to {count - 1}; rename the folders to the "
            f"indices from 0, or {_GIVE}"
        )
    low = min(everywhere)
    if (low == 1 and 2 * len(everywhere) >= top) or (low > 0 and numbered.names):
        raise given.error(
            f"{shown} are numbered from {low}: whether '{low}' is output {low} or output {low - 1} cannot be told; "
            f"rename the folders to the indices from 0, or {_GIVE}"
        )
    if numbered.word not in _INDEX_WORDS and not (all_there and numbered.in_text_order):
        raise given.error(
            f"{shown} may be counted by their number or sorted as text, as torchvision's ImageFolder does; {_GIVE}"
        )
    if _may_lack_background(given, everywhere):
        raise given.error(
            f"{shown} are indices up to {top}, and the network has {count} outputs: whether output 0 is a background, "
            f"which would move every class by one, cannot be told; {_GIVE}"
        )
    return _indexed(given, numbered)


def _may_lack_background(given: _Folders, indices: Collection[int]) -> bool:
    """Whether indices may be those of a list without the background class that the network has before the others."""
    count = given.class_count
    if given.classes is not None:
        return "background" in plain(given.classes.entries[0].name) and count - 1 not in indices
    return (count == BACKGROUND_OUTPUTS and count - 1 not in indices) or (
        count > 2 and set(indices) == set(range(count - 1))
    )


def _indexed(given: _Folders, numbered: _Numbered) -> Matched:
    classes = given.classes or numbered_classes(given.class_count)
    if numbered.names:
        by_index = {numbered.numbers[folder]: folder for folder in given.used}
        classes = ClassList(
            tuple(
                ClassEntry(i, by_index[i], composed(numbered.names[by_index[i]])) if i in by_index else entry
                for i, entry in enumerate(classes.entries)
            )
        )
    example = next((folder for folder in given.used if numbered.numbers[folder] > 1), given.used[-1])
    note = f"labels: folders are class indices from 0: {classes.shown(example, numbered.numbers[example])}"
    if not numbered.in_text_order:
        note += "; a network that was trained on them sorted as text (torchvision's ImageFolder) needs --classes FILE"
    return Matched(classes, numbered.numbers, "index", (note,))


def _by_sorted_order(given: _Folders) -> Matched | None:
    """Only where nothing is known of the classes, and the names are those of no index and of no WordNet id."""
    if given.classes is not None or len(given.all) != given.class_count:
        return None
    if any(_WNID_FOLDER.fullmatch(folder) for folder in given.all):
        return None
    if sorted(given.all, key=composed) != list(given.all):
        return None  # macOS writes accents so that names sort otherwise than where the network was trained
    numbers = [folder for folder in given.all if whole_number(folder) is not None]
    numbered = _numbers(numbers if 2 < len(numbers) > len(given.all) / 2 else given.all)
    if numbered is not None and not numbered.in_text_order:
        return None
    return _sorted(given, "in sorted order, as torchvision's ImageFolder takes them")


def _sorted(given: _Folders, how: str) -> Matched:
    classes = ClassList.from_names(given.all)
    by_order = {folder: index for index, folder in enumerate(given.all)}
    pairs = [f"{folder!r} is class {index}" for folder, index in by_order.items()]
    shown = ", ".join(pairs[:3]) + (f" ... {pairs[-1]}" if len(pairs) > 3 else "")
    empty = len(given.all) - len(given.used)
    note = f"labels: the folders are the classes, {how}: {shown}"
    if empty:
        note += f" ({empty} of them without images)"
    return Matched(
        classes, by_order, "sorted folders", (note + "; give --classes FILE if the network has another order",)
    )


def _unmatched(given: _Folders) -> DataError:
    if given.classes is None:
        unmatched = given.used
    else:
        unmatched = [folder for folder in given.used if given.classes.match_only(folder) is None] or given.used
    shown = ", ".join(map(repr, unmatched[:5])) + (f" and {len(unmatched) - 5} more" if len(unmatched) > 5 else "")
    if given.classes is None:
        return DataError(
            f"{str(given.root)!r} has {len(given.all)} class folders and the network {given.class_count} outputs; "
            f"say which is which with --classes FILE (folders: {shown})"
        )
    near = near_matches(unmatched[0], given.classes.known())
    return DataError(
        f"{len(unmatched)} of {len(given.used)} folders in {str(given.root)!r} match no class: {shown}"
        + (f"; near {unmatched[0]!r}: {', '.join(map(repr, near))}" if near else "")
        + f"; rename them, or name the classes in output order with --classes FILE "
        f"(now {given.classes.path or 'the names that came with the weights'})"
    )
