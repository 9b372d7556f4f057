"""What semantic maps show in each cell of the layers' grids: the share of the cell's pixels that each label has.

Sparse, as most cells show one label; of each map counted once, for all masks that are laid over it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Grid = tuple[int, int]
"""Height and width of a layer's maps."""

_NUMBERS_AT_A_TIME = 1 << 17
"""Of maps counted together, 1 MB: calls cost most of small maps, and what does not stay in the cache of large ones."""


@dataclass(frozen=True)
class Shown:
    """What some maps show in the cells of one grid.

    Attributes:
        begins: (maps * cells + 1,) the first entry of each map's cell.
        label: (entries,) the slot of a label.
        share: (entries,) its part of the cell's pixels, above 0.
        area: (maps, slots) the mean share of the cells.
    """

    begins: Ints
    label: Ints
    share: Floats
    area: Floats


@cache
def nearest(cells: int, pixels: int) -> Ints:
    """The cell of each pixel, as torch's nearest interpolation of a grid of cells to that many pixels has it."""
    scale = np.float32(cells) / np.float32(pixels)
    index: Ints = np.floor(np.arange(pixels, dtype=np.float32) * scale).astype(np.int64)
    return index.clip(max=cells - 1)


@cache
def _cell_of_pixel(grid: Grid, size: Grid) -> tuple[Ints, Ints]:
    """(height, width) the cell of each pixel, and (cells,) how many pixels each has, at least 1."""
    cell = nearest(grid[0], size[0])[:, None] * grid[1] + nearest(grid[1], size[1])
    return cell, np.bincount(cell.ravel(), minlength=grid[0] * grid[1]).clip(min=1)


def counted(labels: NDArray[np.integer], slots: Ints, slot_count: int, grid: Grid) -> Floats:
    """The part of each cell's pixels that each label has.

    Args:
        labels: (..., height, width) context label ids of maps.
        slots: (largest id + 1,) the slot of each label.
        slot_count: how many slots there are.
        grid: height and width of the layer's maps.

    Returns:
        (..., cells, slots) in 0..1.
    """
    *maps, height, width = labels.shape
    cell, pixels = _cell_of_pixel(grid, (height, width))
    key = slots[labels]
    key += cell * slot_count
    of_map = len(pixels) * slot_count
    every = key.reshape(-1, height * width)
    every += np.arange(len(every))[:, None] * of_map
    counts = np.bincount(every.ravel(), minlength=len(every) * of_map)
    shares: Floats = counts.reshape(*maps, len(pixels), slot_count) / pixels[:, None]
    return shares


def shown_in(
    maps: Sequence[NDArray[np.integer]], shows: NDArray[np.bool_], grids: Mapping[int, Grid]
) -> dict[int, Shown]:
    """What maps show in the cells of each layer.

    Args:
        maps: (height, width) context label ids each.
        shows: (maps, labels) whether a map shows a label; slots are label ids, and others are void.
        grids: by layer, height and width of its maps.
    """
    parts: dict[int, list[tuple[Ints, Ints, Floats]]] = {layer: [] for layer in grids}
    most = int(shows.sum(1).max(initial=0)) + 1
    for first, last in _batches(
        maps, max([maps[0].size, *(height * width * most for height, width in grids.values())])
    ):
        slots, ids = _slots(shows[first:last], most)
        # Of int64, as all that is made of it: the sums of other kinds are converted piece by piece, which took longer.
        labels = np.stack(maps[first:last]).astype(np.int64)
        known = labels.clip(max=shows.shape[1]) + np.arange(last - first)[:, None, None] * slots.shape[1]
        labels = slots.ravel()[known]
        for layer, grid in grids.items():
            shares = counted(labels, np.arange(most), most, grid)
            shares[..., 0] = 0
            at = np.flatnonzero(shares > 0)
            cell, slot = np.divmod(at, most)
            label = ids[cell // (grid[0] * grid[1]), slot]
            parts[layer].append((cell + first * grid[0] * grid[1], label, shares.ravel()[at]))
    return {layer: _shown(found, len(maps), grids[layer], shows.shape[1]) for layer, found in parts.items()}


def _slots(shows: NDArray[np.bool_], slot_count: int) -> tuple[Ints, Ints]:
    """(maps, labels + 1) the slot of each label that a map shows, 0 of others; and (maps, slots) the label of each."""
    slots = np.zeros((len(shows), shows.shape[1] + 1), dtype=np.int64)
    slots[:, :-1] = shows.cumsum(1) * shows
    ids = np.zeros((len(shows), slot_count), dtype=np.int64)
    place, label = np.nonzero(shows)
    ids[place, slots[place, label]] = label
    return slots, ids


def _batches(maps: Sequence[NDArray[np.integer]], numbers: int) -> list[tuple[int, int]]:
    """Maps of one size that are counted together, by the numbers that one takes: the first, and one after the last."""
    most = max(1, _NUMBERS_AT_A_TIME // numbers)
    ends = [place for place in range(1, len(maps)) if maps[place].shape != maps[place - 1].shape]
    return [
        (first, min(first + most, end))
        for begin, end in itertools.pairwise([0, *ends, len(maps)])
        for first in range(begin, end, most)
    ]


def _shown(entries: Sequence[tuple[Ints, Ints, Floats]], maps: int, grid: Grid, slots: int) -> Shown:
    cell, label = (np.concatenate([entry[column] for entry in entries]) for column in (0, 1))
    share = np.concatenate([entry[2] for entry in entries])
    cells = grid[0] * grid[1]
    begins = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=maps * cells))])
    area = np.bincount(cell // cells * slots + label, share, minlength=maps * slots).reshape(maps, slots) / cells
    return Shown(begins, label, share, area)
