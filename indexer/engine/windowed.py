"""Records a traced network without autograd, and decomposes on windows: the whole hierarchy at close to the cost of
plain inference.

The forward pass computes everything that the way back needs (which ReLUs were open, where the maxima were), so the
gradient of a decision is a short chain of small transposed convolutions over a growing window, masked by what was
recorded and batched over all decisions of a layer. Segments with an operation that is not local fall back to autograd.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from evigraph.indexer.engine.blocks import Buffers, Collect
from evigraph.indexer.engine.compile import SegmentPlan, compile_segment
from evigraph.indexer.engine.folding import fold
from evigraph.indexer.engine.forward import shapes_of, steps_of
from evigraph.indexer.engine.hooked import AutogradSegment
from evigraph.indexer.engine.rules import NotLocalError, OneChannel, Values, space
from evigraph.indexer.engine.windows import Frame, Windows
from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions, Segment
from evigraph.indexer.evidence.record import Box, Change, Record
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.graph import Graph, between
from evigraph.indexer.model.layers import check_logits

CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 512 << 20}
"""Decisions are pulled back so many at a time that one operation's windows take at most this much.

On a CPU it is about what its caches hold, and less than what malloc asks the system for anew each time: DenseNet-121's
decomposition took 1.44, 1.47 and 1.52 s with 8, 16 and 32 MB, ResNet-50's 0.82, 0.78 and 0.80 s (2 cores).
"""


class WindowedRecorder:
    """Records a traced network; see the module's docstring.

    Attributes:
        fallbacks: per segment, lowest first, why it is decomposed by autograd; None where it runs on windows.
    """

    def __init__(self, graph: Graph, layers: Sequence[FeatureMap], pixels: Tensor) -> None:
        """Compile every segment.

        Args:
            graph: the traced network, in evaluation mode.
            layers: S1..SL.
            pixels: (1, 3, height, width), an input of the run's size: the network is run on it once.
        """
        self.graph = graph
        self.nodes = [layer.node for layer in layers if layer.node is not None]
        self._geometries = [layer.geometry for layer in layers if layer.geometry is not None]
        output = next(node for node in graph.nodes if node.op == "output").all_input_nodes[0]
        shapes = shapes_of(graph, pixels)
        convolutions = fold(graph, self.nodes)
        self.plans: list[SegmentPlan | None] = []
        self.fallbacks: list[str | None] = []
        self._differentiated: set[fx.Node] = set()
        for source, target in zip(self.nodes, [*self.nodes[1:], output], strict=True):
            try:
                self.plans.append(compile_segment(graph, source, target, shapes, convolutions, frozenset(self.nodes)))
                self.fallbacks.append(None)
            except NotLocalError as error:
                self.plans.append(None)
                self.fallbacks.append(str(error))
                self._differentiated.update(between(graph.nodes, source, target)[1:])
        self.output = output
        self._reads = frozenset({read for plan in self.plans if plan for read in plan.reads}) | {*self.nodes, output}
        leaves = {node for node, plan in zip(self.nodes, self.plans, strict=True) if plan is None}
        self._steps = steps_of(graph, convolutions, self._reads, self._differentiated, leaves)

    def record(self, pixels: Tensor, change: Change | None = None) -> Record:
        """Record a batch (batch, 3, height, width)."""
        levels = {node: level for level, node in enumerate(self.nodes)} if change else {}
        values: Values = {}
        sources: dict[fx.Node, Tensor] = {}
        targets: dict[fx.Node, Tensor] = {}
        env: dict[fx.Node, Any] = {}
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        for step in self._steps:
            with torch.set_grad_enabled(step.node in self._differentiated):
                value = pixels if step.run is None else step.run(env)
                if change and step.node in levels:
                    value = change(levels[step.node], value)
            if step.node in self._differentiated and step.node in {*self.nodes, self.output}:
                targets[step.node], value = value, value.detach()
            if step.node in self._reads:
                values[step.node] = value
            if step.leaf:
                value = value.detach().requires_grad_()
                sources[step.node] = value
            env[step.node] = value
            for node in step.done:
                del env[node]
        logits = values[self.output]
        check_logits(logits, len(pixels))
        segments: list[Segment] = []
        for plan, source, target in zip(self.plans, self.nodes, [*self.nodes[1:], self.output], strict=True):
            if plan is None:
                segments.append(AutogradSegment(sources[source], targets[target]))
            else:
                segments.append(WindowedSegment(plan, values))
        return Record([values[node] for node in self.nodes], logits, segments)

    def features_at(self, level: int, pixels: Tensor) -> Tensor:
        features: Tensor = self.graph.execute(pixels, until=self.nodes[level])
        return features

    def logits_from(self, level: int, maps: Tensor, pixels: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.graph.execute(pixels, given={self.nodes[level]: maps})
        return logits

    def receptive_fields(
        self, level: int, pixels: Tensor, image: Tensor, channel: Tensor, y: Tensor, x: Tensor
    ) -> list[Box]:
        geometry = self._geometries[level]
        return [geometry.box(*place) for place in zip(y.tolist(), x.tolist(), strict=True)]


class WindowedSegment:
    """Decomposes on windows, by the rules of a plan."""

    def __init__(self, plan: SegmentPlan, values: Values) -> None:
        self.plan, self.values = plan, values
        self._pooled: Tensor | None = None
        self._masks: dict[fx.Node, Tensor] = {}

    def held(self) -> list[Tensor]:
        """The recorded maps, those of other segments too."""
        return list(self.values.values())

    def activation_maps(self, decisions: Decisions) -> Iterator[ActivationMaps]:
        """Decompose values of the upper layer over the lower one, in parts that fit in memory."""
        device = decisions.image.device
        size = max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cpu"]) // self.plan.bytes_per_decision)
        for start in range(0, len(decisions), size):
            rows = torch.arange(start, min(start + size, len(decisions)), device=device)
            windows = Windows(decisions.at(rows), space(tuple(self.values[self.plan.target].shape)))
            yield self._pull(rows, windows)

    @torch.no_grad()
    def _pull(self, rows: Tensor, windows: Windows) -> ActivationMaps:
        plan = self.plan
        d = windows.decisions
        target = self.values[plan.target]
        begin = OneChannel(d.channel, d.sign.to(target.dtype)[:, None, None], target.shape[1])
        gradients: dict[fx.Node, Tensor | OneChannel] = {plan.target: begin}
        last = {rule.node: rule for rule in plan.rules}
        buffers = Buffers(plan.parts, plan.frames, windows, self._mask)
        node = gradient = None
        for rule in plan.rules:
            out = plan.frames[rule.node]
            if rule.node is not node or gradient is None:
                node, gradient = rule.node, _take(gradients, buffers, rule.node)
            if isinstance(rule, Collect):
                buffers.collect(rule, gradient.dense() if isinstance(gradient, OneChannel) else gradient)
                continue
            if isinstance(gradient, OneChannel):
                pulled = rule.pull_one(gradient, out, self.values, windows)
            else:
                pulled = rule.pull(gradient, out, self.values, windows)
            if last[rule.node] is not rule and isinstance(pulled, Tensor) and pulled is gradient:
                pulled = pulled.clone()
            own = rule.frame(out)
            wanted = plan.frames.get(rule.source, own)
            _accumulate(gradients, rule.source, pulled, own, wanted, windows)
        gradient = _take(gradients, buffers, plan.end)
        dense = gradient.dense() if isinstance(gradient, OneChannel) else gradient
        return WindowMaps(rows, windows, dense, plan.frames[plan.end], self._end_value(), self.values, plan)

    def _mask(self, node: fx.Node) -> Tensor:
        """1 where a ReLU is open and 0 elsewhere: in the place of the recorded values, whose mask alone is read."""
        if node not in self._masks:
            value = self.values[node]
            # Autograd may need the values of an operation that is in a segment of its own too.
            self._masks[node] = (value > 0).to(value.dtype) if value.requires_grad else value.gt_(0)
        return self._masks[node]

    def _end_value(self) -> Tensor:
        """The map that the gradient at the end of the way belongs to: the source, or what pooling makes of it."""
        plan = self.plan
        if plan.boundary is None:
            return self.values[plan.source]
        if plan.end is plan.boundary.node:
            return self.values[plan.end]
        if self._pooled is None:
            self._pooled = plan.boundary.average(self.values[plan.source])
        return self._pooled


def _take(gradients: dict[fx.Node, Tensor | OneChannel], buffers: Buffers, node: fx.Node) -> Tensor | OneChannel:
    """The whole gradient of a node, which is owned from then on."""
    part = buffers.of(node)
    if part is None:
        return gradients.pop(node)
    if node in gradients:
        other = gradients.pop(node)
        part.add_(other.dense() if isinstance(other, OneChannel) else other)
    return part


def _accumulate(
    gradients: dict[fx.Node, Tensor | OneChannel],
    node: fx.Node,
    pulled: Tensor | OneChannel,
    own: Frame,
    wanted: Frame,
    windows: Windows,
) -> None:
    """Add a gradient to what a node has already."""
    if node not in gradients and own == wanted:
        gradients[node] = pulled
        return
    dense = windows.reframe(pulled.dense() if isinstance(pulled, OneChannel) else pulled, own, wanted)
    if node in gradients:
        before = gradients[node]
        dense = (before.dense() if isinstance(before, OneChannel) else before).add_(dense)
    gradients[node] = dense


@dataclass(frozen=True)
class WindowMaps:
    """Activation maps of some decisions on windows; see `indexer.evidence.decisions.ActivationMaps`."""

    rows: Tensor
    windows: Windows
    gradient: Tensor
    frame: Frame
    end_value: Tensor
    values: Values
    plan: SegmentPlan

    @property
    def sums(self) -> Tensor:
        # Where a window sticks out the gradient is zero, so what is read there does not matter.
        return self.windows.read(self.end_value, self.frame).mul_(self.gradient).sum((2, 3), dtype=torch.float32)

    def of(self, row: Tensor, channel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The maps of single channels (`indexer.evidence.decisions.ActivationMaps.of`)."""
        gradient = self.gradient[row, channel][:, None]
        frame = self.frame
        boundary = self.plan.boundary
        if boundary is not None:
            frame = boundary.grown(frame)
        feature, inside = self.windows.read_channels(self.values[self.plan.source], frame, row, channel)
        if boundary is not None:
            point = None
            if boundary.largest:
                point = (feature if inside is None else torch.where(inside, feature, -torch.inf))[:, None]
            gradient = boundary.spread(gradient, point, frame)
        maps = feature.mul_(gradient[:, 0])
        if inside is not None:
            maps.masked_fill_(~inside, 0)
        top, left = self.windows.origin(frame)
        return maps, top[row], left[row]
