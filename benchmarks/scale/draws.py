"""Numbers that are the same wherever their parts recur: so that what two roots of an image share is drawn alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def long_tail(size: int, exponent: float, uniform: Floats) -> Ints:
    """Positions below `size`, that of place p as often as (p + 1) ** -exponent."""
    weights = np.cumsum(np.arange(1, size + 1) ** -exponent)
    place: Ints = np.searchsorted(weights / weights[-1], uniform, side="right").clip(max=size - 1)
    return place


def hash_of(*parts: Ints | int) -> NDArray[np.uint64]:
    """Mix of integers, the same wherever they recur (the finalizer of SplitMix64 after each)."""
    mixed: NDArray[np.uint64] = np.zeros(1, dtype=np.uint64)
    for part in parts:
        mixed = mixed + np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


def uniform_of(*parts: Ints | int) -> Floats:
    """In 0 to 1, the same wherever the parts recur."""
    return (hash_of(*parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal_of(*parts: Ints | int) -> Floats:
    """Standard normal, the same wherever the parts recur (Box and Muller)."""
    radius = np.sqrt(-2 * np.log1p(-uniform_of(*parts, 1)))
    return np.asarray(radius * np.cos(2 * np.pi * uniform_of(*parts, 2)), dtype=np.float64)
