"""Class files in the shapes that people have them in: each becomes names, and keys where it has them, in output order.

    text          one name a line; "0 tench", "0: tench"; "/a/airfield 0" (Places365);
                  "n01440764 tench, Tinca tinca" (synset_words.txt, LOC_synset_mapping.txt)
    CSV           columns index, an id such as wnid, name; separated by commas, semicolons or tabs
    JSON          a list of names; {"0": "tench"}, {"0": ["n01440764", "tench"]} (Keras), {"tench": 0} (class_to_idx);
                  the same under id2label, label2id, class_to_idx or names, as in Hugging Face's config.json
    Python        a dict or list as JSON has it, with or without NAME = before it
    YAML          a list or mapping under names:, as Ultralytics has it

Where numbers and lines disagree, or a number is missing, the file is refused: an order is never guessed.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evigraph.indexer.data.tables import (
    DELIMITERS,
    Pairs,
    Table,
    document_of,
    parse_table,
    unquoted,
    whole_number,
    yaml_names,
)
from evigraph.schema.errors import DataError

NamedClass = tuple[str | None, str]
"""Key, if the file has one, and name."""

ID_COLUMNS = ("key", "wnid", "id", "synset", "folder")
"""Columns taken for the key where a class file has several beside index and name; else the first."""

_WITHIN = (
    *("id2label", "label2id", "class_to_idx", "idx_to_class", "names", "classes", "categories", "label_names"),
    *("class_names", "labels", "idx_to_label", "idx2label", "label_to_idx"),
)
"""Under which a larger document has its classes."""

_COLUMNS = {
    "index": ("idx", "class_idx", "class_index", "class_id", "label_id", "id", "label", "class", "target", ""),
    "name": ("class_name", "label_name", "name", "class", "label", "category", "words", "description"),
}
"""What else the columns of a CSV are called, the likeliest first."""

SHAPES = (
    "give one name a line in output order, a CSV with the columns index, wnid, name, or JSON such as "
    '["tench", ...] or {"0": "tench", ...}'
)

WNID = re.compile(r"n[0-9]{8}")

IMAGENET_WNIDS = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
"""SHA-256 of the ids of ILSVRC 2012's 1,000 classes (image-net.org), sorted and joined by line feeds."""


def are_imagenet(wnids: Collection[str]) -> bool:
    """Whether WordNet ids are those of ImageNet's 1,000 classes, in any order."""
    return hashlib.sha256("\n".join(sorted(wnids)).encode()).hexdigest() == IMAGENET_WNIDS


_ARROW = r"\s*[-=]>\s*"
_INDEX_FIRST = re.compile(rf"\(?([0-9]+)(?:{_ARROW}|\s*[:;=,|]\s*|\s+[-–]\s+|[.)]\s+|\s+)(\S.*)")
_INDEX_LAST = re.compile(rf"(\S.*?)(?:{_ARROW}|\s*[:;=,|]\s*|\s+)([0-9]+)")
_QUOTED = re.compile(r"(?P<mark>[\"'])[^\"']+(?P=mark),?")
_WNID_FIRST = re.compile(rf"({WNID.pattern})(?:\s*[:;=,|]\s*|\s+)(\S.*)")


@dataclass(frozen=True)
class ParsedClasses:
    """The classes of a file in output order, and how it was read, where the user should know."""

    classes: tuple[NamedClass, ...]
    notes: tuple[str, ...] = ()


def parse_classes(path: Path, text: str) -> ParsedClasses:
    """The classes that a file names.

    Args:
        path: of the file, for messages; its suffix matters for .csv, .tsv, .yaml and .yml alone.
        text: what it holds.

    Raises:
        DataError: it names none, is malformed, or does not say which output each class is.
    """
    parsed = _parse(path, text)
    if not parsed.classes:
        raise DataError(f"{path} names no class; {SHAPES}")
    keys = [key or name for key, name in parsed.classes]
    if keys != sorted(keys) and all(map(WNID.fullmatch, keys)):
        note = (
            f"classes: {path} has its WordNet ids in another order than sorted, as torchvision's ImageFolder has them"
        )
        if are_imagenet(keys):
            note = (
                f"classes: {path} has ImageNet's ids in another order than the outputs of published networks, which "
                "are sorted by id"
            )
        return replace(parsed, notes=(*parsed.notes, note))
    return parsed


