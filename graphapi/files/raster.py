"""A picture as PNG, drawn by Pillow from the same items as the SVG: no library that draws SVG is needed.

It is drawn larger and then reduced, since Pillow's lines have hard edges. Letters are those of DejaVu Sans where the
machine has it, else of Pillow's own font.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

from PIL import Image, ImageColor, ImageDraw, ImageFont

from evigraph.graphapi.files.canvas import CURVE_OPACITY, PAPER, Box, Curve, Item, Photo, Sheet, Text

SCALE = 2
"""Pixels of the PNG to one of the layout, as screens of high density and print have them."""
_FINER = 2
"""The picture is drawn so much larger still, and reduced."""
_MOST_PIXELS = 60e6
"""Of what is drawn before it is reduced: 180 MB."""
_POINTS = 32
"""Of a curve."""


def png_bytes(sheet: Sheet) -> bytes:
    """The picture as a PNG of SCALE pixels to each of the layout, or fewer where that would be too large."""
    area = sheet.width * sheet.height
    finer = _FINER if area * (SCALE * _FINER) ** 2 <= _MOST_PIXELS else 1
    scale = SCALE if area * SCALE**2 <= _MOST_PIXELS else 1
    factor = scale * finer
    picture = Image.new("RGB", (round(sheet.width * factor), round(sheet.height * factor)), PAPER)
    draw = ImageDraw.Draw(picture)
    for item in sheet.items:
        _draw(picture, draw, item, factor)
    if finer > 1:
        size = (round(sheet.width * scale), round(sheet.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    picture.save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _draw(picture: Image.Image, draw: ImageDraw.ImageDraw, item: Item, factor: int) -> None:
    if isinstance(item, Text):
        font = _font(item.bold, round(item.size * factor))
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[item.anchor]
        line = " ".join(item.text.split())  # Pillow places no text of several lines by its baseline
        draw.text((item.x * factor, item.y * factor), line, item.colour, font, anchor)
    elif isinstance(item, Box):
        _draw_box(draw, item, factor)
    elif isinstance(item, Photo):
        with Image.open(io.BytesIO(item.content)) as photo:
            ratio = min(item.width / photo.width, item.height / photo.height)
            size = (max(1, round(photo.width * ratio * factor)), max(1, round(photo.height * ratio * factor)))
            fitted = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        middle = (item.x + item.width / 2, item.y + item.height / 2)
        picture.paste(fitted, (round(middle[0] * factor - size[0] / 2), round(middle[1] * factor - size[1] / 2)))
    else:
        _draw_curve(draw, item, factor)


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, factor: int) -> None:
    left, top = box.x * factor, box.y * factor
    right, bottom = left + box.width * factor, top + box.height * factor
    width = max(1, round(box.stroke_width * factor))
    draw.rectangle((left, top, right, bottom), box.fill, None if box.dashed else box.stroke, width)
    if box.dashed and box.stroke:
        for begin, end in (((left, top), (right, top)), ((left, bottom), (right, bottom))):
            _dashes(draw, begin, end, box.stroke, width, factor)
        for begin, end in (((left, top), (left, bottom)), ((right, top), (right, bottom))):
            _dashes(draw, begin, end, box.stroke, width, factor)


def _dashes(
    draw: ImageDraw.ImageDraw,
    begin: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    width: int,
    factor: int,
) -> None:
    length = abs(end[0] - begin[0]) + abs(end[1] - begin[1])
    dash, step, at = 4 * factor, 7 * factor, 0.0
    while at < length:
        parts = (at / length, min(length, at + dash) / length)
        places = [(begin[0] + t * (end[0] - begin[0]), begin[1] + t * (end[1] - begin[1])) for t in parts]
        draw.line(places, colour, width)
        at += step


def _draw_curve(draw: ImageDraw.ImageDraw, curve: Curve, factor: int) -> None:
    middle = (curve.y0 + curve.y1) / 2
    points = []
    for place in range(_POINTS + 1):
        t = place / _POINTS
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        x = (a + b) * curve.x0 + (c + d) * curve.x1
        points.append((x * factor, (a * curve.y0 + (b + c) * middle + d * curve.y1) * factor))
    ink, paper = ImageColor.getrgb(curve.colour), ImageColor.getrgb(PAPER)
    mixed = [round(CURVE_OPACITY * i + (1 - CURVE_OPACITY) * p) for i, p in zip(ink[:3], paper[:3], strict=True)]
    draw.line(points, (mixed[0], mixed[1], mixed[2]), max(1, round(curve.width * factor)), joint="curve")


@lru_cache(maxsize=64)
def _font(bold: bool, size: int) -> Any:
    try:
        return ImageFont.truetype("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
