"""A network's own transform: what it gives, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from evigraph.indexer.data.classes import ClassList
from evigraph.indexer.data.images import SkippedImage
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.run.transform import check_on_data, own_transform
from evigraph.schema.errors import NotFoundError, UsageError
from tests.data.test_inputs import noise
from tests.support import heads, tiny

PLACE = "tests.support.heads:"


def options(name: str, **given: Any) -> PreprocessingOptions:
    return PreprocessingOptions(transform=PLACE + name, **given)


@pytest.mark.parametrize("name", ["wide", "WIDE"])
def test_it_gives_what_the_function_gives(name: str) -> None:
    made = own_transform(options(name))
    assert (made.channels, made.size, made.gives_pixels) == (3, (24, 40), False)
    image = noise("RGB", 70, 50)
    assert torch.equal(made.image(image), torch.as_tensor(heads.WIDE(image)))
    assert torch.equal(pickle.loads(pickle.dumps(made)).image(image), made.image(image))


def test_what_it_is_is_described() -> None:
    """By name and source, so that a run does not go on with another."""
    wide, composed = own_transform(options("wide")).to_settings(), own_transform(options("WIDE")).to_settings()
    assert wide == own_transform(options("wide")).to_settings()
    assert wide["transform"] == PLACE + "wide"
    assert wide["transform_sha256"] != composed["transform_sha256"]
    assert (wide["channels"], wide["crop"]) == (3, [24, 40])
    assert own_transform(options("WIDE", mean=heads.MEAN, std=heads.STD)).to_settings() != composed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RANDOM", "holds RandomHorizontalFlip, which draws at random"),
        ("noisy", "gives another input each time it is given a drawn image"),
        ("UNSIZED", "gives an input of the image's own size .* say the network's with --crop HEIGHT,WIDTH"),
        ("whole_numbers", "of torch.uint8; it must give floating point"),
        ("array", "gives ndarray; it must give a torch tensor"),
        ("not_finite", "gives values that are not finite of a drawn image"),
        ("exiting", "fails on a drawn image: it ends the program, with exit code 3"),
        ("SEQUENCE", "holds RandomHorizontalFlip, which draws at random"),
        ("failing", "fails on a drawn image: 'no such size, 320'"),
        ("Ending", "is a .*; give a function of an image"),
        ("MEAN", "is a tuple; give a function of an image"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        own_transform(options(name))


def test_names() -> None:
    with pytest.raises(NotFoundError, match="no transform 'nosiy'"):
        own_transform(options("nosiy"))
    with pytest.raises(UsageError, match=r"cannot import 'no\.such\.module'"):
        own_transform(PreprocessingOptions(transform="no.such.module:f"))
    with pytest.raises(UsageError, match="names no function"):
        own_transform(PreprocessingOptions(transform="wide"))


def test_an_empty_name_is_not_none() -> None:
    with pytest.raises(UsageError, match="--transform '' names no function"):
        PreprocessingOptions(transform="")


def test_options_beside_it() -> None:
    with pytest.raises(UsageError, match="--resize is given beside --transform"):
        options("wide", resize=256)
    with pytest.raises(UsageError, match="give both or neither"):
        options("wide", mean=heads.MEAN)
    with pytest.raises(UsageError, match="mean has 1 number where 3 are needed"):
        own_transform(options("wide", mean=(0.5,), std=(0.5,)))
    assert own_transform(options("UNSIZED", crop=(32, 48))).size == (32, 48)


def test_it_is_tried_on_the_data(tmp_path: Path) -> None:
    images = tiny.draw_images(tmp_path / "images", 4)
    source = open_source(f"folder:{images}", None, 4)
    check_on_data(own_transform(options("wide", mean=heads.MEAN, std=heads.STD)), source)
    with pytest.raises(UsageError, match=r"--mean and --std do not undo --transform .* they give pixels from -"):
        check_on_data(own_transform(options("wide", mean=(0.0,) * 3, std=(1.0,) * 3)), source)
    with pytest.raises(UsageError, match=r"gives \(3, 32, 32\) of ant/0000.png, not \(3, 32, 48\)"):
        check_on_data(own_transform(options("UNSIZED", crop=(32, 48))), source)
    classes = ClassList.from_names(tiny.CLASSES)
    scenes = open_source(f"scenes:{tiny.draw_scenes(tmp_path / 'scenes', 4)}", classes, 4)
    with pytest.raises(UsageError, match="has semantic maps, which cannot follow it"):
        check_on_data(own_transform(options("wide")), scenes)


def test_an_image_of_another_shape_is_skipped() -> None:
    made = own_transform(options("UNSIZED", crop=32))
    assert made.image(Image.new("RGB", (32, 32))).shape == (3, 32, 32)
    with pytest.raises(SkippedImage, match=r"gives \(3, 31, 32\), not \(3, 32, 32\)"):
        made.image(Image.new("RGB", (32, 31)))
