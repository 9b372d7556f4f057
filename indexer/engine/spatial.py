"""The rules of operations that move between places: convolution, pooling, resampling (see `indexer.engine.rules`).

Convolve     convolutions, with the batch normalisation behind them folded in    transposed convolution
MaxPool      max-pooling                                                         to where the maximum was
AvgPool      average and adaptive pooling                                        spread evenly
Resample     adaptive pooling to a size that does not divide                     the transposed averages
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from evigraph.indexer.engine.products import product
from evigraph.indexer.engine.rules import OneChannel, Rule, Values
from evigraph.indexer.engine.windows import Frame, Span, Windows, whole
from evigraph.indexer.model.operations import Pair


@dataclass(frozen=True)
class Convolve(Rule):
    """A convolution, with what normalises its output folded into the weights."""

    weight: Tensor
    """(out channels, in channels / groups, kernel height, kernel width), channels-last."""
    rows: Tensor
    """The same as (out channels, kernel height * kernel width * in channels / groups)."""
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def kernel(self) -> Pair:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def _by_place(self) -> bool:
        """Whether it mixes the channels of each place and nothing else."""
        plain = self.kernel == (1, 1) and self.stride == (1, 1) and self.groups == 1
        return plain and self.padding == (0, 0)

    def frame(self, out: Frame) -> Frame:
        return out.below(self.kernel, self.stride, self.padding, self.dilation, *self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        if self.frame(out).whole:
            if not out.whole:
                # The window has outgrown the map: take the part of it that lies inside.
                grown = self._transposed(gradient, (0, 0), (0, 0))
                frame = Frame(self._grown(out.y, 0, grown.shape[2]), self._grown(out.x, 1, grown.shape[3]))
                return windows.reframe(grown, frame, whole(*self.shape))
            reached = [
                (g - 1) * s - 2 * p + d * (k - 1) + 1
                for g, s, p, d, k in zip(
                    gradient.shape[2:], self.stride, self.padding, self.dilation, self.kernel, strict=True
                )
            ]
            rest = (self.shape[0] - reached[0], self.shape[1] - reached[1])
            return self._transposed(gradient, self.padding, rest)
        pulled = self._transposed(gradient, (0, 0), (0, 0))
        return windows.clip(pulled, self.frame(out), *self.shape)

    def _grown(self, out: Span, axis: int, size: int) -> Span:
        return Span(out.scale * self.stride[axis], out.start * self.stride[axis] - self.padding[axis], size)

    def _transposed(self, gradient: Tensor, padding: Pair, rest: Pair) -> Tensor:
        if self._by_place:
            decisions, channels, height, width = gradient.shape
            flat = product(gradient.permute(0, 2, 3, 1).reshape(-1, channels), self.rows)
            return flat.view(decisions, height, width, -1).permute(0, 3, 1, 2)
        return F.conv_transpose2d(gradient, self.weight, None, self.stride, padding, rest, self.groups, self.dilation)

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor:
        count, size = len(gradient.channel), gradient.value.shape[1:]
        if self._by_place:
            rows = self.rows.index_select(0, gradient.channel)
            return (gradient.value[..., None] * rows[:, None, None]).permute(0, 3, 1, 2)
        frame = self.frame(out)
        if size != (1, 1) or frame.whole or self.groups > 1 or self.dilation != (1, 1):
            return self.pull(gradient.dense(), out, values, windows)
        pulled = self.rows.index_select(0, gradient.channel).mul_(gradient.value[:, 0])
        return windows.clip(pulled.view(count, *self.kernel, -1).permute(0, 3, 1, 2), frame, *self.shape)


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

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    largest: bool
    """Whether it is max-pooling."""

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        return (self.source,) if self.largest else ()

    def frame(self, out: Frame) -> Frame:
        return out.below(self.kernel, self.stride, self.padding, self.dilation, *self.shape)

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
        return out.below(self.kernel, self.stride, self.padding, self.dilation, 1 << 30, 1 << 30)

    def average(self, value: Tensor) -> Tensor:
        """What average pooling makes of a map (batch, channels, height, width)."""
        return F.avg_pool2d(value, self.kernel, self.stride, self.padding)

    def spread(self, gradient: Tensor, point: Tensor | None, frame: Frame) -> Tensor:
        """The gradient of the input within `frame`, which is `grown`.

        Args:
            gradient: (n, channels, height', width').
            point: (n, channels, *frame.size), the input there, -inf outside of the map; for max-pooling only.
            frame: of the input.
        """
        padding = self.padding if frame.whole else (0, 0)
        height, width = frame.size
        if point is not None:
            ceil = (
                frame.whole
                and F.max_pool2d(point[:1, :1], self.kernel, self.stride, padding, self.dilation).shape[2:]
                != gradient.shape[2:]
            )
            _, place = F.max_pool2d(
                point, self.kernel, self.stride, padding, self.dilation, bool(ceil), return_indices=True
            )
            pulled = gradient.new_zeros(*gradient.shape[:2], height * width)
            pulled.scatter_add_(2, place.flatten(2), gradient.flatten(2))
            return pulled.view(*gradient.shape[:2], height, width)
        area = self.kernel[0] * self.kernel[1]
        if gradient.shape[2:] == (1, 1) and self.kernel == frame.size and padding == (0, 0):
            return (gradient / area).expand(-1, -1, height, width).contiguous(memory_format=torch.channels_last)
        channels = gradient.shape[1]
        even = gradient.new_full((1, 1, *self.kernel), 1 / area)
        # What the last window leaves of the map, which a transposed convolution would cut off with the padding.
        rest = [
            length - ((count - 1) * step - 2 * pad + kernel)
            for length, count, step, pad, kernel in zip(
                frame.size, gradient.shape[2:], self.stride, padding, self.kernel, strict=True
            )
        ]
        grown = F.conv_transpose2d(gradient.flatten(0, 1)[:, None], even, None, self.stride, padding, rest)
        return grown.view(-1, channels, height, width)
