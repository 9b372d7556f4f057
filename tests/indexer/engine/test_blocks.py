"""Dense blocks, whose concatenations share one gradient: everywhere autograd's, whatever else reads their maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from evigraph.indexer.engine.blocks import Collect
from evigraph.indexer.model.graph import frozen
from tests.indexer.exactness import assert_exact, autograd_maps, engine_maps, everywhere, recorder_of, small

pytestmark = pytest.mark.slow

GROWTH = 3


class Dense(nn.Module):
    """A dense block as DenseNet's, of 4 channels.

    Args:
        layers: how many maps are added.
        kernel: of their convolutions.
        activation: before each of them.
        side: what reads the maps besides: "residual" adds the one before to each, "sum" makes each a sum of two.
    """

    def __init__(
        self, layers: int = 4, kernel: int = 3, activation: type[nn.Module] = nn.ReLU, side: str | None = None
    ) -> None:
        super().__init__()
        self.side = side
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(4 + GROWTH * i),
                activation(),
                nn.Conv2d(4 + GROWTH * i, 5, 1, bias=False),
                nn.BatchNorm2d(5),
                activation(),
                nn.Conv2d(5, GROWTH, kernel, padding=kernel // 2),
            )
            for i in range(layers)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        maps = [pixels]
        for layer in self.layers:
            newest = layer(torch.cat(maps, 1))
            if self.side == "residual" and len(maps) > 1:
                newest = newest + torch.sigmoid(maps[-1])
            if self.side == "sum":
                newest = torch.relu(newest) + newest
            maps.append(newest)
        return torch.cat(maps, 1)


def collects(network: nn.Module, pixels: Tensor) -> list[Collect]:
    (plan, _) = recorder_of(network, pixels).plans
    assert plan is not None
    return [rule for rule in plan.rules if isinstance(rule, Collect)]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("side", [None, "residual", "sum"])
@pytest.mark.parametrize("size", [(9, 7), pytest.param((15, 16), marks=pytest.mark.slow)])
def test_every_decision_of_a_block(kernel: int, side: str | None, size: tuple[int, int]) -> None:
    # With kernels of 5 the windows outgrow a map of 9 x 7 within the block.
    torch.manual_seed(0)
    network, pixels = small(Dense(3, kernel, side=side), size)
    found = collects(network, pixels)
    assert [rule.count for rule in found] == [13, 10, 7, 4]
    # The uppermost concatenation is the layer itself; every other one's ReLU is taken in.
    assert [rule.gate is not None for rule in found] == [False, True, True, True]
    assert_exact(network, pixels)


@pytest.mark.parametrize("activation", [nn.ReLU6, nn.SiLU, nn.Identity])
def test_block_with_another_activation(activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network, pixels = small(Dense(3, activation=activation))
    assert [rule.gate for rule in collects(network, pixels)] == [None] * 4
    assert_exact(network, pixels)


def test_block_whose_input_is_pooled() -> None:
    torch.manual_seed(0)
    network, pixels = small(nn.Sequential(nn.MaxPool2d(2), Dense(2), nn.ReLU(), nn.AvgPool2d(2)), (13, 12))
    assert collects(network, pixels)
    assert_exact(network, pixels)


def test_relu_that_is_a_layer_keeps_its_values() -> None:
    # A layer within a block, which the maps before it go round.
    torch.manual_seed(0)
    network, pixels = small(Dense(4))
    layers = ["stem", "body.layers.2.1", "body"]
    recorder = recorder_of(network, pixels, layers)
    with frozen(network):
        record = recorder.record(pixels)
        kept = record.features[1].clone()
        lower = network.stem(pixels).detach().requires_grad_()
        maps = [lower]
        for index, layer in enumerate(network.body.layers):  # type: ignore[arg-type]
            whole = torch.cat(maps, 1)
            if index == 2:
                relu = layer[:2](whole)
            maps.append(layer(whole))
        decisions = everywhere(relu.detach())
        torch.testing.assert_close(
            engine_maps(record.segments[0], decisions, lower.shape), autograd_maps(lower, relu, decisions)
        )
    assert torch.equal(record.features[1], kept)


def test_a_record_can_be_decomposed_again() -> None:
    # The first time puts masks in the place of values.
    torch.manual_seed(0)
    network, pixels = small(Dense(3))
    recorder = recorder_of(network, pixels)
    with frozen(network):
        record = recorder.record(pixels)
        decisions = everywhere(record.features[1])
        first, second = (engine_maps(record.segments[0], decisions, record.features[0].shape) for _ in range(2))
    assert torch.equal(first, second)
