"""Text files that users write: common encodings, CSV with named columns, the paths in one; errors give the line."""

from __future__ import annotations

import codecs
import csv
import io
import os
import posixpath
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from evigraph.indexer.data.formats import composed
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

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


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


def parse_table(path: Path, text: str, required: Sequence[str]) -> Table:
    """The rows of CSV text; column names are compared without case, and commas, semicolons or tabs separate cells.

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
                columns = tuple(cell.strip().casefold() for cell in cells)
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


class ListPaths:
    """The uris of a table's rows.

    Args:
        table: of the list.
        column: that holds the paths.
        inside: uris of the images that there are, relative to the table's folder; those of "images" may leave that out.
            None where the files themselves say which there are.

    Attributes:
        root: the folder that uris are relative to: the table's, or the one that absolute paths share.
    """

    def __init__(self, table: Table, column: str, inside: Collection[str] | None = None) -> None:
        self._table, self._column = table, column
        self._inside = inside
        self._composed = {composed(uri): uri for uri in sorted(inside or ())}
        self._folders: dict[Path, dict[str, list[str]]] = {}
        self._loose = 0
        self.root = table.path.parent
        texts = [self._local(row) for row in table.rows]
        absolute = [text for text in texts if text.startswith("/")]
        self._base = posixpath.normpath(os.path.abspath(self.root).replace(os.sep, "/"))  # noqa: PTH100
        if absolute and len(absolute) == len(texts) and inside is None:
            folders = {posixpath.dirname(posixpath.normpath(text)) for text in absolute}
            if not all(_below(self._base, folder) for folder in folders):
                self._base = posixpath.commonpath(folders)
                self.root = Path(self._base)
        self._moved = self.root != table.path.parent

    def uri(self, row: Row) -> str:
        """The uri of a row's image.

        Raises:
            DataError: the cell is empty, an address, or lies outside the list's folder.
        """
        given, text = row.cells[self._column], self._local(row)
        if text.startswith("/"):
            normal = posixpath.normpath(text)
            text = posixpath.relpath(normal, self._base) if _below(self._base, normal) else normal
        uri = posixpath.normpath(text)
        if not text or uri == ".":
            raise self._table.error(row, "an empty uri")
        if uri.startswith(("/", "../")) or uri == "..":
            where = str(self.root)
            raise self._table.error(row, f"uri {given!r} lies outside {where!r}; give a path relative to it")
        return self._listed(uri) if self._inside is not None else self._found(uri)

    def notes(self) -> tuple[str, ...]:
        """How paths were read other than as they are written, a sentence each."""
        told = []
        if self._moved:
            told.append(f"the list's paths are absolute, so images are named relative to {str(self.root)!r}")
        if self._loose:
            counted = f"{self._loose} path{'' if self._loose == 1 else 's'} of the list"
            told.append(f"found by a name that differs in case or Unicode form: {counted}")
        return tuple(told)

    def _local(self, row: Row) -> str:
        """A cell as a path with slashes.

        Raises:
            DataError: it is an address or a path of Windows.
        """
        text = row.cells[self._column]
        scheme = _SCHEME.match(text)
        if scheme and scheme[1].lower() == "file":
            return unquote(urlsplit(text).path)
        if scheme:
            raise self._table.error(row, f"uri {text!r} is an address; download the image and give the file's path")
        if _DRIVE.match(text):
            raise self._table.error(row, f"uri {text!r} is a path of Windows; give one relative to the list's folder")
        if "\\" in text and not os.path.lexists(self._table.path.parent / text):
            return text.replace("\\", "/")
        return text

    def _listed(self, uri: str) -> str:
        """Among the images that there are; one that is not there keeps its name."""
        for name in (uri, f"images/{uri}"):
            if name in (self._inside or ()):
                return name
        for name in (composed(uri), composed(f"images/{uri}")):
            if name in self._composed:
                self._loose += 1
                return self._composed[name]
        return f"images/{uri}"

    def _found(self, uri: str) -> str:
        """As the file is called; a uri without a file is kept, to be skipped with that reason."""
        try:
            if os.path.lexists(self.root / uri):
                return uri
        except ValueError:  # a NUL
            return uri
        found = ""
        for part in uri.split("/"):
            names = self._names(self.root / found).get(composed(part).casefold(), [])
            exact = [name for name in names if composed(name) == composed(part)]
            chosen = exact or names
            if len(chosen) != 1:
                return uri
            found = f"{found}/{chosen[0]}" if found else chosen[0]
        self._loose += 1
        return found

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Names in a folder, by their form without case; none where it cannot be read."""
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            try:
                for name in sorted(os.listdir(folder)):  # noqa: PTH208
                    names.setdefault(composed(name).casefold(), []).append(name)
            except OSError:
                pass  # what it should hold is then skipped, with the reason
            self._folders[folder] = names
        return self._folders[folder]


def _below(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
