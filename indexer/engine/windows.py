"""Windows: the part of each feature map that one decision can depend on.

A decision at (y, x) of its own map depends, in a map below, on the rows `scale * y + start .. + size - 1`, and so for
columns. Scale, start and size follow from the operations in between and are the same for every decision, so all
decisions of a layer are pulled back together as one (decisions, channels, height, width) tensor. A window may stick out
of its map: there a gradient is zero. Where it would be as large as the map it becomes the whole map: scale 0, start 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evigraph.indexer.evidence.decisions import Decisions
from evigraph.indexer.model.registry import Window


@dataclass(frozen=True)
class Span:
    """Rows (or columns) of a map that decisions at `position` depend on: from scale * position + start, size many."""

    scale: int
    start: int
    size: int

    def below(self, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Span:
        """The span in the input of a sliding operation whose output has this one; `length` is the input's."""
        size = (self.size - 1) * stride + (kernel - 1) * dilation + 1
        if self.scale == 0 or size >= length:
            return Span(0, 0, length)
        return Span(self.scale * stride, self.start * stride - padding, size)

    def sticks_out(self, length: int, positions: int) -> bool:
        """Whether it leaves a map of `length` for some of the decisions at 0 .. positions - 1."""
        return self.start < 0 or self.scale * (positions - 1) + self.start + self.size > length


