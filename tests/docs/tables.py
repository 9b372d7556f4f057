"""Tables of a page, which somebody made of the answers that its commands give: they are made again, and compared."""

from __future__ import annotations

import re
from pathlib import Path

_RULE = re.compile(r"\|[-| :]+\|")


def table_of(page: Path, first_column: str, second_column: str) -> list[list[str]]:
    """The rows of the table whose header begins with these columns; emphasis is dropped.

    Raises:
        LookupError: The page has no such table.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    for at, line in enumerate(lines):
        if _RULE.fullmatch(line) and _cells(lines[at - 1])[:2] == [first_column, second_column]:
            rows = []
            for row in lines[at + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(_cells(row))
            return rows
    raise LookupError(f"{page} has no table that begins with {first_column!r}, {second_column!r}")


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("*", "") for cell in line.strip().strip("|").split("|")]
