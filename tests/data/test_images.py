"""Every kind of image file is converted or skipped with a reason, and Pillow's warnings stay inside."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image
from PIL import __version__ as pillow_version

from evigraph.indexer.data.images import SkippedImage, load_image, load_image_and_map

ORIENTATION = 0x0112
OLD_PILLOW = int(pillow_version.split(".")[0]) < 13


def gradient(width: int = 24, height: int = 16) -> Image.Image:
    """An RGB image in which no two turns are alike."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 10, y * 15, (x + y) * 5], axis=2).astype(np.uint8))


def skip_reason(path: Path, max_pixels: int = 1_000_000) -> str:
    with pytest.raises(SkippedImage) as caught:
        load_image(path, max_pixels)
    return caught.value.reason


@pytest.mark.parametrize(
    ("suffix", "modes"),
    [
        (".png", "1 L P LA RGBA I;16"),
        (".jpg", "1 L CMYK YCbCr"),
        (".tif", "1 L P LA RGBA CMYK LAB I;16 I"),
        pytest.param(".tif", "YCbCr", marks=pytest.mark.skipif(OLD_PILLOW, reason="it cannot read what it wrote")),
        (".gif", "1 L P LA RGBA"),
        (".webp", "L P LA RGBA YCbCr"),
        (".bmp", "1 L P RGBA"),
    ],
)
def test_every_mode_of_every_format_becomes_rgb(tmp_path: Path, suffix: str, modes: str) -> None:
    for mode in modes.split():
        path = tmp_path / f"{mode.replace(';', '')}{suffix}"
        image = gradient().convert("L") if mode.startswith("I") else gradient()
        image.convert(mode).save(path)
        loaded = load_image(path)
        assert (loaded.mode, loaded.size) == ("RGB", (24, 16))


def test_cmyk_jpeg_as_adobe_writes_it(tmp_path: Path) -> None:
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red.save(tmp_path / "red.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "red.jpg").read_bytes()
    r, g, b = np.asarray(load_image(tmp_path / "red.jpg"))[4, 4].tolist()
    assert (r > 250, g < 5, b < 5) == (True, True, True)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bit_grey_keeps_its_high_byte(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    path = tmp_path / f"grey{suffix}"
    if suffix == ".pgm":
        path.write_bytes(b"P5 5 1 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path)
    assert np.asarray(load_image(path))[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_16_bit_colour_png(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = struct.pack(">HHH", 0x80FF, 0x0100, 0xFFFF)
    (tmp_path / "deep.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" + pixel))
        + chunk(b"IEND", b"")
    )
    assert load_image(tmp_path / "deep.png").getpixel((0, 0)) == (0x80, 0x01, 0xFF)


def test_values_without_a_known_range_are_skipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 1.5, dtype=np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 4), 100_000, dtype=np.int32)).save(tmp_path / "int.tif")
    assert skip_reason(tmp_path / "float.tif") == "pixel format F is not supported"
    assert skip_reason(tmp_path / "int.tif") == "pixel format I is not supported"


