"""What the masks of a class lie on, and what they would lie on if they were laid over the maps of its other images.

1. A map is counted over a layer's grid, as masks are by the indexer: of each cell the part of its pixels that each
   label has. What lies on a label is then linear in the map: of an edge, the share of its peak's cell, and the shares
   of its mask's cells weighted by the activation in them.
2. The roots of a class are put in an order by chance, always the same one. Each root's masks are laid over its own map
   and over those of the next PARTNERS roots in that order, in a circle: over maps of images that the network takes for
   the same, so that what they show at the same place, such as sky above, is part of the chance. What another map has
   more of a label, by area, is taken off: so it is not asked whether a label is large where there is such evidence, and
   images in which it is large or small do not blur the answer.
3. A root's edges into a channel, into a layer and into all layers are summed: roots are independent of each other, the
   edges of one are not. The sums of a group of roots are those of `localization`. The variance by chance is that of
   maps drawn for each root by itself; maps that must all be used once vary less, so z is never too large for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PARTNERS = 4
"""Maps of other images that each root's masks are laid over, where the class has as many; 8 took 1.3 times as long."""
FEWEST_PARTNERS = 2
"""Of fewer a root has no variance."""
MEASURES = ("peak", "mass")
_OF_MEASURE = ("sum", "squares", "area", "compared", "chance", "chance_variance")
SUMS = ("shown", "area_sum", "area_squares", *(f"{measure}_{name}" for measure in MEASURES for name in _OF_MEASURE))
"""Columns of `localization`, in the order of those of `terms`."""
_ROOTS_AT_A_TIME = 64
_FLOATS_AT_A_TIME = 16_000_000
"""Of counted maps, about so many are held at a time, 64 MB; but as many maps as a root needs."""


@dataclass(frozen=True)
class Masks:
    """Cells of masks in one layer: columns (cells,), sorted by root, then channel.

    Attributes:
        root: the place of the root in its class.
        channel: of the layer.
        cell: of the layer's grid.
        at_peak: whether it is its edge's peak.
        mass: the part of its edge's activation in it.
    """

    root: Ints
    channel: Ints
    cell: Ints
    at_peak: NDArray[np.bool_]
    mass: Floats

    def between(self, first: int, last: int) -> Masks:
        """Those of the roots first to last - 1."""
        rows = slice(*np.searchsorted(self.root, [first, last]))
        return Masks(self.root[rows], self.channel[rows], self.cell[rows], self.at_peak[rows], self.mass[rows])


@dataclass(frozen=True)
class Summed:
    """Sums over each root's edges into each channel of a layer.

    Attributes:
        root: (groups,) the place of the root, ascending.
        channel: (groups,)
        edges: (groups,) how many edges.
        area: (groups, labels) what would lie on each label if evidence lay anywhere alike.
        on: (measures, 1 + partners, groups, labels) what lies on it, of the own map and of those of others, less what
            these have more of it by area.
    """

    root: Ints
    channel: Ints
    edges: Ints
    area: Floats
    on: NDArray[np.float32]


@cache
def nearest(cells: int, pixels: int) -> Ints:
    """The cell of each pixel, as torch's nearest interpolation of a grid of cells to that many pixels has it."""
    scale = np.float32(cells) / np.float32(pixels)
    index: Ints = np.floor(np.arange(pixels, dtype=np.float32) * scale).astype(np.int64)
    return index.clip(max=cells - 1)


def counted(labels: NDArray[np.integer], slots: Ints, slot_count: int, grid: tuple[int, int]) -> NDArray[np.float32]:
    """The part of each cell's pixels that each label has.

    Args:
        labels: (height, width) context label ids of a map.
        slots: (largest id + 1,) the slot of each label.
        slot_count: how many slots there are.
        grid: height and width of the layer's maps.

    Returns:
        (cells, slots) in 0..1.
    """
    height, width = labels.shape
    cell = nearest(grid[0], height)[:, None] * grid[1] + nearest(grid[1], width)
    counts = np.bincount((cell * slot_count + slots[labels]).ravel(), minlength=grid[0] * grid[1] * slot_count)
    counts = counts.reshape(-1, slot_count).astype(np.float32)
    shares: NDArray[np.float32] = counts / counts.sum(1, keepdims=True).clip(min=1)
    return shares


def order_of(count: int, seed: Sequence[int]) -> Ints:
    """Places of so many roots in an order by chance, the same for one seed."""
    order: Ints = np.random.default_rng(list(seed)).permutation(count)
    return order


