"""CSV files that users write: named columns, and errors that give the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evigraph.schema.errors import DataError


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
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        DataError: the file is missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"no file {str(path)!r}; check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def parse_table(path: Path, text: str, required: Sequence[str]) -> Table:
    """The rows of CSV text; column names are compared without case.

    Raises:
        DataError: no header, a required column missing, a column given twice, or a line of another length.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
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
