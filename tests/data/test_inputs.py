"""Inputs of other channels and sides than square RGB equal torchvision's, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torchvision.transforms import InterpolationMode, v2

from evigraph.indexer.data.channels import load_channels
from evigraph.indexer.data.images import SkippedImage
from evigraph.indexer.data.loader import iterate_batches
from evigraph.indexer.data.preprocess import IMAGENET, Preprocessing
from evigraph.indexer.data.settings import PreprocessingOptions, parse_numbers, parse_size
from evigraph.indexer.data.sources import open_source
from evigraph.schema.errors import UsageError

SIZES = [(64, 48), (33, 90), (41, 24), (20, 17)]
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def noise(mode: str, width: int, height: int) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(values if bands > 1 else values[:, :, 0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("resize", "crop"), [(30, (24, 40)), ((24, 40), (24, 40)), (None, (40, 24)), ((50, 20), 33)])
def test_equals_torchvision(size: tuple[int, int], channels: int, resize: Any, crop: Any) -> None:
    mean, std = tuple(0.1 * (k + 1) for k in range(channels)), tuple(0.2 + 0.1 * k for k in range(channels))
    image = noise(MODES[channels], *size)
    steps: list[Any] = [
        v2.CenterCrop(crop),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(mean, std),
    ]
    if resize:
        steps.insert(0, v2.Resize(resize, InterpolationMode.BILINEAR, antialias=True))
    settings = Preprocessing(resize, crop, mean, std)
    found = settings.image(image)
    assert tuple(found.shape) == (channels, *settings.size)
    assert torch.equal(found, torch.as_tensor(v2.Compose(steps)(image)))


@pytest.mark.parametrize("size", SIZES)
def test_maps_take_the_same_way(size: tuple[int, int]) -> None:
    values = noise("L", *size)
    for resize, crop in [(30, (24, 40)), ((24, 40), (24, 40)), (None, (40, 24))]:
        way: list[Any] = [v2.CenterCrop(crop), v2.ToImage()]
        if resize:
            way.insert(0, v2.Resize(resize, InterpolationMode.NEAREST))
        found = Preprocessing(resize, crop).map(values)  # type: ignore[arg-type]
        assert torch.equal(found, torch.as_tensor(v2.Compose(way)(values))[0])


def test_channels_of_an_array_take_the_way_of_grey_images() -> None:
    values = np.random.default_rng(0).integers(0, 256, (30, 50, 6), dtype=np.uint8)
    settings = Preprocessing((24, 40), (20, 40), (0.5,) * 6, (0.25,) * 6)
    alone = Preprocessing((24, 40), (20, 40), (0.5,), (0.25,))
    expected = torch.cat([alone.image(Image.fromarray(np.ascontiguousarray(values[:, :, k]))) for k in range(6)])
    assert torch.equal(settings.image(values), expected)
    with pytest.raises(SkippedImage, match="array of uint16, not uint8"):
        settings.image(values.astype(np.uint16))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "config",
    [
        {"input_size": (3, 96, 96), "crop_pct": 0.875},
        {"input_size": (3, 96, 64), "crop_pct": 0.9},
        {"input_size": (3, 64, 96), "crop_pct": 1.0, "crop_mode": "squash"},
        {"input_size": (3, 64, 64), "crop_pct": 0.95, "crop_mode": "squash"},
        {"input_size": (1, 64, 48), "crop_pct": 0.9, "mean": (0.5,), "std": (0.5,)},
    ],
    ids=str,
)
def test_timm_configurations(config: dict[str, Any], interpolation: str) -> None:
    """As timm's own transform for evaluation."""
    height, width = config["input_size"][1:]
    if interpolation == "bicubic" and height != width and "crop_mode" not in config and timm.__version__ < "1":
        pytest.skip("timm before 1.0 resizes to such inputs by bilinear interpolation whatever is asked for")
    whole = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "interpolation": interpolation} | config
    own = create_transform(**whole, is_training=False)
    settings = Preprocessing.from_timm(whole)
    for size in [(200, 150), (150, 200), (333, 120)]:
        image = noise(MODES[config["input_size"][0]], *size)
        torch.testing.assert_close(settings.image(image), own(image), rtol=0, atol=1e-5)


def test_settings_of_square_rgb_are_as_they_were() -> None:
    """What a run's digest is made of: no new key, and `crop` a number."""
    assert IMAGENET.to_settings() == {
        "resize": 256,
        "crop": 224,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "channel_order": "rgb",
        "pixel_scale": 1,
        "interpolation": "bilinear",
    }


@pytest.mark.parametrize(
    "settings",
    [
        Preprocessing((24, 40), (24, 40)),
        Preprocessing(None, 28, (0.1307,), (0.3081,)),
        Preprocessing((30, 50), (24, 40), resize_mode="cover"),
    ],
)
def test_settings_survive_json(settings: Preprocessing) -> None:
    assert Preprocessing.from_settings(json.loads(json.dumps(settings.to_settings()))) == settings


