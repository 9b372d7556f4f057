"""How the gradient passes back through each operation, on windows.

A rule says, for one kind of operation, which part of its input a window of its output depends on (`frame`), which
recorded maps it needs (`reads`), and how the gradient of the output becomes that of the input (`pull`). Operations
without a rule are not local, or not known: their segment falls back to autograd.

    Convolve     convolutions, with the batch normalisation behind them folded in    transposed convolution
    Scale        batch normalisation in evaluation mode                              product by channel
    Gate         ReLU, ReLU6                                                         zero where the output is flat
    Pointwise    any other elementwise function                                      its derivative at the input
    MaxPool      max-pooling                                                         to where the maximum was
    AvgPool      average and adaptive pooling                                        spread evenly
    Resample     adaptive pooling to a size that does not divide                     the transposed averages
    Linear       fully connected layers                                              product with the weights
    Join         concatenation                                                       the part that was this input
    Take         a part of the channels                                              zero for the others
    Shuffle      channels in another order                                           the order before
    Pass         sums, dropout in evaluation mode, identity, flattening              as it is
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from indexer.windows import Frame, Pair, Windows, whole

Values = dict[fx.Node, Tensor]


@dataclass(frozen=True)
class OneChannel:
    """A gradient with values in one channel only: how every decision begins.

    Attributes:
        channel: (decisions,) int64.
        value: (decisions, height, width).
        channels: of the map.
    """

    channel: Tensor
    value: Tensor
    channels: int

    def dense(self) -> Tensor:
        """(decisions, channels, height, width)."""
        count, height, width = self.value.shape
        gradient = self.value.new_zeros(count, height, width, self.channels)
        index = self.channel[:, None, None, None].expand(-1, height, width, 1)
        return gradient.scatter_(3, index, self.value[..., None]).permute(0, 3, 1, 2)

    def times(self, factor: Tensor) -> OneChannel:
        """With its values multiplied by (decisions,) or (decisions, height, width)."""
        factor = factor[:, None, None] if factor.ndim == 1 else factor
        return OneChannel(self.channel, self.value * factor, self.channels)


@dataclass(frozen=True)
class Rule:
    """The way back through one operation, from its output to one of its inputs.

    Attributes:
        node: the operation.
        source: the input that the gradient goes to.
        shape: (height, width) of that input's map; (1, 1) where it has no space.
    """

    node: fx.Node
    source: fx.Node
    shape: Pair

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        """The nodes whose recorded values `pull` needs."""
        return ()

    def frame(self, out: Frame) -> Frame:
        """The window of the input for a window of the output."""
        return out

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        """The gradient of the input.

        Args:
            gradient: (decisions, channels, *out.size), owned: it may be written into.
            out: its frame.
            values: recorded maps by node.
            windows: of the decisions.

        Returns:
            (decisions, input channels, *self.frame(out).size).
        """
        raise NotImplementedError

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor | OneChannel:
        """The same for the gradient that decisions begin with."""
        return self.pull(gradient.dense(), out, values, windows)


@dataclass(frozen=True)
class Pass(Rule):
    """Sums, dropout in evaluation mode, identity: the gradient as it is."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return gradient

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        return gradient


@dataclass(frozen=True)
class Flatten(Rule):
    """(batch, channels, height, width) -> (batch, channels * height * width)."""

    def frame(self, out: Frame) -> Frame:
        return whole(*self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        height, width = self.shape
        return gradient.reshape(len(gradient), -1, height, width).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Scale(Rule):
    """Batch normalisation in evaluation mode: x * scale + shift."""

    scale: Tensor
    """(channels,)."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return gradient.mul_(self.scale[:, None, None])

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        return gradient.times(self.scale[gradient.channel])


@dataclass(frozen=True)
class Gate(Rule):
    """ReLU and ReLU6: the gradient passes where the output lies strictly within its bounds."""

    upper: float | None

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        return (self.node,)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        output = values[self.node]
        output = output if output.ndim == 4 else output[:, :, None, None]
        if out.whole and not output.is_cuda:
            # All decisions of an image see the same map, which need not be copied for each of them.
            for rows, image in windows.images():
                self._pass(gradient[rows], output[image : image + 1].expand_as(gradient[rows]))
            return gradient
        return self._pass(gradient, windows.read(output, out))

    def _pass(self, gradient: Tensor, output: Tensor) -> Tensor:
        """Zero the gradient in place where the output is at a bound."""
        if self.upper is None:
            torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
        else:
            torch.ops.aten.hardtanh_backward.grad_input(gradient, output, 0, self.upper, grad_input=gradient)
        return gradient

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        output, _ = windows.read_channels(values[self.node], out, None, gradient.channel)
        return gradient.times(output > 0 if self.upper is None else (output > 0) & (output < self.upper))


@dataclass(frozen=True)
class Pointwise(Rule):
    """Any function of one value: its derivative by autograd, at the recorded input."""

    function: Callable[[Tensor], Tensor]

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        return (self.source,)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        with torch.enable_grad():
            point = windows.read(values[self.source], out).requires_grad_()
            (pulled,) = torch.autograd.grad(self.function(point), point, gradient)
        return pulled


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

    def frame(self, out: Frame) -> Frame:
        return out.below(self.kernel, self.stride, self.padding, self.dilation, *self.shape)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        if self.frame(out).whole:
            if not out.whole:
                # The window has outgrown the map: take the part of it that lies inside.
                grown = self._transposed(gradient, (0, 0), (0, 0))
                y, x = (
                    self._grown(out.y, 0, grown.shape[2]),
                    self._grown(out.x, 1, grown.shape[3]),
                )
                return windows.reframe(grown, Frame(y, x), whole(*self.shape))
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

    def _grown(self, out: Any, axis: int, size: int) -> Any:
        return type(out)(out.scale * self.stride[axis], out.start * self.stride[axis] - self.padding[axis], size)

    def _transposed(self, gradient: Tensor, padding: Pair, rest: Pair) -> Tensor:
        if self.kernel == (1, 1) and self.stride == (1, 1) and self.groups == 1:
            decisions, channels, height, width = gradient.shape
            flat = gradient.permute(0, 2, 3, 1).reshape(-1, channels) @ self.rows
            return flat.view(decisions, height, width, -1).permute(0, 3, 1, 2)
        return F.conv_transpose2d(gradient, self.weight, None, self.stride, padding, rest, self.groups, self.dilation)

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor:
        count, size = len(gradient.channel), gradient.value.shape[1:]
        if self.groups == 1 and self.kernel == (1, 1) and self.stride == (1, 1):
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
class Linear(Rule):
    """A fully connected layer."""

    weight: Tensor
    """(out features, in features)."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return (gradient[:, :, 0, 0] @ self.weight)[:, :, None, None]

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor:
        return (self.weight.index_select(0, gradient.channel) * gradient.value[:, 0])[:, :, None, None]


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
        if gradient.shape[2:] == (1, 1) and self.kernel == frame.size:
            return (gradient / area).expand(-1, -1, height, width).contiguous(memory_format=torch.channels_last)
        channels = gradient.shape[1]
        even = gradient.new_full((1, 1, *self.kernel), 1 / area)
        grown = F.conv_transpose2d(gradient.flatten(0, 1)[:, None], even, None, self.stride, padding)
        grown = grown.view(-1, channels, *grown.shape[2:])
        return F.pad(grown, (0, width - grown.shape[3], 0, height - grown.shape[2]))
