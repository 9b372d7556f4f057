"""Groups of decisions with like evidence: Ward's clustering, with the number of groups by silhouette.

1. A decision is its evidence at a layer: importance per channel, divided by its sum, and of that the square root, so
   that no channel outweighs all others. Such vectors have length 1: their squared distance is 2 - 2 cos.
2. They are merged by Ward's rule, which has no random part, down to 2, 3, ... groups.
3. The number is the one of the largest mean silhouette (of cosine distances).
4. Such a silhouette is 0.1 to 0.5 even where there are no groups, the larger the fewer decisions and channels. So the
   same is done with each channel's importances shuffled over the decisions; unless the silhouette is above that of all
   SHUFFLES (for unrelated channels it is in 1 of 20 cases), there is one group.

Imported where it is used only: scikit-learn takes a second to load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import ward_tree
from sklearn.metrics import silhouette_score

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]

SHUFFLES = 19
SEED = 0
UNASSIGNED = -1


@dataclass(frozen=True)
class Clusters:
    """Groups, the largest first.

    Attributes:
        group: (decisions,) index of each one's group, UNASSIGNED in none.
        count: How many groups there are.
        silhouette: Mean silhouette of the division, -1..1; None where there is one group.
        closeness: (decisions,) cosine of each one's evidence and its group's mean.
    """

    group: Groups
    count: int
    silhouette: float | None
    closeness: Floats


def clusters(importance: Floats, max_count: int, min_size: int) -> Clusters:
    """Divide decisions by their evidence.

    Args:
        importance: (decisions, channels), none below 0; decisions of zeros alone are in no group.
        max_count: The most groups.
        min_size: The fewest decisions of a group; those of smaller groups are in none.
    """
    total = importance.sum(axis=1)
    known = np.flatnonzero(total > 0)
    vectors = _unit(importance[known])
    division, silhouette = _divide(vectors, max_count)
    if silhouette is not None and silhouette <= _by_chance(importance[known], max_count, silhouette):
        division, silhouette = np.zeros(len(known), np.int64), None
    sizes = np.bincount(division, minlength=1)
    order = [number for number in np.argsort(-sizes, kind="stable").tolist() if sizes[number] >= min_size]
    group = np.full(len(total), UNASSIGNED, np.int64)
    closeness = np.zeros(len(total))
    for place, number in enumerate(order):
        members = division == number
        group[known[members]] = place
        mean = vectors[members].mean(axis=0)
        closeness[known[members]] = vectors[members] @ mean / np.linalg.norm(mean)
    return Clusters(group, len(order), silhouette, closeness)


def _unit(importance: Floats) -> Floats:
    """Vectors of length 1 from importances, of zeros where there are none."""
    total = importance.sum(axis=1, keepdims=True)
    vectors: Floats = np.sqrt(importance / np.where(total > 0, total, 1))
    return vectors


def _divide(vectors: Floats, max_count: int) -> tuple[Groups, float | None]:
    """The group of each vector, and the silhouette of the division; None of one group."""
    best: tuple[float, Groups] = -1.0, np.zeros(len(vectors), np.int64)
    if len(vectors) < 4 or max_count < 2:
        return best[1], None
    merges = ward_tree(vectors)[0]
    distances = np.clip(1 - vectors @ vectors.T, 0, None)
    np.fill_diagonal(distances, 0)
    for count in range(2, min(max_count, len(vectors) - 1) + 1):
        division = _cut(merges, len(vectors), count)
        silhouette = float(silhouette_score(distances, division, metric="precomputed"))
        if silhouette > best[0]:
            best = silhouette, division
    return best[1], best[0]


def _cut(merges: NDArray[np.int64], size: int, count: int) -> Groups:
    """The groups, of the first vector first, after all merges but the last count - 1.

    Args:
        merges: (size - 1, 2), what merge i joins: vectors, and from `size` on the results of earlier merges.
        size: How many vectors there are.
        count: How many groups are to be left.
    """
    top = np.arange(2 * size - 1)
    for merge in range(size - count - 1, -1, -1):
        top[merges[merge]] = top[size + merge]
    _, first, number = np.unique(top[:size], return_index=True, return_inverse=True)
    order: Groups = np.argsort(np.argsort(first))[number]
    return order


def _by_chance(importance: Floats, max_count: int, enough: float) -> float:
    """The largest silhouette of the shuffled importances, or the first that is `enough`."""
    random = np.random.default_rng(SEED)
    largest = -1.0
    for _ in range(SHUFFLES):
        shuffled = random.permuted(importance, axis=0)
        largest = max(largest, _divide(_unit(shuffled[shuffled.any(axis=1)]), max_count)[1] or -1.0)
        if largest >= enough:
            break
    return largest
