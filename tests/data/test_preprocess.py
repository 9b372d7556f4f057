"""The network's input equals torchvision's, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import AlexNet_Weights, EfficientNet_B1_Weights, ViT_H_14_Weights, WeightsEnum
from torchvision.transforms import InterpolationMode, v2

from evigraph.indexer.data.images import SkippedImage
from evigraph.indexer.data.preprocess import IMAGENET, Preprocessing
from evigraph.indexer.data.settings import PreprocessingOptions, parse_numbers
from evigraph.schema.errors import UsageError

SIZES = [(640, 480), (333, 500), (257, 256), (225, 224), (224, 225), (100, 31), (1, 1), (7, 300), (256, 257)]


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def reference(settings: Preprocessing) -> v2.Compose:
    steps = [
        v2.CenterCrop(settings.crop),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(settings.mean, settings.std),
    ]
    if settings.resize:
        steps.insert(0, v2.Resize(settings.resize, InterpolationMode(settings.interpolation), antialias=True))
    return v2.Compose(steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (64, 65), (33, 20), (None, 97), (None, 224)])
def test_equals_torchvision(size: tuple[int, int], interpolation: str, resize: int | None, crop: int) -> None:
    settings = Preprocessing(resize, crop, interpolation=interpolation)
    image = noise(*size)
    found = settings.image(image)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert torch.equal(found, torch.as_tensor(reference(settings)(image)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (64, 65), (None, 97)])
def test_maps_take_the_same_way_by_nearest(size: tuple[int, int], resize: int | None, crop: int) -> None:
    settings = Preprocessing(resize, crop, interpolation="bicubic")
    values = noise(*size).getchannel(0)
    way = [v2.CenterCrop(crop), v2.ToImage()]
    if resize:
        way.insert(0, v2.Resize(resize, InterpolationMode.NEAREST))
    found = settings.map(values)
    assert (found.dtype, tuple(found.shape)) == (torch.uint8, (crop, crop))
    assert torch.equal(found, torch.as_tensor(v2.Compose(way)(values))[0])


def test_crop_outside_the_image_is_black_and_void() -> None:
    settings = Preprocessing(None, 5, (0.5,) * 3, (0.5,) * 3)
    white = Image.new("RGB", (2, 3), "white")
    assert settings.image(white)[0, :, 0].tolist() == [-1.0] * 5
    assert settings.map(Image.new("L", (2, 3), 9)).count_nonzero() == 6


def test_caffe_style_networks() -> None:
    caffe = Preprocessing(None, 4, (103.9, 116.8, 123.7), (1, 1, 2), "bgr", 255)
    pixels = np.asarray(noise(4, 4)).astype(np.float64)
    expected = (pixels[:, :, ::-1] - caffe.mean) / caffe.std
    assert np.allclose(caffe.image(noise(4, 4)).permute(1, 2, 0), expected, atol=1e-4)


@pytest.mark.parametrize("weights", [AlexNet_Weights, EfficientNet_B1_Weights, ViT_H_14_Weights])
def test_torchvision_weights(weights: type[WeightsEnum]) -> None:
    for entry in weights:
        preset = entry.transforms()
        settings = Preprocessing.from_weights(preset)
        assert torch.allclose(settings.image(noise(600, 500)), preset(noise(600, 500)), atol=1e-6)
        assert Preprocessing.from_settings(json.loads(json.dumps(settings.to_settings()))) == settings


def test_weights_of_another_task() -> None:
    with pytest.raises(UsageError, match="Compose is not a preset for image classification"):
        Preprocessing.from_weights(v2.Compose([v2.ToImage()]))


def test_timm_configuration() -> None:
    config = {
        "input_size": (3, 224, 224),
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "crop_pct": 0.9,
        "crop_mode": "center",
    }
    assert Preprocessing.from_timm(config) == Preprocessing(248, 224, (0.5,) * 3, (0.5,) * 3, interpolation="bicubic")
    with pytest.raises(UsageError, match="crop mode 'border'"):
        Preprocessing.from_timm(config | {"crop_mode": "border"})


def options(**given: Any) -> PreprocessingOptions:
    triples: dict[str, Any] = {name: parse_numbers(name, given[name]) for name in ("mean", "std") if name in given}
    return PreprocessingOptions(**{**given, **triples})


def test_options_change_one_part_each() -> None:
    changed = IMAGENET.with_options(options(resize=0, crop=225, mean=".5,.5,.5", std="1, 1, 2", pixel_scale=255))
    assert changed == Preprocessing(None, 225, (0.5, 0.5, 0.5), (1.0, 1.0, 2.0), pixel_scale=255)
    assert IMAGENET.with_options(PreprocessingOptions()) == IMAGENET


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": ".5,.5"}, "mean has 2 numbers where 3 are needed"),
        ({"mean": "a,b,c"}, "mean 'a,b,c' is not three numbers"),
        ({"mean": "nan,0,0"}, "finite"),
        ({"mean": "123,116,103"}, "beyond the pixels, which are 0 to 1; give --pixel-scale 255"),
        ({"std": "0,1,1"}, "must be above 0"),
        ({"channel_order": "grb"}, "unknown channel order 'grb'; give one of rgb, bgr"),
        ({"pixel_scale": 2}, "unknown pixel scale 2; give one of 1, 255"),
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'"),
        ({"crop": 0}, "crop 0 is out of range"),
        ({"resize": -1}, "resize -1 is out of range"),
    ],
)
def test_bad_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        IMAGENET.with_options(options(**change))


def test_triples() -> None:
    assert parse_numbers("mean", " .1, 2,3e-1") == (0.1, 2.0, 0.3)


def test_a_line_of_pixels_does_not_fill_the_memory() -> None:
    with pytest.raises(SkippedImage, match="too elongated"):
        IMAGENET.image(Image.new("RGB", (60_000, 1)))
