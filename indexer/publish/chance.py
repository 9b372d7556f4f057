"""What the masks of a class lie on, and what they would lie on if they were laid over the maps of its other images.

1. A map is counted over a layer's grid, as masks are by the indexer: of each cell the part of its pixels that each
   label has. What lies on a label is then linear in the map: of an edge, the share of its peak's cell, and the shares
   of its mask's cells weighted by the activation in them.
2. The roots of a class are put in an order by chance, always the same one. Each root's masks are laid over its own map
   and over those of the next PARTNERS roots in that order, in a circle: over maps of images that the network takes for
   the same, so that what they show at the same place, such as sky above, is part of the chance.
3. A root's edges into a channel, into a layer and into all layers are summed: roots are independent of each other, the
   edges of one are not. The sums of a group of roots are those of `localization`. The variance by chance is that of
   maps drawn for each root by itself; maps that must all be used once vary less, so z is never too large for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PARTNERS = 8
"""Maps of other images that each root's masks are laid over, where the class has as many."""
FEWEST_PARTNERS = 2
"""Of fewer a root has no variance."""
MEASURES = ("peak", "mass")
_OF_MEASURE = ("sum", "squares", "area", "compared", "chance", "chance_variance")
SUMS = ("shown", "area_sum", "area_squares", *(f"{measure}_{name}" for measure in MEASURES for name in _OF_MEASURE))
"""Columns of `localization`, in the order of the last axis of `Summed.sums`."""
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
        on: (measures, 1 + partners, groups, labels) what lies on it, of the own map and of those of others.
    """

    root: Ints
    channel: Ints
    edges: Ints
    area: Floats
    on: Floats


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
    on = np.empty((len(MEASURES), 1 + partners, len(begins), shares.shape[2]))
    at_peak = masks.at_peak.astype(np.float64)[:, None]
    for partner in range(1 + partners):
        of_cell = shares[(place + partner) % len(shares), masks.cell].astype(np.float64)
        on[0, partner] = np.add.reduceat(of_cell * at_peak, begins)
        on[1, partner] = np.add.reduceat(of_cell * masks.mass[:, None], begins)
    edges = np.add.reduceat(masks.at_peak.astype(np.int64), begins)
    area = shares.mean(1, dtype=np.float64)[place[begins]] * edges[:, None]
    return Summed(masks.root[begins], masks.channel[begins], edges, area, on)


def over(parts: Sequence[Summed]) -> Summed:
    """The sums of each root over all channels, and over the layers that the parts are of."""
    root = np.concatenate([part.root for part in parts])
    order = np.argsort(root, kind="stable")
    root = root[order]
    begins = np.flatnonzero(np.diff(root, prepend=-1))

    def total(values: NDArray[np.generic], axis: int) -> NDArray[np.generic]:
        return np.add.reduceat(values.take(order, axis), begins, axis)

    return Summed(
        root[begins],
        np.full(len(begins), -1),
        total(np.concatenate([part.edges for part in parts]), 0),
        total(np.concatenate([part.area for part in parts]), 0),
        total(np.concatenate([part.on for part in parts], 2), 2),
    )


def sums_of(part: Summed) -> Floats:
    """(groups, labels, SUMS) what each root gives to the sums of `localization`."""
    columns = [(part.area > 0).astype(np.float64), part.area, part.area**2]
    for own, *others in part.on:
        columns += [own, own**2, own * part.area]
        if others:
            columns += [own, np.mean(others, 0), np.var(others, 0, ddof=1) * (1 + 1 / len(others))]
        else:
            columns += [np.zeros_like(own)] * 3
    return np.stack(columns, -1)


def grouped(part: Summed, key: Mapping[str, Ints]) -> tuple[dict[str, Ints], Floats]:
    """Sums over the roots of each value of a key.

    Args:
        part: a row a root and channel.
        key: columns (groups,) to group by.

    Returns:
        The values of the key, with decisions and edges, (values,) each; and (values, labels, SUMS).
    """
    order = np.lexsort(list(key.values())[::-1])
    columns = {name: values[order] for name, values in key.items()}
    changes = np.any([np.diff(values, prepend=-1) != 0 for values in columns.values()], axis=0)
    begins = np.flatnonzero(changes)
    counts = {"decisions": np.diff(begins, append=len(order)), "edges": np.add.reduceat(part.edges[order], begins)}
    return {n: v[begins] for n, v in columns.items()} | counts, np.add.reduceat(sums_of(part)[order], begins)
