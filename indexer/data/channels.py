"""Images of other channels than RGB: grey ones, those whose files hold more channels, and arrays.

1 channel       any image, made grey
2, 4 channels   files that have as many themselves: that an image without a fourth channel is opaque would be a guess,
                right for alpha and wrong for near infrared
any other       .npy files of (height, width, channels), which may hold the others too
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evigraph.indexer.data.formats import ARRAY_SUFFIX
from evigraph.indexer.data.images import (
    MAX_PIXELS,
    Decoded,
    SkippedImage,
    Upright,
    check_file,
    decoding,
    load_image_and_map,
    read_upright,
    to_rgb,
)

_GREY, _RGB, _RGBA = 1, 3, 4


def load_channels(path: Path, channels: int, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode an image file.

    Args:
        path: any file.
        channels: that the network takes.
        max_pixels: the most pixels (width x height) that are decoded.

    Returns:
        Of so many channels, upright: mode RGB for three, L for one.

    Raises:
        SkippedImage: the file is not an image that can be used, or has other channels.
    """
    with decoding():
        return _read(path, max_pixels, channels=channels).pixels


def load_channels_and_map(
    image_path: Path, map_path: Path, channels: int, max_pixels: int = MAX_PIXELS, **of_map: Any
) -> tuple[Decoded, Image.Image]:
    """As `load_image_and_map`, whose other arguments `of_map` holds, for an image of so many channels."""
    read = partial(_read, channels=channels)
    return load_image_and_map(image_path, map_path, max_pixels, read=read, **of_map)


def _read(path: Path, max_pixels: int, channels: int) -> Upright:
    if path.suffix.lower() == ARRAY_SUFFIX:
        array = _load_array(path, max_pixels, channels)
        return Upright(array, 1, (array.shape[1], array.shape[0]))
    if channels > _RGBA:
        raise SkippedImage(f"no .npy file, where the network takes {channels} channels")
    return read_upright(path, max_pixels, partial(_converted, channels=channels))


def _load_array(path: Path, max_pixels: int, channels: int) -> np.ndarray[Any, Any]:
    """(height, width, channels) of the file's own type; (height, width) is of one channel."""
    check_file(path)
    stored: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    shape = (*stored.shape, 1) if stored.ndim == 2 else stored.shape
    if len(shape) != 3 or not all(shape):
        raise SkippedImage("array is not of height, width and channels")
    if shape[2] != channels:
        raise SkippedImage(f"array of {shape[2]} channels, where the network takes {channels}")
    if shape[0] * shape[1] > max_pixels:
        raise SkippedImage("too many pixels")
    return np.array(stored).reshape(shape)


def _converted(image: Image.Image, channels: int) -> Image.Image:
    if channels == _RGB:
        return to_rgb(image)
    if channels == _GREY:
        return image.copy() if image.mode == "L" else to_rgb(image).convert("L")
    if channels == _RGBA and (image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info):
        return image.convert("LA" if image.mode == "La" else image.mode).convert("RGBA")
    if image.mode in ("LA", "RGBX", "CMYK") and channels == len(image.getbands()):
        return image.copy()
    raise SkippedImage(f"{image.mode} image, where the network takes {channels} channels")
