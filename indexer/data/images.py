"""Image files and semantic maps, decoded to 8 bits; what cannot be is skipped, with a short stable reason.

How each kind of file becomes RGB:
  - CMYK, YCbCr, palette, grey and 1-bit: as Pillow converts them; CMYK JPEGs are
    taken to be inverted, as Adobe's are.
  - Transparency is dropped, as torchvision's image folders do, so that a network sees what it was trained on.
  - 16-bit grey keeps its high byte, as Pillow does for 16-bit colour. 32-bit integers outside 0..65535 and
    floating point have no known range and are skipped.
  - EXIF orientation is applied; of an animation the first frame is taken.
  - Of a PNG whose texts or colour profile are damaged or too long for Pillow, these are left out: they are no pixels.
"""

from __future__ import annotations

import io
import math
import stat
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from evigraph.indexer.data.formats import formats_of, is_heif
from evigraph.schema.errors import DataError

MAX_PIXELS = 100_000_000
"""Images of more pixels are skipped: 100 MP is 300 MB as RGB in every loader process."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation; 1 is upright. From 5 on width and height change places."""


Decoded = Image.Image | np.ndarray[Any, Any]
"""A decoded image; an array is (height, width, channels) of any type (`data.channels`)."""


class SkippedImage(DataError):  # noqa: N818  (an outcome that is recorded, not a failure of the run)
    """One image that cannot be used; the run goes on without it.

    Attributes:
        reason: short and the same for all images with the same fault, so that reasons can be counted.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Upright:
    """A decoded image; `orientation` is what was undone, `stored_size` (width, height) before that."""

    pixels: Decoded
    orientation: int
    stored_size: tuple[int, int]


def load_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image file.

    Args:
        path: any file.
        max_pixels: the most pixels (width x height) that are decoded.

    Returns:
        Mode RGB, upright.

    Raises:
        SkippedImage: the file is not an image that can be used.
    """
    with decoding():
        return cast(Image.Image, read_rgb(path, max_pixels).pixels)


def load_image_and_map(
    image_path: Path,
    map_path: Path,
    max_pixels: int = MAX_PIXELS,
    read: Callable[[Path, int], Upright] | None = None,
    *,
    colours: bool = False,
) -> tuple[Decoded, Image.Image]:
    """Decode an image and its semantic map.

    Annotation tools differ in whether they look at EXIF orientation. A map that has the size of the image as
    stored is turned as the image is, one that has only the upright image's size is not. So for a square or
    half-turned image, where both sizes are equal, the map is taken to be of the pixels as stored.

    Args:
        image_path: any file.
        map_path: any file.
        max_pixels: the most pixels that are decoded of each.
        colours: whether the map's values are its colours (65536 * red + 256 * green + blue) rather than indices.
        read: decodes the image; None for RGB.

    Returns:
        The image (mode RGB) and its map (the mask values, mode L where the file is of 8 bits, else I), both upright
        and of one size.

    Raises:
        SkippedImage: one of the two cannot be used, or their sizes differ.
    """
    with decoding():
        image = (read or read_rgb)(image_path, max_pixels)
        try:
            semantic_map = _load_map(map_path, max_pixels, colours)
        except SkippedImage as skipped:
            raise SkippedImage(f"semantic map: {skipped.reason}") from None
    if semantic_map.size == image.stored_size and image.orientation in _TRANSPOSE:
        semantic_map = semantic_map.transpose(_TRANSPOSE[image.orientation])
    pixels = image.pixels
    if semantic_map.size != (pixels.size if isinstance(pixels, Image.Image) else pixels.shape[1::-1]):
        raise SkippedImage("semantic map: not of the image's size")
    return image.pixels, semantic_map


@contextmanager
def decoding() -> Iterator[None]:
    """Keep Pillow's warnings (bombs, EXIF, transparency) quiet, and make any failure a skipped image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SkippedImage:
        raise
    except Image.DecompressionBombError:
        raise SkippedImage("too many pixels") from None
    except UnidentifiedImageError:
        raise SkippedImage("not an image") from None
    # Decoders of damaged files raise nearly anything: OSError, SyntaxError, struct.error, IndexError ...
    except Exception:
        raise SkippedImage("truncated or damaged") from None


def check_file(path: Path) -> None:
    try:
        # without this check a pipe would be waited on for ever
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SkippedImage("not a file")
        if status.st_size == 0:
            raise SkippedImage("empty file")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise SkippedImage("no such file") from None
    except PermissionError:
        raise SkippedImage("no permission to read") from None
    except OSError:
        raise SkippedImage("cannot be read") from None


def _open(path: Path, max_pixels: int) -> Image.Image:
    check_file(path)
    try:
        return _opened(path, formats_of(path), max_pixels)
    except (SkippedImage, Image.DecompressionBombError):
        raise
    except Exception as error:
        with path.open("rb") as file:
            head = file.read(16)
        if is_heif(head) and isinstance(error, UnidentifiedImageError):
            raise SkippedImage("HEIC, which needs pillow-heif") from None
        if not head.startswith(_PNG):
            raise
    content = path.read_bytes()
    for kept in (_ORIENTING, ()):
        try:
            return _opened(io.BytesIO(_without_texts(content, kept)), ("PNG",), max_pixels)
        except (ValueError, SyntaxError, OSError, zlib.error) as error:
            failure = error
    raise failure


def _opened(file: Path | io.BytesIO, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    image = Image.open(file, formats=formats)
    try:
        if image.width * image.height > max_pixels:
            raise SkippedImage("too many pixels")
        if image.format == "PNG":
            image.load()  # texts may stand behind the pixels
    except BaseException:
        image.close()
        raise
    return image


_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Keywords of the texts that may tell a PNG's orientation."""


