"""The rules of operations between the channels of a place (see `indexer.engine.rules`).

Flatten      flattening                                                          cut into channels and places again
Linear       fully connected layers                                              product with the weights
Join         concatenation                                                       the part that was this input
Take         a part of the channels                                              zero for the others
Shuffle      channels in another order                                           the order before
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from evigraph.indexer.engine.elementwise import Pass
from evigraph.indexer.engine.products import product
from evigraph.indexer.engine.rules import OneChannel, Rule, RuleContext, Values, rule_of, space
from evigraph.indexer.engine.windows import Frame, Windows, whole
from evigraph.indexer.model.operations import (
    CHUNK,
    CONCATENATION,
    CONTIGUOUS,
    FLATTEN,
    GETITEM,
    IDLE,
    LINEAR,
    TRANSPOSE,
    VIEW,
)  # fmt: skip
from evigraph.indexer.model.registry import Call


@dataclass(frozen=True)
class Flatten(Rule):
    """(batch, channels, height, width) -> (batch, channels * height * width)."""

    def frame(self, out: Frame) -> Frame:
        return whole(*self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        height, width = self.shape
        return gradient.reshape(len(gradient), -1, height, width).contiguous(memory_format=torch.channels_last)


@rule_of(FLATTEN, CONTIGUOUS, IDLE)
def _flatten(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    if call.operation is IDLE and call.module is None and call["training"] is not False:
        raise context.not_local(call)
    ends = context.ends(call.node, sources[0])
    before, after = context.shapes[sources[0]], context.shapes[call.node]
    if before == after:
        return [Pass(*ends)]
    if len(before) == 4 and len(after) == 2:
        return [Pass(*ends) if space(before) == (1, 1) else Flatten(*ends)]
    raise context.not_local(call)


@dataclass(frozen=True)
class Linear(Rule):
    """A fully connected layer."""

    weight: Tensor
    """(out features, in features)."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return product(gradient[:, :, 0, 0], self.weight)[:, :, None, None]

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor:
        return (self.weight.index_select(0, gradient.channel) * gradient.value[:, 0])[:, :, None, None]


@rule_of(LINEAR)
def _linear(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    weight = getattr(call.module, "weight", None)
    if weight is None or len(context.shapes[sources[0]]) != 2:
        raise context.not_local(call)
    return [Linear(*context.ends(call.node, sources[0]), weight=weight.detach())]


@dataclass(frozen=True)
class Join(Rule):
    """Concatenation of channels: this input's are `start` .. `start + count - 1` of the output's."""

    start: int
    count: int

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return gradient[:, self.start : self.start + self.count]

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        channel = gradient.channel - self.start
        inside = (channel >= 0) & (channel < self.count)
        return OneChannel(channel.clamp(0, self.count - 1), gradient.times(inside).value, self.count)


@rule_of(CONCATENATION)
def _join(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    node = call.node
    parts = node.args[0] if node.args else None
    if call["dim"] not in {1, -3} or not isinstance(parts, (list, tuple)) or len(set(parts)) != len(parts):
        raise context.not_local(call)
    rules: list[Rule] = []
    start = 0
    for part in parts:
        count = context.shapes[part][1]
        if part in sources:
            rules.append(Join(*context.ends(node, part), start=start, count=count))
        start += count
    return rules


@dataclass(frozen=True)
class Take(Rule):
    """A part of the channels: `start` onwards, of `total`."""

    start: int
    total: int

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        count = gradient.shape[1]
        pulled = gradient.new_zeros(len(gradient), *gradient.shape[2:], self.total).permute(0, 3, 1, 2)
        pulled[:, self.start : self.start + count] = gradient
        return pulled

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        return OneChannel(gradient.channel + self.start, gradient.value, self.total)


@rule_of(GETITEM)
def _take(context: RuleContext, call: Call, _sources: list[fx.Node]) -> list[Rule]:
    """One part of `x.chunk(parts, dim=1)`; the rule skips the operation that makes all the parts."""
    made, index = call.node.args
    if not isinstance(made, fx.Node) or not isinstance(index, int):
        raise context.not_local(call)
    chunk, whole_map = context.graph.call(made), made.args[0] if made.args else None
    if chunk.operation is not CHUNK or not isinstance(whole_map, fx.Node):
        raise context.not_local(call)
    parts, total = chunk["chunks"], context.shapes[whole_map][1] if whole_map in context.shapes else 0
    if chunk["dim"] != 1 or not isinstance(parts, int) or total % parts:
        raise context.not_local(call)
    size = total // parts
    shape = space(context.shapes[call.node])
    return [Take(call.node, whole_map, shape, start=size * (index % parts), total=total)]


@dataclass(frozen=True)
class Shuffle(Rule):
    """Channels in another order: channel i of the output is channel `order[i]` of the input."""

    order: Tensor
    """(channels,) int64."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        back = torch.empty_like(self.order).scatter_(0, self.order, torch.arange(len(self.order)).to(self.order))
        return gradient.index_select(1, back).contiguous(memory_format=torch.channels_last)

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        return OneChannel(self.order[gradient.channel], gradient.value, gradient.channels)


@rule_of(VIEW)
def _shuffle(context: RuleContext, call: Call, _sources: list[fx.Node]) -> list[Rule]:
    """ShuffleNet's x.view(b, groups, c, h, w).transpose(1, 2).contiguous().view(b, channels, h, w) as one rule."""
    chain = [call.node]
    for operation in (CONTIGUOUS, TRANSPOSE, VIEW):
        below = chain[-1].args[0]
        if not isinstance(below, fx.Node) or context.graph.call(below).operation is not operation:
            raise context.not_local(call)
        chain.append(below)
    _, _, transpose, split = chain
    source, shapes = split.args[0], context.shapes
    parts = shapes[split]
    swapped = tuple(transpose.args[1:]) == (1, 2) and len(parts) == 5
    if not isinstance(source, fx.Node) or not swapped or shapes[call.node] != shapes[source]:
        raise context.not_local(call)
    order = torch.arange(parts[1] * parts[2]).view(parts[1], parts[2]).T.flatten()
    ends = (call.node, source, space(shapes[call.node]))
    return [Shuffle(*ends, order=order.to(context.like().device))]