def test_options_of_other_channels() -> None:
    grey = IMAGENET.with_options(PreprocessingOptions(channels=1, crop=28, resize=0))
    assert grey == Preprocessing(None, 28, (0.0,), (1.0,))
    assert IMAGENET.with_options(PreprocessingOptions(mean=(0.1307,), std=(0.3081,)), 1).mean == (0.1307,)
    assert IMAGENET.with_options(PreprocessingOptions(channels=3)) == IMAGENET


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 1, "mean": (0.5, 0.5, 0.5)}, "mean has 3 numbers where 1 is needed.* 1 channel;"),
        ({"channels": 4, "std": (0.5,)}, "std has 1 number where 4 are needed"),
        ({"channels": 0}, "--channels 0 is out of range"),
        ({"channels": 1, "channel_order": "bgr"}, "'bgr' is of three channels"),
        ({"crop": (24, 0)}, "--crop 24,0 is out of range; give 1 or more and at most 10000"),
        ({"resize": (0, 24)}, "--resize 0,24 is out of range; give 1 or more"),
        ({"resize": -1}, "--resize -1 is out of range; give 0 or more and at most 10000, 0 for no resize"),
    ],
)
def test_bad_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        IMAGENET.with_options(PreprocessingOptions(**change))


def test_sizes_are_read() -> None:
    assert parse_size("--crop", "224") == 224
    assert parse_size("--crop", " 24, 40") == (24, 40)
    assert parse_numbers("--mean", ".1307") == (0.1307,)
    for text in ("24x40", "24,40,3", "", "2.5", "24,"):
        with pytest.raises(UsageError, match="give pixels as 224, or HEIGHT,WIDTH as 24,40"):
            parse_size("--crop", text)


def test_grey_networks_read_every_mode(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    grey = Image.fromarray(values)
    grey.save(tmp_path / "l.png")
    grey.convert("1").save(tmp_path / "bits.png")
    Image.fromarray(values.astype(np.uint16) << 8).save(tmp_path / "deep.png")
    grey.convert("RGB").save(tmp_path / "rgb.png")
    grey.convert("LA").save(tmp_path / "la.png")
    grey.convert("P").save(tmp_path / "palette.png")
    for name in ("l", "deep", "rgb", "la", "palette"):
        loaded = load_channels(tmp_path / f"{name}.png", 1)
        assert isinstance(loaded, Image.Image)
        assert loaded.mode == "L", name
        assert np.array_equal(np.asarray(loaded), values), name
    bits = np.asarray(load_channels(tmp_path / "bits.png", 1))
    assert set(np.unique(bits)) == {0, 255}
    colours = noise("RGB", 8, 8)
    colours.save(tmp_path / "colours.png")
    assert np.array_equal(np.asarray(load_channels(tmp_path / "colours.png", 1)), np.asarray(v2.Grayscale()(colours)))


def test_four_channels_are_the_files_own(tmp_path: Path) -> None:
    """An image without a fourth channel is skipped: that it is opaque would be a guess for what is no alpha."""
    whole = noise("RGBA", 8, 6)
    whole.save(tmp_path / "rgba.png")
    whole.save(tmp_path / "rgba.tif")
    noise("CMYK", 8, 6).save(tmp_path / "cmyk.tif")
    noise("RGB", 8, 6).save(tmp_path / "rgb.png")
    np.save(tmp_path / "bands.npy", np.asarray(whole))
    for name in ("rgba.png", "rgba.tif", "bands.npy"):
        assert np.array_equal(np.asarray(load_channels(tmp_path / name, 4)), np.asarray(whole)), name
    cmyk = load_channels(tmp_path / "cmyk.tif", 4)
    assert np.array_equal(np.asarray(cmyk), np.asarray(noise("CMYK", 8, 6)))
    with pytest.raises(SkippedImage, match="RGB image, where the network takes 4 channels"):
        load_channels(tmp_path / "rgb.png", 4)
    noise("LA", 8, 6).save(tmp_path / "la.png")
    assert np.array_equal(np.asarray(load_channels(tmp_path / "la.png", 2)), np.asarray(noise("LA", 8, 6)))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((6, 9, 5), np.uint8), "array of 5 channels, where the network takes 6"),
        (np.zeros((9, 5), np.uint8), "array of 1 channels, where the network takes 6"),
        (np.zeros((2, 9, 5, 6), np.uint8), "array is not of height, width and channels"),
        (np.array([{}], dtype=object), "truncated or damaged"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, array: np.ndarray[Any, Any], reason: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(SkippedImage, match=reason):
        load_channels(tmp_path / "a.npy", 6)


def test_arrays_are_listed_where_they_are_images(tmp_path: Path) -> None:
    for folder in ("ant", "bee"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "0.npy", np.full((8, 12, 6), 9, np.uint8))
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "1.png")
    spec = f"imagefolder:{tmp_path}"
    assert [one.uri for one in open_source(spec, None, 2).samples] == ["ant/1.png", "bee/1.png"]
    source = open_source(spec, None, 2, arrays=True)
    assert len(source.samples) == 4
    (batch,) = iterate_batches(source, Preprocessing(None, (8, 12), (0.0,) * 6, (1.0,) * 6), range(4), batch_size=4)
    assert batch.image_ids.tolist() == [0, 2]
    assert tuple(batch.pixels.shape) == (2, 6, 8, 12)
    assert batch.skipped == tuple((i, "no .npy file, where the network takes 6 channels") for i in (1, 3))