def test_transparency_is_dropped_not_blended(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (200, 100, 50, 0)).save(tmp_path / "clear.png")
    assert load_image(tmp_path / "clear.png").getpixel((0, 0)) == (200, 100, 50)
    palette = gradient().quantize(16)
    palette.save(tmp_path / "palette.png", transparency=bytes(range(16)))
    expected = np.asarray(palette.convert("RGB"))
    assert (np.asarray(load_image(tmp_path / "palette.png")) == expected).all()


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for suffix in (".gif", ".webp", ".png"):
        path = tmp_path / f"moving{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
        assert load_image(path).getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int, suffix: str) -> None:
    turned = gradient()
    # what a camera held so would have stored: the inverse of what viewers apply
    for step in {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]:
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"turned{suffix}"
    lossless: dict[str, dict[str, Any]] = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}
    turned.save(path, exif=exif, **lossless.get(suffix, {}))
    loaded = load_image(path)
    assert loaded.size == (24, 16)
    assert np.abs(np.asarray(loaded).astype(int) - np.asarray(gradient())).max() <= (6 if suffix == ".jpg" else 0)

    # a map stored like the pixels is turned with them, one drawn over the upright view is not
    upright_map = Image.fromarray((np.arange(24 * 16).reshape(16, 24) % 251).astype(np.uint8))
    if orientation >= 5:
        upright_map.save(tmp_path / "upright.png")
        _, found = load_image_and_map(path, tmp_path / "upright.png")
        assert (np.asarray(found) == np.asarray(upright_map)).all()
    stored_map = upright_map
    for number in {3: [3], 2: [0], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}.get(orientation, []):
        stored_map = stored_map.transpose(Image.Transpose(number))
    stored_map.save(tmp_path / "stored.png")
    _, found = load_image_and_map(path, tmp_path / "stored.png")
    assert (np.asarray(found) == np.asarray(upright_map)).all()


