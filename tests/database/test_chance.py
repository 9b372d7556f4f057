"""z against chance over many classes whose evidence is placed without a look at the maps: p holds what it promises."""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erfc

from evigraph.graphapi.questions.localization import FEWEST_TOLD
from evigraph.indexer.publish.cells import shown_in
from evigraph.indexer.publish.chance import SUMS, Circles, Masks, circles, laid, over, terms

GRID, ROWS = (8, 8), 600
SMALL, LARGE, ABSENT_IN_HALF = 1, 2, 3
LABELS = (SMALL, LARGE, ABSENT_IN_HALF)


def _maps(count: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """(count, 16, 16): half of each of another size is the large label, with things towards the middle upon it."""
    maps = np.zeros((count, 16, 16), dtype=np.uint8)
    for one, horizon, there in zip(maps, random.integers(4, 13, count), random.random(count) < 0.5, strict=True):
        one[:horizon] = LARGE
        for label, shown in ((ABSENT_IN_HALF, there), (SMALL, True)):
            top, left = random.integers(4, 10, 2)
            height, width = random.integers(2, 6, 2)
            if shown:
                one[top : top + height, left : left + width] = label
    return maps


def _masks(count: int, random: np.random.Generator) -> Masks:
    """Of each root 1 to 5 edges of four cells, towards the middle; those of a root near each other."""
    edges = np.repeat(np.arange(count), random.integers(1, 6, count))
    place = random.normal(3.5, 1.2, (count, 2))[edges] + random.normal(0, 1, (len(edges), 2))
    y, x = place.round().astype(np.int64).clip(0, 6).T
    cell = (np.stack([y, y, y + 1, y + 1], 1) * GRID[1] + np.stack([x, x + 1, x, x + 1], 1)).ravel()
    mass = random.dirichlet(np.ones(4), len(edges)).astype(np.float32).ravel()
    peak = np.tile(np.arange(4) == 0, len(edges))
    return Masks(np.repeat(edges, 4), np.zeros(len(cell), dtype=np.int64), cell, peak, mass)


@cache
def p_values(
    roots: int, together: int = 1, rows: int = ROWS, fewest: int = FEWEST_TOLD
) -> dict[tuple[str, int], NDArray[np.float64]]:
    """By measure and label, p of rows of classes of so many roots, or of so many such classes together, that answers
    have p of: those of enough images that show the label.
    """
    classes = rows * together
    random = np.random.default_rng((together, roots))
    count = classes * roots
    maps, every = _maps(count, random), np.arange(count)
    shows = (maps.reshape(count, -1, 1) == np.arange(4)).any(1)
    shows[:, 0] = False
    of = Circles.of(*circles(every // roots * roots, np.full(count, roots), every), shows)
    part = over([laid(_masks(count, random), shown_in(list(maps), shows, {0: GRID})[0], of)], of)
    sums = np.zeros((rows, 4, len(SUMS)))
    np.add.at(sums, (part.root[part.group] // (roots * together), of.label[part.pair]), terms(part, of))
    by_name = dict(zip(SUMS, np.moveaxis(sums, 2, 0), strict=True))
    found: dict[tuple[str, int], NDArray[np.float64]] = {}
    for measure in ("peak", "mass"):
        more = by_name[f"{measure}_compared"] - by_name[f"{measure}_chance"]
        variance = by_name[f"{measure}_chance_variance"]
        z = np.divide(more, np.sqrt(variance), out=np.zeros_like(more), where=variance > 0)
        told = by_name["shown"] >= fewest
        found |= {(measure, label): erfc(np.abs(z[told[:, label], label]) / sqrt(2)) for label in LABELS}
    return found


@pytest.mark.parametrize(("roots", "together"), [(8, 1), (12, 1), (30, 1), (5, 4)])
def test_p_is_below_a_twentieth_as_often_as_that(roots: int, together: int) -> None:
    """And no oftener, but for the sampling of the rows drawn."""
    for of, p in p_values(roots, together).items():
        if len(p) > ROWS // 10:
            assert 0.01 < (p < 0.05).mean() < 0.05 + 3 * sqrt(0.05 * 0.95 / len(p)), of


if __name__ == "__main__":
    print("images a class, classes a row, images that show the label at least: rows of p < 0.05")
    for size, classes, fewest in (
        *((size, 1, 1) for size in (3, 4, 5, 8)),
        *((size, 1, FEWEST_TOLD) for size in (8, 9, 12, 30, 100)),
        *((size, classes, FEWEST_TOLD) for size, classes in ((3, 4), (3, 10), (3, 50), (4, 5), (5, 4))),
    ):
        found = p_values(size, classes, 4000, fewest)
        print(size, classes, fewest, *(f"{name} {label} {(p < 0.05).mean():.1%}" for (name, label), p in found.items()))
