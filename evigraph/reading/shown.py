"""HTML for notebooks: tables and pictures, with every name as text, in the notebook's own colours, light or dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SIDE = 96
"""The longest side of a picture in a table, in pixels."""
_CELL, _LINE = 40, 120
"""Characters of a cell and of a line, in text."""


@dataclass(frozen=True)
class Picture:
    """An encoded picture, which a notebook draws.

    Attributes:
        media_type: "image/png", "image/jpeg" or "image/webp".
        content: Its bytes, as a file has them.
    """

    media_type: str
    content: bytes

    def tag(self, side: int | None = SIDE) -> str:
        """An HTML element that holds it; `side` is the longest that is shown, in pixels."""
        data = base64.b64encode(self.content).decode()
        # Jupyter makes a block of each image, a line of its own.
        style = "" if side is None else f' style="display:inline-block;max-width:{side}px;max-height:{side}px"'
        return f'<img alt="" src="data:{self.media_type};base64,{data}"{style}>'

    def __repr__(self) -> str:
        """Its type and size."""
        return f"Picture {self.media_type}, {len(self.content)} bytes"

    def _repr_html_(self) -> str:
        return self.tag(None)


@dataclass(frozen=True)
class Drawing:
    """A drawing that a notebook shows.

    Attributes:
        svg: An SVG document, with its photos within.
    """

    svg: str

    def save(self, path: str | Path) -> None:
        """Write it to an SVG file."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def __repr__(self) -> str:
        """Its title and size."""
        title = self.svg.partition("<title>")[2].partition("</title>")[0]
        return f"Drawing: {html.unescape(title)}"

    def _repr_svg_(self) -> str:
        return self.svg


def cell(value: object) -> str:
    """A value of a table as HTML."""
    return html.escape(text(value))


def text(value: object) -> str:
    """A value as a person reads it: four significant digits of a fraction, nothing of a null, lists in a line."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return " ".join(filter(None, map(text, value.values())))
    if isinstance(value, list):
        return ("; " if any(isinstance(one, dict) for one in value) else ", ").join(map(text, value))
    return str(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table as HTML.

    Args:
        heads: Of the columns, as text.
        rows: Of cells that are HTML already.
        caption: As text.
    """
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in rows)
    said = f'<caption style="caption-side:bottom;text-align:left">{html.escape(caption)}</caption>' if caption else ""
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of text; the columns beyond a line's width are named in the last one."""
    cut = [[one if len(one) <= _CELL else f"{one[: _CELL - 3]}..." for one in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    fitting = next(
        (count for count in range(1, len(widths)) if sum(widths[: count + 1]) + 2 * count > _LINE), len(widths)
    )
    lines = [
        "  ".join(one.ljust(width) for one, width in zip(row[:fitting], widths, strict=False)).rstrip() for row in cut
    ]
    return [*lines, *([f"... and the columns {', '.join(heads[fitting:])}"] if fitting < len(widths) else [])]


def paragraph(name: str, facts: str, more: str = "") -> str:
    """A name in bold, what is to be said of it, and a second line; all are text."""
    second = f"<br>{html.escape(more)}" if more else ""
    return f"<p><b>{html.escape(name)}</b>: {html.escape(facts)}{second}</p>"
