"""A picture as SVG or as a page around it: one file, with its photos within and its text as text."""

from __future__ import annotations

import base64
import re
from html import escape

from evigraph.graphapi.files.canvas import CURVE_OPACITY, PAPER, Box, Curve, Item, Photo, Sheet, Text

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FONT = "system-ui, 'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif"


def svg_text(sheet: Sheet) -> str:
    """The picture as an SVG document."""
    size = f'width="{_number(sheet.width)}" height="{_number(sheet.height)}"'
    box = f'viewBox="0 0 {_number(sheet.width)} {_number(sheet.height)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img" font-family="{_FONT}">',
        f"<title>{_safe(sheet.title)}</title>",
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        *(_element(item) for item in sheet.items),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def html_text(sheet: Sheet) -> str:
    """The picture on a page of its own."""
    head = f'<meta charset="utf-8"><title>{_safe(sheet.title)}</title>'
    style = "<style>body { margin: 16px } svg { max-width: 100%; height: auto }</style>"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}{style}</head>\n<body>\n{svg_text(sheet)}</body>\n</html>\n'


def _element(item: Item) -> str:
    if isinstance(item, Text):
        weight = ' font-weight="bold"' if item.bold else ""
        anchor = f' text-anchor="{item.anchor}"' if item.anchor != "start" else ""
        look = f'font-size="{_number(item.size)}" fill="{item.colour}"{anchor}{weight}'
        return f'<text x="{_number(item.x)}" y="{_number(item.y)}" {look}>{_safe(item.text)}</text>'
    if isinstance(item, Box):
        dashes = ' stroke-dasharray="4 3"' if item.dashed else ""
        line = f' stroke="{item.stroke}" stroke-width="{_number(item.stroke_width)}"{dashes}' if item.stroke else ""
        return _titled("rect", f'{_place(item)} fill="{item.fill or "none"}"{line}', item.title)
    if isinstance(item, Photo):
        data = base64.b64encode(item.content).decode()
        return _titled("image", f'{_place(item)} href="data:image/jpeg;base64,{data}"', item.title)
    return _titled("path", _stroke(item), item.title)


def _stroke(curve: Curve) -> str:
    x0, y0, x1, y1 = (_number(value) for value in (curve.x0, curve.y0, curve.x1, curve.y1))
    middle = _number((curve.y0 + curve.y1) / 2)
    look = f'stroke="{curve.colour}" stroke-width="{_number(curve.width)}" stroke-opacity="{CURVE_OPACITY}"'
    return f'd="M{x0} {y0}C{x0} {middle} {x1} {middle} {x1} {y1}" fill="none" {look}'


def _place(item: Box | Photo) -> str:
    x, y, width, height = (_number(value) for value in (item.x, item.y, item.width, item.height))
    return f'x="{x}" y="{y}" width="{width}" height="{height}"'


def _titled(tag: str, attributes: str, title: str) -> str:
    return f"<{tag} {attributes}><title>{_safe(title)}</title></{tag}>" if title else f"<{tag} {attributes}/>"


def _safe(text: str) -> str:
    """Text that cannot be taken for markup; names of classes and files may hold anything."""
    return escape(_NOT_IN_XML.sub("\ufffd", text))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
