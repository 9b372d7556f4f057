"""What a traced network's maps are: which are post-activation, of what kind, and where their places lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from evigraph.indexer.model.geometry import NCHW, TURNED
from evigraph.indexer.model.graph import Graph, is_input, module_of
from evigraph.indexer.model.operations import BATCH_NORM, IDLE, LINEAR, SUM
from evigraph.indexer.model.registry import Call
from evigraph.indexer.model.tracking import Tracker

Activation = Callable[[Any], Any]
"""An activation function of one tensor."""
LINEAR_MAP = "linear"
"""The kind of a map that nothing but products with weights, normalisations and sums of such are behind."""
AFTER_ACTIVATION = "after activation functions"
_OF_MAPS = (NCHW, TURNED)
_FLAT = 1e-3
"""Of a gradient: below it next to nothing passes; the sigmoid's is that small from 0.999 on."""


def upper_end(activation: Activation) -> float | None:
    """From which value on an activation function is flat, as ReLU6 is at 6; None where it goes on rising.

    It is tried at inputs from 0 to 100, so a bound beyond that is not noticed.
    """
    inputs = torch.linspace(0, 100, 4001).view(1, 1, -1, 1).requires_grad_()
    try:
        with torch.enable_grad():
            values = activation(inputs.clone())
            (gradient,) = torch.autograd.grad(values.sum(), inputs)
    except Exception:  # of a function that takes other shapes or types: a bound is not known
        return None
    rising = (gradient.flatten() >= _FLAT).nonzero()
    first = int(rising[-1]) + 1 if len(rising) else 0
    return float(values.detach().flatten()[first]) if first < inputs.numel() else None


class Survey:
    """Watches one run of a traced network, of one image; `visit` is for `Graph.execute`.

    Attributes:
        graph: the traced network.
        tracker: where the places of its values lie.
        maps: its maps, (1, channels, height, width).
        post_activation: the operations whose values come out of an activation function.
        products: convolutions, and other products with weights.
        learned: they, and what is above one.
        kinds: of each map, as `FeatureMap.kind`.
        activations: of each map that is post-activation, the function where it is one of a single input.
    """

    def __init__(self, graph: Graph, size: tuple[int, int]) -> None:
        self.graph = graph
        self.tracker = Tracker(graph, size)
        self.maps: dict[fx.Node, Tensor] = {}
        self.post_activation: set[fx.Node] = set()
        self.products: set[fx.Node] = set()
        self.learned: set[fx.Node] = set()
        self.kinds: dict[fx.Node, str] = {}
        self.activations: dict[fx.Node, Activation] = {}
        self._settled: set[fx.Node] = set()

    def visit(self, node: fx.Node, value: Any) -> Any:
        """Look at the value of a node; gives it back as it is."""
        call = self.graph.call(node, self.tracker.shapes)
        settled = any(source in self._settled for source in node.all_input_nodes)
        if call.operation.activation or (call.operation.rearranges and settled):
            self._settled.add(node)
        if call.operation.name.endswith("convolution") or self._has_weights(node):
            self.products.add(node)
        if node in self.products or any(source in self.learned for source in node.all_input_nodes):
            self.learned.add(node)
        self._tell(node, call)
        self.tracker.see(call, value)
        places = self.tracker.places.get(node)
        is_map = isinstance(value, Tensor) and value.ndim == 4 and len(value) == 1  # not some images of a batch
        if is_map and places and places.dims in _OF_MAPS and not is_input(node):
            self.maps[node] = value
            if node in self._settled:
                self.post_activation.add(node)
        return value

    def _has_weights(self, node: fx.Node) -> bool:
        """Whether a call multiplies with a matrix of parameters, its module's or given to it."""
        module = module_of(self.graph, node)
        given = [self.graph.run(one, {}) for one in node.all_input_nodes if one.op == "get_attr"]
        return any(
            isinstance(one, nn.Parameter) and one.ndim > 1 for one in (*(module.parameters() if module else ()), *given)
        )

    def _tell(self, node: fx.Node, call: Call) -> None:
        """Keep what kind of values a node gives."""
        below = [source for source in node.all_input_nodes if source in self.kinds]
        operation = call.operation
        if operation.activation:
            self.kinds[node] = f"after {operation.modules[0].__name__}"
            function = call.of_its_input()
            if function is not None:
                self.activations[node] = function
        elif node in self._settled:
            source = next((one for one in below if one in self._settled), None)
            self.kinds[node] = AFTER_ACTIVATION if source is None else self.kinds[source]
            if len(below) == 1 and source in self.activations:
                self.activations[node] = self.activations[source]
        elif node in self.products or operation in {BATCH_NORM, LINEAR}:
            self.kinds[node] = LINEAR_MAP
        elif operation is IDLE or operation is SUM:
            kinds = {self.kinds[source] for source in below}
            same = len(kinds) == 1 and (operation is IDLE or kinds == {LINEAR_MAP})
            self.kinds[node] = kinds.pop() if same else operation.name
        else:
            self.kinds[node] = "pooled" if "pool" in operation.name else operation.name
