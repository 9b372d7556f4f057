"""The values that are decomposed, and the activation maps that decompose them, as columns of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Decisions:
    """Values of one layer to decompose: d = sign * F[image, channel, y, x]. Every column is (decisions,) int64.

    The sign is -1 where the value of a feature map is negative (SiLU, GELU, linear maps), so that what is found
    supports what the node contributed; it is 1 for a logit.
    """

    image: Tensor
    channel: Tensor
    y: Tensor
    x: Tensor
    sign: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def at(self, rows: Tensor) -> Decisions:
        """These rows of it, in this order."""
        return Decisions(*(column[rows] for column in (self.image, self.channel, self.y, self.x, self.sign)))


class ActivationMaps(Protocol):
    """Activation maps A = G * F of some decisions (Eq. 3).

    Attributes:
        rows: (decisions,) int64, which decisions these are.
        sums: (decisions, channels) float32, the sum of each A over space.
    """

    @property
    def rows(self) -> Tensor: ...

    @property
    def sums(self) -> Tensor: ...

    def of(self, row: Tensor, channel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The maps of single channels: `row` (edges,) of the decisions here, `channel` (edges,).

        Returns:
            (edges, height, width) windows outside of which A is zero, and (edges,) int64 the first row and column of
            each in the feature map, which may be negative.
        """
        ...


@dataclass(frozen=True)
class WholeMaps:
    """Activation maps over whole feature maps: `maps` is (decisions, channels, height, width)."""

    rows: Tensor
    maps: Tensor

    @property
    def sums(self) -> Tensor:
        return self.maps.sum((2, 3), dtype=torch.float32)

    def of(self, row: Tensor, channel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The maps of single channels; every window is the whole map."""
        origin = torch.zeros_like(row)
        return self.maps[row, channel], origin, origin


class Segment(Protocol):
    """The part of a recorded forward pass between two neighbouring layers."""

    def activation_maps(self, decisions: Decisions) -> Iterator[ActivationMaps]:
        """Decompose values of the upper layer over the lower one, in parts that fit in memory."""
        ...

    def held(self) -> Iterable[Tensor]:
        """The recorded tensors that it keeps alive."""
        ...


def occurrences(values: Tensor) -> Tensor:
    """How many equal values stand before each value: (n,) int64 sorted -> (n,) int64.

    >>> occurrences(torch.tensor([3, 3, 5, 5, 5])).tolist()
    [0, 1, 0, 1, 2]
    """
    place = torch.arange(len(values), device=values.device)
    first = torch.ones_like(values, dtype=torch.bool)
    first[1:] = values[1:] != values[:-1]
    return place - torch.cummax(torch.where(first, place, 0), 0).values