def partners_of(count: int) -> int:
    """How many other maps each of so many roots has; 0 where they are too few."""
    return 0 if count <= FEWEST_PARTNERS else min(PARTNERS, count - 1)


def summed(maps: Sequence[NDArray[np.integer]], masks: Masks, grid: tuple[int, int], labels: Ints) -> Iterator[Summed]:
    """What the masks of a class lie on in a layer, some roots at a time.

    Args:
        maps: of each root, in the order in which they are partners.
        masks: of the roots, by their places in `maps`.
        grid: height and width of the layer's maps.
        labels: the context labels wanted, ascending; slot 0 of all others, such as void, is left out.
    """
    count, partners = len(maps), partners_of(len(maps))
    slots = np.zeros(max(int(one.max()) for one in maps) + 1, dtype=np.int64)
    known = labels[labels < len(slots)]
    slots[known] = 1 + np.searchsorted(labels, known)
    slot_count = len(labels) + 1
    fitting = _FLOATS_AT_A_TIME // (grid[0] * grid[1] * slot_count) - partners
    step = min(_ROOTS_AT_A_TIME, max(1, fitting))
    for first in range(0, count, step):
        last = min(first + step, count)
        of_part = masks.between(first, last)
        if len(of_part.root):
            needed = range(first, min(last + partners, first + count))
            shares = np.stack([counted(maps[place % count], slots, slot_count, grid)[:, 1:] for place in needed])
            yield _summed(shares, of_part, first, partners)


def _summed(shares: NDArray[np.float32], masks: Masks, first: int, partners: int) -> Summed:
    """Of some roots: `shares` (maps, cells, labels) begins with the map of the root `first`, and each follows once."""
    begins = np.flatnonzero((np.diff(masks.root, prepend=-1) != 0) | (np.diff(masks.channel, prepend=-1) != 0))
    place = masks.root - first
    # Single precision is finer than what is stored of the sums, and takes half as long.
    on = np.empty((len(MEASURES), 1 + partners, len(begins), shares.shape[2]), dtype=np.float32)
    edges = np.add.reduceat(masks.at_peak.astype(np.int64), begins)
    areas = shares.mean(1, dtype=np.float64)
    area = areas[place[begins]] * edges[:, None]
    weights = (masks.at_peak.astype(np.float32)[:, None], masks.mass.astype(np.float32)[:, None])
    for partner in range(1 + partners):
        other = (place + partner) % len(shares)
        of_cell = shares[other, masks.cell]
        for measure, weight in enumerate(weights):
            np.add.reduceat(of_cell * weight, begins, out=on[measure, partner])
        on[:, partner] += area - areas[other[begins]] * edges[:, None]
    return Summed(masks.root[begins], masks.channel[begins], edges, area, on)


def joined(parts: Sequence[Summed]) -> Summed:
    """All groups of some parts."""
    return Summed(
        np.concatenate([part.root for part in parts]),
        np.concatenate([part.channel for part in parts]),
        np.concatenate([part.edges for part in parts]),
        np.concatenate([part.area for part in parts]),
        np.concatenate([part.on for part in parts], 2),
    )


def over(parts: Sequence[Summed]) -> Summed:
    """The sums of each root over all channels, and over the layers that the parts are of; channel is -1."""
    every = joined(parts)
    order = np.argsort(every.root, kind="stable")
    root = every.root[order]
    begins = np.flatnonzero(np.diff(root, prepend=-1))
    return Summed(
        root[begins],
        np.full(len(begins), -1),
        np.add.reduceat(every.edges[order], begins),
        np.add.reduceat(every.area[order], begins),
        np.add.reduceat(every.on[:, :, order], begins, axis=2),
    )


def terms(part: Summed) -> tuple[Ints, Ints, Floats]:
    """What each group gives to the sums of `localization`.

    Returns:
        (terms,) the group and the label of each, where there is anything to add; and (terms, SUMS), in steps of 2**-30,
        so that sums of them are the same in any order.
    """
    group, label = np.nonzero((part.area > 0) | (part.on != 0).any(axis=(0, 1)))
    area, on = part.area[group, label], part.on[:, :, group, label].astype(np.float64)
    columns = [(area > 0).astype(np.float64), area, area**2]
    for own, *others in on:
        columns += [own, own**2, own * area]
        if others:
            mean = sum(others) / len(others)
            spread = sum((other - mean) ** 2 for other in others) / (len(others) - 1)
            columns += [own, mean, spread * (1 + 1 / len(others))]
        else:
            columns += [np.zeros_like(own)] * 3
    return group, label, np.rint(np.stack(columns, 1) * 2.0**30) / 2.0**30
