"""Regions of the input that are hidden: the one that evidence came from, and one of the same area apart from it.

1. A control is a box of the same shape at a random place where it does not overlap the region tested.
2. Where no such place is, it is as many pixels outside the region, in reading order from a random one on and around the
   end: rows of the image, less the region.
3. Where less is outside than within, so of more than half the image, there is none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evigraph.indexer.evidence.record import Box

BOX, ROWS = "box", "rows"
"""Shapes of a region."""


@dataclass(frozen=True)
class Region:
    """Pixels of an image.

    Attributes:
        box: the box, or, of `rows`, the box that they lie around.
        start: row and column of the first pixel: of a box its upper left corner.
        shape: "box" or "rows".
    """

    box: Box
    start: tuple[int, int]
    shape: str = BOX

    @classmethod
    def of(cls, box: Box) -> Region:
        """A box."""
        return cls(box, (box[0], box[2]))

    @property
    def area(self) -> int:
        """Pixels."""
        top, bottom, left, right = self.box
        return (bottom - top) * (right - left)

    def mask(self, size: tuple[int, int]) -> Tensor:
        """(height, width) bool, true within the region, of an image of that size."""
        top, bottom, left, right = self.box
        mask = torch.zeros(size, dtype=torch.bool)
        mask[top:bottom, left:right] = True
        if self.shape == BOX:
            return mask
        outside = torch.nonzero(~mask.ravel())[:, 0]
        first = int(torch.searchsorted(outside, self.start[0] * size[1] + self.start[1]))
        rows = torch.zeros(size[0] * size[1], dtype=torch.bool)
        rows[outside[(first + torch.arange(self.area)) % len(outside)]] = True
        return rows.view(size)


def control_region(box: Box, size: tuple[int, int], *key: int) -> Region | None:
    """A region of the area of a box, apart from it.

    Args:
        box: the region tested.
        size: height and width of the image.
        key: what the draw depends on.

    Returns:
        A box of the same shape, each place with equal chance; rows where none has room; None where the box takes more
        than half of the image.
    """
    top, bottom, left, right = box
    height, width = bottom - top, right - left
    free = np.ones((size[0] - height + 1, size[1] - width + 1), dtype=bool)  # by the upper left corner
    free[max(0, top - height + 1) : bottom, max(0, left - width + 1) : right] = False
    places = np.flatnonzero(free)
    if len(places):
        y, x = divmod(int(places[drawn(*key) % len(places)]), free.shape[1])
        return Region.of((y, y + height, x, x + width))
    if 2 * height * width > size[0] * size[1]:
        return None
    outside = np.ones(size, dtype=bool)
    outside[top:bottom, left:right] = False
    pixels = np.flatnonzero(outside)
    y, x = divmod(int(pixels[drawn(*key) % len(pixels)]), size[1])
    return Region(box, (y, x), ROWS)


def drawn(*key: int) -> int:
    """A random number that depends on a key alone.

    A digest and no generator: torch's heeds 32 bits of a seed, and NumPy's may draw otherwise in another version.
    """
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8])
