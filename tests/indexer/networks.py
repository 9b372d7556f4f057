"""Seeded networks for the tests, and the layers that a run would take of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import get_graph_node_names

from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.graph import trace
from evigraph.indexer.model.layers import default_layers, feature_maps


@dataclass(frozen=True)
class Prepared:
    model: nn.Module
    layers: list[FeatureMap]
    recorder: WindowedRecorder
    pixels: Tensor

    @property
    def modules(self) -> list[str]:
        """The layers by names that torchvision's feature extractor knows; to it torchvision.ops are leaves."""
        known = get_graph_node_names(self.model, suppress_diff_warning=True)[1]
        return [
            next(alias for alias in layer.aliases if any(n == alias or n.startswith(alias + ".") for n in known))
            for layer in self.layers
        ]


class Function(nn.Module):
    """A function of a map, and of the modules that it is given."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape that the function takes and gives."""
        return self.function(x, *self.parts)


def build(name: str, classes: int = 20, **options: Any) -> nn.Module:
    """A torchvision network with seeded random weights whose normalisations have seen data."""
    torch.manual_seed(0)
    if name in {"googlenet", "inception_v3"}:
        options["init_weights"] = False
    model: nn.Module = getattr(models, name)(weights=None, num_classes=classes, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def prepare(name: str, size: int = 64, batch: int = 2, **options: Any) -> Prepared:
    model = build(name, **options)
    pixels = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    graph = trace(model)
    layers = default_layers(feature_maps(graph, model, pixels[:1]))
    return Prepared(model, layers, WindowedRecorder(graph, layers, pixels[:1]), pixels)
