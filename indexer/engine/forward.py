"""The forward pass that is recorded: what runs for each operation, and what it may write over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from evigraph.indexer.engine.folding import Convolution
from evigraph.indexer.engine.products import linear
from evigraph.indexer.model.graph import Graph, is_input, module_of
from evigraph.indexer.model.operations import RELU


@dataclass(frozen=True)
class Step:
    """One operation of the forward pass.

    Attributes:
        node: whose value it makes.
        run: makes it from the values before; None for the input.
        done: operations whose values are not needed any more.
        leaf: whether a segment that autograd decomposes begins here.
    """

    node: fx.Node
    run: Callable[[dict[fx.Node, Any]], Any] | None
    done: tuple[fx.Node, ...]
    leaf: bool


def steps_of(
    graph: Graph,
    convolutions: dict[fx.Node, Convolution],
    reads: frozenset[fx.Node],
    differentiated: set[fx.Node],
    leaves: set[fx.Node],
) -> list[Step]:
    """The forward pass: normalisation folded into convolutions, ReLU written in place where nobody needs its input."""
    last_use = {used: node for node in graph.nodes for used in node.all_input_nodes}
    folded = {c.norm: node for node, c in convolutions.items() if node not in differentiated and c.norm is not None}
    steps = []
    for node in graph.nodes:
        if node.op == "output":
            continue
        run: Callable[[dict[fx.Node, Any]], Any] | None = partial(graph.run, node)
        if is_input(node):
            run = None
        elif node in folded:
            run = itemgetter(folded[node])
        elif node in convolutions and node not in differentiated:
            run = _convolution(node, module_of(graph, node), convolutions[node])
        elif isinstance(module_of(graph, node), nn.Linear) and node not in differentiated:
            run = _linear(node, module_of(graph, node))
        elif graph.call(node).operation is RELU and _may_be_overwritten(
            graph, node.all_input_nodes[0], reads, differentiated
        ):
            run = _relu_in_place(node.all_input_nodes[0])
        done = tuple(used for used in node.all_input_nodes if last_use[used] is node)
        steps.append(Step(node, run, done, node in leaves))
    return steps


def _convolution(node: fx.Node, module: nn.Conv2d, convolution: Convolution) -> Callable[[dict[fx.Node, Any]], Any]:
    (source,) = node.all_input_nodes
    weight, bias = convolution.weight, convolution.bias
    settings: Any = (module.stride, module.padding, module.dilation, module.groups)
    return lambda env: F.conv2d(env[source], weight, bias, *settings)


def _linear(node: fx.Node, module: nn.Linear) -> Callable[[dict[fx.Node, Any]], Any]:
    (source,) = node.all_input_nodes
    return lambda env: linear(env[source], module.weight, module.bias)


def _relu_in_place(source: fx.Node) -> Callable[[dict[fx.Node, Any]], Any]:
    return lambda env: env[source].relu_()


def _may_be_overwritten(graph: Graph, node: fx.Node, reads: frozenset[fx.Node], differentiated: set[fx.Node]) -> bool:
    """Whether a value is fresh memory that one operation alone reads."""
    if len(node.users) > 1 or node in reads or node in differentiated or next(iter(node.users)) in differentiated:
        return False
    return graph.call(node).operation.fresh


def shapes_of(graph: Graph, pixels: Tensor) -> dict[fx.Node, tuple[int, ...]]:
    """The shape of every operation's output for (batch, channels, height, width) pixels: it runs on them once."""
    shapes: dict[fx.Node, tuple[int, ...]] = {}

    def visit(node: fx.Node, value: Any) -> Any:
        if isinstance(value, Tensor):
            shapes[node] = tuple(value.shape)
        return value

    with torch.no_grad():
        graph.execute(pixels, visit)
    return shapes
