"""What the masks of some classes lie on, and what they would lie on if they were laid over the maps of other images.

1. A map is counted over a layer's grid, as masks are by the indexer: of each cell the part of its pixels that each
   label has (`publish.cells`). What lies on a label is then linear in the map: of an edge, the share of its peak's
   cell, and the shares of its mask's cells weighted by the activation in them.
2. The roots of a class are put in an order by chance, always the same one. Each root's masks are laid over its own map
   and over those of the next PARTNERS roots in that order, in a circle: over maps of images that the network takes for
   the same, so that what they show at the same place, such as sky above, is part of the chance. What another map has
   more of a label, by area, is taken off: so it is not asked whether a label is large where there is such evidence, and
   images in which it is large or small do not blur the answer.
3. A root's edges into a channel, into a layer and into all layers are summed: roots are independent of each other, the
   edges of one are not. The sums of a group of roots are those of `localization`. The variance by chance is that of
   maps drawn for each root by itself; of few roots it is itself uncertain, so answers hold z back (decision 0036).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evigraph.indexer.publish.cells import Floats, Ints, Shown
from evigraph.indexer.publish.cells import counted as counted
from evigraph.schema.tables.evidence import ALL_CHANNELS

PARTNERS = 8
"""Maps of other images that each root's masks are laid over, where the class has as many."""
FEWEST_PARTNERS = 2
"""Of fewer a root has no variance."""
MEASURES = ("peak", "mass")
_OF_MEASURE = ("sum", "squares", "area", "compared", "chance", "chance_variance")
SUMS = ("shown", "area_sum", "area_squares", *(f"{measure}_{name}" for measure in MEASURES for name in _OF_MEASURE))
"""Columns of `localization`, in the order of those of `terms`."""


@dataclass(frozen=True)
class Masks:
    """Cells of masks in one layer: columns (cells,), sorted by root, then channel.

    Attributes:
        root: the row of the root.
        channel: of the layer.
        cell: of the layer's grid.
        at_peak: whether it is its edge's peak.
        mass: the part of its edge's activation in it.
    """

    root: Ints
    channel: Ints
    cell: Ints
    at_peak: NDArray[np.bool_]
    mass: NDArray[np.float32]


@dataclass(frozen=True)
class Circles:
    """The maps that the masks of some roots are laid over, and the labels that these show.

    Attributes:
        maps: (roots, 1 + PARTNERS) rows of the root's own map and of those of its partners; the own one where it has
            fewer.
        partners: (roots,) how many.
        begins: (roots + 1,) the first of each root's pairs with a label that one of its maps shows.
        label: (pairs,) that label.
        place: (roots, labels) of each such pair in its root's.
    """

    maps: Ints
    partners: Ints
    begins: Ints
    label: Ints
    place: Ints

    @staticmethod
    def of(maps: Ints, partners: Ints, shows: NDArray[np.bool_]) -> Circles:
        """Those of maps that show these labels: (maps, labels)."""
        labels = shows[maps].any(1)
        begins = np.concatenate([[0], np.cumsum(labels.sum(1))])
        return Circles(maps, partners, begins, np.nonzero(labels)[1], labels.cumsum(1) - 1)


@dataclass(frozen=True)
class Laid:
    """What lies on labels, of groups of edges that have the root and the channel in common, a term a group and label.

    Attributes:
        root: (groups,) the row of the root, ascending.
        channel: (groups,) ALL_CHANNELS where they are of all channels.
        edges: (groups,) how many edges.
        group: (terms,)
        pair: (terms,) of the root and the label.
        area: (terms,) what would lie on the label if evidence lay anywhere alike.
        on: (measures, 1 + PARTNERS, terms) what lies on it, of the own map and of those of others, less what these
            have more of it by area.
    """

    root: Ints
    channel: Ints
    edges: Ints
    group: Ints
    pair: Ints
    area: Floats
    on: Floats


def order_of(count: int, seed: Sequence[int]) -> Ints:
    """Places of so many roots in an order by chance, the same for one seed."""
    order: Ints = np.random.default_rng(list(seed)).permutation(count)
    return order


def partners_of(count: Ints) -> Ints:
    """How many other maps each of so many roots has; 0 where they are too few."""
    return np.where(count <= FEWEST_PARTNERS, 0, np.minimum(PARTNERS, count - 1))


