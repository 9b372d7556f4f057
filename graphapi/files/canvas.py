"""What a picture is made of, so that layouts say where things are, and `svg` and `raster` draw the same ones.

Lengths are pixels of a screen, y grows downwards. Colours are those of Okabe and Ito, which the colour-blind can tell
apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
INK, PAPER, FAINT = "#1a1a1a", "#ffffff", "#d0d0d0"
ROLE_COLOURS = {"predicted": BLUE, "no longer predicted": BLUE, "label": VERMILION, "asked for": GREEN}
_NARROW, _WIDE = "fijlrtI.,:;'|!()[]/- ", "mwMW@%"
_BOLDER = 1.14


@dataclass(frozen=True)
class Text:
    """A line of text; (x, y) is the begin, middle or end of its baseline, as `anchor` has it."""

    x: float
    y: float
    text: str
    size: float = 11
    colour: str = INK
    anchor: str = "start"
    bold: bool = False


@dataclass(frozen=True)
class Box:
    """A rectangle, filled or outlined or both; `title` is shown where a pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    stroke: str | None = None
    stroke_width: float = 1
    dashed: bool = False
    title: str = ""


@dataclass(frozen=True)
class Photo:
    """An encoded JPEG, fitted into a rectangle and centred there."""

    x: float
    y: float
    width: float
    height: float
    content: bytes
    title: str = ""


@dataclass(frozen=True)
class Curve:
    """From the lower side of one thing to the upper side of another beneath it, vertical at both ends."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: float
    colour: str
    title: str = ""


Item = Text | Box | Photo | Curve
CURVE_OPACITY = 0.45


@dataclass
class Sheet:
    """A picture: its size, what it is called, and its items, the lowest first."""

    width: float
    height: float
    title: str
    items: list[Item] = field(default_factory=list)

    def add(self, *items: Item) -> None:
        """Lay items on top of the others."""
        self.items.extend(items)


def stacked(sheets: Sequence[Sheet]) -> Sheet:
    """Some pictures as one, each beneath the one before."""
    whole = Sheet(max(sheet.width for sheet in sheets), 0, sheets[0].title)
    for sheet in sheets:
        whole.add(*(_lower(item, whole.height) for item in sheet.items))
        whole.height += sheet.height
    return whole


def _lower(item: Item, by: float) -> Item:
    if isinstance(item, Curve):
        return replace(item, y0=item.y0 + by, y1=item.y1 + by)
    return replace(item, y=item.y + by)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """How wide a line of text is at most in a browser's sans-serif font; DejaVu Sans is among the widest."""
    return size * (_BOLDER if bold else 1) * sum(map(_em, text))


def _em(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in _NARROW:
        return 0.42
    return 0.98 if letter in _WIDE else 0.74 if letter.isupper() else 0.64


def shortened(text: str, size: float, width: float, bold: bool = False) -> str:
    """As much of a text as a width holds, with an ellipsis where that is not all."""
    if text_width(text, size, bold) <= width:
        return text
    text = text[: 4 * int(width / size)]  # of the narrowest letters no more would fit
    while text and text_width(text, size, bold) + size > width:
        text = text[:-1]
    return text.rstrip(" ,") + "\u2026"


def wrapped(text: str, size: float, width: float) -> list[str]:
    """A text in lines that a width holds."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def paragraph(x: float, y: float, text: str, size: float, width: float, colour: str = GREY) -> list[Text]:
    """A text in lines, the first with its baseline at y."""
    return [
        Text(x, y + place * size * 1.45, line, size, colour) for place, line in enumerate(wrapped(text, size, width))
    ]


def percent(part: float) -> str:
    """A part of 1 in percent, with two digits to tell it from 0 and from 100; never "-0"."""
    value = 100 * part
    if 99 < value < 99.995:
        return f"{f'{value:.2f}'.rstrip('0').rstrip('.')} %"
    if abs(value) < 0.005:
        return "< 0.01 %" if value > 1e-9 else "0 %"
    return f"{value:.{0 if abs(value) >= 9.95 else 1 if abs(value) >= 0.995 else 2}f} %"


def counted(count: int, noun: str) -> str:
    """A number of things, such as "1 edge" and "1,200 edges"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def lowest(items: Iterable[Text]) -> float:
    """The lowest baseline of some lines."""
    return max(item.y for item in items)
