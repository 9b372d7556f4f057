"""What people reported of inputs that are not square RGB, and of their own transforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from evigraph.indexer.data.channels import load_channels
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.report import IndexReport
from evigraph.indexer.run.settings import AttackSettings, Execution, IndexSettings
from evigraph.indexer.verify.fills import blurred
from evigraph.schema.errors import EvidenceError, UsageError
from evigraph.schema.pictures import LayerGeometry
from tests.reports.table import report

PLACE = "tests.support.heads:"


def run_of(folder: Path, model: str, data: Path, **options: Any) -> IndexReport:
    given = {name: options.pop(name) for name in ("attack", "verify") if name in options}
    settings = IndexSettings(
        model=PLACE + model,
        weights="random",
        data=f"folder:{data}",
        run=folder / "run",
        execution=Execution(workers=0),
        preprocessing=PreprocessingOptions(**options),
        **given,
    )
    return index(settings)


def written(folder: Path, *arrays: np.ndarray[Any, Any]) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    for i, array in enumerate(arrays):
        if array.ndim == 2 or array.shape[2] in (3, 4):
            Image.fromarray(array).save(folder / "images" / f"{i}.png")
        else:
            np.save(folder / "images" / f"{i}.npy", array)
    return folder / "images"


def noise(*shape: int, kind: Any = np.uint8) -> np.ndarray[Any, Any]:
    made: np.ndarray[Any, Any] = np.random.default_rng(0).integers(0, 256, shape).astype(kind)
    return made


@pytest.mark.parametrize(
    ("model", "shape", "said"),
    [
        pytest.param(
            "grey", (28, 28), "1 channel", marks=report("pytorch/vision#198", "MNIST as PNG is of one channel")
        ),
        pytest.param("grey", (30, 20, 3), "1 channel", marks=report("MisaOgura/flashtorch#30", "colours become grey")),
        pytest.param("rgba", (30, 20, 4), "4 channels", marks=report("pytorch/vision#561", "RGBA stays RGBA")),
        pytest.param(
            "bands",
            (30, 20, 6),
            "6 channels",
            marks=report("qubvel-org/segmentation_models.pytorch#54", "multispectral images are .npy files"),
        ),
    ],
)
def test_channels_are_the_networks(tmp_path: Path, model: str, shape: tuple[int, ...], said: str) -> None:
    found = run_of(tmp_path, model, written(tmp_path, noise(*shape), noise(*shape)), resize=0, crop=28)
    assert (found.image_total, sum(found.skipped.values())) == (2, 0)
    assert any(f"the network's input has {said}" in note for note in found.notes)


@report("pytorch/vision#2218", "16-bit grey is scaled, not clipped to white")
def test_sixteen_bits(tmp_path: Path) -> None:
    values = noise(9, 9, kind=np.uint16) * 257
    path = written(tmp_path, values) / "0.png"
    assert np.array_equal(np.asarray(load_channels(path, 1)), values >> 8)


@report("qubvel-org/segmentation_models.pytorch#22", "an image without a fourth channel is not given one")
def test_three_channels_are_not_four(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="RGB image, where the network takes 4 channels"):
        run_of(tmp_path, "rgba", written(tmp_path, noise(20, 20, 3)), resize=0, crop=20)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        pytest.param(
            {"resize": 0, "crop": (100, 50)},
            (100, 50),
            marks=report("YijinHuang/pytorch-classification#6", "height 100, width 50"),
        ),
        pytest.param(
            {"resize": (18, 32), "crop": (18, 32)},
            (18, 32),
            marks=report("gabrieldemarmiesse/heatmaps#11", "height and width are not swapped"),
        ),
        pytest.param(
            {"resize": 24, "crop": (24, 40)},
            (24, 40),
            marks=report("tabayashi0117/Score-CAM#24", "maps have the height and width of the image"),
        ),
    ],
)
def test_inputs_that_are_not_square(tmp_path: Path, options: dict[str, Any], size: tuple[int, int]) -> None:
    found = run_of(tmp_path, "softmax", written(tmp_path, noise(100, 180, 3)), **options)
    assert found.edge_count > 0
    described = (tmp_path / "run" / "run.json").read_text()
    assert f'"height": {size[0]}' in described.replace("\n", " ")
    edges = pq.read_table(next((tmp_path / "run" / "shards").glob("*.edge.parquet")))
    assert max(edges["source_y"].to_pylist()) < size[0]
    assert size[0] < size[1] or max(edges["source_x"].to_pylist()) < size[1]


@report("wmvanvliet/pytorch_hmax#2", "each axis goes by its own length, in fields and in what hides them")
def test_axes_are_not_mixed_up() -> None:
    geometry = LayerGeometry((1.5, 1.5), (2.0, 2.0), 4)
    assert geometry.box(11, 19, (24, 40)) == (22, 38, 24, 40)
    assert LayerGeometry((1.5, 1.5), (2.0, 2.0), None).box(3, 3, (24, 40)) == (0, 0, 24, 40)
    pixels = torch.randn(2, 4, 24, 40)
    assert blurred(pixels).shape == pixels.shape
    torch.testing.assert_close(blurred(pixels.mT), blurred(pixels).mT)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(
            "RANDOM",
            "holds RandomHorizontalFlip, which draws at random",
            marks=report("oukohou/SSR_Net_Pytorch#18", "a transform that draws at random is refused by name"),
        ),
        pytest.param(
            "noisy",
            "gives another input each time",
            marks=report("yunxiaoshi/Neural-IMage-Assessment#31", "a transform is the same each time, or refused"),
        ),
    ],
)
def test_transforms_that_draw(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_of(tmp_path, "softmax", written(tmp_path, noise(30, 30, 3)), transform=PLACE + name)


@report(
    "Harry24k/adversarial-attacks-pytorch#1", "eps is of pixels before they are normalised, or the attack is refused"
)
def test_eps_is_of_pixels(tmp_path: Path) -> None:
    data = written(tmp_path, noise(30, 30, 3))
    attack = AttackSettings(kind="fgsm")
    with pytest.raises(UsageError, match="how large --eps is in an input of --transform is not known"):
        run_of(tmp_path, "softmax", data, transform=PLACE + "wide", attack=attack)
    found = run_of(
        tmp_path, "softmax", data, transform=PLACE + "wide", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), attack=attack
    )
    assert found.new_image_count == 1


@report("yosinski/deep-visualization-toolbox#52", "a network of one channel is given grey images, in its own scale")
def test_caffe_scale_of_one_channel() -> None:
    image = Image.fromarray(noise(8, 8))
    found = Preprocessing(None, 8, (120.0,), (1.0,), pixel_scale=255).image(image)
    assert torch.equal(found[0], torch.from_numpy(np.asarray(image).astype(np.float32)) - 120)
