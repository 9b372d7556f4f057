"""Running a network from one of its maps on, with that map put in the place of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from evigraph.indexer.engine.network import Network
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.model.graph import Graph, is_input
from evigraph.indexer.model.layers import FeatureMap


class Replay:
    """Runs what comes after a layer, and of the rest only what that needs besides."""

    def __init__(self, network: Network) -> None:
        self._network = network
        recorder = network.recorder
        self._graph: Graph | None = recorder.graph if isinstance(recorder, WindowedRecorder) else None
        self._plans: dict[fx.Node, list[fx.Node]] = {}

    @torch.no_grad()
    def logits(self, level: int, maps: Tensor, pixels: Tensor) -> Tensor:
        """The logits (batch, classes) that the network gives with a map of its own replaced.

        Args:
            level: which of the network's layers.
            maps: (batch, channels, height, width), in the place of its output.
            pixels: (batch, 3, height, width), the input that all else is computed from.
        """
        layer = self._network.layers[level]
        if self._graph is None or layer.node is None:
            return self._hooked(layer, maps, pixels)
        env: dict[fx.Node, Any] = {layer.node: maps}
        for node in self._plan(self._graph, layer.node):
            env[node] = pixels if is_input(node) else self._graph.run(node, env)
        output = next(node for node in self._graph.nodes if node.op == "output")
        logits: Tensor = env[output.all_input_nodes[0]]
        return logits

    def _plan(self, graph: Graph, start: fx.Node) -> list[fx.Node]:
        """The nodes that the output needs where the value of `start` is given, in order of execution."""
        if start not in self._plans:
            needed = {start}
            pending = [next(node for node in graph.nodes if node.op == "output")]
            while pending:
                for node in pending.pop().all_input_nodes:
                    if node not in needed:
                        needed.add(node)
                        pending.append(node)
            self._plans[start] = [node for node in graph.nodes if node in needed and node is not start]
        return self._plans[start]

    def _hooked(self, layer: FeatureMap, maps: Tensor, pixels: Tensor) -> Tensor:
        module = self._network.model.get_submodule(layer.module)
        # A copy, since code between modules may write into it.
        handle = module.register_forward_hook(lambda _module, _args, _output: maps.clone())
        try:
            logits: Tensor = self._network.model(pixels)
        finally:
            handle.remove()
        return logits