def test_damaged_exif_does_not_lose_the_image(tmp_path: Path) -> None:
    gradient().save(tmp_path / "exif.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
    assert load_image(tmp_path / "exif.jpg").size == (24, 16)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "empty file"),
        ("text.png", b"<html>not found</html>", "not an image"),
        ("script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        ("header.jpg", b"\xff\xd8\xff\xe0", "not an image"),
    ],
)
def test_files_that_are_no_images(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert skip_reason(tmp_path / name) == reason


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp", ".tif", ".bmp", ".ppm"])
def test_any_truncation_is_skipped_or_decoded_but_never_a_crash(tmp_path: Path, suffix: str) -> None:
    buffer = io.BytesIO()
    gradient(64, 48).save(buffer, format={".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
    content = buffer.getvalue()
    reasons = set()
    for length in range(1, len(content) - 16, max(1, len(content) // 60)):
        path = tmp_path / f"part{length}{suffix}"
        path.write_bytes(content[:length])
        try:
            load_image(path)
        except SkippedImage as skipped:
            reasons.add(skipped.reason)
    assert reasons <= {"not an image", "truncated or damaged", "too many pixels"}
    assert "truncated or damaged" in reasons


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    for suffix in ("jpeg", "png", "gif", "tiff", "webp", "bmp"):
        buffer = io.BytesIO()
        gradient().quantize(16).convert("P" if suffix == "gif" else "RGB").save(buffer, format=suffix)
        for trial in range(60):
            content = bytearray(buffer.getvalue())
            for place in random.integers(0, len(content), size=6):
                content[place] = random.integers(0, 256)
            path = tmp_path / f"{trial}.{suffix}"
            path.write_bytes(content)
            with contextlib.suppress(SkippedImage):
                load_image(path, 100_000)


def test_oversized_and_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient(40, 40).save(tmp_path / "large.png")
    assert skip_reason(tmp_path / "large.png", max_pixels=1599) == "too many pixels"
    assert load_image(tmp_path / "large.png", max_pixels=1600).size == (40, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # warned of above, refused above twice this
    assert load_image(tmp_path / "large.png").size == (40, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert skip_reason(tmp_path / "large.png") == "too many pixels"


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "absent.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert skip_reason(tmp_path / "folder.jpg") == "not a file"
    assert skip_reason(tmp_path / "pipe.jpg") == "not a file"
    assert skip_reason(tmp_path / "dangling.jpg") == "no such file"
    assert skip_reason(tmp_path / "loop.jpg") == "cannot be read"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient().save(tmp_path / "private.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, whom no mode keeps out
    assert skip_reason(tmp_path / "private.png") == "no permission to read"


def as_map(values: np.ndarray, mode: str) -> Image.Image:
    if mode != "P":
        return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.uint8))
    indexed = Image.new("P", values.shape[::-1])
    indexed.putdata(values.flatten().tolist())
    indexed.putpalette([255 - i // 3 for i in range(768)])
    return indexed


@pytest.mark.parametrize("mode", ["P", "L", "I;16"])
def test_maps_keep_their_values_not_their_colours(tmp_path: Path, mode: str) -> None:
    values = np.arange(24 * 16).reshape(16, 24) % 23
    gradient().save(tmp_path / "image.png")
    as_map(values, mode).save(tmp_path / "map.png")
    _, found = load_image_and_map(tmp_path / "image.png", tmp_path / "map.png")
    assert (np.asarray(found) == values).all()


def test_maps_that_cannot_be_used(tmp_path: Path) -> None:
    gradient().save(tmp_path / "image.png")
    gradient().save(tmp_path / "colour.png")
    Image.new("L", (16, 24)).save(tmp_path / "turned.png")
    (tmp_path / "empty.png").touch()
    wide = np.full((16, 24), 256, dtype=np.uint16)
    wide[0, 0] = 3
    Image.fromarray(wide).save(tmp_path / "wide.png")

    def reason(name: str) -> str:
        with pytest.raises(SkippedImage) as caught:
            load_image_and_map(tmp_path / "image.png", tmp_path / name)
        return caught.value.reason

    assert reason("colour.png") == "semantic map: neither indexed nor grey"
    assert reason("turned.png") == "semantic map: not of the image's size"
    assert reason("empty.png") == "semantic map: empty file"
    assert reason("absent.png") == "semantic map: no such file"
    _, found = load_image_and_map(tmp_path / "image.png", tmp_path / "wide.png")
    assert (np.asarray(found) == wide).all()  # 16 bits are kept


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8, np.int32])
def test_matrices_of_matlab_are_maps(tmp_path: Path, dtype: type[np.generic]) -> None:
    gradient().save(tmp_path / "image.png")
    values = np.arange(16 * 24).reshape(16, 24).astype(dtype)
    scipy.io.savemat(tmp_path / "map.mat", {"LabelMap": values, "other": np.zeros(3)})
    image, found = load_image_and_map(tmp_path / "image.png", tmp_path / "map.mat")
    assert image.size == found.size
    assert (np.asarray(found) == values).all()


def test_matrices_that_cannot_be_used(tmp_path: Path) -> None:
    gradient().save(tmp_path / "image.png")
    matrices = {
        "other.mat": {"Labels": np.zeros((16, 24), np.uint16)},
        "flat.mat": {"LabelMap": np.zeros((16, 24, 2), np.uint16)},
        "float.mat": {"LabelMap": np.zeros((16, 24))},
        "turned.mat": {"LabelMap": np.zeros((24, 16), np.uint16)},
        "large.mat": {"LabelMap": np.zeros((160, 240), np.uint16)},
    }
    for name, content in matrices.items():
        scipy.io.savemat(tmp_path / name, content)
    (tmp_path / "empty.mat").touch()
    (tmp_path / "damaged.mat").write_bytes((tmp_path / "turned.mat").read_bytes()[:190])
    # how a version 7.3 file begins: 124 characters, then the version
    (tmp_path / "hdf5.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))

    def reason(name: str) -> str:
        with pytest.raises(SkippedImage) as caught:
            load_image_and_map(tmp_path / "image.png", tmp_path / name, max_pixels=10_000)
        return caught.value.reason.removeprefix("semantic map: ")

    assert reason("other.mat") == reason("flat.mat") == "no matrix LabelMap"
    assert reason("float.mat") == "LabelMap is not of integers"
    assert reason("turned.mat") == "not of the image's size"
    assert reason("large.mat") == "too many pixels"
    assert reason("empty.mat") == "empty file"
    assert reason("damaged.mat") == "truncated or damaged"
    assert reason("hdf5.mat") == "MATLAB 7.3 file; save it with -v7"
    assert reason("absent.mat") == "no such file"
