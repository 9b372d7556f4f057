"""Which pixels each value of a network depends on: a rectangle of the input for every value, exact for what moves them.

A `Reach` holds, for every value of a tensor, the first and last row and column of the pixels that it is made of. An
operation that computes a value from others gives it what holds all of theirs (`hull`, `over`); one that reads windows
takes it along a table of places (`along`, `indexer.model.taps`); one that only moves values is run on the numbers
themselves (`moved`), so that they are where the values are.

The last row and column are kept with a minus, so that what holds several is always a minimum. A value that no pixel
reaches, as in padding, has infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

Shape = tuple[int, ...]
LARGEST = 1 << 27
"""Values; of a larger tensor it is not followed where each of them goes."""


@dataclass(frozen=True)
class Reach:
    """The pixels that each value of a tensor depends on.

    Attributes:
        rows: (2, ...) float32, of each value the first row, and minus the last; a dimension along which it is the same
            has one entry.
        columns: likewise.
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def of_input(cls, shape: Shape) -> Reach:
        """Of (batch, channels, height, width) pixels themselves."""
        rows, columns = (torch.arange(float(count)) for count in shape[-2:])
        return cls(
            torch.stack([rows, -rows]).view(2, 1, 1, -1, 1), torch.stack([columns, -columns]).view(2, 1, 1, 1, -1)
        )

    @classmethod
    def of_nothing(cls) -> Reach:
        """Of a value without dimensions that no pixel reaches."""
        return cls(torch.full((2,), torch.inf), torch.full((2,), torch.inf))

    @classmethod
    def hull(cls, several: Sequence[Reach]) -> Reach:
        """What holds several, whose dimensions are aligned as in arithmetic."""
        rank = max(one.rank for one in several)
        aligned = [one.aligned(rank) for one in several]
        return cls(
            reduce(torch.minimum, (one.rows for one in aligned)),
            reduce(torch.minimum, (one.columns for one in aligned)),
        )

    @property
    def rank(self) -> int:
        """How many dimensions the tensor has."""
        return self.rows.ndim - 1

    def each(self, change: Callable[[Tensor], Tensor]) -> Reach:
        """With both parts changed alike."""
        return Reach(change(self.rows), change(self.columns))

    def aligned(self, rank: int) -> Reach:
        """With dimensions of one in front, so that there are `rank`."""
        more = (1,) * (rank - self.rank)
        return self.each(lambda part: part.reshape(2, *more, *part.shape[1:]))

    def over(self, dims: Sequence[int], *, keep: bool = True) -> Reach:
        """Of values that are made of all those along some dimensions."""
        over = [dim % self.rank + 1 for dim in dims]
        return self.each(lambda part: part.amin(over, keepdim=keep)) if over else self

    def by_groups(self, groups: int, count: int) -> Reach:
        """Of a map of `count` channels each of which is made of all those of its group."""

        def gather(part: Tensor) -> Tensor:
            if part.shape[2] == 1:
                return part
            parts = part.reshape(*part.shape[:2], groups, -1, *part.shape[3:])
            return parts.amin(3).repeat_interleave(count // groups, 2)

        return self.each(gather)

    def everything(self, rank: int) -> Reach:
        """Of values of `rank` dimensions each of which is made of all of these."""
        return self.each(lambda part: part.reshape(2, -1).amin(1).view(2, *(1,) * rank))

    def along(self, dim: int, taps: Tensor) -> Reach:
        """Of values each of which reads several places along a dimension.

        Args:
            dim: the dimension.
            taps: (places of the output, reads) int64, places of the input; -1 for none.
        """
        at = dim % self.rank + 1
        missing = (taps < 0).all(1)

        def take(part: Tensor) -> Tensor:
            if part.shape[at] == 1:
                if not missing.any():
                    return part
                part = part.expand(*part.shape[:at], len(taps), *part.shape[at + 1 :]).clone()
                return part.index_fill_(at, torch.nonzero(missing)[:, 0], torch.inf)
            padded = torch.cat([part, torch.full_like(part.narrow(at, 0, 1), torch.inf)], at)
            read = padded.index_select(at, taps.flatten() % padded.shape[at])
            return read.reshape(*part.shape[:at], *taps.shape, *part.shape[at + 1 :]).amin(at + 1)

        return self.each(take)

    def moved(self, shape: Shape, run: Callable[[Sequence[Tensor]], Tensor | Sequence[Tensor]]) -> Reach | list[Reach]:
        """Of what an operation makes that only moves the values of a tensor of this shape."""
        return moved([self], [shape], run)

    def spans(self, shape: Shape) -> tuple[Tensor, Tensor]:
        """Of the places of a (batch, channels, height, width) map: (2, height, width) each, begins and ends."""
        made = []
        for part in (self.rows, self.columns):
            first, last = part.amin((1, 2)).expand(2, *shape[-2:])
            made.append(torch.stack([first, 1 - last]))
        return made[0], made[1]


def moved(
    several: Sequence[Reach], shapes: Sequence[Shape], run: Callable[[Sequence[Tensor]], Tensor | Sequence[Tensor]]
) -> Reach | list[Reach]:
    """Of what an operation makes that only moves values.

    Args:
        several: of its inputs.
        shapes: of its inputs.
        run: the operation itself; it gets tensors of these shapes and gives one, or several.
    """
    made: list[list[list[Tensor]]] = []
    one = False
    for name in ("rows", "columns"):
        parts = [getattr(reach, name) for reach in several]
        halves: list[list[Tensor]] = []
        for half in (0, 1):
            given = [part[half].expand(shape).contiguous() for part, shape in zip(parts, shapes, strict=True)]
            out = run(given)
            one = isinstance(out, Tensor)
            halves.append([out] if isinstance(out, Tensor) else list(out))
        made.append(halves)
    (low, high), (left, right) = made
    reaches = [
        Reach(_compressed(torch.stack([a, b])), _compressed(torch.stack([c, d])))
        for a, b, c, d in zip(low, high, left, right, strict=True)
    ]
    return reaches[0] if one else reaches


def _compressed(part: Tensor) -> Tensor:
    """With one entry along each dimension along which all are the same."""
    for dim in range(1, part.ndim):
        if part.shape[dim] > 1:
            first = part.narrow(dim, 0, 1)
            if bool((part == first).all()):
                part = first
    return part.clone()
