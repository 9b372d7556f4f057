"""The recorder as a whole: fallbacks, layers of any choice, chunks, and what must stay as it was."""

from __future__ import annotations

import copy
from dataclasses import fields

import pytest
import torch
from torch import Tensor, nn

import evigraph.indexer.engine.windowed
from evigraph.indexer.engine.hooked import AutogradSegment
from evigraph.indexer.engine.network import prepare
from evigraph.indexer.evidence.hierarchy import LevelEdges, explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.model.graph import frozen
from tests.indexer.agreement import roots_of
from tests.indexer.engine.test_rules import conv
from tests.indexer.exactness import assert_exact, autograd_maps, engine_maps, everywhere, recorder_of, small
from tests.indexer.networks import Function


def gated(x: Tensor, squeeze: nn.Module) -> Tensor:
    """Squeeze and excitation: every value depends on the whole map."""
    return x * torch.sigmoid(squeeze(x.mean((2, 3), keepdim=True)))


def residual(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    return torch.relu(x + second(torch.relu(first(x))))


class Staged(nn.Module):
    """A stem, a windowed stage, one that is not local, a windowed one again, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.first = nn.Sequential(nn.MaxPool2d(3, 2, 1), conv(4, 5), nn.BatchNorm2d(5), nn.ReLU(inplace=True))
        self.gate = Function(gated, nn.Conv2d(5, 5, 1))
        self.last = nn.Sequential(Function(residual, conv(5, 5), conv(5, 5)), nn.AvgPool2d(2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.last(self.gate(self.first(self.stem(pixels)))))
        return logits


STAGES = ["stem", "first", "gate", "last"]


def staged() -> tuple[Staged, Tensor]:
    torch.manual_seed(0)
    return Staged().eval(), torch.randn(3, 3, 24, 24)


def equal(left: list[LevelEdges], right: list[LevelEdges]) -> bool:
    """Whether two hierarchies are the same, bit for bit."""
    return all(
        torch.equal(getattr(a.evidence, f.name), getattr(b.evidence, f.name))
        for a, b in zip(left, right, strict=True)
        for f in fields(a.evidence)
    ) and all(torch.equal(a.importance, b.importance) for a, b in zip(left, right, strict=True))


def hierarchy(network: nn.Module, pixels: Tensor) -> list[LevelEdges]:
    recorder = recorder_of(network, pixels, STAGES)
    with frozen(network):
        record = recorder.record(pixels)
        return explain(record, roots_of(record.logits), Method(3))


def assert_record_is_exact(network: nn.Module, pixels: Tensor, layers: list[str], record: Record) -> None:
    """Assert every decomposition against autograd with the layer below as the only variable."""
    kept: dict[str, Tensor] = {}
    handles = []
    for level, name in enumerate(layers):

        def cut(_module: nn.Module, _args: object, output: Tensor, name: str = name) -> Tensor:
            # Whatever goes round a layer must not count as going through it: the graph is cut at each in turn.
            kept[name] = output
            return output

        handles.append(network.get_submodule(name).register_forward_hook(cut))
        assert level < len(record.features)
    with frozen(network), torch.enable_grad():
        logits = network(pixels.clone().requires_grad_())
    for handle in handles:
        handle.remove()
    targets = [*(kept[name] for name in layers[1:]), logits]
    for level, (name, target) in enumerate(zip(layers, targets, strict=True)):
        source = kept[name]
        decisions = everywhere(target.detach())
        pick = torch.randperm(len(decisions), generator=torch.Generator().manual_seed(level))[:60].sort().values
        decisions = decisions.at(pick)
        torch.testing.assert_close(
            engine_maps(record.segments[level], decisions, source.shape), autograd_maps(source, target, decisions)
        )


def test_fallbacks_are_named_once_with_their_operation() -> None:
    network, pixels = staged()
    recorder = recorder_of(network, pixels, STAGES)
    assert [why is None for why in recorder.fallbacks] == [True, False, True, True]
    assert "gate" in str(recorder.fallbacks[1])
    assert "mul" in str(recorder.fallbacks[1])
    prepared = prepare(network, 24, STAGES)
    assert prepared.fallbacks == recorder.fallbacks


def test_windows_and_fallbacks_mix() -> None:
    network, pixels = staged()
    network, pixels = network.double(), pixels.double()
    recorder = recorder_of(network, pixels, STAGES)
    with frozen(network):
        record = recorder.record(pixels)
    assert [isinstance(segment, AutogradSegment) for segment in record.segments] == [False, True, False, False]
    assert_record_is_exact(network, pixels, STAGES, record)


class Bypassed(nn.Module):
    """A block whose middle a shortcut goes round."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 4), nn.ReLU())
        self.inner = nn.Sequential(conv(4, 4), nn.BatchNorm2d(4), nn.ReLU())
        self.outer = middle
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        stem = self.stem(pixels)
        logits: Tensor = self.head(torch.relu(stem + self.outer(self.inner(stem))))
        return logits


@pytest.mark.parametrize("middle", [conv(4, 4), Function(gated, nn.Conv2d(4, 4, 1))], ids=["windows", "fallback"])
def test_layer_that_a_shortcut_goes_round(middle: nn.Module) -> None:
    torch.manual_seed(0)
    network = Bypassed(middle).double().eval()
    pixels = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    layers = ["stem", "inner", "outer"]
    recorder = recorder_of(network, pixels, layers)
    with frozen(network):
        record = recorder.record(pixels)
    assert_record_is_exact(network, pixels, layers, record)


def test_layer_between_a_convolution_and_its_normalisation() -> None:
    # Folding would give the layer the values of the normalisation behind it.
    torch.manual_seed(0)
    network = nn.Sequential(
        conv(3, 4), nn.ReLU(), conv(4, 5), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(5, 3),
    ).double().eval()  # fmt: skip
    with torch.no_grad():
        network.get_buffer("3.running_var").uniform_(2, 3)
    pixels = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    layers = ["1", "2", "4"]
    recorder = recorder_of(network, pixels, layers)
    with frozen(network):
        record = recorder.record(pixels)
    torch.testing.assert_close(record.features[1], network[:3](pixels).detach())
    assert_record_is_exact(network, pixels, layers, record)


def test_input_of_a_relu_as_a_layer_is_not_written_into() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        conv(3, 4), nn.ReLU(inplace=True), conv(4, 4), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    ).double().eval()  # fmt: skip
    pixels = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    layers = ["0", "1", "2"]
    recorder = recorder_of(network, pixels, layers)
    with frozen(network):
        record = recorder.record(pixels)
    assert all((feature < 0).any() for feature in (record.features[0], record.features[2]))
    for index in (1, 3):  # the same network, whose maps hooks can keep
        network[index] = nn.ReLU()
    assert_record_is_exact(network, pixels, layers, record)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "circular"])
