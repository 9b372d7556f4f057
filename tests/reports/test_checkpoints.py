"""Files of weights as people have them: the network's own weights are found and what was done is said, or refused."""

from __future__ import annotations

import argparse
import collections
import functools
import os
import pathlib
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from evigraph.indexer.engine.network import prepare
from evigraph.indexer.weights.loading import LoadedModel, load_model
from evigraph.schema.errors import ModelError, NotFoundError
from tests.conftest import Cli
from tests.reports.table import report
from tests.support import tiny

NAME = "shufflenet_v2_x0_5"
"""Small, with batch norms."""

State = dict[str, Tensor]


def network(seed: int = 0, name: str = NAME) -> nn.Module:
    """A network of three classes, with weights and statistics of its own."""
    torch.manual_seed(seed)
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.get_buffer("running_mean").uniform_(-0.1, 0.1)
                module.get_buffer("running_var").uniform_(0.5, 1.5)
    return model.eval()


@functools.cache
def _state(seed: int, name: str) -> State:
    return dict(network(seed, name).state_dict())


def state(seed: int = 0, name: str = NAME) -> State:
    return dict(_state(seed, name))


def under(prefix: str, tensors: State) -> State:
    return {prefix + name: value for name, value in tensors.items()}


def loads(content: object, path: Path, name: str = NAME, part: str = "") -> LoadedModel:
    torch.save(content, path)
    return load_model(name, f"{path}{part}")


def assert_is(loaded: LoadedModel, expected: State) -> None:
    """The network has these tensors, and no others."""
    own = {name.replace("module.", "").replace("_orig_mod.", ""): v for name, v in loaded.model.state_dict().items()}
    assert set(own) - set(expected) <= {name for name in own if name.endswith("num_batches_tracked")}
    for name, value in expected.items():
        assert torch.equal(own[name], value), name


def said(loaded: LoadedModel) -> str:
    return " | ".join(loaded.notes)


class Config(dict[str, Any]):
    """What a program of somebody's own keeps beside the weights."""