@dataclass(frozen=True)
class Frame:
    """Where the windows of all decisions lie in one map."""

    y: Span
    x: Span

    @property
    def whole(self) -> bool:
        """Whether every window is the whole map."""
        return self.y.scale == 0 and self.x.scale == 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the windows."""
        return self.y.size, self.x.size

    def below(self, window: Window, height: int, width: int) -> Frame:
        """The frame in the (height, width) input of a sliding operation whose output has this one."""
        down, across = zip(window.kernel, window.stride, window.padding, window.dilation, strict=True)
        y, x = self.y.below(*down, height), self.x.below(*across, width)
        return whole(height, width) if y.scale == 0 or x.scale == 0 else Frame(y, x)


DECISION = Frame(Span(1, 0, 1), Span(1, 0, 1))
"""The frame of the decisions themselves in their own map."""


def whole(height: int, width: int) -> Frame:
    """The frame of a whole map."""
    return Frame(Span(0, 0, height), Span(0, 0, width))


def union(frames: list[Frame], height: int, width: int) -> Frame:
    """The smallest frame that holds others of the same map."""
    if any(f.y.scale != frames[0].y.scale or f.x.scale != frames[0].x.scale or f.whole for f in frames):
        return whole(height, width) if len(set(frames)) > 1 else frames[0]
    spans = [_union([f.y for f in frames]), _union([f.x for f in frames])]
    return Frame(spans[0], spans[1])


def _union(spans: list[Span]) -> Span:
    start = min(s.start for s in spans)
    return Span(spans[0].scale, start, max(s.start + s.size for s in spans) - start)


class Windows:
    """The windows of some decisions at run time: reads them out of recorded maps.

    Index tensors are kept for the frames seen, since many operations of a segment share one.
    """

    def __init__(self, decisions: Decisions, positions: tuple[int, int]) -> None:
        """Keep the decisions; `positions` is the height and width of their own map."""
        self.decisions, self.positions = decisions, positions
        self._cells: dict[tuple[Frame, int, int], tuple[Tensor, Tensor | None]] = {}
        self._images: list[tuple[slice, int]] | None = None
        self._outsides: dict[tuple[Frame, int, int], Tensor | None] = {}

    def origin(self, frame: Frame) -> tuple[Tensor, Tensor]:
        """(decisions,) int64 first row and column of each window."""
        d = self.decisions
        return d.y * frame.y.scale + frame.y.start, d.x * frame.x.scale + frame.x.start

    def cells(self, frame: Frame, height: int, width: int) -> tuple[Tensor, Tensor | None]:
        """Which cells of a (height, width) map the windows read.

        Returns:
            (decisions, window height, window width) int64 into the flattened map, clamped to it, and
            (decisions, 1, window height, window width) bool, which lie inside; None where all do.
        """
        key = (frame, height, width)
        if key not in self._cells:
            top, left = self.origin(frame)
            rows = top[:, None] + torch.arange(frame.y.size, device=top.device)
            columns = left[:, None] + torch.arange(frame.x.size, device=top.device)
            y, x = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
            out = frame.y.sticks_out(height, self.positions[0]) or frame.x.sticks_out(width, self.positions[1])
            inside = ((rows == y)[:, :, None] & (columns == x)[:, None, :])[:, None] if out else None
            self._cells[key] = (y[:, :, None] * width + x[:, None, :], inside)
        return self._cells[key]

    def read(self, value: Tensor, frame: Frame) -> Tensor:
        """Windows of a recorded map; cells outside of the map hold those at its border.

        Args:
            value: (batch, channels, height, width), best in channels-last memory, or (batch, channels).
            frame: where to read.

        Returns:
            (decisions, channels, *frame.size), channels-last.
        """
        if value.ndim == 2:
            value = value[:, :, None, None]
        _, channels, height, width = value.shape
        if frame.whole:
            return value.index_select(0, self.decisions.image)
        cells, _ = self.cells(frame, height, width)
        index = self.decisions.image[:, None, None] * (height * width) + cells
        flat = value.permute(0, 2, 3, 1).reshape(-1, channels)
        return flat.index_select(0, index.flatten()).view(*index.shape, channels).permute(0, 3, 1, 2)

    def images(self) -> list[tuple[slice, int]]:
        """The rows of each image's decisions, which are sorted by image. Waits for the device."""
        if self._images is None:
            images, counts = torch.unique_consecutive(self.decisions.image, return_counts=True)
            stops = counts.cumsum(0).tolist()
            starts = [0, *stops[:-1]]
            self._images = [
                (slice(start, stop), image) for start, stop, image in zip(starts, stops, images.tolist(), strict=True)
            ]
        return self._images

    def read_channels(
        self, value: Tensor, frame: Frame, row: Tensor | None, channel: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Windows of single channels: rows (edges,) of the decisions, or None for all; channels (edges,).

        Returns:
            (edges, *frame.size), and which cells lie inside the map, likewise, or None where all do.
        """
        if value.ndim == 2:
            value = value[:, :, None, None]
        _, channels, height, width = value.shape
        image = self.decisions.image if row is None else self.decisions.image[row]
        if frame.whole:
            return value[image, channel], None
        cells, inside = self.cells(frame, height, width)
        if row is not None:
            cells, inside = cells[row], None if inside is None else inside[row]
        index = image[:, None, None] * (height * width) + cells
        flat = value.permute(0, 2, 3, 1).reshape(-1)
        read = flat[index * channels + channel[:, None, None]]
        return read, None if inside is None else inside[:, 0]

    def clip(self, gradient: Tensor, frame: Frame, height: int, width: int) -> Tensor:
        """The gradient with zeros where windows stick out of a (height, width) map."""
        outside = None if frame.whole else self._outside(frame, height, width)
        if outside is None:
            return gradient
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gradient.permute(0, 2, 3, 1).view(-1, gradient.shape[1]).index_fill_(0, outside, 0)
        return gradient

    def _outside(self, frame: Frame, height: int, width: int) -> Tensor | None:
        """(cells,) int64, the cells of all windows that lie outside; None where none do."""
        key = (frame, height, width)
        if key not in self._outsides:
            inside = self.cells(*key)[1]
            self._outsides[key] = None if inside is None else torch.nonzero(~inside.flatten())[:, 0]
        return self._outsides[key]

    def reframe(self, gradient: Tensor, old: Frame, new: Frame) -> Tensor:
        """A gradient in another frame that holds the old one, zero where it has no values."""
        if old == new:
            return gradient
        if old.y.scale == new.y.scale and old.x.scale == new.x.scale:
            top, left = old.y.start - new.y.start, old.x.start - new.x.start
            pad = (left, new.x.size - old.x.size - left, top, new.y.size - old.y.size - top)
            return F.pad(gradient, pad)
        return self._to_whole(gradient, old, new)

    def _to_whole(self, gradient: Tensor, old: Frame, new: Frame) -> Tensor:
        """Put windows into whole maps: each cell of the map looks up its place in the window."""
        top, left = self.origin(old)
        rows = torch.arange(new.y.size, device=top.device) - top[:, None]
        columns = torch.arange(new.x.size, device=top.device) - left[:, None]
        y, x = rows.clamp(0, old.y.size - 1), columns.clamp(0, old.x.size - 1)
        inside = ((rows == y)[:, :, None] & (columns == x)[:, None, :])[:, None]
        place = torch.arange(len(top), device=top.device)[:, None, None] * (old.y.size * old.x.size)
        index = place + y[:, :, None] * old.x.size + x[:, None, :]
        flat = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
        moved = flat.index_select(0, index.flatten()).view(*index.shape, gradient.shape[1]).permute(0, 3, 1, 2)
        return moved.mul_(inside)
