"""The method again, in the slowest and plainest way: one decision at a time, in float64, from the paper's equations.

Nothing of `indexer` is used. Both maps come from torchvision's own feature extractor, the gradient from plain autograd.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names


@dataclass(frozen=True)
class Edge:
    channel: int
    y: int
    x: int
    contribution: float
    share: float
    feature: float
    activation: float


class Reference:
    """All feature maps of one image in float64, and decompositions between them."""

    def __init__(self, model: nn.Module, modules: list[str], pixels: Tensor) -> None:
        """Run the network once. `pixels` is (3, height, width); `modules` name the layers, lowest first."""
        double = copy.deepcopy(model).double().eval()
        output = next(name for name in reversed(_names(double)))
        keys = {module: f"layer{level}" for level, module in enumerate(modules)} | {output: "logits"}
        extractor = create_feature_extractor(double, keys, suppress_diff_warning=True)
        maps = extractor(pixels[None].double().requires_grad_())
        self.features: list[Tensor] = [maps[f"layer{level}"] for level in range(len(modules))]
        self.logits: Tensor = maps["logits"]

    def activation_maps(self, layer: int, channel: int, y: int, x: int) -> Tensor:
        """A = G * F of the decision `channel, y, x` in layer + 1 over `layer`: (channels, height, width)."""
        lower = self.features[layer]
        if layer + 1 == len(self.features):
            decision = self.logits[0, channel]
        else:
            decision = self.features[layer + 1][0, channel, y, x]
            if decision < 0:
                decision = -decision
        (gradient,) = torch.autograd.grad(decision, lower, retain_graph=True)
        return (gradient * lower)[0].detach()

    def edges(self, layer: int, channel: int, y: int, x: int, top_n: int) -> list[Edge]:
        """The kept channels of one decision, by rank."""
        maps = self.activation_maps(layer, channel, y, x)
        count, _height, width = maps.shape
        alphas = [float(maps[k].mean()) for k in range(count)]
        positive = sum(alpha for alpha in alphas if alpha > 0)
        order = sorted((k for k in range(count) if alphas[k] > 0), key=lambda k: (-alphas[k], k))[:top_n]
        found = []
        for k in order:
            place = int(maps[k].flatten().argmax())
            py, px = divmod(place, width)
            feature = float(self.features[layer][0, k, py, px].detach())
            found.append(Edge(k, py, px, alphas[k], alphas[k] / positive, feature, float(maps[k, py, px])))
        return found


def _names(model: nn.Module) -> list[str]:
    return list(get_graph_node_names(model, suppress_diff_warning=True)[1])