WRAPPED = [
    pytest.param(
        lambda s: {"model": s, "optimizer": {}, "lr_scheduler": {}, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        ["took 'model'"],
        id="torchvision",
        marks=report("mlcommons/mlperf-automations#465", "an argparse.Namespace in the file is no obstacle, nor run"),
    ),
    pytest.param(
        lambda s: {"state_dict": under("module.", s), "best_acc1": np.float64(0.5), "arch": "x", "optimizer": {}},
        ["took 'state_dict'", "cut 'module.'"],
        id="numpy number",
        marks=report("nerfstudio-project/nerfstudio#3702", "a numpy number in the file is no obstacle"),
    ),
    pytest.param(
        lambda s: under("module.", s),
        ["cut 'module.'"],
        id="DataParallel",
        marks=report("pytorch/pytorch#3805", "the prefix module. is cut, and said"),
    ),
    pytest.param(
        lambda s: {"model": under("_orig_mod.", s)},
        ["took 'model'", "cut '_orig_mod.'"],
        id="compiled",
        marks=report("karpathy/nanoGPT#325", "the prefix of torch.compile is cut, and said"),
    ),
    pytest.param(
        lambda s: {"state_dict": under("model._orig_mod.", s)},
        ["cut '_orig_mod.'", "cut the prefix 'model.'"],
        id="compiled in Lightning",
        marks=report("Lightning-AI/pytorch-lightning#20233", "both prefixes are cut, and said"),
    ),
    pytest.param(
        lambda s: {
            "state_dict": under("model.", s) | {"criterion.weight": torch.ones(3), "val_acc.tp": torch.zeros(1)},
            "hyper_parameters": Config(width=1),
            "callbacks": {"ModelCheckpoint": {"best": torch.tensor(1.0)}},
            "pytorch-lightning_version": "2.4",
        },
        ["took 'state_dict'", "cut the prefix 'model.'", "left out 2 of losses and metrics (first: criterion.weight)"],
        id="Lightning",
        marks=report("Lightning-AI/pytorch-lightning#3302", "the network within the LightningModule"),
    ),
    pytest.param(
        lambda s: s | {f"{path}total_{what}": torch.zeros(1) for path in ("", "conv1.") for what in ("ops", "params")},
        ["left out 4 counters (total_ops, total_params)"],
        id="thop",
        marks=report("Lyken17/pytorch-OpCounter#168", "thop's counters are left out, and said"),
    ),
    pytest.param(
        lambda s: under("module.", s) | {"n_averaged": torch.tensor(3)},
        ["left out 1 counter (n_averaged)", "cut 'module.'"],
        id="averaged",
        marks=report("sming256/OpenTAD#44", "an average's prefix is cut and its counter left out, both said"),
    ),
    pytest.param(
        lambda s: {name: value for name, value in s.items() if not name.endswith("num_batches_tracked")},
        ["num_batches_tracked, which only training reads"],
        id="old batch norm",
        marks=report("pytorch/pytorch#8481", "loaded: only training reads what is missing"),
    ),
    pytest.param(
        lambda s: {"model": {n: v.numpy() for n, v in s.items()}, "matching_heuristics": True},
        ["took 'model'"],
        id="numpy",
        marks=report("facebookresearch/Mask2Former#85", "arrays of numpy are the tensors that they hold"),
    ),
    pytest.param(lambda s: {3: s, "epoch": 5}, ["took '3'"], id="number as key"),
    pytest.param(lambda s: {"net": s, "acc": 93.0, "epoch": 5}, ["took 'net'"], id="net"),
    pytest.param(lambda s: {"checkpoint": {"model": {"state_dict": s}}}, ["checkpoint/model/state_dict"], id="deep"),
    pytest.param(lambda s: [s, {"epoch": 1}], ["took '0'"], id="list"),
    pytest.param(lambda s: under("module._orig_mod.net.", s), ["cut the prefix 'net.'"], id="nested prefixes"),
    pytest.param(lambda s: {"state_dict_ema": s}, ["took 'state_dict_ema'"], id="only an average"),
    pytest.param(
        lambda s: {n: v.double() if v.is_floating_point() else v for n, v in s.items()}, ["float64"], id="f64"
    ),
]


@pytest.mark.parametrize(("wrap", "words"), WRAPPED)
def test_wrapped_weights_are_found_and_it_is_said(wrap: Any, words: list[str], tmp_path: Path) -> None:
    tensors = state()
    loaded = loads(wrap(tensors), tmp_path / "w.pth.tar")
    assert_is(loaded, tensors)
    for word in words:
        assert word in said(loaded)


@report("fartashf/vsepp#10", "features.module.0 of the ImageNet example is features.0")
def test_a_wrapper_within_the_network(tmp_path: Path) -> None:
    tensors = state(name="squeezenet1_1")
    content = {name.replace("features.", "features.module."): value for name, value in tensors.items()}
    loaded = loads(content, tmp_path / "w.pth", "squeezenet1_1")
    assert_is(loaded, tensors)
    assert "cut 'module.'" in said(loaded)


@pytest.mark.slow
@report("zoogzog/chexnet#11", "DenseNet's old names are the present ones")
@pytest.mark.parametrize("prefix", ["", "module."])
def test_densenets_old_names(tmp_path: Path, prefix: str) -> None:
    tensors = state(name="densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value for name, value in tensors.items()}
    loaded = loads({"state_dict": under(prefix, old)}, tmp_path / "w.pth", "densenet121")
    assert_is(loaded, tensors)
    assert "DenseNet's old names" in said(loaded)


AVERAGED = [
    pytest.param(
        "model",
        "model_ema",
        id="torchvision",
        marks=report("Sense-X/UniFormer#87", "the one taken is said, as the other"),
    ),
    pytest.param(
        "state_dict",
        "state_dict_ema",
        id="timm",
        marks=report("happyharrycn/actionformer_release#103", "weights as trained, and how to take their average"),
    ),
    pytest.param("net", "ema", id="net"),
]


@pytest.mark.parametrize(("plain", "averaged"), AVERAGED)
def test_weights_and_their_average(plain: str, averaged: str, tmp_path: Path) -> None:
    trained, mean = state(0), state(1)
    content = {plain: trained, averaged: under("module.", mean) | {"n_averaged": torch.tensor(9)}, "epoch": 1}
    loaded = loads(content, tmp_path / "w.pth")
    assert_is(loaded, trained)
    assert f"took '{plain}'" in said(loaded)
    assert f"left '{averaged}', an average (as --weights {tmp_path / 'w.pth'}#{averaged} takes one)" in said(loaded)
    other = load_model(NAME, f"{tmp_path / 'w.pth'}#{averaged}")
    assert_is(other, mean)
    assert other.weights_sha256 != loaded.weights_sha256


def test_weights_and_their_average_in_one_state_dict(tmp_path: Path) -> None:
    trained, mean = state(0), state(1)
    content = {"state_dict": under("model.", trained) | under("ema_model.module.", mean)}
    loaded = loads(content, tmp_path / "w.ckpt")
    assert_is(loaded, trained)
    assert "left 'state_dict/ema_model', an average" in said(loaded)
    assert_is(load_model(NAME, f"{tmp_path / 'w.ckpt'}#state_dict/ema_model"), mean)


AMBIGUOUS = [
    pytest.param(
        lambda a, b: {"teacher": a, "student": b},
        ("teacher", "student"),
        id="DINO",
        marks=report(
            "facebookresearch/dino#44", "teacher or student is never guessed: the file is refused with both names"
        ),
    ),
    pytest.param(lambda a, b: {"best_acc": a, "best_loss": b}, ("best_acc", "best_loss"), id="two bests"),
    pytest.param(
        lambda a, b: {"state_dict": under("online.", a) | under("target.", b)},
        ("state_dict/online", "state_dict/target"),
        id="two prefixes",
    ),
]


@pytest.mark.parametrize(("wrap", "parts"), AMBIGUOUS)
def test_two_that_fit_are_never_guessed(wrap: Any, parts: tuple[str, str], tmp_path: Path) -> None:
    both = state(0), state(1)
    with pytest.raises(
        ModelError, match=r"several state dicts that fit .*; say which with --weights .*#PART"
    ) as refused:
        loads(wrap(*both), tmp_path / "w.pth")
    for part, tensors in zip(parts, both, strict=True):
        assert repr(part) in str(refused.value)
        assert_is(load_model(NAME, f"{tmp_path / 'w.pth'}#{part}"), tensors)
    with pytest.raises(NotFoundError, match=f"no part of .* 'nobody' .*{parts[0].partition('/')[0]}"):
        load_model(NAME, f"{tmp_path / 'w.pth'}#nobody")


REFUSED = [
    pytest.param(
        lambda s: {
            "meta": {},
            "state_dict": {("head." if n[:3] == "fc." else "backbone.") + n: v for n, v in s.items()},
        },
        r"'meta', 'state_dict'; its classifier seems to be called head\.fc\.",
        id="mmcls",
        marks=report("open-mmlab/mmpretrain#1411", "refused with the keys found: the classifier has another name"),
    ),
    pytest.param(
        lambda s: {
            "state_dict": under("module.encoder_q.", headless(s))
            | under("module.encoder_k.", headless(s))
            | {"module.queue": torch.zeros(4), "module.encoder_q.fc.0.weight": torch.zeros(8, 1024)},
        },
        r"2 missing \(first: fc\.bias\).*keys 'state_dict'; its classifier fc is not there, as in .* self-supervised",
        id="MoCo v2",
        marks=report("facebookresearch/moco#84", "refused: no classifier was trained"),
    ),
    pytest.param(
        lambda s: {"state_dict": under("encoder_q.", s) | under("encoder_k.", s) | {"queue": torch.zeros(4)}},
        r"1 unknown \(first: queue\)",
        id="MoCo v1",
    ),
    pytest.param(
        lambda s: {"state_dict": under("encoder.", headless(s))},
        "classifier fc is not there, as in weights of self-supervised training",
        id="SimSiam",
        marks=report("facebookresearch/simsiam#8", "refused: no classifier was trained"),
    ),
    pytest.param(
        lambda s: {"state_dict": under("backbone.", s) | {"classifier.weight": torch.ones(2, 3)}},
        r"1 unknown \(first: classifier\.weight\)",
        id="more follows it",
        marks=report("Frankluox/LightningFSL#18", "never a part of a network in its place"),
    ),
    pytest.param(
        lambda s: {"backbone": s, "classifier": {"weight": torch.ones(2, 3)}},
        r"'backbone', which fits ShuffleNetV2, beside 'classifier': a part of a larger network",
        id="parts",
    ),
    pytest.param(
        lambda s: s | {"attention.weight": torch.ones(2)}, r"1 unknown \(first: attention\.weight\)", id="one more"
    ),
    pytest.param(
        lambda s: s | {"fc.bias": torch.zeros(3, dtype=torch.complex64)}, "fc.bias is complex64", id="complex"
    ),
    pytest.param(
        lambda s: s | {"fc.weight": (s["fc.weight"] * 9).to(torch.int8)}, "are quantized: fc.weight is int8", id="int8"
    ),
    pytest.param(
        lambda s: s | {"fc.weight": torch.quantize_per_tensor(s["fc.weight"], 0.1, 0, torch.qint8)},
        "are quantized: fc.weight is qint8",
        id="qint8",
    ),
    pytest.param(
        lambda s: s | {"fc.weight": torch.full_like(s["fc.weight"], float("nan"))},
        "fc.weight holds 3072 values that are not finite: its training diverged",
        id="NaN",
        marks=report("pytorch/pytorch#10008", "the network is to blame, by the tensor's name"),
    ),
    pytest.param(
        lambda s: s | {"conv1.1.running_var": torch.full((24,), float("inf"))},
        "conv1.1.running_var holds 24 values that are not finite",
        id="infinite statistics",
        marks=report("sharif-apu/BJDD_CVPR21#4", "the network is to blame, by the tensor's name"),
    ),
    pytest.param(
        lambda s: s | {"conv1.1.running_var": torch.linspace(-1, 1, 24)},
        "conv1.1.running_var holds 12 values below 0, which no variance has",
        id="variances below 0",
        marks=report("marvis/pytorch-caffe-darknet-convert#48", "the network is to blame, by the tensor's name"),
    ),
    pytest.param(
        lambda s: (
            headless(s) | {"fc.bias": s["fc.bias"], "fc.weight_orig": s["fc.weight"], "fc.weight_mask": s["fc.weight"]}
        ),
        "fc.weight_orig is of a weight kept in parts, as pruning and weight norm do: make that permanent",
        id="pruned",
    ),
    pytest.param(
        lambda s: headless(s) | {"fc.1.weight": s["fc.weight"], "fc.1.bias": s["fc.bias"]},
        "or is another, of fc.1.weight and others: build the network as it was trained to classify",
        id="a classifier of several layers",
    ),
    pytest.param(lambda s: s | {"fc.weight": s["fc.weight"].to_sparse()}, "fc.weight is stored sparse", id="sparse"),
    pytest.param(lambda _s: torch.ones(3), "the file has neither keys nor tensors", id="a tensor"),
    pytest.param(
        lambda _s: {"epoch": 3, "lr": 0.1}, "hold no state dict: the file has the keys 'epoch', 'lr'", id="none"
    ),
]


def headless(tensors: State) -> State:
    return {name: value for name, value in tensors.items() if not name.startswith("fc.")}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("wrap", "why"), REFUSED)
def test_what_is_not_the_networks_is_refused(wrap: Any, why: str, tmp_path: Path) -> None:
    torch.save(wrap(state()), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=why) as refused:
        load_model(NAME, str(tmp_path / "w.pth"))
    assert "\n" not in str(refused.value)


class Planted:
    """Calls something with some arguments where it is unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


PLANTED = [
    pytest.param(
        lambda path: Planted(os.mkdir, path),
        id="system",
        marks=report("ecmwf/anemoi-core#1416", "refused by the name of what it would call, which is not run"),
    ),
    pytest.param(lambda path: Planted(eval, f"__import__('os').mkdir({path!r})"), id="eval"),
    pytest.param(lambda path: Planted(exec, f"import os; os.mkdir({path!r})"), id="exec"),
]


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_planted_code_is_not_run(planted: Any, kind: str, tmp_path: Path) -> None:
    content = {"state_dict": state(), "args": argparse.Namespace(), "extra": planted(str(tmp_path / "planted"))}
    if kind == "pickle":
        (tmp_path / "w.pth").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(ModelError, match=r"it asks for .* to be called, which no weights need; nothing was run"):
        load_model(NAME, str(tmp_path / "w.pth"))
    assert not (tmp_path / "planted").exists()


@report("open-retina/open-retina#186", "objects of any library beside the weights are no obstacle, and are not made")
@pytest.mark.parametrize("protocol", [2, 4])
def test_other_objects_are_not_made(protocol: int, tmp_path: Path) -> None:
    kept = {
        "partial": functools.partial(Planted, 1),
        "path": pathlib.PurePosixPath("a"),
        "set": {1, 2},
        "names": collections.Counter("aab"),
        "more": collections.defaultdict(list),
        "config": Config(a=Config(b=np.zeros(3))),
        "type": np.dtype("float32"),
        "layer": nn.Linear,
        "device": torch.device("cpu"),
        "odd": np.float32(3),
    }
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pth"
        torch.save(
            {"state_dict": state(), **kept}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
        )
        assert_is(load_model(NAME, str(path)), state())


@report("yunjey/pytorch-tutorial#6", "a state dict that pickle wrote is read")
def test_a_plain_pickle(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(state()))
    assert_is(load_model(NAME, str(tmp_path / "w.pkl")), state())


WHOLE = [
    pytest.param(
        lambda: network(), id="module", marks=report("pytorch/pytorch#18325", "refused with how to save a state dict")
    ),
    pytest.param(lambda: nn.DataParallel(network()), id="parallel"),
    pytest.param(lambda: {"epoch": 1, "model": network()}, id="within"),
]


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_whole_pickled_network_is_refused(whole: Any, zipped: bool, tmp_path: Path) -> None:
    torch.save(whole(), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"pickled object.*\(torch(vision)?\..*\)") as refused:
        load_model(NAME, str(tmp_path / "w.pth"))
    assert "torch.save(model.state_dict(), FILE)" in str(refused.value)


@report("pytorch/vision#1224", "MNASNet of either version: which one the shapes of the weights say")
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", ["with its version", "without", "safetensors"])
def test_mnasnets_version_is_that_of_its_weights(first: bool, kind: str, tmp_path: Path) -> None:
    model: Any = network(name="mnasnet0_5")
    if first:
        with pytest.warns(UserWarning, match="new version of MNASNet"):
            model._load_from_state_dict({}, "", {"version": 1}, False, [], [], [])
    tensors = model.eval().state_dict()
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(dict(tensors), path)
    else:
        torch.save(tensors if kind == "with its version" else dict(tensors), path)
    loaded = load_model("mnasnet0_5", str(path))
    assert_is(loaded, dict(tensors))
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(pixels), model(pixels))
    assert ("first version of MNASNet" in said(loaded)) == first


FACTORIES = """
import torch, torchvision
from torch import nn
from torchvision.models import quantization
from tests.support import tiny

def parallel(num_classes=4): return nn.DataParallel(tiny.network(num_classes))
def compiled(num_classes=4): return torch.compile(tiny.network(num_classes))
class Wrapper(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.net = tiny.network(num_classes)
    def forward(self, pixels): return self.net(pixels)
def four(): return tiny.network()
def lazy(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(4))
def scripted(): return torch.jit.script(tiny.network())
def traced(): return torch.jit.trace(tiny.network(), torch.zeros(1, 3, 32, 32))
def quantized(): return quantization.shufflenet_v2_x0_5(weights=None, quantize=True)
def dynamic(): return torch.ao.quantization.quantize_dynamic(tiny.network(), {nn.Linear})
def floating(): return quantization.shufflenet_v2_x0_5(weights=None, quantize=False)
def nan():
    network = tiny.network()
    nn.init.constant_(network[0].bias[2:3], float("nan"))
    return network
def without_values():
    with torch.device("meta"):
        return tiny.network()
ready = tiny.network()
def exits(): raise SystemExit(3)
class Asserts(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = tiny.network()
    def forward(self, pixels):
        assert pixels.shape[-1] == 224, "wrong height"
        return self.net(pixels)
class Ends(Asserts):
    def forward(self, pixels): raise SystemExit(3)
class Large(Asserts):
    def forward(self, pixels): raise torch.OutOfMemoryError("out of memory")
def downloads(): return torchvision.models.resnet18(weights="DEFAULT")
class Auxiliary(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.net = tiny.network(num_classes)
        self.aux_gate = nn.Linear(num_classes, num_classes)
    def forward(self, pixels): return self.aux_gate(self.net(pixels))
def overflows():
    network = tiny.network()
    for module in network:
        if isinstance(module, (nn.Conv2d, nn.Linear)): nn.init.constant_(module.weight, 1e20)
    return network
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "users_networks.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "users_networks", raising=False)
    return "users_networks"


@report("bearpaw/pytorch-classification#27", "a prefix is cut or added, as the network has it")
@pytest.mark.parametrize("factory", ["parallel", "compiled", "Wrapper", "four"])
@pytest.mark.parametrize("prefix", ["", "module.", "net.", "module.model."])
@pytest.mark.parametrize("classes", [4, 5])
def test_a_prefix_is_cut_or_added(factories: str, factory: str, prefix: str, classes: int, tmp_path: Path) -> None:
    if factory == "four" and classes == 5:
        pytest.skip("takes no num_classes: see the test of a wrong number of outputs")
    torch.manual_seed(5)
    tensors = tiny.network(classes).state_dict()
    loaded = loads(under(prefix, dict(tensors)), tmp_path / "w.pth", f"{factories}:{factory}")
    own = loaded.model.state_dict()
    assert len(own) == len(tensors)
    for name, value in own.items():
        assert torch.equal(value, next(v for n, v in tensors.items() if name.endswith(n) and v.shape == value.shape))


@report("potterhsu/easy-faster-rcnn.pytorch#29", "a wrong number of outputs is said as that")
def test_a_wrong_number_of_outputs(factories: str, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"\(10.bias: \(5,\), not \(4,\)\).*they have 5 outputs: let the factory take num_c"
    ):
        loads(tiny.network(5).state_dict(), tmp_path / "w.pth", f"{factories}:four")


UNUSABLE = [
    pytest.param(
        "lazy",
        r"module 2 \(LazyLinear\) does not know its size yet: let the factory run the network once",
        marks=report("galilai-group/stable-pretraining#189", "refused by the module's name, with what to do"),
    ),
    pytest.param(
        "scripted",
        "Sequential is a TorchScript network",
        marks=report("ChenDelong1999/RemoteCLIP#8", "refused as a TorchScript network"),
    ),
    ("traced", "Sequential is a TorchScript network"),
    pytest.param(
        "quantized",
        r"module conv1.0 \(ConvReLU2d\) is quantized, and no gradient goes through it",
        marks=report("Harry24k/adversarial-attacks-pytorch#150", "refused by the module's name"),
    ),
    ("dynamic", r"module 10 \(Linear\) is quantized"),
    ("without_values", r"module 0 \(Conv2d\) has no values, as it was made on the device 'meta'"),
    ("ready", "is a network itself; give a function without arguments that returns it"),
    ("exits", "the factory failed, SystemExit: it ends the program, with exit code 3"),
    ("nan", "0.bias holds 1 value that is not finite"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("factory", "why"), UNUSABLE)
def test_networks_that_cannot_be_used(factories: str, factory: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        load_model(f"{factories}:{factory}", "own")


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        ("Asserts", r"cannot run on an input of \(1, 3, 32, 32\): wrong height; set --crop"),
        ("Ends", r"cannot run on an input of \(1, 3, 32, 32\): 3; set --crop"),
        ("Large", "out of memory; give a smaller --crop, or --device cpu"),
    ],
)
def test_networks_that_cannot_be_run(factories: str, factory: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        prepare(load_model(f"{factories}:{factory}", "own").model, tiny.SIDE)


@pytest.mark.filterwarnings("ignore")
def test_a_quantizable_network_in_floats_is_used(factories: str) -> None:
    assert load_model(f"{factories}:floating", "own").notes == ()


def test_a_network_that_overflows_on_every_image_is_to_blame(cli: Cli, factories: str, tmp_path: Path) -> None:
    images = tiny.draw_images(tmp_path / "images", 4)
    outcome = cli(
        *("index", "--model", f"{factories}:overflows", "--weights", "own", "--data", f"imagefolder:{images}"),
        *("--run", tmp_path / "run", *tiny.INPUT, "--workers", "0"),
    )
    assert "output is not finite for any of the 4 images: it overflows" in outcome.stderr.splitlines()[-1]
    assert outcome.code == 1


def test_a_head_that_the_file_lacks_is_never_made_up(factories: str, tmp_path: Path) -> None:
    loaded = loads(under("net.", dict(tiny.network().state_dict())), tmp_path / "w.pth", f"{factories}:Auxiliary")
    assert "auxiliary heads, which only training uses, are not in the file" in said(loaded)
    with torch.no_grad():
        assert loaded.model(torch.zeros(1, 3, 32, 32)).isnan().all()


FOREIGN = [
    pytest.param(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
        "pointer of Git LFS",
        id="lfs",
        marks=report(
            "mit-han-lab/smoothquant#13", "said as a pointer of Git LFS, with the command that fetches the file"
        ),
    ),
    pytest.param(
        b"\n<!DOCTYPE html><html>",
        "web page",
        id="html",
        marks=report("Randl/MobileNetV3-pytorch#1", "said as a web page that a download left"),
    ),
    pytest.param(b"", "it is empty", id="empty"),
    pytest.param(b'{"error": "no"}', "it is JSON", id="json"),
    pytest.param(
        b'{"metadata": {}, "weight_map": {"a": "m-1.bin", "b": "m-2.bin"}}', r"\(m-1.bin, m-2.bin\)", id="index"
    ),
    pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5 file, as Keras writes it", id="h5"),
    pytest.param(b"\x08\x07\x12\x07pytorch\x1a\x051.9.0", "network of ONNX", id="onnx"),
    pytest.param(b"\x1c\x00\x00\x00TFL3" + bytes(64), "network of TensorFlow Lite", id="tflite"),
    pytest.param(b"\x1f\x8b\x08" + bytes(64), "packed with gzip", id="gzip"),
    pytest.param(b"PK\x03\x04" + bytes(500), "damaged, or only partly copied", id="cut zip"),
    pytest.param(b"\x80\x02\x8a\nl\xfc\x9c", "damaged, or only partly copied", id="cut pickle"),
    pytest.param(bytes(range(200, 256)) * 9, "cannot be read as a state dict", id="noise"),
]


@pytest.mark.parametrize(("content", "what"), FOREIGN)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_of_another_kind_is_called_what_it_is(content: bytes, what: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=what) as refused:
        load_model(NAME, str(tmp_path / name))
    assert str(refused.value).startswith(f"weights {tmp_path / name} cannot be read as a state dict: ")
    assert "\n" not in str(refused.value)


@report("CompVis/stable-diffusion#93", "a file that is not whole is said to be damaged")
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
def test_a_file_that_is_not_whole(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    if kind == "safetensors":
        save_file(state(), path)
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=kind == "zip")
    assert_is(load_model(NAME, str(path)), state())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ModelError, match=r"damaged, or only partly copied|cannot be read as a state dict"):
        load_model(NAME, str(path))


@pytest.mark.filterwarnings("ignore")
@report("pytorch/pytorch#15570", "a TorchScript archive is said as one, with how to make a state dict of it")
def test_archives_of_programs(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(tiny.network()), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"TorchScript archive, a program; torch\.save\(torch\.jit\.load\(FILE\)"):
        load_model(tiny.MODEL, str(tmp_path / "w.pt"))
    program = torch.export.export(tiny.network().eval(), (torch.zeros(1, 3, 32, 32),))
    torch.export.save(program, tmp_path / "w.pt2")
    with pytest.raises(ModelError, match=r"exported program \(\.pt2\)"):
        load_model(tiny.MODEL, str(tmp_path / "w.pt2"))


def test_what_was_done_is_printed(cli: Cli, tmp_path: Path) -> None:
    images = tiny.draw_images(tmp_path / "images", 4)
    torch.save({"state_dict": under("module.", dict(tiny.network().state_dict()))}, tmp_path / "w.pth")
    words = [
        *("index", "--model", tiny.MODEL, "--weights", tmp_path / "w.pth", "--data", f"imagefolder:{images}"),
        *("--run", tmp_path / "run", *tiny.INPUT, "--workers", "0"),
    ]
    outcome = cli(*words)
    assert outcome.code == 0, outcome.stderr
    assert "note: weights of w.pth: took 'state_dict'; cut 'module.'" in outcome.stdout


@report("huggingface/pytorch-image-models#1825", "a download without a network fails in a line, in seconds")
@pytest.mark.parametrize("model", ["factory", "torchvision", "timm"])
def test_a_download_without_a_network_fails_soon(
    cli: Cli, factories: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_args: object, **_options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuses)
    monkeypatch.setattr("socket.getaddrinfo", refuses)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    if model == "timm":
        pytest.importorskip("timm", reason="the optional extra timm is not installed")
    words = {
        "factory": ["--model", f"{factories}:downloads", "--weights", "own"],
        "torchvision": ["--model", "resnet18", "--weights", "IMAGENET1K_V1"],
        "timm": ["--model", "timm:resnet18", "--weights", "pretrained"],
    }[model]
    images = tiny.draw_images(tmp_path / "images", 4)
    outcome = cli("index", *words, "--data", f"imagefolder:{images}", "--run", tmp_path / "run")
    assert "could not" in outcome.error
    assert "fetch" in outcome.error
    assert outcome.code == 1
    assert outcome.stdout == ""


NAMES = [
    ("ResNet-50", "resnet50"),
    ("resnet_50", "resnet50"),
    ("RESNET50", "resnet50"),
    ("Wide-ResNet50-2", "wide_resnet50_2"),
    ("EfficientNet-B0", "efficientnet_b0"),
    ("MobileNet V2", "mobilenet_v2"),
    ("VGG-16", "vgg16"),
]


@pytest.mark.parametrize(("name", "near"), NAMES)
def test_names_written_otherwise_are_near(name: str, near: str) -> None:
    with pytest.raises(NotFoundError, match=f"no model '{name}'; did you mean '{near}'"):
        load_model(name, "random")


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_of_numpy_of_any_protocol(protocol: int, tmp_path: Path) -> None:
    arrays = {name: np.asarray(value.numpy(), order="F") for name, value in state().items()}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": arrays}, protocol))
    assert_is(load_model(NAME, str(tmp_path / "w.pkl")), state())


def test_optimizers_are_no_weights_beside(tmp_path: Path) -> None:
    """As in what learner.save of fastai writes."""
    loaded = loads({"model": state(), "opt": {"state": [{"mom": torch.ones(2)}]}}, tmp_path / "w.pth")
    assert said(loaded).startswith("weights of w.pth: took 'model' |")


@report("rwightman/efficientdet-pytorch#141", "tensors that fit do not show the padding: what the file says is told")
@pytest.mark.parametrize(
    ("arch", "told"), [("tf_shufflenet", True), (NAME, False), (f"hub/{NAME}.in1k", False), (None, False), (3, False)]
)
def test_what_the_file_says_of_its_architecture(arch: object, told: bool, tmp_path: Path) -> None:
    loaded = loads({"state_dict": state(), "arch": arch}, tmp_path / "w.pth")
    assert (f"the file says that its network is {arch!r}, not {NAME!r}" in said(loaded)) == told


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ("https://example.org/w.pth", "are at an address, which is not fetched"),
        ("s3://bucket/w.pth", "are at an address"),
        ("/dev/null", "is a pipe or a device"),
        ("w" * 300 + ".pth", "cannot be opened: File name too long"),
    ],
)
def test_what_is_no_file(weights: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        load_model(NAME, weights)
