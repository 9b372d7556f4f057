"""Where the places of a feature map lie in the input: strides, receptive fields, and the boxes that hold them.

Two things are followed through a network. The pixels that each value depends on (`indexer.model.reach`) give the box of
each place, exact also where places are turned, shifted or resampled, and at borders. Besides, a map has the stride and
the field that it would have far from any border, which may be larger than the input (`indexer.model.places`): a map of
stride s whose first value covers the pixels [a, b] has, at place y, the field [a + s y, b + s y]: an `Axis`,
one for rows and one for columns. An operation changes it (`indexer.model.places`):

    a convolution or pooling of k, dilation d, padding p, step t:   a - s p,  b + s ((k - 1) d - p),  s t
    several inputs (a sum, a concatenation):                        the hull of their fields
    a map of another size (upsampling):                             its part of the other, and a margin
    what mixes a whole map (a gate, attention), what is unknown:    the whole image

From both follow the stride and the receptive field that a run publishes, and from the boxes the crops that are shown
and the regions that `--verify` hides. Of a network that was not traced they are what the gradient says of an image
(`engine.hooked`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from evigraph.indexer.model.reach import Reach
from evigraph.schema.pictures import LayerGeometry

Span = tuple[int, int]
"""Of pixels: [begin, end)."""
_ROUNDING = 1e-6
"""Of a pixel: what sums of fractions may be off by."""


@dataclass(frozen=True)
class Axis:
    """Along one axis: the first value covers the pixels first..last, the next ones those `stride` further on.

    `whole` says that each value depends on all pixels besides; then first and last say where its place lies. `vague`
    says that it lies nowhere: the places are spread evenly over the input for want of anything better. `loose` says
    that a value may depend on less, as where maps of several strides are added.
    """

    stride: float
    first: float
    last: float
    whole: bool = False
    vague: bool = False
    loose: bool = False

    @classmethod
    def spread(cls, side: int, count: int) -> Axis:
        """Of `count` places that are spread evenly over a side of the input and may depend on all of it."""
        return cls(side / count, 0.0, side / count - 1, whole=True, vague=True)

    @classmethod
    def hull(cls, axes: Sequence[Axis], count: int) -> Axis:
        """What covers several axes at each of `count` places."""
        vague, whole = all(axis.vague for axis in axes), any(axis.whole for axis in axes)
        axes = [axis for axis in axes if vague or not axis.vague]
        stride = max(axis.stride for axis in axes)
        # Those of smaller strides fall behind towards the last place.
        first = min(axis.first + min(0.0, (axis.stride - stride) * (count - 1)) for axis in axes)
        loose = any(axis.loose or axis.stride != stride for axis in axes)
        return cls(stride, first, max(axis.last for axis in axes), whole, vague, loose)

    def windowed(self, kernel: int, step: int, dilation: int, padding: int) -> Axis:
        """Of a map whose values each see `kernel` values of this one, from `padding` before its first one on."""
        first, last = self.first - self.stride * padding, self.last + self.stride * ((kernel - 1) * dilation - padding)
        return replace(self, stride=self.stride * step, first=first, last=last)

    def unwindowed(self, kernel: int, step: int, dilation: int, padding: int) -> Axis:
        """Of a transposed convolution's output, each value of which is made of all that it would be seen by."""
        reach = (kernel - 1) * dilation
        first, last = self.first + self.stride * (padding - reach) / step, self.last + self.stride * padding / step
        return replace(self, stride=self.stride / step, first=first, last=last, loose=self.loose or step > 1)

    def resized(self, before: int, after: int, margin: float) -> Axis:
        """Of a map of `after` values over the same as this one of `before`, which see so many values of it each way."""
        ratio = before / after
        middle = (ratio - 1) / 2
        first, last = self.first + self.stride * (middle - margin), self.last + self.stride * (middle + margin)
        return replace(self, stride=self.stride * ratio, first=first, last=last, loose=True)

    def shuffled(self, before: int, after: int) -> Axis:
        """Of a map each place of which stands within one place of this, or holds several of them (pixel shuffle)."""
        ratio = before / after
        return replace(self, stride=self.stride * ratio, last=self.last + self.stride * max(0.0, ratio - 1))

    @classmethod
    def found(cls, spans: Sequence[Span], side: int) -> Axis | None:
        """From the spans of all places; None where they do not lie evenly, or the border cuts off all of them."""
        step = _step(spans, side)
        inner = [(place, span) for place, span in enumerate(spans) if span[0] > 0 and span[1] < side]
        if step is None or not inner:
            return None
        place, (begin, end) = inner[0]
        axis = cls(step, begin - step * place, end - 1 - step * place)
        return axis if all(axis.span(at, side) == span for at, span in enumerate(spans)) else None

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


NCHW, NHWC, TURNED = (-2, -1), (-3, -2), (-1, -2)
"""The dimensions of places in (batch, channels, height, width), where the channels come last, and where rows of pixels
lie along the width.
"""
INPUT = Places(NCHW, (Axis(1.0, 0.0, 0.0), Axis(1.0, 0.0, 0.0)))
"""The places of the input itself."""


