"""Text files that users write: common encodings, CSV with named columns, JSON, Python, YAML; errors give the line."""

from __future__ import annotations

import ast
import codecs
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evigraph.schema.errors import DataError

DELIMITERS = (",", ";", "\t")
"""What may separate the columns of a table; the header says which it is."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's mark does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and the encodings that they announce."""


@dataclass(frozen=True)
class Row:
    """One line of a table: `line` counts from 1 (the header), `cells` are stripped, by column name."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A CSV file with a header; blank lines are left out."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def error(self, row: Row, problem: str) -> DataError:
        """The error that says which line of which file has `problem`."""
        return DataError(f"{self.path}, line {row.line}: {problem}")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 as Windows writes them; lines end in a line feed.

    Raises:
        DataError: the file is missing, unreadable or in another encoding.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"no file {str(path)!r}; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return _decoded(path, content).replace("\r\n", "\n").replace("\r", "\n")


def parse_table(
    path: Path,
    text: str,
    required: Sequence[str],
    also: Mapping[str, Sequence[str]] | None = None,
    repeated: str = "",
) -> Table:
    """The rows of CSV text; column names are compared without case, and commas, semicolons or tabs separate cells.

    A column that is missing is the first of those that `also` has for it, and is called as it is required. The column
    `repeated` may be there several times: those after the first are called "NAME 2", "NAME 3" ...

    Raises:
        DataError: no header, a required column missing, a column given twice, or a line of another length.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text, required))
    rows: list[Row] = []
    columns: tuple[str, ...] = ()
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = _renamed([cell.strip().casefold() for cell in cells], also or {})
                columns = tuple(
                    f"{name} {columns[: at + 1].count(name)}" if name == repeated and name in columns[:at] else name
                    for at, name in enumerate(columns)
                )
                _check_header(path, columns, required)
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells where the header has "
                    f"{len(columns)}; put names that hold a comma into double quotes"
                )
            stripped = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
            rows.append(Row(reader.line_num, stripped))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if not columns:
        raise DataError(f"{path} is empty; its first line must name the columns {', '.join(required)}")
    return Table(path, columns, tuple(rows))


