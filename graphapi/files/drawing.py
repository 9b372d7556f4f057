"""Drawing crops and heat maps: pure functions from stored bytes to PNG, or to JPEG where many lie on one page."""

from __future__ import annotations

import io
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evigraph.schema.pictures import Box, LayerGeometry, decoded_map

SMALLEST = 96
"""Smaller crops are enlarged to at least this side by whole pixels: the field of a low layer is a few pixels wide."""
PATCH = 192
"""The longest side of a patch, twice what a page shows of it."""
_OPAQUE = 0.8
"""The most that a heat map covers the image."""
_FULL = 0.35
"""The part of the peak from which on it covers as much; below that it fades away."""


class StoredMap(NamedTuple):
    """A row of `activation_map`, and the height and width of its layer's maps."""

    content: bytes
    first_y: int
    first_x: int
    height: int
    width: int
    layer_height: int
    layer_width: int


def crop(thumbnail: bytes, box: Box, side: tuple[int, int]) -> bytes:
    """The part of a thumbnail that shows a box of the input, as a PNG.

    Args:
        thumbnail: An encoded image of the whole input.
        box: In pixels of the input.
        side: Height and width of the input, in pixels.
    """
    return _png(_enlarged(_cut(_opened(thumbnail), box, side)))


def enlarged(content: bytes) -> bytes:
    """A small picture made large enough to be seen, as a PNG."""
    with Image.open(io.BytesIO(content)) as picture:
        return _png(_enlarged(picture.convert("RGB")))


def heat_map(stored: StoredMap, geometry: LayerGeometry, side: tuple[int, int], thumbnail: bytes | None) -> bytes:
    """An activation map as colours, dark to bright, over the image or on nothing, as a PNG.

    Between the places of the map, which lie at the middles of their receptive fields, values are interpolated; beyond
    the outermost places they stay as they are.

    Args:
        stored: The map as it is stored.
        geometry: Where the layer's places lie in the input.
        side: Height and width of the input, in pixels; also of the picture where there is no thumbnail.
        thumbnail: An encoded image of the input; None for a transparent ground.
    """
    if thumbnail is not None:
        return _png(_over(_opened(thumbnail), stored, geometry, side))
    colours, alpha = _coloured(stored, geometry, side, side)
    return _png(Image.fromarray(np.concatenate([colours, (alpha * 255).round().astype(np.uint8)], axis=2)))


def patch(thumbnail: bytes, box: Box, side: tuple[int, int], over: tuple[StoredMap, LayerGeometry] | None) -> bytes:
    """The part of a thumbnail that shows a box of the input, with an activation map over it, as a small JPEG.

    Args:
        thumbnail: An encoded image of the whole input.
        box: In pixels of the input.
        side: Height and width of the input, in pixels.
        over: The map and where its layer's places lie in the input; None for the image alone.
    """
    picture = _opened(thumbnail)
    if over is not None:
        picture = _over(picture, *over, side)
    return _small(_enlarged(_cut(picture, box, side)), PATCH)


def small(content: bytes, longest: int) -> bytes:
    """A picture as a small JPEG, of at most so many pixels a side."""
    return _small(_opened(content), longest)


def _small(picture: Image.Image, longest: int) -> bytes:
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=88, subsampling=0)
    return sink.getvalue()


def _opened(thumbnail: bytes) -> Image.Image:
    with Image.open(io.BytesIO(thumbnail)) as picture:
        return picture.convert("RGB")


def _cut(picture: Image.Image, box: Box, side: tuple[int, int]) -> Image.Image:
    """The part of a picture of the whole input that shows a box of it; at least a pixel."""
    across, down = picture.width / side[1], picture.height / side[0]
    left, top = round(box.left * across), round(box.top * down)
    right, bottom = max(left + 1, round(box.right * across)), max(top + 1, round(box.bottom * down))
    return picture.crop((left, top, right, bottom))


def _over(under: Image.Image, stored: StoredMap, geometry: LayerGeometry, side: tuple[int, int]) -> Image.Image:
    """A picture of the input with a map over it; grey, so that every colour is of the map."""
    colours, alpha = _coloured(stored, geometry, side, (under.height, under.width))
    grey = np.asarray(under.convert("L"), dtype=np.float32)[..., None]
    return Image.fromarray((alpha * colours + (1 - alpha) * grey).round().astype(np.uint8))


def _coloured(
    stored: StoredMap, geometry: LayerGeometry, side: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colours (height, width, 3) of a map in a picture of that size, and how far they cover it (height, width, 1)."""
    values = _spread(_whole(stored), geometry, side, size)
    alpha = _OPAQUE * np.minimum(values / _FULL, 1)[..., None]
    return _colours()[(values * 255).round().astype(np.uint8)], alpha


def _whole(stored: StoredMap) -> NDArray[np.float32]:
    """(layer height, layer width) in 0..1."""
    whole = np.zeros((stored.layer_height, stored.layer_width), dtype=np.float32)
    part = decoded_map(stored.content, stored.height, stored.width)
    rows = slice(stored.first_y, stored.first_y + stored.height)
    whole[rows, stored.first_x : stored.first_x + stored.width] = part / np.float32(255)
    return whole


def _spread(
    values: NDArray[np.float32], geometry: LayerGeometry, side: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Bilinear interpolation of a layer's map at the middle of every pixel of a picture of the input."""
    values = values.T if geometry.turned else values
    for axis, (length, centre, stride) in enumerate(zip(size, geometry.centre, geometry.stride, strict=True)):
        pixels = (np.arange(length) + 0.5) * side[axis] / length
        if geometry.spans is None:
            at = (pixels - centre) / stride
        else:
            middles = np.mean(geometry.spans[axis], axis=1)
            order = np.argsort(middles, kind="stable")
            values = values.take(order, axis)
            at = np.interp(pixels, middles[order], np.arange(len(order)))
        at = np.clip(at, 0, values.shape[axis] - 1)
        lower = np.floor(at).astype(np.intp)
        upper = np.minimum(lower + 1, values.shape[axis] - 1)
        part = (at - lower).astype(np.float32)
        part = part[:, None] if axis == 0 else part[None, :]
        values = values.take(lower, axis) * (1 - part) + values.take(upper, axis) * part
    return values


@cache
def _colours() -> NDArray[np.uint8]:
    """(256, 3): even steps of lightness in CIELAB from a dark violet over red to a bright yellow."""
    t = np.linspace(0, 1, 256)
    lightness, chroma, hue = 20 + 70 * t, 55 + 25 * np.sin(np.pi * t), np.deg2rad(-55 + 150 * t)
    f_y = (lightness + 16) / 116
    f = np.stack([f_y + chroma * np.cos(hue) / 500, f_y, f_y - chroma * np.sin(hue) / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array([[0.9505], [1.0], [1.089]])
    to_rgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    linear = np.clip(to_rgb @ xyz, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = (rgb.T * 255).round().astype(np.uint8)
    return table


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = -(-SMALLEST // min(picture.size))
    if factor <= 1:
        return picture
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _png(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "PNG", compress_level=3)
    return sink.getvalue()
