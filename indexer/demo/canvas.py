"""A picture and its semantic map, drawn by the same strokes so that they agree to the pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float]

SIDE = 96
"""Width and height of a scene in pixels."""
_FINE = 2  # drawn at twice the size and averaged, for smooth edges; the map takes every second pixel


class Canvas:
    """Draws on the picture, in a colour, and on its map, with a context label, at once.

    Coordinates are pixels of the finished scene, x to the right and y down.
    """

    def __init__(self) -> None:
        self._image = Image.new("RGB", (SIDE * _FINE, SIDE * _FINE))
        self._labels = Image.new("L", self._image.size)
        self._pens = [(ImageDraw.Draw(self._image), True), (ImageDraw.Draw(self._labels), False)]

    def polygon(self, points: Sequence[Point], colour: Colour, label: int) -> None:
        """Fill a polygon."""
        scaled = [(x * _FINE, y * _FINE) for x, y in points]
        for pen, coloured in self._pens:
            pen.polygon(scaled, fill=colour if coloured else label)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, label: int) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour, label)

    def ellipse(self, centre: Point, radius_x: float, radius_y: float, colour: Colour, label: int) -> None:
        """Fill an upright ellipse."""
        x, y = centre
        corners = [
            (x - radius_x) * _FINE,
            (y - radius_y) * _FINE,
            (x + radius_x) * _FINE,
            (y + radius_y) * _FINE,
        ]
        for pen, coloured in self._pens:
            pen.ellipse(corners, fill=colour if coloured else label)

    def line(self, start: Point, end: Point, width: float, colour: Colour, label: int) -> None:
        """Draw a straight stroke."""
        ends = [(x * _FINE, y * _FINE) for x, y in (start, end)]
        for pen, coloured in self._pens:
            pen.line(ends, fill=colour if coloured else label, width=max(1, round(width * _FINE)))

    def finished(self, noise: NDArray[np.int64]) -> tuple[Image.Image, Image.Image]:
        """The picture with noise added, and its map.

        Args:
            noise: (SIDE, SIDE, 3) or broadcast to it, in grey levels.

        Returns:
            Mode RGB and mode L (label by pixel), both SIDE x SIDE.
        """
        pixels = np.asarray(self._image.reduce(_FINE)).astype(np.int64) + noise
        labels = np.asarray(self._labels)[::_FINE, ::_FINE]
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        return picture, Image.fromarray(np.ascontiguousarray(labels))


@dataclass(frozen=True)
class Frame:
    """Where an object stands: its own units run from -1 to 1 across and from 0 up.

    Attributes:
        x: pixels, of the middle.
        base: pixels, of what it stands on.
        half_width: pixels a unit.
        facing: 1 to the right, -1 to the left.
    """

    x: float
    base: float
    half_width: float
    facing: int

    def point(self, across: float, up: float) -> Point:
        """From the object's units to the canvas's pixels."""
        return self.x + across * self.half_width * self.facing, self.base - up * self.half_width

    def points(self, *pairs: Point) -> list[Point]:
        """`point` of each."""
        return [self.point(across, up) for across, up in pairs]


def shaded(colour: Colour, factor: float) -> Colour:
    """The colour, darker below 1 and lighter above."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue
