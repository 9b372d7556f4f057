"""The part of an input that a peak depends on, so that its gradient need not be computed over the whole image.

1. A window holds the receptive field, and begins at a multiple of the layer's stride: so every map below has its places
   in the same phase, and what lies beyond the window's border is beyond the field too.
2. Windows of one size are run together, those that end at the input's border too.
3. Whether a layer may be run on windows is tried on the peaks at the corners: a network may pad by its input's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evigraph.schema.pictures import LayerGeometry

WORTHWHILE = 0.7
"""Part of the input's area up to which a window is run in its place: beyond it the copies cost what they spare."""


class Window(NamedTuple):
    """Part of the input in pixels, and the place of the peak in the layer's map over it."""

    top: int
    left: int
    height: int
    width: int
    y: int
    x: int


def whole(size: tuple[int, int], y: int, x: int) -> Window:
    """The input as one window."""
    return Window(0, 0, *size, y, x)


def window_of(geometry: LayerGeometry, size: tuple[int, int], y: int, x: int) -> Window:
    """The window of a place of a layer, or the whole input where windows do not pay or cannot be placed.

    Args:
        geometry: of the layer.
        size: height and width of the network's input.
        y: row of the place.
        x: its column.
    """
    strides = [int(stride) for stride in geometry.stride]
    regular = geometry.field is not None and geometry.spans is None and tuple(strides) == geometry.stride
    if not regular or min(strides) < 1:
        return whole(size, y, x)
    (top, height), (left, width) = (
        _span(centre + stride * at - (geometry.field or 0) / 2, geometry.field or 0, stride, length)
        for centre, stride, at, length in zip(geometry.centre, strides, (y, x), size, strict=True)
    )
    if height * width > WORTHWHILE * size[0] * size[1]:
        return whole(size, y, x)
    return Window(top, left, height, width, y - top // strides[0], x - left // strides[1])


def _span(start: float, field: int, stride: int, length: int) -> tuple[int, int]:
    """First pixel and length of a window that holds [start, start + field)."""
    usual = -(-(field + stride) // stride) * stride
    begin = max(0, int(start // stride) * stride)
    end = begin + usual
    # Those at the border are as long as any other where that keeps the phase.
    if end >= length:
        begin, end = max(0, min(begin, (length - usual) // stride * stride)), length
    return begin, end - begin


def corners(windows: Sequence[Window]) -> list[int]:
    """Rows of windows that differ the most in where they begin and end: four at most."""
    rows = range(len(windows))
    rising = sorted(rows, key=lambda row: (windows[row].top, windows[row].left))
    falling = sorted(rows, key=lambda row: (-windows[row].top, windows[row].left))
    return sorted({rising[0], rising[-1], falling[0], falling[-1]})
