"""The rules of operations between places (see `indexer.engine.rules`).

Convolve     convolutions, with the batch normalisation behind them folded in    transposed convolution
Pool         max-pooling                                                         to where the maximum was
             average and adaptive pooling                                        spread evenly
Resample     adaptive pooling to a size that does not divide                     the transposed averages
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from evigraph.indexer.engine.elementwise import Pass
from evigraph.indexer.engine.folding import affine
from evigraph.indexer.engine.products import product
from evigraph.indexer.engine.rules import OneChannel, Rule, RuleContext, Values, rule_of, space
from evigraph.indexer.engine.windows import Frame, Span, Windows, whole
from evigraph.indexer.model.graph import module_of
from evigraph.indexer.model.operations import (
    ADAPTIVE_AVERAGE_POOL,
    AVERAGE_POOL,
    CONVOLUTION,
    MAX_POOL,
    MEAN,
    PADDING,
    RELU,
)  # fmt: skip
from evigraph.indexer.model.places import padding_of
from evigraph.indexer.model.registry import Call, Pair, Window


@dataclass(frozen=True)
class Convolve(Rule):
    """A convolution, with what normalises its output folded into the weights."""

    weight: Tensor
    """(out channels, in channels / groups, kernel height, kernel width), channels-last."""
    rows: Tensor
    """The same as (out channels, kernel height * kernel width * in channels / groups)."""
    window: Window
    groups: int

    @property
    def by_place(self) -> bool:
        """Whether it mixes the channels of each place and nothing else."""
        window = self.window
        return (window.kernel, window.stride, window.padding, self.groups) == ((1, 1), (1, 1), (0, 0), 1)

    def frame(self, out: Frame) -> Frame:
        return out.below(self.window, *self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        if self.frame(out).whole:
            if not out.whole:
                # The window has outgrown the map: take the part of it that lies inside.
                grown = self._transposed(gradient, (0, 0), (0, 0))
                frame = Frame(self._grown(out.y, 0, grown.shape[2]), self._grown(out.x, 1, grown.shape[3]))
                return windows.reframe(grown, frame, whole(*self.shape))
            window = self.window
            reached = [
                (g - 1) * s - 2 * p + d * (k - 1) + 1
                for g, s, p, d, k in zip(
                    gradient.shape[2:], window.stride, window.padding, window.dilation, window.kernel, strict=True
                )
            ]
            rest = (self.shape[0] - reached[0], self.shape[1] - reached[1])
            return self._transposed(gradient, window.padding, rest)
        pulled = self._transposed(gradient, (0, 0), (0, 0))
        return windows.clip(pulled, self.frame(out), *self.shape)

    def _grown(self, out: Span, axis: int, size: int) -> Span:
        stride, padding = self.window.stride[axis], self.window.padding[axis]
        return Span(out.scale * stride, out.start * stride - padding, size)

    def _transposed(self, gradient: Tensor, padding: Pair, rest: Pair) -> Tensor:
        if self.by_place:
            decisions, channels, height, width = gradient.shape
            flat = product(gradient.permute(0, 2, 3, 1).reshape(-1, channels), self.rows)
            return flat.view(decisions, height, width, -1).permute(0, 3, 1, 2)
        stride, dilation = self.window.stride, self.window.dilation
        return F.conv_transpose2d(gradient, self.weight, None, stride, padding, rest, self.groups, dilation)

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor:
        count, size = len(gradient.channel), gradient.value.shape[1:]
        if self.by_place:
            rows = self.rows.index_select(0, gradient.channel)
            return (gradient.value[..., None] * rows[:, None, None]).permute(0, 3, 1, 2)
        frame = self.frame(out)
        if size != (1, 1) or frame.whole or self.groups > 1 or self.window.dilation != (1, 1):
            return self.pull(gradient.dense(), out, values, windows)
        pulled = self.rows.index_select(0, gradient.channel).mul_(gradient.value[:, 0])
        return windows.clip(pulled.view(count, *self.window.kernel, -1).permute(0, 3, 1, 2), frame, *self.shape)


@rule_of(CONVOLUTION)
def _convolve(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    node = call.node
    if node not in context.convolutions or isinstance(call["padding"], str):
        raise context.not_local(call)
    weight, groups = context.convolutions[node].weight, call["groups"]
    norm = _norm_before(context, sources[0]) if groups == 1 else None
    if norm is not None:
        context.scaled.add(norm)
        weight = weight * affine(module_of(context.graph, norm))[0][:, None, None]
        weight = weight.contiguous(memory_format=torch.channels_last)
    rows = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
    ends = context.ends(node, sources[0])
    return [Convolve(*ends, weight=weight, rows=rows, window=call.window, groups=groups)]


def _norm_before(context: RuleContext, node: fx.Node) -> fx.Node | None:
    """The batch normalisation of a chain in this segment of it, ReLU and convolution that nothing else reads."""
    if context.graph.call(node).operation is not RELU or len(node.users) > 1:
        return None
    (norm,) = node.all_input_nodes
    folded = {convolution.norm for convolution in context.convolutions.values()}
    if norm not in context.inner or len(norm.users) > 1 or norm in folded:
        return None
    return norm if isinstance(module_of(context.graph, norm), nn.BatchNorm2d) else None


@dataclass(frozen=True)
class Resample(Rule):
    """Any separable linear map of space: out = rows @ x @ columns.T, channel by channel."""

    rows: Tensor
    """(out height, in height)."""
    columns: Tensor
    """(out width, in width)."""

    def frame(self, out: Frame) -> Frame:
        return whole(*self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        height, width = len(self.rows), len(self.columns)
        gradient = windows.reframe(gradient, out, whole(height, width))
        return torch.einsum("dkyx,yr,xc->dkrc", gradient, self.rows, self.columns)


@dataclass(frozen=True)
class Pool(Rule):
    """Max- or average pooling: a linear map of each channel by itself once the maxima are chosen."""

    window: Window
    largest: bool
    """Whether it is max-pooling."""

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        return (self.source,) if self.largest else ()

    def frame(self, out: Frame) -> Frame:
        return out.below(self.window, *self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        frame = self.grown(out)
        point = None
        if self.largest:
            point = windows.read(values[self.source], frame)
            inside = None if frame.whole else windows.cells(frame, *self.shape)[1]
            if inside is not None:
                point = torch.where(inside, point, -torch.inf)
        pulled = self.spread(gradient, point, frame)
        pulled = windows.clip(pulled, frame, *self.shape)
        return windows.reframe(pulled, frame, self.frame(out))

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor | OneChannel:
        if not self.frame(out).whole or not out.whole:
            return self.pull(gradient.dense(), out, values, windows)
        point = None
        if self.largest:
            point = windows.read_channels(values[self.source], self.frame(out), None, gradient.channel)[0][:, None]
        value = self.spread(gradient.value[:, None], point, self.frame(out))
        return OneChannel(gradient.channel, value[:, 0], gradient.channels)

    def grown(self, out: Frame) -> Frame:
        """The window of the input that just holds what a window of the output depends on."""
        if out.whole:
            return whole(*self.shape)
        return out.below(self.window, 1 << 30, 1 << 30)

    def average(self, value: Tensor) -> Tensor:
        """What average pooling makes of a map (batch, channels, height, width)."""
        return F.avg_pool2d(value, self.window.kernel, self.window.stride, self.window.padding)

    def spread(self, gradient: Tensor, point: Tensor | None, frame: Frame) -> Tensor:
        """The gradient of the input within `frame`, which is `grown`.

        Args:
            gradient: (n, channels, height', width').
            point: (n, channels, *frame.size), the input there, -inf outside of the map; for max-pooling only.
            frame: of the input.
        """
        window = self.window
        kernel, stride, dilation = window.kernel, window.stride, window.dilation
        padding = window.padding if frame.whole else (0, 0)
        height, width = frame.size
        if point is not None:
            sizes = F.max_pool2d(point[:1, :1], kernel, stride, padding, dilation).shape[2:] if frame.whole else None
            ceil = sizes is not None and sizes != gradient.shape[2:]
            _, place = F.max_pool2d(point, kernel, stride, padding, dilation, bool(ceil), return_indices=True)
            pulled = gradient.new_zeros(*gradient.shape[:2], height * width)
            pulled.scatter_add_(2, place.flatten(2), gradient.flatten(2))
            return pulled.view(*gradient.shape[:2], height, width)
        area = kernel[0] * kernel[1]
        if gradient.shape[2:] == (1, 1) and kernel == frame.size and padding == (0, 0):
            return (gradient / area).expand(-1, -1, height, width).contiguous(memory_format=torch.channels_last)
        channels = gradient.shape[1]
        even = gradient.new_full((1, 1, *kernel), 1 / area)
        # What the last window leaves of the map, which a transposed convolution would cut off with the padding.
        rest = [
            length - ((count - 1) * step - 2 * pad + size)
            for length, count, step, pad, size in zip(
                frame.size, gradient.shape[2:], stride, padding, kernel, strict=True
            )
        ]
        grown = F.conv_transpose2d(gradient.flatten(0, 1)[:, None], even, None, stride, padding, rest)
        return grown.view(-1, channels, height, width)


@rule_of(MAX_POOL)
def _max_pool(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    if call["return_indices"]:
        raise context.not_local(call)
    return [Pool(*context.ends(call.node, sources[0]), window=call.window, largest=True)]


@rule_of(AVERAGE_POOL)
def _average_pool(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    window = call.window
    partly = window.padding != (0, 0) and not call["count_include_pad"]
    if partly or call["ceil_mode"] or call["divisor_override"] is not None:
        raise context.not_local(call)
    return [Pool(*context.ends(call.node, sources[0]), window=window, largest=False)]


@rule_of(MEAN)
def _mean(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    dims = call["dim"]
    over = sorted(d % 4 for d in dims if isinstance(d, int)) if isinstance(dims, (list, tuple)) else []
    if over != [2, 3]:
        raise context.not_local(call)
    return _adaptive(context, call, sources)


@rule_of(ADAPTIVE_AVERAGE_POOL)
def _adaptive(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    """Adaptive average pooling, or a mean over space."""
    ends = context.ends(call.node, sources[0])
    size, out = ends[2], space(context.shapes[call.node])
    if size == out:
        return [Pass(*ends)]
    if size[0] % out[0] or size[1] % out[1]:
        rows, columns = (_averages(i, o).to(context.like()) for i, o in zip(size, out, strict=True))
        return [Resample(*ends, rows=rows, columns=columns)]
    kernel = (size[0] // out[0], size[1] // out[1])
    return [Pool(*ends, window=Window(kernel, kernel), largest=False)]


def _averages(size: int, out: int) -> Tensor:
    """Adaptive average pooling along one axis, as an (out, size) matrix."""
    return F.adaptive_avg_pool1d(torch.eye(size)[None], out)[0].T


@dataclass(frozen=True)
class Shift(Rule):
    """A map with constants before and after it; negative counts cut off."""

    before: Pair

    def frame(self, out: Frame) -> Frame:
        return out.below(Window((1, 1), padding=self.before), *self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        frame, (top, left), (height, width) = self.frame(out), self.before, self.shape
        if not frame.whole:
            return windows.clip(gradient, frame, height, width)
        if out.whole:
            rows, columns = gradient.shape[2:]
            return F.pad(gradient, (-left, left + width - columns, -top, top + height - rows))
        down, across = out.y, out.x
        moved = Frame(replace(down, start=down.start - top), replace(across, start=across.start - left))
        return windows.reframe(gradient, moved, frame)


@rule_of(PADDING)
def _shift(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    padding = padding_of(call)
    if padding is None or padding[0] != "constant" or len(context.shapes[call.node]) != 4:
        raise context.not_local(call)
    _, down, across = padding
    return [Shift(*context.ends(call.node, sources[0]), before=(down[0], across[0]))]
