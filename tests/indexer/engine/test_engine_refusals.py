"""What `prepare` makes of unusual networks: refused in one line, or recorded as they run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from evigraph.indexer.engine.network import prepare
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.model.graph import frozen
from evigraph.schema.errors import ModelError


def _network(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), *layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def test_normalisation_over_the_batch_is_refused() -> None:
    with pytest.raises(ModelError, match="mixes the images of a batch"):
        prepare(_network(nn.BatchNorm2d(8, track_running_stats=False)).eval(), 16)


def test_padding_that_reflects_falls_back_to_autograd() -> None:
    network = prepare(_network(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")), 16)
    assert [why is not None for why in network.fallbacks] == [True, False]
    assert "Conv2d" in str(network.fallbacks[0])


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\(1, 3, 16, 16\).*\(batch, classes\)"):
        prepare(nn.Identity(), 16)


def test_a_network_without_maps_is_refused() -> None:
    with pytest.raises(ModelError, match="no feature map"):
        prepare(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5)), 16)


class Shortcut(nn.Module):
    """A block around whose first activation function a shortcut goes, or which both of two branches read."""

    def __init__(self, activation: nn.Module, *, joined: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem: nn.Module = nn.Conv2d(3, 8, 3)
        self.block = nn.Sequential(activation, nn.Conv2d(8, 8, 1))
        self.joined, self.head = joined, nn.Linear(16 if joined else 8, 5)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.stem(pixels)
        branch = self.block(features)  # in place, it changes what the next line reads
        both = torch.cat([features, branch], 1) if self.joined else features + branch
        logits: Tensor = self.head(both.relu().mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    "network",
    [
        Shortcut(nn.Hardtanh(inplace=True)),
        Shortcut(nn.SiLU(inplace=True)),
        Shortcut(nn.Hardtanh(-1, 0.1, inplace=True), joined=True),
        nn.Sequential(nn.Identity(), nn.Identity(), Shortcut(nn.ELU(inplace=True))),
    ],
    ids=["shortcut", "silu", "concatenation", "nested"],
)
def test_a_value_that_is_overwritten_and_read_again_is_the_network_s(network: nn.Module) -> None:
    """Without writing in place it would be another network, whose evidence would be given as this one's."""
    path = next(path for path, module in network.named_modules() if path.endswith("block.0"))
    network.train()
    prepared = prepare(network, 16)
    assert all(module.training for module in network.modules())
    assert getattr(network.get_submodule(path), "inplace")  # noqa: B009 - of nn.Module mypy knows no such attribute
    assert isinstance(prepared.recorder, WindowedRecorder)
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with frozen(network):
        torch.testing.assert_close(prepared.recorder.record(pixels).logits, network(pixels.clone()))


def test_a_value_that_is_overwritten_and_not_read_again_is_the_network_s_own() -> None:
    """As in ResNet: the shortcut reads what the ReLU made."""
    network = Shortcut(nn.ReLU(inplace=False))
    network.stem = nn.Sequential(network.stem, nn.ReLU(inplace=True))
    assert prepare(network, 16).class_count == 5


def test_an_input_of_the_wrong_size_names_it() -> None:
    class Picky(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.reshape(len(pixels), 7, -1)[:, :, 0]

    with pytest.raises(ModelError, match="--crop"):
        prepare(Picky(), 16)


def test_arguments_of_forward_with_a_default_stay_at_it() -> None:
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _network(nn.ReLU(), nn.Conv2d(8, 8, 3))

        def forward(self, pixels: Tensor, mask: Tensor | None = None, double: bool = False) -> Tensor:
            if mask is not None:
                pixels = pixels * mask
            logits: Tensor = self.body(pixels)
            return 2 * logits if double else logits

    model = Optional().eval()
    network = prepare(model, 16)
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert network.fallbacks == [None] * len(network.layers)
    with torch.no_grad():
        torch.testing.assert_close(network.recorder.record(pixels).logits, model(pixels))
