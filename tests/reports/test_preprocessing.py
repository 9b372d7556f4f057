"""A file of weights goes with the preprocessing, and the network, that weights of its architecture are made for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models as zoo

from evigraph.indexer.data.preprocess import IMAGENET, Preprocessing
from evigraph.indexer.weights import published
from evigraph.indexer.weights.loading import LoadedModel, load_model
from tests.conftest import Cli
from tests.reports.table import report
from tests.support import tiny

REAL = tiny.ROOT.parent / "shared" / "data"


def made(name: str, **options: Any) -> nn.Module:
    """An architecture without its initial values, which take long and matter to nobody here."""
    torch.manual_seed(0)
    if name in {"googlenet", "inception_v3"}:
        options = {"init_weights": False} | options
    with mock.patch("torch.nn.init.trunc_normal_"), mock.patch("torch.nn.init.kaiming_normal_"):
        model: nn.Module = zoo.get_model(name, weights=None, **options)
    return model


def saved(name: str, path: Path, **options: Any) -> LoadedModel:
    tensors = made(name, **options).state_dict()
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return load_model(name, str(path))


def parts(preprocessing: Preprocessing) -> tuple[Any, Any, str]:
    return preprocessing.resize, preprocessing.crop, preprocessing.interpolation


ARCHITECTURES = [
    pytest.param(
        "inception_v3",
        (342, 299, "bilinear"),
        marks=report("pytorch/vision#5958", "inception_v3 from a file: resize 342, crop 299"),
    ),
    pytest.param(
        "efficientnet_b4",
        (384, 380, "bicubic"),
        marks=(
            report(
                "pytorch/vision#4936",
                "EfficientNet from a file: its own size and interpolation (b4: 384, 380, bicubic)",
            ),
            pytest.mark.slow,
        ),
    ),
    ("efficientnet_b0", (256, 224, "bicubic")),
    ("mnasnet0_75", (232, 224, "bilinear")),
    ("shufflenet_v2_x1_5", (232, 224, "bilinear")),
    ("shufflenet_v2_x0_5", (256, 224, "bilinear")),
]


@pytest.mark.parametrize(("name", "expected"), ARCHITECTURES)
def test_a_file_takes_the_published_preprocessing_and_says_so(
    name: str, expected: tuple[Any, Any, str], tmp_path: Path
) -> None:
    loaded = saved(name, tmp_path / "w.pth", num_classes=3)
    entry = zoo.get_model_weights(name).DEFAULT
    assert parts(loaded.preprocessing) == expected
    assert loaded.preprocessing == Preprocessing.from_weights(entry.transforms())
    resize, crop, interpolation = expected
    said = f"preprocessing is that of {entry} (resize {resize}, crop {crop}, {interpolation})"
    assert any(note.startswith(said) for note in loaded.notes)
    assert loaded.class_names is None


@report("pytorch/vision#4811", "where published weights differ in it, the newest's, and the other's is said")
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("mobilenet_v2", "IMAGENET1K_V1 has resize 256, crop 224, bilinear"),
        ("mobilenet_v3_large", "IMAGENET1K_V1 has resize 256, crop 224, bilinear"),
        ("efficientnet_b1", "IMAGENET1K_V1 has resize 256, crop 240, bicubic"),
    ],
)
def test_where_published_weights_differ_both_are_said(name: str, other: str, tmp_path: Path) -> None:
    loaded = saved(name, tmp_path / "w.safetensors", num_classes=3)
    assert loaded.preprocessing == Preprocessing.from_weights(zoo.get_model_weights(name).IMAGENET1K_V2.transforms())
    assert any(other in note and "--resize" in note for note in loaded.notes)


def test_a_files_name_says_which_published_weights_it_is_of(tmp_path: Path) -> None:
    """A copy in another format is of another digest."""
    loaded = saved("mobilenet_v2", tmp_path / "mobilenet_v2-b0353104.safetensors", num_classes=3)
    assert parts(loaded.preprocessing) == (256, 224, "bilinear")
    assert any(
        "MobileNet_V2_Weights.IMAGENET1K_V1" in note and "as the file's name says" in note for note in loaded.notes
    )
    assert loaded.class_names is None


@pytest.mark.parametrize("earlier", [False, True])
def test_a_published_file_is_known_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    entry = zoo.SqueezeNet1_1_Weights.IMAGENET1K_V1
    torch.save(made("squeezenet1_1").state_dict(), tmp_path / "any.pth")
    digest = hashlib.sha256((tmp_path / "any.pth").read_bytes()).hexdigest()
    assert published._digests("squeezenet1_1", entry) == ("b8a52dc0", "f364aa15")
    if earlier:
        monkeypatch.setitem(published._EARLIER, "squeezenet1_1", digest[:8])
    else:
        monkeypatch.setattr(published, "_digests", lambda _name, _entry: (digest[:8],))
    loaded = load_model("squeezenet1_1", str(tmp_path / "any.pth"))
    assert loaded.class_names is not None
    assert loaded.class_names[1] == "goldfish"
    assert loaded.weights_sha256 == digest
    assert any("which the file is" in note for note in loaded.notes)


TRANSFORMING = [
    pytest.param(
        "inception_v3",
        False,
        marks=report("pytorch/vision#5376", "the same answers from the file as from the published weights"),
    ),
    pytest.param("inception_v3", True, marks=pytest.mark.slow),
    pytest.param(
        "googlenet",
        False,
        marks=report("pytorch/vision#4136", "the input is transformed as for published weights, and it is said"),
    ),
    ("googlenet", True),
]


@pytest.mark.parametrize(("name", "aux"), TRANSFORMING)
def test_the_networks_own_input_transform_is_on(name: str, aux: bool, tmp_path: Path) -> None:
    loaded = saved(name, tmp_path / "w.pth", num_classes=3, aux_logits=aux)
    # What ImageNet's statistics make of grey is what (x - .5) / .5 makes of it.
    grey = (0.25 - torch.tensor(IMAGENET.mean)) / torch.tensor(IMAGENET.std)
    seen = []
    first = next(module for module in loaded.model.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        loaded.model(grey.view(1, 3, 1, 1).expand(1, 3, 96, 96))
    torch.testing.assert_close(seen[0], torch.full((1, 3, 96, 96), -0.5))
    assert any("transform_input" in note and "factory" in note for note in loaded.notes)
    assert any("auxiliary heads" in note for note in loaded.notes) == (not aux)


@pytest.mark.parametrize(
    ("name", "classes", "other"),
    [("googlenet", 3, 5), pytest.param("inception_v3", 3, 1000, marks=pytest.mark.slow), ("googlenet", 1000, 3)],
)
def test_auxiliary_heads_of_other_classes(name: str, classes: int, other: int, tmp_path: Path) -> None:
    """As where the last layer alone is trained anew."""
    last = made(name, num_classes=classes, aux_logits=True).state_dict()
    rest = made(name, num_classes=other, aux_logits=True).state_dict()
    torch.save({key: last[key] if key.startswith("fc.") else value for key, value in rest.items()}, tmp_path / "w.pth")
    loaded = load_model(name, str(tmp_path / "w.pth"))
    assert torch.equal(loaded.model.state_dict()["fc.weight"], last["fc.weight"])
    assert any("auxiliary heads" in note and "of another number of classes" in note for note in loaded.notes)
    with torch.no_grad():
        assert loaded.model(torch.zeros(1, 3, 96, 96)).isfinite().all()


def test_an_option_sets_another(cli: Cli, tmp_path: Path) -> None:
    torch.save(made("shufflenet_v2_x0_5", num_classes=4).state_dict(), tmp_path / "w.pth")
    images = tiny.draw_images(tmp_path / "images", 4)
    outcome = cli(
        *("index", "--model", "shufflenet_v2_x0_5", "--weights", tmp_path / "w.pth", "--workers", "0", "--json"),
        *("--data", f"imagefolder:{images}", "--run", tmp_path / "run", "--crop", "64", "--resize", "70"),
    )
    assert outcome.code == 0, outcome.stderr
    found = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["preprocessing"]
    assert (found["resize"], found["crop"], found["interpolation"]) == (70, 64, "bilinear")
    assert any("ShuffleNet_V2_X0_5_Weights" in note for note in json.loads(outcome.stdout)["notes"])


def test_random_weights_take_imagenets() -> None:
    assert load_model("shufflenet_v2_x1_5", "random").preprocessing == IMAGENET


@pytest.mark.parametrize(
    ("name", "expected", "config"),
    [
        ("resnet10t", (201, 176, "bicubic"), "resnet10t.c3_in1k"),
        ("resnet10t.c3_in1k", (201, 176, "bicubic"), "resnet10t.c3_in1k"),
        ("efficientnet_lite0", (256, 224, "bicubic"), "efficientnet_lite0.ra_in1k"),
        ("tf_mobilenetv3_small_minimal_100", (256, 224, "bilinear"), "tf_mobilenetv3_small_minimal_100.in1k"),
    ],
)
def test_a_file_for_a_timm_name_takes_timms(
    name: str, expected: tuple[Any, Any, str], config: str, tmp_path: Path
) -> None:
    timm = pytest.importorskip("timm", reason="the optional extra timm is not installed")
    save_file(timm.create_model(name, num_classes=3).state_dict(), tmp_path / "w.safetensors")
    loaded = load_model(f"timm:{name}", str(tmp_path / "w.safetensors"))
    assert parts(loaded.preprocessing) == expected
    assert any(f"preprocessing is that of timm's {config} (" in note for note in loaded.notes)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real networks at {REAL}")
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2"])
def test_real_files_that_are_copies_in_another_format(name: str) -> None:
    loaded = load_model(name, str(REAL / name / f"{name}.safetensors"))
    assert loaded.preprocessing == Preprocessing.from_weights(zoo.get_model_weights(name).DEFAULT.transforms())
    assert any("since the file does not say its own" in note for note in loaded.notes)
    assert any("cast float16 to float32" in note for note in loaded.notes) == (name == "mobilenet_v2")


def attributes(model: nn.Module) -> dict[str, object]:
    """All that modules were made with, by path, but for what a head of training is."""
    return {
        f"{path}.{name}": value
        for path, module in model.named_modules()
        if not path.lower().startswith("aux")
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str | tuple | None) and name != "aux_logits"
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.list_models(module=zoo))
def test_an_architecture_for_a_file_is_that_for_its_published_weights(name: str) -> None:
    """Every one that torchvision has: nothing but the weights differs."""
    # RegNet reads a value while it is made.
    device = "cpu" if name.startswith("regnet") else "meta"
    for entry in zoo.get_model_weights(name):
        if device == "cpu" and entry.meta["num_params"] > 30e6:
            continue
        with (
            torch.device(device),
            mock.patch.object(type(entry), "get_state_dict", return_value={}),
            mock.patch.object(nn.Module, "load_state_dict"),
        ):
            ours = zoo.get_model(name, weights=None, **published.build_options(name, entry))
            theirs = zoo.get_model(name, weights=entry)
        assert attributes(ours) == attributes(theirs)
