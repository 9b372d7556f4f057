"""Loading networks and their weights."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from evigraph.indexer.data.preprocess import IMAGENET
from evigraph.indexer.weights.loading import digest_of, importable_here, load_model, read_state_dict
from evigraph.schema.errors import ModelError, NotFoundError
from tests.support import tiny


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return dict(tiny.network().state_dict())


def outputs(model: nn.Module) -> torch.Tensor:
    pixels = torch.randn(2, 3, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found: torch.Tensor = model(pixels)
    return found


def expected(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    model = tiny.network().eval()
    model.load_state_dict(weights)
    return outputs(model)


def test_safetensors(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    loaded = load_model(tiny.MODEL, str(tmp_path / "w.safetensors"))
    torch.testing.assert_close(outputs(loaded.model), expected(weights), rtol=0, atol=0)
    assert loaded.preprocessing == IMAGENET
    assert not any(module.training for module in loaded.model.modules())


@pytest.mark.parametrize("wrap", ["", "state_dict", "model", "model_state_dict"])
def test_pth_as_training_scripts_write_it(weights: dict[str, torch.Tensor], tmp_path: Path, wrap: str) -> None:
    saved = {f"module.{name}": value for name, value in weights.items()}
    torch.save({wrap: saved, "epoch": 3} if wrap else saved, tmp_path / "w.pth")
    loaded = load_model(tiny.MODEL, str(tmp_path / "w.pth"))
    torch.testing.assert_close(outputs(loaded.model), expected(weights), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(weights: dict[str, torch.Tensor], tmp_path: Path, kind: torch.dtype) -> None:
    narrow = {name: value.to(kind) for name, value in weights.items()}
    save_file(narrow, tmp_path / "w.safetensors")
    loaded = load_model(tiny.MODEL, str(tmp_path / "w.safetensors"))
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    torch.testing.assert_close(
        outputs(loaded.model), expected({name: value.float() for name, value in narrow.items()}), rtol=0, atol=0
    )


class Planted:
    """Would make a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    planted = Planted(tmp_path / "planted")
    torch.save({"0.weight": torch.zeros(1), "extra": planted}, tmp_path / "torch.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"0.weight": planted}))
    for name in ("torch.pth", "plain.pth"):
        with pytest.raises(ModelError, match="cannot be read as a state dict"):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "planted").exists()


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    torch.save(tiny.network(), tmp_path / "model.pth")
    with pytest.raises(ModelError, match="cannot be read as a state dict"):
        read_state_dict(tmp_path / "model.pth")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="hold no state dict"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121"])
def test_the_number_of_classes_is_that_of_the_weights(name: str, tmp_path: Path) -> None:
    saved = models.get_model(name, weights=None, num_classes=7).state_dict()
    torch.save(saved, tmp_path / "w.pth")
    model = load_model(name, str(tmp_path / "w.pth")).model
    pixels = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        assert model(pixels).shape == (1, 7)


def test_the_number_of_classes_of_a_factory_is_that_of_the_weights(tmp_path: Path) -> None:
    save_file(tiny.network(9).state_dict(), tmp_path / "w.safetensors")
    assert outputs(load_model(tiny.MODEL, str(tmp_path / "w.safetensors")).model).shape == (2, 9)


def test_weights_of_another_network_do_not_fit(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"do not fit AlexNet: of 16 tensors 16 missing .* 8 unknown"):
        load_model("alexnet", str(tmp_path / "w.safetensors"))
    weights["3.weight"] = torch.zeros(8, 6, 5, 5)
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"1 of another shape \(3.weight: \(8, 6, 5, 5\), not \(8, 6, 3, 3\)\)"):
        load_model(tiny.MODEL, str(tmp_path / "w.safetensors"))


def test_random_weights_are_the_same_each_time() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = load_model(tiny.MODEL, "random"), load_model(tiny.MODEL, "random")
    assert first.weights_sha256 == second.weights_sha256 == digest_of(first.model)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_digest_tells_weights_apart(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    model = tiny.network()
    model.load_state_dict(weights)
    before = digest_of(model)
    with torch.no_grad():
        model.get_parameter("0.weight")[0, 0, 0, 0] += 1e-6
    assert digest_of(model) != before
    save_file(weights, tmp_path / "w.safetensors")
    assert len(load_model(tiny.MODEL, str(tmp_path / "w.safetensors")).weights_sha256) == 64


def test_a_users_own_module_is_found_here_and_the_path_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_network.py").write_text(
        "from tests.support import tiny\n"
        "class Lazy(type(tiny.network())):\n"
        "    def forward(self, pixels):\n"
        "        import own_helper\n"
        "        return own_helper.same(super().forward(pixels))\n"
        "def make():\n"
        "    return Lazy(*tiny.network())\n"
    )
    (tmp_path / "own_helper.py").write_text("def same(value):\n    return value\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(Path(tiny.__file__).parents[2]), *(path for path in sys.path if path)])
    before = list(sys.path)
    model = load_model("own_network:make", "random").model
    assert sys.path == before
    with importable_here(), importable_here():
        # What imports when it runs does so while an index is made.
        assert outputs(model).shape[0] == 2
    assert sys.path == before
    with pytest.raises(ModelError, match="cannot import 'no_such_network'"):
        load_model("no_such_network:make", "random")
    assert sys.path == before


def test_timm_networks_and_their_preprocessing() -> None:
    pytest.importorskip("timm", reason="the optional extra timm is not installed")
    loaded = load_model("timm:resnet18", "random")
    assert (loaded.preprocessing.resize, loaded.preprocessing.crop) == (235, 224)
    assert loaded.preprocessing.interpolation == "bicubic"
    with pytest.raises(NotFoundError, match="no timm model 'resnet_18'; did you mean 'resnet18'"):
        load_model("timm:resnet_18", "random")


def test_torchvision_weights_bring_their_preprocessing_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a download, which is replaced here by random values: no network is used in tests."""
    entry = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    state = models.squeezenet1_1(weights=None).state_dict()
    monkeypatch.setattr(type(entry), "get_state_dict", lambda _self, *_args, **_options: state)
    loaded = load_model("squeezenet1_1", "IMAGENET1K_V1")
    assert loaded.preprocessing == IMAGENET
    assert loaded.class_names is not None
    assert loaded.class_names[1] == "goldfish"


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: object, **_options: object) -> None:
        raise OSError("no route to host\nmore")

    monkeypatch.setattr(type(models.SqueezeNet1_1_Weights.IMAGENET1K_V1), "get_state_dict", fails)
    with pytest.raises(ModelError, match="could not be downloaded: no route to host; fetch the file elsewhere"):
        load_model("squeezenet1_1", "IMAGENET1K_V1")