def circles(first: Ints, count: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """The roots whose maps the masks of some roots are laid over.

    Args:
        first: (rows,) the first root of each one's class.
        count: (rows,) how many roots that has, which follow each other in their order by chance.
        rows: (rows,) the roots.

    Returns:
        (rows, 1 + PARTNERS) the roots themselves and then their partners, or themselves where there are fewer; and
        (rows,) how many partners.
    """
    partners = partners_of(count)
    step = np.arange(1 + PARTNERS) * (np.arange(1 + PARTNERS) <= partners[:, None])
    return first[:, None] + ((rows - first)[:, None] + step) % count[:, None], partners


def laid(masks: Masks, shown: Shown, of: Circles) -> Laid:
    """What the masks of a layer lie on, by root and channel; `shown` is what the maps show in that layer's cells."""
    begins = np.flatnonzero((np.diff(masks.root, prepend=-1) != 0) | (np.diff(masks.channel, prepend=-1) != 0))
    root, edges = masks.root[begins], np.add.reduceat(masks.at_peak.astype(np.int64), begins)
    labels = np.diff(of.begins)[root]
    first = np.cumsum(labels) - labels
    group = np.repeat(np.arange(len(begins)), labels)
    pair = np.arange(len(group)) + (of.begins[root] - first)[group]
    label = of.label[pair]
    first_of_cell = np.repeat(first, np.diff(begins, append=len(masks.root)))
    on = np.zeros((len(MEASURES), 1 + PARTNERS, len(group)))
    areas = shown.area[of.maps[root][group].T, label] * edges[group]
    cells = (len(shown.begins) - 1) // len(shown.area)
    for partner in range(1 + PARTNERS):
        rows = np.flatnonzero(of.partners[masks.root] >= partner)
        at = of.maps[masks.root[rows], partner] * cells + masks.cell[rows]
        row, entry = _spread(shown.begins[at], shown.begins[at + 1])
        row = rows[row]
        term = first_of_cell[row] + of.place[masks.root[row], shown.label[entry]]
        share, peak = shown.share[entry], masks.at_peak[row]
        on[0, partner] = np.bincount(term[peak], share[peak], minlength=len(group))
        on[1, partner] = np.bincount(term, share * masks.mass[row], minlength=len(group))
        on[:, partner] += areas[0] - areas[partner]
    return Laid(root, masks.channel[begins], edges, group, pair, areas[0], on)


def _spread(begins: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """(entries,) of which span each is, and the entries of all spans, one after the other."""
    count = ends - begins
    span = np.repeat(np.arange(len(count)), count)
    return span, np.arange(len(span)) + (begins - np.cumsum(count) + count)[span]


def over(parts: Sequence[Laid], of: Circles) -> Laid:
    """What lies on labels of the edges of each root into all channels, and into all layers that the parts are of."""
    roots, pairs = len(of.partners), len(of.label)
    edges = np.zeros(roots, dtype=np.int64)
    area, on = np.zeros(pairs), np.zeros((len(MEASURES), 1 + PARTNERS, pairs))
    for part in parts:
        edges += np.bincount(part.root, part.edges, roots).astype(np.int64)
        area += np.bincount(part.pair, part.area, pairs)
        for total, each in zip(on.reshape(-1, pairs), part.on.reshape(-1, len(part.pair)), strict=True):
            total += np.bincount(part.pair, each, pairs)
    root = np.flatnonzero(edges)
    group, pair = _spread(of.begins[root], of.begins[root + 1])
    return Laid(root, np.full(len(root), ALL_CHANNELS), edges[root], group, pair, area[pair], on[:, :, pair])


def terms(part: Laid, of: Circles) -> Floats:
    """What each term adds to the sums of `localization`.

    Returns:
        (terms, SUMS) in steps of 2**-30, so that sums of them are the same in any order.
    """
    partners = of.partners[part.root][part.group]
    compared, area = partners > 0, part.area
    columns = [(area > 0).astype(np.float64), area, area**2]
    for own, *others in part.on:
        mean = sum(others) / partners.clip(min=1)
        spread = sum((other - mean) ** 2 * (partners > place) for place, other in enumerate(others))
        columns += [own, own**2, own * area, own * compared, mean]
        columns += [spread * (partners + 1) / (partners * (partners - 1)).clip(min=1)]
    return np.rint(np.stack(columns, 1) * 2.0**30) / 2.0**30
