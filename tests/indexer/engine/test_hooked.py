"""Networks that torch.fx cannot trace are recorded by hooks, with the same edges as their traceable twins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evigraph.indexer.engine.hooked import HookedRecorder
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.hierarchy import LevelEdges, explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.graph import frozen
from evigraph.schema.errors import ModelError
from tests.indexer.agreement import roots_of
from tests.support import tiny

LAYERS = ["1", "4", "7"]


def chained(modules: nn.Sequential, value: Tensor) -> Tensor:
    """What `nn.Sequential` does, which has no types."""
    for module in modules:
        value = module(value)
    return value


class Untraceable(nn.Sequential):
    """A plain chain of modules that also looks at values, which torch.fx cannot follow."""

    def forward(self, pixels: Tensor) -> Tensor:
        if float(pixels.detach().abs().sum()) < 0:
            return pixels
        output: Tensor = chained(self, pixels)
        return output


class WritesIntoItsLayer(Untraceable):
    """Writes into the map of its first layer after it was recorded: F must stay what it was."""

    def forward(self, pixels: Tensor) -> Tensor:
        value = pixels
        for index, module in enumerate(self):
            value = module(value)
            if index == 1 and float(value.detach().sum()) > -1:
                value *= 0.5
                value += 0.25
        return value


class WritesTraceably(nn.Sequential):
    """The twin of `WritesIntoItsLayer` that torch.fx can follow."""

    def forward(self, pixels: Tensor) -> Tensor:
        value = pixels
        for index, module in enumerate(self):
            value = module(value)
            if index == 1:
                value = value * 0.5 + 0.25
        return value


class AsksForTensors(nn.Sequential):
    """Takes one tensor or a list of them, as many networks do: while it is traced it sees neither."""

    def forward(self, pixels: Tensor) -> Tensor:
        value: Tensor = chained(self, pixels)
        return value * 2 if isinstance(value, Tensor) else value


class CountsItsCalls(nn.Sequential):
    """Leaves out its first ReLU on one call, the one in which `prepare` traces it."""

    calls = 0
    different_at = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.calls += 1
        value = pixels
        for index, module in enumerate(self):
            if index != 1 or self.calls != self.different_at:
                value = module(value)
        return value


class Doubled(nn.Sequential):
    """The twin of `AsksForTensors` that torch.fx can follow."""

    def forward(self, pixels: Tensor) -> Tensor:
        value: Tensor = chained(self, pixels)
        return value * 2


def doubled_by_a_hook(*parts: nn.Module) -> nn.Sequential:
    """A network whose output a hook changes."""
    network = nn.Sequential(*parts)
    network.register_forward_hook(lambda _module, _args, output: output * 2)
    return network


def edges_of(network: Network, pixels: Tensor) -> list[LevelEdges]:
    with frozen(network.model):
        record = network.recorder.record(pixels)
        return explain(record, roots_of(record.logits), Method(3))


@pytest.mark.parametrize(("hooked", "traced"), [(Untraceable, nn.Sequential), (WritesIntoItsLayer, WritesTraceably)])
def test_hooks_give_the_edges_of_the_traced_twin(hooked: type[nn.Sequential], traced: type[nn.Sequential]) -> None:
    torch.manual_seed(0)
    parts = list(tiny.network())
    pixels = torch.randn(3, 3, tiny.SIDE, tiny.SIDE)
    first, second = prepare(hooked(*parts), tiny.SIDE, LAYERS), prepare(traced(*parts), tiny.SIDE, LAYERS)
    assert all("cannot be traced" in str(why) for why in first.fallbacks)
    assert_same_edges(first, second, pixels)


@pytest.mark.parametrize("silent", [AsksForTensors, doubled_by_a_hook])
def test_questions_for_types_and_hooks_are_traced(silent: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    parts = list(tiny.network())
    pixels = torch.randn(3, 3, tiny.SIDE, tiny.SIDE)
    first, second = prepare(silent(*parts), tiny.SIDE, LAYERS), prepare(Doubled(*parts), tiny.SIDE, LAYERS)
    assert isinstance(first.recorder, WindowedRecorder)
    assert_same_edges(first, second, pixels)


@pytest.mark.parametrize("call", range(1, 13))
def test_network_that_is_another_on_one_call(call: int) -> None:
    """Whichever of the calls of `prepare` it is: the right edges, or a refusal."""
    torch.manual_seed(0)
    parts = list(tiny.network())
    pixels = torch.randn(3, 3, tiny.SIDE, tiny.SIDE)
    model = CountsItsCalls(*parts)
    model.different_at = call
    try:
        first = prepare(model, tiny.SIDE, LAYERS)
    except ModelError as error:
        if any(why in str(error) for why in ("another answer each time", "mixes", "was not reached")):
            return
        raise
    assert_same_edges(first, prepare(nn.Sequential(*parts), tiny.SIDE, LAYERS), pixels)


def test_trace_that_holds_the_size_of_its_batch() -> None:
    class Batched(nn.Sequential):
        def forward(self, pixels: Tensor) -> Tensor:
            value: Tensor = chained(self, pixels)
            # While it is traced it is of another type, so that it falls back on 1.
            return value.view(len(value) if type(value) is Tensor else 1, -1)

    network = prepare(Batched(*tiny.network()), tiny.SIDE, LAYERS)
    assert isinstance(network.recorder, HookedRecorder)
    assert network.recorder.record(torch.randn(3, 3, tiny.SIDE, tiny.SIDE)).logits.shape[0] == 3


def assert_same_edges(first: Network, second: Network, pixels: Tensor) -> None:
    """Assert that two networks have the same layers and, up to rounding, the same edges."""
    assert [(m.channels, m.height, m.width) for m in first.layers] == [
        (m.channels, m.height, m.width) for m in second.layers
    ]
    for one, other in zip(edges_of(first, pixels), edges_of(second, pixels), strict=True):
        assert one.node.tolist() == other.node.tolist()
        for column in ("rank", "channel", "y", "x"):
            assert getattr(one.evidence, column).tolist() == getattr(other.evidence, column).tolist()
        for column in ("contribution", "share", "feature", "activation"):
            torch.testing.assert_close(
                getattr(one.evidence, column), getattr(other.evidence, column), rtol=1e-4, atol=1e-6
            )


def test_default_layers_of_an_untraceable_network() -> None:
    network = prepare(Untraceable(*tiny.network()), tiny.SIDE)
    assert [layer.module for layer in network.layers] == LAYERS
    assert [layer.stride for layer in network.layers] == [None] * 3


@pytest.mark.parametrize("kind", [nn.Sequential, Untraceable, WritesIntoItsLayer])
def test_the_network_is_as_it_was(kind: type[nn.Sequential]) -> None:
    model = kind(*tiny.network())
    model[0].requires_grad_(False)
    model[3].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = _flags(model)
    pixels = torch.randn(2, 3, tiny.SIDE, tiny.SIDE)
    edges_of(prepare(model, tiny.SIDE, LAYERS), pixels)
    assert _flags(model) == flags
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_network_is_as_it_was_after_an_error() -> None:
    model = tiny.network()
    flags = _flags(model)
    with pytest.raises(RuntimeError), frozen(model):
        model(torch.zeros(1, 4, 8, 8))
    assert _flags(model) == flags


def _flags(model: nn.Module) -> list[object]:
    return [
        *[
            (module.training, getattr(module, "inplace", None), len(module._forward_hooks))
            for module in model.modules()
        ],
        *[(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
    ]
