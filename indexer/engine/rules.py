"""How the gradient passes back through each operation, on windows.

A rule says, for one kind of operation, which part of its input a window of its output depends on (`frame`), which
recorded maps it needs (`reads`), and how the gradient of the output becomes that of the input (`pull`). Operations
without a rule are not local, or not known: their segment falls back to autograd. Here are the rules that work on each
place by itself; those that move between places are in `indexer.engine.spatial`.

    Scale        batch normalisation in evaluation mode                              product by channel
    Gate         ReLU, ReLU6                                                         zero where the output is flat
    Pointwise    any other elementwise function                                      its derivative at the input
    Linear       fully connected layers                                              product with the weights
    Join         concatenation                                                       the part that was this input
    Take         a part of the channels                                              zero for the others
    Shuffle      channels in another order                                           the order before
    Pass         sums, dropout in evaluation mode, identity, flattening              as it is
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from evigraph.indexer.engine.products import product
from evigraph.indexer.engine.windows import Frame, Windows, whole
from evigraph.indexer.model.operations import Pair

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
class Linear(Rule):
    """A fully connected layer."""

    weight: Tensor
    """(out features, in features)."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return product(gradient[:, :, 0, 0], self.weight)[:, :, None, None]

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
