"""A forward pass that keeps what decomposition needs: the feature maps and the way between them.

    1. The network runs once on a batch. At each layer the map is cut off: what follows sees a copy that begins a new
       autograd graph, so that a gradient never runs further down than the layer below.
    2. `Record.features[l]` is F^l; `Record.segments[l]` decomposes values of layer l + 1 over layer l.

A traced network is cut at the traced operation. One that torch.fx cannot trace is cut by hooks at the modules whose
outputs its layers are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn

from indexer.decisions import ActivationMaps, Decisions, Segment, occurrences
from indexer.graph import Graph
from indexer.layers import FeatureMap, check_logits
from schema.errors import ModelError


@dataclass(frozen=True)
class Record:
    """One recorded batch.

    Attributes:
        features: per layer S1..SL, (batch, channels, height, width).
        logits: (batch, classes).
        segments: segments[l] decomposes layer l + 1 over layer l; the last one decomposes logits.
    """

    features: list[Tensor]
    logits: Tensor
    segments: Sequence[Segment]


class Recorder(Protocol):
    """Runs a network on a batch and records it."""

    def record(self, pixels: Tensor) -> Record:
        """Record the pass of a batch (batch, 3, height, width)."""
        ...


class AutogradSegment:
    """Decomposes by backward passes over whole maps: exact for any differentiable operations.

    One pass carries one decision of every image of the batch, since in evaluation mode images do not mix.
    """

    def __init__(self, source: Tensor, target: Tensor) -> None:
        """Keep the ends of a segment.

        Args:
            source: (batch, channels, height, width), the leaf that the segment begins with.
            target: (batch, channels', height', width') or (batch, classes), computed from it.
        """
        self.source = source
        self.target = target if target.ndim == 4 else target[:, :, None, None]

    def activation_maps(self, decisions: Decisions) -> Iterator[ActivationMaps]:
        features = self.source.detach()
        turn = occurrences(decisions.image)
        for current in range(int(turn.max()) + 1 if len(turn) else 0):
            rows = torch.nonzero(turn == current)[:, 0]
            d = decisions.at(rows)
            seed = torch.zeros_like(self.target)
            seed[d.image, d.channel, d.y, d.x] = d.sign.to(seed.dtype)
            (gradient,) = torch.autograd.grad(self.target, self.source, seed, retain_graph=True, materialize_grads=True)
            maps = gradient.mul_(features)
            origin = torch.zeros_like(rows)
            yield ActivationMaps(rows, maps if len(rows) == len(maps) else maps[d.image], origin, origin)


class TracedRecorder:
    """Records a traced network."""

    def __init__(self, graph: Graph, layers: Sequence[FeatureMap]) -> None:
        self.graph = graph
        self._level = {layer.node: level for level, layer in enumerate(layers)}

    def record(self, pixels: Tensor) -> Record:
        cut = _Cut(len(self._level))

        def visit(node: fx.Node, value: Any) -> Any:
            return cut(self._level[node], value) if node in self._level else value

        with torch.enable_grad():
            return cut.record(self.graph.execute(pixels, visit))


class HookedRecorder:
    """Records a network that was not traced, by forward hooks on the modules whose outputs its layers are."""

    def __init__(self, model: nn.Module, layers: Sequence[FeatureMap]) -> None:
        self.model = model
        self._level = {layer.module: level for level, layer in enumerate(layers)}

    def record(self, pixels: Tensor) -> Record:
        cut = _Cut(len(self._level))
        with ExitStack() as hooks, torch.enable_grad():
            for path, level in self._level.items():

                def replace(_module: nn.Module, _args: Any, output: Tensor, level: int = level) -> Tensor:
                    # A copy goes on, since code between modules may write into it.
                    return cut(level, output).clone()

                handle = self.model.get_submodule(path).register_forward_hook(replace)
                hooks.callback(handle.remove)
            return cut.record(self.model(pixels))


class _Cut:
    """Collects the two ends of each segment while a network runs."""

    def __init__(self, levels: int) -> None:
        self.targets: list[Tensor | None] = [None] * levels
        self.sources: list[Tensor | None] = [None] * levels

    def __call__(self, level: int, value: Tensor) -> Tensor:
        self.targets[level] = value
        self.sources[level] = source = value.detach().requires_grad_()
        return source

    def record(self, logits: Tensor) -> Record:
        sources = [source for source in self.sources if source is not None]
        targets = [target for target in self.targets if target is not None]
        if len(sources) < len(self.sources):
            missing = self.sources.index(None)
            raise ModelError(
                f"layer {missing} of the run was not reached in the forward pass; leave it out of --layers"
            )
        check_logits(logits, len(sources[0]))
        segments = [
            AutogradSegment(source, target) for source, target in zip(sources, [*targets[1:], logits], strict=True)
        ]
        return Record([source.detach() for source in sources], logits.detach(), segments)
