"""The trace of a network whose output is turned into logits (`heads`): its output moved to where the logits are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from evigraph.indexer.engine.forward import shapes_of
from evigraph.indexer.engine.heads import LogitNetwork, head_of, inverted
from evigraph.indexer.engine.trail import BEHIND, FUNCTIONS, MODULES, SHAPING
from evigraph.indexer.model.graph import Graph, module_of, trace
from evigraph.schema.errors import ModelError, first_line

_SHAPING_FUNCTIONS = {torch.flatten, torch.squeeze, torch.unsqueeze, torch.reshape, torch.clone, F.dropout}


def trace_logits(model: nn.Module, pixels: Tensor) -> Graph:
    """Trace a network into its operations, up to its logits.

    Args:
        model: any network, or a `LogitNetwork`.
        pixels: (1, channels, height, width), an input of the run's size: another network than a plain one is run on it.

    Raises:
        ModelError: it cannot be traced, or what its output comes out of is not found in the trace.
    """
    graph = trace(model, pixels)
    return _cut(graph, model, pixels) if isinstance(model, LogitNetwork) else graph


def _cut(graph: Graph, model: LogitNetwork, pixels: Tensor) -> Graph:
    head, fx_graph = head_of(model), graph.module.graph
    shapes = _shapes(graph, torch.cat([pixels, pixels]))
    end = next(node for node in graph.nodes if node.op == "output")
    node = end.args[0]
    if not isinstance(node, fx.Node):
        raise ModelError(f"the trace of {type(model).__name__} has another output than the network")
    if head.ends_in is not None:
        node = _source(_squashing(graph, node, head.ends_in, type(model).__name__))
    wanted = (2, head.outputs)
    while shapes.get(node) != wanted and _keeps_values(graph, node, shapes):
        node = _source(node)
    made = []
    with fx_graph.inserting_before(end):
        if shapes.get(node) != wanted:
            flat = len(shapes.get(node, ())) > 1
            node = fx_graph.call_function(torch.flatten if flat else torch.unsqueeze, (node, 1))
            made.append(node)
        if head.inverse is not None:
            node = fx_graph.call_function(inverted, (node, head.inverse))
            made.append(node)
    end.args = (node,)
    for unused in reversed(list(fx_graph.nodes)):
        if not unused.users and unused.op not in ("output", "placeholder"):
            fx_graph.erase_node(unused)
    left = tuple(fx_graph.nodes)
    names = graph.names | {one: one.name for one in made}
    outputs = {one: paths for one, paths in graph.outputs.items() if one in set(left)}
    return replace(graph, nodes=left, names=names, outputs=outputs)


def _squashing(graph: Graph, node: fx.Node, ends_in: str, network: str) -> fx.Node:
    """The call whose input is the logits, from the output down."""
    outer = None
    while True:
        name = _name(graph, node)
        if name in ("exp", "log") and outer is None:
            outer, node = name, _source(node)
        elif name is not None and (name if outer is None else BEHIND.get((outer, name))) == ends_in:
            return node
        elif name is None and _is_shaping(graph, node):
            node = _source(node)
        else:
            raise ModelError(f"the trace of {network} does not show the {ends_in} that the network ends in")


def _name(graph: Graph, node: fx.Node) -> str | None:
    """Which of `FUNCTIONS` a node calls, by module, function or method."""
    module = module_of(graph, node)
    if module is not None:
        return next((name for name, kinds in MODULES.items() if isinstance(module, kinds)), None)
    if node.op == "call_function":
        return next((name for name, functions in FUNCTIONS.items() if node.target in functions), None)
    return str(node.target) if node.op == "call_method" and node.target in FUNCTIONS else None


def _is_shaping(graph: Graph, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(module_of(graph, node), (nn.Flatten, nn.Identity, nn.Dropout))
    if node.op == "call_function":
        return node.target in _SHAPING_FUNCTIONS or getattr(node.target, "__name__", "") == "getitem"
    return node.op == "call_method" and node.target in SHAPING


def _keeps_values(graph: Graph, node: fx.Node, shapes: dict[fx.Node, tuple[int, ...]]) -> bool:
    """Whether a node changes no more than the shape of its input."""
    if not _is_shaping(graph, node):
        return False
    source = _source(node)
    return source in shapes and _count(shapes[source]) == _count(shapes.get(node, ()))


def _source(node: fx.Node) -> fx.Node:
    source: Any = node.args[0] if node.args else node.kwargs.get("input")
    if not isinstance(source, fx.Node):
        raise ModelError(f"operation {node.name!r} has no input; report it as a bug")
    return source


def _shapes(graph: Graph, pixels: Tensor) -> dict[fx.Node, tuple[int, ...]]:
    try:
        return shapes_of(graph, pixels)
    except Exception as error:  # a trace holds the one way that stand-ins took
        raise ModelError(f"the trace does not run on a batch of two: {first_line(error)}") from error


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