def _parse(path: Path, text: str) -> ParsedClasses:
    header = {cell.strip().strip('"').casefold() for cell in re.split("[,;\t]", text.lstrip().split("\n", 1)[0])}
    suffix = path.suffix.lower()
    rows = text.strip().split("\n")
    if suffix in (".csv", ".tsv") and rows != [""] and not any(mark in text for mark in DELIMITERS):
        titled = rows[0].strip().strip('"').casefold() in _COLUMNS["name"]
        return _of_lines(path, "\n".join(rows[titled:]))
    if {"index", "name"} <= header or (suffix in (".csv", ".tsv") and not _is_headerless(text)):
        return ParsedClasses(_of_table(parse_table(path, text, ("index", "name"), _COLUMNS)))
    document = document_of(path, text, SHAPES)
    if document is not None:
        return ParsedClasses(_of_document(path, document))
    if suffix in (".yaml", ".yml") or re.match(r"names\s*:\s*(#.*)?$", text.lstrip().split("\n", 1)[0]):
        return ParsedClasses(_of_document(path, yaml_names(path, text, SHAPES)))
    return _of_lines(path, text)


def _is_headerless(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    keyed = re.compile(rf'"?([0-9]+|{WNID.pattern})"?\s*[,;\t]')
    return bool(lines) and all(keyed.match(line.strip()) for line in lines)


def _of_table(table: Table) -> tuple[NamedClass, ...]:
    others = [column for column in table.columns if column not in ("index", "name")]
    key_column = next((column for column in ID_COLUMNS if column in others), others[0] if others else None)
    classes: dict[int, NamedClass] = {}
    for row in table.rows:
        index, name = whole_number(row.cells["index"]), row.cells["name"]
        key = row.cells[key_column] if key_column else None
        if index is None:
            raise table.error(row, f"index {row.cells['index']!r} is not a whole number from 0")
        if key == "" or not name:
            raise table.error(row, f"an empty {'name' if not name else key_column!r}")
        if index in classes:
            raise table.error(row, f"index {index} is given twice")
        classes[index] = (key, name)
    return _in_order(table.path, classes)


def _in_order(path: Path, classes: dict[int, NamedClass]) -> tuple[NamedClass, ...]:
    """By index from 0; refused where one is missing."""
    missing = next((index for index in range(len(classes)) if index not in classes), None)
    if missing is not None:
        lowest = min(classes)
        hint = "; its first is 1: number the classes from 0, as the network's outputs are" if lowest == 1 else ""
        raise DataError(f"{path} has {len(classes)} classes but no index {missing}; indices must be 0 to n-1{hint}")
    return tuple(classes[index] for index in range(len(classes)))


def _of_lines(path: Path, text: str) -> ParsedClasses:
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if "" in lines and lines != [""]:
        raise DataError(f"{path}, line {lines.index('') + 1}: blank; every line must name one class")
    commented = [line for line in lines if re.match(r"#(\s|$)", line)]
    lines = [line for line in lines if line and line not in commented]
    notes: tuple[str, ...] = ()
    if commented:
        notes = (f"classes: lines of {path} that begin with # were left out ({commented[0]!r})",)
    if len(lines) == 1 and (mark := next((mark for mark in ",;\t" if mark in lines[0]), None)):
        lines = [
            cell.strip() for cell in next(csv.reader(lines, delimiter=mark, skipinitialspace=True)) if cell.strip()
        ]
    if all(map(_QUOTED.fullmatch, lines)):
        lines = [unquoted(line.rstrip(",")) for line in lines]
    parsed = _of_bare_lines(path, lines)
    return replace(parsed, notes=(*notes, *parsed.notes))


def _of_bare_lines(path: Path, lines: Sequence[str]) -> ParsedClasses:
    if wnids := _all_match(_WNID_FIRST, lines):
        return ParsedClasses(_of_wnids(path, wnids))
    if pairs := _all_match(_INDEX_FIRST, lines):
        named = [unquoted(name.rstrip(",")) if name[0] in "\"'" else name for _, name in pairs]
        by_space = all(line[len(number)].isspace() for line, (number, _) in zip(lines, pairs, strict=True))
        numbered = _numbered(path, [number for number, _ in pairs], named)
        if numbered is not None:
            return numbered
        if not by_space or any("\t" in line for line in lines):
            raise DataError(
                f"{path} begins its lines with numbers that are not 0 to {len(lines) - 1}, each once; number the "
                "classes by their output, or leave the numbers out"
            )
        note = f"classes: the numbers that lines of {path} begin with are no indices, and were taken for parts of names"
        return ParsedClasses(tuple((None, line) for line in lines), (note,))
    if pairs := _all_match(_INDEX_LAST, lines):
        names = [_without_letter(name) for name, _ in pairs]
        numbered = _numbered(path, [number for _, number in pairs], names) if len({*names}) == len(names) else None
        if numbered is not None:
            return numbered
    return ParsedClasses(tuple((None, line) for line in lines))


def _numbered(path: Path, texts: Sequence[str], names: Sequence[str]) -> ParsedClasses | None:
    """Classes by the number beside each name, from 0; or from 1, as lines are numbered. None for other numbers."""
    numbers = [whole_number(text) for text in texts]
    if any(number is None for number in numbers):
        return None
    by_number = sorted(zip((number or 0 for number in numbers), names, strict=True))
    order = [number for number, _ in by_number]
    notes: tuple[str, ...] = ()
    if order == list(range(1, len(names) + 1)) and len(names) > 1:
        if numbers != order:
            raise DataError(f"{path} numbers its classes from 1; number them from 0, as the network's outputs are")
        notes = (f"classes: {path} numbers its lines from 1, so its number 1 ({names[0]!r}) was taken for output 0",)
    elif order != list(range(len(names))):
        return None
    named = [name for _, name in by_number]
    if wnids := _all_match(_WNID_FIRST, named):
        return ParsedClasses(_of_wnids(path, wnids), notes)
    return ParsedClasses(tuple((None, name) for name in named), notes)


def _of_wnids(path: Path, pairs: Sequence[tuple[str, str]]) -> tuple[NamedClass, ...]:
    """Of lines such as "n01440764 tench, Tinca tinca", in their order."""
    numbered = [match for _, rest in pairs if (match := re.fullmatch(r"([0-9]{1,9})\s+(\S.*)", rest))]
    if len(pairs) > 1 and sorted(int(match[1]) for match in numbered) == list(range(len(pairs))):
        rows = zip(pairs, numbered, strict=True)
        return tuple((wnid, match[2]) for (wnid, _), match in sorted(rows, key=lambda row: int(row[1][1])))
    if len(pairs) > 1 and len(numbered) == len(pairs):
        raise DataError(
            f"{path} has a number behind each WordNet id, as ImageNet's devkit numbers its classes, which is not "
            "the order of networks' outputs; give a CSV with the columns index, wnid, name"
        )
    return tuple((wnid, unquoted(name)) for wnid, name in pairs)


def _all_match(pattern: re.Pattern[str], lines: Sequence[str]) -> list[tuple[str, str]]:
    """The two groups of each line; none unless all lines match."""
    matches = [pattern.fullmatch(line) for line in lines]
    return [(match[1], match[2]) for match in matches if match] if all(matches) else []


def _without_letter(name: str) -> str:
    """The name "airfield" of Places365's "/a/airfield"."""
    return re.sub(r"^/[a-z]/(?=.)", "", name)


def _of_document(path: Path, document: Any) -> tuple[NamedClass, ...]:
    if isinstance(document, Pairs):
        within = _named_values(document)
        for name in _WITHIN:
            if len(within.get(name, ())) > 1:
                raise DataError(f"{path} has {name!r} several times; give a file that has the classes alone")
            if name in within:
                return _of_document(path, within[name][0])
        return _of_pairs(path, document)
    if not isinstance(document, list):
        raise DataError(f"{path} holds no classes; {SHAPES}")
    if document and all(isinstance(entry, Pairs) for entry in document):
        return _of_records(path, [{str(key): value for key, value in entry} for entry in document])
    return tuple(_named(path, entry) for entry in document)


def _named_values(document: Pairs) -> dict[str, list[Any]]:
    """Lists and mappings by their name, the outermost of each."""
    named = {key: [value] for key, value in document if isinstance(key, str) and isinstance(value, list)}
    deeper: dict[str, list[Any]] = {}
    for (value,) in named.values():
        for key, values in (_named_values(value) if isinstance(value, Pairs) else {}).items():
            deeper.setdefault(key, []).extend(values)
    return deeper | named


def _of_pairs(path: Path, pairs: Pairs) -> tuple[NamedClass, ...]:
    """Of {index: name}, {name: index}, or {WordNet id: name} in sorted order."""
    keys = [key for key, _ in pairs]
    names = all(isinstance(value, str) and whole_number(value) is None for _, value in pairs)
    if pairs and names and all(WNID.fullmatch(str(key)) for key in keys) and keys == sorted({*keys}):
        return tuple((key, value.strip()) for key, value in pairs)
    if not any(_is_int(key) or whole_number(str(key)) is not None for key in keys):
        texts = [value if isinstance(value, str) else "" for _, value in pairs]
        if all(whole_number(text) is not None for text in texts):
            pairs = Pairs((key, int(text)) for key, text in zip(keys, texts, strict=True))
    if pairs and all(_is_int(value) for _, value in pairs):
        if all(_is_int(key) for key, _ in pairs) and any(key != value for key, value in pairs):
            raise DataError(
                f"{path} maps numbers to numbers, so which are outputs cannot be told; put names into quotes"
            )
        pairs = Pairs((value, str(key)) for key, value in pairs)
    classes: dict[int, NamedClass] = {}
    for key, value in pairs:
        index = key if _is_int(key) else whole_number(key) if isinstance(key, str) else None
        if index is None:
            raise DataError(f"{path} names {str(key)[:60]!r}, which is no output's index; {SHAPES}")
        if index in classes:
            raise DataError(f"{path} gives index {index} twice; name each output once")
        classes[index] = _named(path, value)
    return _in_order(path, classes)


def _of_records(path: Path, records: Sequence[dict[str, Any]]) -> tuple[NamedClass, ...]:
    """Of [{"id": 0, "name": "tench"}, ...]."""
    column = next((c for c in ("index", "id", "class_id") if all(_is_int(r.get(c)) for r in records)), None)
    if not any(_is_int(value) for record in records for value in record.values()):
        records, column = [{"index": index, **record} for index, record in enumerate(records)], "index"
    if column is None or not all(isinstance(record.get("name"), str) for record in records):
        raise DataError(f"{path} lists records without an index and a name each; {SHAPES}")
    classes: dict[int, NamedClass] = {}
    for record in records:
        if record[column] in classes:
            raise DataError(f"{path} gives {column} {record[column]} twice; name each output once")
        key = next((record[c] for c in ("wnid", "synset", "key", "id") if isinstance(record.get(c), str)), None)
        classes[record[column]] = (key, record["name"])
    return _in_order(path, classes)


def _named(path: Path, value: Any) -> NamedClass:
    """A class from its name, or from [key, name]."""
    if isinstance(value, str) and value.strip():
        return None, value.strip()
    pair = isinstance(value, list) and len(value) == 2 and not isinstance(value, Pairs)
    if pair and all(isinstance(part, str) and part.strip() for part in value):
        return value[0].strip(), value[1].strip()
    raise DataError(f"{path} holds {str(value)[:60]!r} where a class's name is expected; {SHAPES}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