@dataclass(frozen=True)
class Geometry:
    """Where the places of a (batch, channels, height, width) map lie in the input.

    Attributes:
        rows, columns: as far from any border.
        size: (height, width) of the input.
        spans: of each row of places the pixel rows that it depends on, of each column the pixel columns; all of them
            where values of one row or column differ in that.
        turned: whether it is the other way round: the map's columns see pixel rows, and its rows pixel columns.
    """

    rows: Axis
    columns: Axis
    size: tuple[int, int]
    spans: tuple[tuple[Span, ...], tuple[Span, ...]]
    turned: bool = False

    @classmethod
    def of(cls, places: Places, reach: Reach, shape: tuple[int, ...], size: tuple[int, int]) -> Geometry:
        """From what was followed to a map of this (batch, channels, height, width)."""
        rows, columns = reach.spans(shape)
        turned = bool(_varies(rows, 2) or _varies(columns, 1)) and not (_varies(rows, 1) or _varies(columns, 2))
        if turned:
            rows, columns = rows.mT, columns.mT
        made = [
            _listed(_held(spans, axis), nominal, side)
            for axis, (spans, nominal, side) in enumerate(zip((rows, columns), places.axes, size, strict=True))
        ]
        return cls(*places.axes, size, (made[0], made[1]), turned)

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """The receptive field of a place within the input: rows [top, bottom), columns [left, right), in this order."""
        y, x = (x, y) if self.turned else (y, x)
        return *self.spans[0][y], *self.spans[1][x]

    @property
    def whole(self) -> bool:
        """Whether each value depends on all of the input, which is not for want of size alone."""
        return all(
            axis.whole and all(span == (0, side) for span in spans)
            for axis, spans, side in zip((self.rows, self.columns), self.spans, self.size, strict=True)
        )

    @property
    def stride(self) -> int | None:
        """From one place to the next, in whole pixels, down; None where the places have none."""
        step = _step(self.spans[0], self.size[0]) if self.rows.vague else self.rows.stride
        return (round(step) or None) if step is not None else None

    @property
    def receptive_field(self) -> int:
        """In pixels, down; the input's width where it is all of that, and the height where it is all of that."""
        if self.columns.whole and not self.rows.whole and all(span == (0, self.size[1]) for span in self.spans[1]):
            return self.size[1]
        spans, axis = self.spans[0], self.rows
        # Of places that are not cut off by the border, if there are any.
        inner = [end - begin for begin, end in spans if begin > 0 and end < self.size[0]]
        if axis.whole or axis.vague or axis.loose:
            return max(inner or [end - begin for begin, end in spans])
        return max([round(axis.field), *inner])

    def crops(self) -> LayerGeometry:
        """The same for those who draw crops."""
        axes = (self.rows, self.columns)
        field = None if self.whole else max(math.ceil(axis.field - _ROUNDING) for axis in axes)
        even = LayerGeometry((self.rows.centre, self.columns.centre), (self.rows.stride, self.columns.stride), field)
        if self.whole or self._lies_evenly(even):
            return even
        return replace(even, spans=self.spans, turned=self.turned)

    def _lies_evenly(self, even: LayerGeometry) -> bool:
        """Whether the boxes are those that follow from a centre, a stride and a field."""
        if self.turned:
            return False
        places = max(len(spans) for spans in self.spans)
        boxes = (
            even.box(min(at, len(self.spans[0]) - 1), min(at, len(self.spans[1]) - 1), self.size)
            for at in range(places)
        )
        return all(
            ((box.top, box.bottom), (box.left, box.right))
            == (self.spans[0][min(at, len(self.spans[0]) - 1)], self.spans[1][min(at, len(self.spans[1]) - 1)])
            for at, box in enumerate(boxes)
        )


def _varies(spans: Tensor, dim: int) -> bool:
    """Whether (2, height, width) spans differ along a dimension."""
    return bool((spans != spans.narrow(dim, 0, 1)).any())


def _held(spans: Tensor, axis: int) -> Tensor:
    """(2, places) of one axis, from (2, height, width): what holds those along the other."""
    return torch.stack([spans[0].amin(1 - axis), spans[1].amax(1 - axis)])


def _listed(spans: Tensor, nominal: Axis, side: int) -> tuple[Span, ...]:
    """The spans as whole numbers; of a place that no pixel reaches, one where it would lie.

    Where those that follow from the stride and the field hold the same, and at most a stride more, it is those: behind
    windows that leave a rest of their map no pixel of that rest is reached.
    """
    begins, ends = spans.clamp(0, side).int().tolist()
    even = [nominal.span(place, side) for place in range(len(begins))]
    own = [(begin, end) if begin < end else other for begin, end, other in zip(begins, ends, even, strict=True)]
    if nominal.whole or nominal.vague or nominal.loose:
        return tuple(own)
    near = all(
        other[0] <= one[0] and one[1] <= other[1] and one[0] - other[0] + other[1] - one[1] <= nominal.stride
        for one, other in zip(own, even, strict=True)
    )
    return tuple(even if near else own)


def _step(spans: Sequence[Span], side: int) -> float | None:
    """The distance of neighbouring spans, where the border cuts off nothing, if most of them are as far apart."""
    steps = [
        abs(other - one)
        for ends, border in zip(zip(*spans, strict=True), (0, side), strict=True)
        for one, other in itertools.pairwise(ends)
        if border not in {one, other}
    ]
    step, count = Counter(steps).most_common(1)[0] if steps else (0, 0)
    return step if step and 2 * count > len(steps) else None
