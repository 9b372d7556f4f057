"""Groups of decisions with like evidence: Ward's clustering, with the number of groups by silhouette.

1. A decision is its evidence at a layer: importance per channel, divided by its sum, and of that the square root, so
   that no channel outweighs all others. Such vectors have length 1: their squared distance is 2 - 2 cos.
2. They are merged by Ward's rule, which has no random part, down to 2, 3, ... groups.
3. The number is the one of the largest mean silhouette (of cosine distances), or 1 where even that is below
   MIN_SILHOUETTE, as it is where channels occur independently of each other.

Imported where it is used only: scikit-learn takes a second to load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import silhouette_score

MIN_SILHOUETTE = 0.1
"""Where each channel's importances were shuffled over the decisions, the largest silhouette was below this (measured:
`tests/graphapi/test_clusters.py`)."""
UNASSIGNED = -1


@dataclass(frozen=True)
class Clusters:
    """Groups, the largest first.

    Attributes:
        labels: (decisions,) index of its group, UNASSIGNED in none.
        count: groups.
        silhouette: of the division into them, None where there is one.
        closeness: (decisions,) cosine of its evidence and its group's mean.
    """

    labels: NDArray[np.int64]
    count: int
    silhouette: float | None
    closeness: NDArray[np.float64]


def clusters(importance: NDArray[np.float64], max_count: int, min_size: int) -> Clusters:
    """Divide decisions by their evidence.

    Args:
        importance: (decisions, channels), none below 0; decisions of zeros alone are in no group.
        max_count: groups, at most.
        min_size: decisions of smaller groups are in none.
    """
    total = importance.sum(axis=1)
    known = np.flatnonzero(total > 0)
    vectors = np.sqrt(importance[known] / total[known, None])
    found, silhouette = _divide(vectors, max_count)
    sizes = np.bincount(found, minlength=1)
    order = [group for group in np.argsort(-sizes, kind="stable").tolist() if sizes[group] >= min_size]
    labels = np.full(len(total), UNASSIGNED, np.int64)
    closeness = np.zeros(len(total))
    for place, group in enumerate(order):
        members = found == group
        labels[known[members]] = place
        mean = vectors[members].mean(axis=0)
        closeness[known[members]] = vectors[members] @ mean / np.linalg.norm(mean)
    return Clusters(labels, len(order), silhouette, closeness)


def _divide(vectors: NDArray[np.float64], max_count: int) -> tuple[NDArray[np.int64], float | None]:
    """The group of each vector, and the silhouette of the division; None of one group."""
    best: tuple[float, NDArray[np.int64]] | None = None
    for count in range(2, min(max_count, len(vectors) - 1) + 1):
        found = AgglomerativeClustering(n_clusters=count, linkage="ward").fit_predict(vectors)
        silhouette = float(silhouette_score(vectors, found, metric="cosine"))
        if best is None or silhouette > best[0]:
            best = silhouette, found
    if best is None or best[0] < MIN_SILHOUETTE:
        return np.zeros(len(vectors), np.int64), None
    return best[1], best[0]
