"""Batches are the same for any number of workers, and hold every image or the reason why not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evigraph.indexer.data.images import load_image
from evigraph.indexer.data.loader import Batch, iterate_batches
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.indexer.data.sources import open_source
from evigraph.schema.errors import DataError

SETTINGS = Preprocessing(16, 16, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))


@pytest.fixture
def scenes(tmp_path: Path) -> DataSource:
    """Ten images: 3 and 4 damaged, 6 without a map, 7 with a map of another size."""
    random = np.random.default_rng(3)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(10):
        pixels = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        values = random.integers(0, 4, (20, 20 if number == 7 else 30), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / "masks" / f"{number}.png")
    (tmp_path / "images" / "3.png").write_bytes(b"")
    (tmp_path / "images" / "4.png").write_bytes(b"no image")
    (tmp_path / "masks" / "6.png").unlink()
    (tmp_path / "classes.csv").write_text("mask_value,name\n0,sky\n1,sea\n2,void\n")
    return open_source(f"scenes:{tmp_path}", None, 5)


def batches(source: DataSource, workers: int, size: int = 3, settings: Preprocessing = SETTINGS) -> list[Batch]:
    return list(iterate_batches(source, settings, range(10), batch_size=size, workers=workers))


def test_any_number_of_workers_gives_the_same_tensors(scenes: DataSource) -> None:
    here = batches(scenes, 0)
    for workers in (1, 3):
        for ours, theirs in zip(here, batches(scenes, workers), strict=True):
            assert torch.equal(ours.image_ids, theirs.image_ids)
            assert torch.equal(ours.pixels, theirs.pixels)
            assert ours.maps is not None
            assert theirs.maps is not None
            assert torch.equal(ours.maps, theirs.maps)
            assert ours.skipped == theirs.skipped


def test_every_image_is_used_or_skipped_with_a_reason(scenes: DataSource) -> None:
    found = batches(scenes, 0, size=4)
    assert [batch.image_ids.tolist() for batch in found] == [[0, 1, 2], [5, 6], [8, 9]]
    assert [skip for batch in found for skip in batch.skipped] == [
        (3, "empty file"),
        (4, "not an image"),
        (7, "semantic map: not of the image's size"),
    ]
    for batch in found:
        assert batch.image_ids.dtype == torch.int64
        assert (batch.pixels.dtype, tuple(batch.pixels.shape[1:])) == (torch.float32, (3, 16, 16))
        assert batch.maps is not None
        assert (batch.maps.dtype, tuple(batch.maps.shape[1:])) == (torch.uint8, (16, 16))


def test_pixels_and_maps_are_those_of_the_image(scenes: DataSource) -> None:
    (batch,) = iterate_batches(scenes, SETTINGS, [8, 6], batch_size=2)
    assert batch.image_ids.tolist() == [8, 6]
    assert torch.equal(batch.pixels[0], SETTINGS.image(load_image(scenes.path("images/8.png"))))
    with Image.open(scenes.path("masks/8.png")) as stored:
        values = SETTINGS.map(stored)
    # sky, stored as 0, has the id 2; what the file calls void, or does not name, is 0
    expected = torch.tensor([2, 1, 0, 0], dtype=torch.uint8)[values.int()]
    assert batch.maps is not None
    assert torch.equal(batch.maps[0], expected)
    assert not batch.maps[1].any()


def test_what_lies_outside_the_image_is_void_even_where_0_is_a_label(scenes: DataSource) -> None:
    (batch,) = iterate_batches(scenes, Preprocessing(None, 40), [8])
    assert batch.maps is not None
    inside = batch.maps[0, 10:30, 5:35]
    with Image.open(scenes.path("masks/8.png")) as stored:
        values = np.asarray(stored)
    assert (inside.numpy() == np.array([2, 1, 0, 0])[values]).all()
    assert int(batch.maps.count_nonzero()) == int(inside.count_nonzero()) > 0


def test_maps_of_more_than_8_bits(scenes: DataSource) -> None:
    values = np.full((20, 30), 300, dtype=np.uint16)
    values[:, :10], values[:, 10:12], values[:, 12:14] = 459, 460, 65535
    Image.fromarray(values).save(scenes.path("masks/8.png"))
    classes = "mask_value,name\n0,sky\n1,sea\n300,mud\n459,wood\n"
    scenes.path("classes.csv").write_text(classes)
    source = open_source(scenes.spec, None, 5)
    for workers in (0, 1):
        (batch,) = iterate_batches(source, Preprocessing(None, 20), [8, 6], batch_size=2, workers=workers)
        assert batch.maps is not None
        assert batch.maps.dtype == torch.int32
        # the crop takes columns 5 to 24
        assert batch.maps[0, 3].tolist() == [459] * 5 + [0] * 4 + [300] * 11
        assert not batch.maps[1].any()


def test_a_batch_may_be_skipped_whole(scenes: DataSource) -> None:
    (batch,) = iterate_batches(scenes, SETTINGS, [4, 3], workers=1)
    assert batch.pixels.shape == (0, 3, 16, 16)
    assert batch.maps is not None
    assert batch.maps.shape == (0, 16, 16)
    assert [image_id for image_id, _ in batch.skipped] == [4, 3]
    assert list(iterate_batches(scenes, SETTINGS, [])) == []


def test_without_maps_there_are_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.png")
    (tmp_path / "b" / "2.png").symlink_to(tmp_path / "absent")
    source = open_source(f"imagefolder:{tmp_path}", None, 2)
    (batch,) = iterate_batches(source, SETTINGS, range(3), workers=2)
    assert batch.maps is None
    assert batch.skipped == ((2, "no such file"),)


def test_oversized_images_are_skipped(scenes: DataSource) -> None:
    (batch,) = iterate_batches(scenes, SETTINGS, [0], max_pixels=599)
    assert batch.skipped == ((0, "too many pixels"),)


class _Deadly(Preprocessing):
    def image(self, *_: object) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_worker_that_dies_is_named(scenes: DataSource) -> None:
    with pytest.raises(DataError, match=r"a loader process died .*--workers 0"):
        list(iterate_batches(scenes, _Deadly(16, 16), [0], workers=1))


def test_errors_of_our_own_are_not_hidden(scenes: DataSource) -> None:
    broken = DataSource(scenes.spec, scenes.root, (Sample("images/0.png"),), scenes.class_list)
    with pytest.raises(IndexError):
        list(iterate_batches(broken, SETTINGS, [1]))