def test_padding_of_the_stem(padding_mode: str) -> None:
    torch.manual_seed(0)
    network, pixels = small(nn.Sequential(conv(4, 4), nn.ReLU()))
    network.stem = conv(3, 4, padding_mode=padding_mode).double()
    assert_exact(network, pixels)


@pytest.mark.parametrize("chunk_bytes", [1, 5000])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    network, pixels = staged()
    network, pixels = network.double(), pixels.double()
    expected = hierarchy(network, pixels)
    monkeypatch.setitem(evigraph.indexer.engine.windowed.CHUNK_BYTES, "cpu", chunk_bytes)
    for left, right in zip(hierarchy(network, pixels), expected, strict=True):
        for f in fields(left.evidence):
            torch.testing.assert_close(getattr(left.evidence, f.name), getattr(right.evidence, f.name))


def test_users_network_is_untouched() -> None:
    network, pixels = staged()
    network.train()
    before = copy.deepcopy(network.state_dict())
    settings = [(m.training, getattr(m, "inplace", None)) for m in network.modules()]
    given = pixels.clone()
    hierarchy(network, pixels)
    assert torch.equal(pixels, given)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert settings == [(m.training, getattr(m, "inplace", None)) for m in network.modules()]
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())


def test_recording_twice_gives_the_same() -> None:
    network, pixels = staged()
    recorder = recorder_of(network, pixels, STAGES)
    with frozen(network):
        first = recorder.record(pixels)
        kept = [feature.clone() for feature in first.features]
        edges = explain(first, roots_of(first.logits), Method(3))
        second = recorder.record(pixels)
        # The first record is still what it was, and can be explained again.
        assert all(torch.equal(a, b) for a, b in zip(first.features, kept, strict=True))
        assert equal(edges, explain(second, roots_of(second.logits), Method(3)))
        assert equal(edges, explain(first, roots_of(first.logits), Method(3)))


def test_batch_of_one_gives_what_the_batch_gives() -> None:
    network, pixels = staged()
    network, pixels = network.double(), pixels.double()
    together = hierarchy(network, pixels)
    for image in range(len(pixels)):
        alone = hierarchy(network, pixels[image : image + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            own = torch.div(all_of_them.target.root[all_of_them.node], 2, rounding_mode="floor") == image
            for f in ("channel", "y", "x", "rank"):
                assert torch.equal(getattr(one.evidence, f), getattr(all_of_them.evidence, f)[own])
            torch.testing.assert_close(one.importance, all_of_them.importance[own])