def _renamed(columns: list[str], also: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    for name, others in also.items():
        other = next((other for other in others if other in columns), None)
        if name not in columns and other is not None:
            columns = [name if column == other else column for column in columns]
    return tuple(columns)


def read_table(path: Path, required: Sequence[str]) -> Table:
    """`parse_table` of a file."""
    return parse_table(path, read_text(path), required)


def whole_number(text: str) -> int | None:
    """The number that up to nine digits write, leading zeros among them; None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _decoded(path: Path, content: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None) or _unmarked(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding not in ("utf-8", "utf-8-sig"):
            raise DataError(f"{path} begins as {encoding.upper()} and is damaged; save it as UTF-8") from None
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start}; it may be Latin-1 or Windows-1252); save it as UTF-8, "
            f"as iconv -f WINDOWS-1252 -t UTF-8 does"
        ) from None
    if "\0" in text:
        raise DataError(f"{path} is not text (it holds a zero byte); give a text file in UTF-8")
    return text.removeprefix("\ufeff")  # a mark that was encoded once more


def _unmarked(content: bytes) -> str:
    """UTF-8, or UTF-16 without a mark, whose every other byte is zero in text that is mostly Latin letters."""
    head = content[:200]
    if len(head) >= 4 and len(content) % 2 == 0:
        if head[1::2].count(0) > 0.8 * len(head[1::2]) and 0 not in head[::2]:
            return "utf-16-le"
        if head[::2].count(0) > 0.8 * len(head[::2]) and 0 not in head[1::2]:
            return "utf-16-be"
    return "utf-8"


def _delimiter(text: str, required: Sequence[str]) -> str:
    """The one under which the header has the required columns, else the one that makes most columns of it."""
    header = next((line for line in text.split("\n") if line.strip()), "")
    columns = {mark: [cell.strip().strip('"').casefold() for cell in header.split(mark)] for mark in DELIMITERS}
    for mark in DELIMITERS:
        if required and set(required) <= set(columns[mark]):
            return mark
    return max(DELIMITERS, key=lambda mark: len(columns[mark]))


def _check_header(path: Path, columns: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        raise DataError(
            f"{path} has no column {' or '.join(repr(name) for name in missing)}; its columns are "
            f"{', '.join(repr(name) for name in columns)}, and {', '.join(required)} are needed"
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} twice; rename one")


class Pairs(list[tuple[Any, Any]]):
    """A mapping as it is written, so that a key that is given twice is seen."""


def document_of(path: Path, text: str, hint: str) -> Any:
    """The JSON or Python value that a text is; None where it is neither.

    Raises:
        DataError: it begins as one and is none; `hint` ends the message.
    """
    bare = re.sub(r"^((#|from\s|import\s).*\n|\s*\n)+", "", text)
    start = re.sub(r"^\s*[A-Za-z_]\w*\s*=\s*(?=[\[{(]|[\w.]+\()", "", bare, count=1).strip()
    if not re.match(r"[\[{(]|(?:[\w.]+\.)?(?:OrderedDict|dict)\(", start):
        return None
    try:
        return json.loads(start, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line, object_pairs_hook=Pairs) for line in start.splitlines()]
    except (ValueError, RecursionError):
        pass
    try:
        return _literal(ast.parse(start.rstrip(";"), mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        if start.startswith("("):
            return None
        raise DataError(f"{path} begins as JSON or as a Python dict and is neither; {hint}") from None


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict):
        keys = [key for key in node.keys if key is not None]
        if len(keys) != len(node.values):
            raise ValueError("unpacking")
        return Pairs((_literal(key), _literal(value)) for key, value in zip(keys, node.values, strict=True))
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        return _literal(node.args[0])  # OrderedDict
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(value) for value in node.elts]
    return ast.literal_eval(node)


def yaml_names(path: Path, text: str, hint: str) -> list[str] | Pairs:
    """What lies under names:, as a list or as pairs; of YAML only what Ultralytics' data sets use.

    Raises:
        DataError: there is no such thing; `hint` ends the message.
    """
    lines = text.split("\n")
    at = next((i for i, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if at is None:
        raise DataError(f"{path} has no names:, under which the classes of a YAML file are looked for; {hint}")
    rest = lines[at].partition(":")[2].strip()
    if rest.startswith(("[", "{")):
        return _yaml_flow(path, rest + "".join(lines[at + 1 :]), hint)
    block = []
    for line in lines[at + 1 :]:
        bare = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        if bare and not bare.startswith((" ", "\t", "-")):
            break
        if bare.strip():
            block.append(bare.strip())
    if block and all(line.startswith("- ") for line in block):
        return [unquoted(line[2:]) for line in block]
    pairs = [re.fullmatch(r"[\"']?([0-9]+)[\"']?\s*:\s+(\S.*)", line) for line in block]
    if not block or not all(pairs):
        raise DataError(f"{path}: under names: stands neither a list nor lines such as '0: person'; {hint}")
    return Pairs((match[1], unquoted(match[2])) for match in pairs if match)


def _yaml_flow(path: Path, text: str, hint: str) -> list[str] | Pairs:
    """[a, 'b c'] or {0: a, 1: b}."""
    close = text.find("]" if text[0] == "[" else "}")
    parts = [part.strip() for part in re.findall(r"(?:'[^']*'|\"[^\"]*\"|[^,'\"])+", text[1:close])]
    parts = [part for part in parts if part]
    if close < 0 or not parts:
        raise DataError(f"{path}: names: is not closed, or empty; {hint}")
    if text[0] == "[":
        return [unquoted(part) for part in parts]
    split = [part.partition(":") for part in parts]
    return Pairs((unquoted(key), unquoted(name)) for key, _, name in split)


def unquoted(text: str) -> str:
    """Without the quotes around it, if it has a pair."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
