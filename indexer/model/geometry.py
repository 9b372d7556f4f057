"""Where the places of a feature map lie in the input: strides, and receptive fields with their places.

A map of stride s whose first value covers the pixels [a, b] has, at place y, the field [a + s y, b + s y]: an `Axis`,
one for rows and one for columns. An operation changes it (`indexer.model.places`):

    a convolution or pooling of k, dilation d, padding p, step t:   a - s p,  b + s ((k - 1) d - p),  s t
    several inputs (a sum, a concatenation):                        the hull of their fields
    a map of another size (upsampling):                             its part of the other, and a margin
    what mixes a whole map (a gate, attention), what is unknown:    the whole image

From it follow the stride and the receptive field that a run publishes, the crops that are shown, and the regions that
`--verify` hides. Of a network that was not traced they are what the gradient says of an image (`gradient_boxes`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from evigraph.schema.pictures import LayerGeometry

_ROUNDING = 1e-6
"""Of a pixel: what sums of fractions may be off by."""


@dataclass(frozen=True)
class Axis:
    """Along one axis: the first value covers the pixels first..last, the next ones those `stride` further on.

    `whole` says that each value depends on all pixels besides; then first and last say where its place lies.
    """

    stride: float
    first: float
    last: float
    whole: bool = False

    @classmethod
    def spread(cls, side: int, count: int) -> Axis:
        """Of `count` places that are spread evenly over a side of the input and may depend on all of it."""
        return cls(side / count, 0.0, side / count - 1, whole=True)

    @classmethod
    def hull(cls, axes: Sequence[Axis], count: int) -> Axis:
        """What covers several axes at each of `count` places."""
        stride = max(axis.stride for axis in axes)
        # Those of smaller strides fall behind towards the last place.
        first = min(axis.first + min(0.0, (axis.stride - stride) * (count - 1)) for axis in axes)
        return cls(stride, first, max(axis.last for axis in axes), any(axis.whole for axis in axes))

    def windowed(self, kernel: int, step: int, dilation: int, padding: int) -> Axis:
        """Of a map whose values each see `kernel` values of this one, from `padding` before its first one on."""
        first, last = self.first - self.stride * padding, self.last + self.stride * ((kernel - 1) * dilation - padding)
        return replace(self, stride=self.stride * step, first=first, last=last)

    def unwindowed(self, kernel: int, step: int, dilation: int, padding: int) -> Axis:
        """Of a transposed convolution's output, each value of which is made of all that it would be seen by."""
        reach = (kernel - 1) * dilation
        first, last = self.first + self.stride * (padding - reach) / step, self.last + self.stride * padding / step
        return replace(self, stride=self.stride / step, first=first, last=last)

    def resized(self, before: int, after: int, margin: float) -> Axis:
        """Of a map of `after` values over the same as this one of `before`, which see so many values of it each way."""
        ratio = before / after
        middle = (ratio - 1) / 2
        first, last = self.first + self.stride * (middle - margin), self.last + self.stride * (middle + margin)
        return replace(self, stride=self.stride * ratio, first=first, last=last)

    def widened(self, count: float) -> Axis:
        """With values that see `count` more values of this map each way."""
        return replace(self, first=self.first - self.stride * count, last=self.last + self.stride * count)

    @property
    def field(self) -> float:
        """Length of a receptive field."""
        return self.last - self.first + 1

    @property
    def centre(self) -> float:
        """The middle of the first field; 0.5 is the middle of the first pixel."""
        return (self.first + self.last + 1) / 2

    def span(self, place: int, side: int) -> tuple[int, int]:
        """[begin, end) of the field of a place, within the image; at least one pixel."""
        if self.whole:
            return 0, side
        begin = math.ceil(self.first + self.stride * place - _ROUNDING)
        end = math.floor(self.last + self.stride * place + _ROUNDING) + 1
        begin = min(max(0, begin), side - 1)
        return begin, max(min(end, side), begin + 1)


@dataclass(frozen=True)
class Places:
    """Where the places of a value lie: the dimensions that they run along, from the last one, and what they cover."""

    dims: tuple[int, int]
    axes: tuple[Axis, Axis]


NCHW, NHWC = (-2, -1), (-3, -2)
"""The dimensions of places in (batch, channels, height, width), and where the channels come last."""
INPUT = Places(NCHW, (Axis(1.0, 0.0, 0.0), Axis(1.0, 0.0, 0.0)))
"""The places of the input itself."""


@dataclass(frozen=True)
class Geometry:
    """Where the places of a (batch, channels, height, width) map lie in an input of `size`, (height, width)."""

    rows: Axis
    columns: Axis
    size: tuple[int, int]

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """The receptive field of a place within the input: rows [top, bottom), columns [left, right), in this order."""
        return *self.rows.span(y, self.size[0]), *self.columns.span(x, self.size[1])

    @property
    def stride(self) -> int:
        """From one place to the next, in whole pixels; down, as `receptive_field` is."""
        return round(self.rows.stride)

    @property
    def receptive_field(self) -> int:
        """In pixels; the input's height where it is all of it."""
        return self.size[0] if self.rows.whole else round(self.rows.field)

    def crops(self) -> LayerGeometry:
        """The same for those who draw crops."""
        axes = (self.rows, self.columns)
        whole = any(axis.whole for axis in axes)
        field = None if whole else max(math.ceil(axis.field - _ROUNDING) for axis in axes)
        return LayerGeometry((self.rows.centre, self.columns.centre), (self.rows.stride, self.columns.stride), field)


def gradient_boxes(
    model: nn.Module, module: str, pixels: Tensor, channel: Tensor, y: Tensor, x: Tensor
) -> list[tuple[int, int, int, int]]:
    """The box of the pixels that each value's gradient reaches, in these very images.

    Args:
        model: any network.
        module: path of the module whose output the map is.
        pixels: (values, 3, height, width), the image of each value.
        channel: (values,) int64, the values' channels.
        y: (values,) int64, their places in the map.
        x: (values,) int64.

    Returns:
        (top, bottom, left, right) of each; the whole image where no pixel matters.
    """
    caught: list[Tensor] = []
    handle = model.get_submodule(module).register_forward_hook(lambda _m, _a, output: caught.append(output))
    try:
        with torch.enable_grad():
            leaf = pixels.detach().requires_grad_()
            model(leaf)
            rows = torch.arange(len(pixels), device=pixels.device)
            (gradient,) = torch.autograd.grad(caught[0][rows, channel, y, x].sum(), leaf, materialize_grads=True)
    finally:
        handle.remove()
    reached = (gradient != 0).any(1).cpu()
    return [(*_span(pixels_of.any(1)), *_span(pixels_of.any(0))) for pixels_of in reached]


def _span(flags: Tensor) -> tuple[int, int]:
    """[begin, end) of the flags that are set; all of them where none is."""
    places: Sequence[int] = torch.nonzero(flags)[:, 0].tolist()
    return (places[0], places[-1] + 1) if places else (0, len(flags))
