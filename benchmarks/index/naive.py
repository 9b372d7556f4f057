"""The plain way to the same evidence: one decision at a time, by autograd, over whole maps.

The network's own operations run once on one image with autograd; then each decision is differentiated by itself with
respect to the layer below, and its channels are ranked and their peaks found. What the hierarchy does is the same, the
tree of the image's predicted class with shared nodes decomposed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from benchmarks.index.timing import Clock
from evigraph.indexer.model.graph import Graph


@dataclass(frozen=True)
class NaiveRun:
    """What it took for one image.

    Attributes:
        seconds: the pass and every decision.
        decisions: how many, by segment, lowest first.
    """

    seconds: float
    decisions: list[int]


def explain_naively(graph: Graph, layers: list[fx.Node], pixels: Tensor, top_n: int, clock: Clock) -> NaiveRun:
    """Decompose the predicted class of one image.

    Args:
        graph: the traced network, whose parameters need no gradient.
        layers: S1..SL, the operations whose outputs they are.
        pixels: (1, 3, height, width).
        top_n: channels kept of each decomposition.
        clock: Of the device that the network is on.
    """
    started = clock.now()
    maps: dict[fx.Node, Tensor] = {}

    def keep(node: fx.Node, value: Any) -> Any:
        if node in layers:
            maps[node] = value
        return value

    with torch.enable_grad():
        logits = graph.execute(pixels.detach().clone().requires_grad_(), keep)
    nodes = {(int(logits[0].argmax()), 0, 0)}
    counts = []
    for level in reversed(range(len(layers))):
        lower = maps[layers[level]]
        upper = maps[layers[level + 1]] if level + 1 < len(layers) else logits[:, :, None, None]
        below: set[tuple[int, int, int]] = set()
        for channel, y, x in sorted(nodes):
            decision = upper[0, channel, y, x]
            if upper is not logits and level + 1 < len(layers) and float(decision.detach()) < 0:
                decision = -decision
            (gradient,) = torch.autograd.grad(decision, lower, retain_graph=True)
            below |= _evidence(gradient[0] * lower.detach()[0], top_n)
        counts.append(len(nodes))
        nodes = below
    return NaiveRun(clock.now() - started, counts[::-1])


def _evidence(maps: Tensor, top_n: int) -> set[tuple[int, int, int]]:
    """Channel and peak of the largest positive contributions, from (channels, height, width) activation maps."""
    alpha = maps.mean((1, 2))
    width = maps.shape[2]
    nodes = set()
    for value, channel in zip(*(t.tolist() for t in alpha.topk(min(top_n, len(alpha)))), strict=True):
        if value > 0:
            place = int(maps[channel].argmax())
            nodes.add((channel, place // width, place % width))
    return nodes
