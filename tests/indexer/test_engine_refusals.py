"""Networks that cannot be decomposed are refused in one line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from indexer.network import prepare
from schema.errors import ModelError


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


def test_an_input_of_the_wrong_size_names_it() -> None:
    class Picky(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.reshape(len(pixels), 7, -1)[:, :, 0]

    with pytest.raises(ModelError, match="--crop"):
        prepare(Picky(), 16)