def _without_texts(content: bytes, kept: tuple[bytes, ...]) -> bytes:
    """A PNG without texts, but for those of the keywords `kept`, without colour profile and what else is damaged.

    Critical chunks (a capital letter first), which hold the pixels, are copied as they are.
    """
    parts, at = [_PNG], len(_PNG)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        kind, data = content[at + 4 : at + 8], content[at + 8 : end - 4]
        whole = end <= len(content) and zlib.crc32(kind + data) == int.from_bytes(content[end - 4 : end], "big")
        text = kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP") and not data.startswith(kept)
        if not kind[:1].islower() or (whole and not text):
            parts.append(content[at:end])
        at = end
    return b"".join(parts)


def read_rgb(path: Path, max_pixels: int) -> Upright:
    """Decode an image to RGB; within `decoding`."""
    return read_upright(path, max_pixels, to_rgb)


def read_upright(path: Path, max_pixels: int, convert: Callable[[Image.Image], Image.Image]) -> Upright:
    """Decode an image, and convert it to a mode of its own memory; within `decoding`."""
    with _open(path, max_pixels) as image:
        noted = _orientation(image)
        image.load()
        stored_size = image.size
        left = _orientation(image)
        if noted in _TRANSPOSE and left not in _TRANSPOSE:  # Pillow turns TIFF files itself
            stored_size = stored_size[::-1] if noted >= 5 else stored_size
            return Upright(convert(image), noted, stored_size)
        upright = convert(image)
        if left in _TRANSPOSE:
            upright = upright.transpose(_TRANSPOSE[left])
        return Upright(upright, left, stored_size)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF says nothing about the pixels
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB, a copy; transparency is dropped."""
    if image.mode == "RGB":
        return image.copy()
    if image.mode.startswith("I"):
        return _from_wide(image).convert("RGB")
    if image.mode in ("RGBa", "La", "PA"):  # these convert through RGBA (LA) only
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    try:
        if image.mode == "F":
            raise ValueError
        return image.convert("RGB")
    except ValueError:
        raise SkippedImage(f"pixel format {image.mode} is not supported") from None


def _from_wide(image: Image.Image) -> Image.Image:
    values: np.ndarray[Any, Any] = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise SkippedImage("pixel format I is not supported")
    return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))


def _load_map(path: Path, max_pixels: int, colours: bool) -> Image.Image:
    if path.suffix.lower() == ".mat":
        return _load_matrix(path, max_pixels)
    with _open(path, max_pixels) as image:
        orientation = _orientation(image)
        image.load()
        if colours:
            upright = _packed(image)
        elif image.mode not in ("P", "L", "1", "I", "I;16", "I;16B", "I;16L"):
            raise SkippedImage("neither indexed nor grey")
        else:
            values: np.ndarray[Any, Any] = np.asarray(image)
            upright = Image.fromarray(values.astype(np.uint8 if image.mode in ("P", "L", "1") else np.int32))
        return upright.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else upright


def _packed(image: Image.Image) -> Image.Image:
    """A map in colours, mode I: each pixel is 65536 * red + 256 * green + blue."""
    if image.mode not in ("RGB", "RGBA", "P"):
        raise SkippedImage("not in colours, as its list of labels is")
    rgb: np.ndarray[Any, Any] = np.asarray(image.convert("RGB")).astype(np.int32)
    return Image.fromarray(rgb @ np.array([65536, 256, 1], dtype=np.int32))


def _load_matrix(path: Path, max_pixels: int) -> Image.Image:
    """The matrix LabelMap of a MATLAB file, as PASCAL-Context has it."""
    import scipy.io  # a tenth of a second, and only these maps need it

    check_file(path)
    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        if len(shapes.get("LabelMap", ())) != 2:
            raise SkippedImage("no matrix LabelMap")
        if math.prod(shapes["LabelMap"]) > max_pixels:
            raise SkippedImage("too many pixels")
        values = scipy.io.loadmat(path, variable_names=["LabelMap"])["LabelMap"]
    except NotImplementedError:
        raise SkippedImage("MATLAB 7.3 file; save it with -v7") from None
    if values.dtype.kind not in "iu":
        raise SkippedImage("LabelMap is not of integers")
    return Image.fromarray(values.astype(np.int32))
