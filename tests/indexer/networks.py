"""Seeded networks for the tests, and the layers that a run would take of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from indexer.graph import Graph, trace
from indexer.layers import FeatureMap, default_layers, feature_maps


@dataclass(frozen=True)
class Prepared:
    model: nn.Module
    graph: Graph
    layers: list[FeatureMap]
    pixels: Tensor

    @property
    def modules(self) -> list[str]:
        return [layer.module for layer in self.layers]


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
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def prepare(name: str, size: int = 64, batch: int = 2, **options: Any) -> Prepared:
    model = build(name, **options)
    pixels = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    graph = trace(model)
    layers = default_layers(feature_maps(graph, model, pixels[:1]))
    return Prepared(model, graph, layers, pixels)
