"""Multiply-adds counted by hand, from shapes alone: what the ratio to inference would be if they were all that counts.

A convolution costs (output positions) * (kernel) * (input channels / groups) * (output channels), forwards over the
whole map and backwards over the window of its output. A gradient that still lies in a single channel, as a decision
begins, costs that output channel alone. Only convolutions and fully connected layers are counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from evigraph.indexer.engine.channels import Flatten, Linear
from evigraph.indexer.engine.spatial import Convolve
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.model.graph import Graph, reachable_from


def forward_multiply_adds(graph: Graph, pixels: Tensor) -> dict[fx.Node, int]:
    """Multiply-adds of each convolution and fully connected layer, for one image of (1, 3, height, width)."""
    multiply_adds: dict[fx.Node, int] = {}

    def visit(node: fx.Node, value: Any) -> Any:
        if node.op == "call_module":
            module = graph.module.get_submodule(str(node.target))
            if isinstance(module, nn.Conv2d):
                multiply_adds[node] = value.shape[2] * value.shape[3] * module.weight.numel()
            elif isinstance(module, nn.Linear):
                multiply_adds[node] = value.numel() // value.shape[-1] * module.weight.numel()
        return value

    with torch.no_grad():
        graph.execute(pixels, visit)
    return multiply_adds


def backward_multiply_adds(recorder: WindowedRecorder, forward: dict[fx.Node, int]) -> list[int]:
    """Multiply-adds of one decision, by segment, lowest first.

    A segment that falls back to autograd counts its convolutions over the whole map.
    """
    counted = []
    for level, plan in enumerate(recorder.plans):
        if plan is None:
            source, target = recorder.nodes[level], [*recorder.nodes[1:], recorder.output][level]
            counted.append(sum(forward.get(node, 0) for node in _between(source, target)))
            continue
        single = {plan.target}
        begun: set[fx.Node] = set()
        total = 0
        for rule in plan.rules:
            one = rule.node in single
            weight = getattr(rule, "weight", None)
            if isinstance(weight, Tensor):
                height, width = plan.frames[rule.node].size
                total += height * width * weight.numel() // (len(weight) if one else 1)
            if one and not isinstance(rule, (Convolve, Linear, Flatten)) and rule.source not in begun:
                single.add(rule.source)
            else:
                single.discard(rule.source)
            begun.add(rule.source)
        counted.append(total)
    return counted


def _between(source: fx.Node, target: fx.Node) -> Iterable[fx.Node]:
    return (node for node in reachable_from([source]) if node is not source and target in reachable_from([node]))
