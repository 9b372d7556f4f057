"""What evidence lies on, whatever the size of a region: the measures of `localization`, and the order by them.

Of the edges of a group of decisions, x is the sum over a decision's edges of what lies on the label: of the share of
the peak's cell (`peak`), or of the mask's activation (`activation`); a is what would if evidence lay anywhere alike,
the area of the label in the decision's image times its edges.

1. rate = sum of x / edges, base rate = sum of a / edges, lift = sum of x / sum of a. The base is of the same decisions
   and weighs them alike, so that evidence placed regardless of the map has lift 1 whatever the region's size.
2. The interval is that of a ratio of means over the n decisions whose image shows the label, the independent units:
   its variance is the sum of (x - lift * a) ** 2 over the square of the sum of a, times n / (n - 1); the half width
   that of Student's t.
3. The chance rate is what would lie on the label with the maps of other images of the class, if these had as much of
   it by area as the own one (`publish.chance`).
   z = (sum of x - sum by chance) / the root of the variance by chance; p is two-sided, of the normal distribution, and
   q the false discovery rate over the listing (Benjamini and Hochberg); none of fewer than FEWEST_TOLD images.

A decision is of one image, and no image has two of one role.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from math import erfc, sqrt
from typing import NamedTuple

from sqlalchemy import select

from evigraph.graphapi.store.sql import Statement, Template, columns_of, hole
from evigraph.schema.interval import FEWEST, half_width
from evigraph.schema.tables.evidence import ALL_CHANNELS, Localization
from evigraph.schema.tables.rollups import ANY_OUTCOME

FEWEST_TOLD = 8
"""Images that show the label, of those that are compared with chance: of 3 to 5 a true p of 0.05 was 0.06 to 0.17."""
FEWEST_EDGES = 10
"""Of a row of channelsLocalizing, where the client names no other number."""


class LocalizationRow(NamedTuple):
    """A row of `localization`."""

    run_id: int
    class_id: int
    role: str
    outcome: str
    layer_id: int
    label_id: int
    channel: int
    decisions: int
    edges: int
    shown: int
    area_sum: Decimal
    area_squares: Decimal
    peak_sum: Decimal
    peak_squares: Decimal
    peak_area: Decimal
    peak_compared: Decimal
    peak_chance: Decimal
    peak_chance_variance: Decimal
    mass_sum: Decimal
    mass_squares: Decimal
    mass_area: Decimal
    mass_compared: Decimal
    mass_chance: Decimal
    mass_chance_variance: Decimal


@dataclass(frozen=True)
class Measured:
    """One measure of one row; None where there is too little to tell."""

    images: int
    rate: float
    base_rate: float
    lift: float | None
    low: float | None
    high: float | None
    chance_rate: float | None
    chance_lift: float | None
    z: float | None
    p: float | None
    q: float | None = None


@dataclass(frozen=True)
class Measures:
    """Both measures of a row."""

    peak: Measured
    activation: Measured


def measures(rows: Sequence[LocalizationRow]) -> list[Measures]:
    """The measures of the rows of a listing, in their order; q is over all of them."""
    peaks, masses = ([_measured(row, name) for row in rows] for name in ("peak", "mass"))
    return [Measures(*both) for both in zip(_with_q(peaks), _with_q(masses), strict=True)]


def _measured(row: LocalizationRow, name: str) -> Measured:
    total, squares, product, compared, chance, variance = (
        float(getattr(row, f"{name}_{of}"))
        for of in ("sum", "squares", "area", "compared", "chance", "chance_variance")
    )
    area, area_squares = float(row.area_sum), float(row.area_squares)
    lift = total / area if area else None
    low = high = z = None
    if lift is not None and total and row.shown >= FEWEST:
        half = half_width(lift, squares, product, area, area_squares, row.shown)
        low, high = max(lift - half, 0.0), lift + half
    # Of all classes some may be too small to be compared; their part of the evidence stands for that of the images.
    told = row.shown * (compared / total if total else 1.0)
    if variance > 0 and told >= FEWEST_TOLD:
        z = (compared - chance) / sqrt(variance)
    # What is compared may be of some of the classes; the rate by chance is then by the same part.
    by_chance = compared / chance if chance > 0 else None
    return Measured(
        images=row.shown,
        rate=total / row.edges,
        base_rate=area / row.edges,
        lift=lift,
        low=low,
        high=high,
        chance_rate=total / row.edges / by_chance if by_chance else None,
        chance_lift=by_chance,
        z=z,
        p=None if z is None else two_sided(z),
    )


def two_sided(z: float) -> float:
    """The p of a standard normal that is as far from 0."""
    return erfc(abs(z) / sqrt(2))


def _with_q(measured: list[Measured]) -> list[Measured]:
    from evigraph.graphapi.questions.statistics import false_discovery_rate

    tested = [place for place, one in enumerate(measured) if one.p is not None]
    if not tested:
        return measured
    import numpy as np

    q = false_discovery_rate(np.array([measured[place].p for place in tested], dtype=np.float64))
    of_place = dict(zip(tested, q.tolist(), strict=True))
    return [replace(one, q=of_place.get(place)) for place, one in enumerate(measured)]


def localizing(
    run_id: int, layer_id: int, class_id: int, role: str, label_id: int, min_edges: int
) -> Statement[LocalizationRow]:
    """The channels of a layer whose decisions of a class show a label, of at least so many edges."""
    return _localizing_template().filled(
        run_id=run_id, layer_id=layer_id, class_id=class_id, role=role, label_id=label_id, min_edges=min_edges
    )


@cache
def _localizing_template() -> Template[LocalizationRow]:
    table = Localization.__table__.c
    named = ("run_id", "class_id", "role", "layer_id", "label_id")
    rows = select(*columns_of(LocalizationRow, Localization.__table__)).where(
        *(table[name] == hole(name) for name in named),
        table.outcome == ANY_OUTCOME,
        table.channel > ALL_CHANNELS,
        table.edges >= hole("min_edges"),
    )
    return Template(LocalizationRow, rows)


@dataclass(frozen=True)
class LocalizingChannel:
    """A channel of a layer and how it localizes a label."""

    row: LocalizationRow
    measures: Measures

    @property
    def key(self) -> tuple[float, int, int]:
        """The surest lift first, then the most edges, then the lower channel."""
        return -(self.measures.peak.low or 0.0), -self.row.edges, self.row.channel


def in_order(rows: Sequence[LocalizationRow]) -> list[LocalizingChannel]:
    """The channels of `localizing`, with q over all of them, the surest first."""
    every = [LocalizingChannel(*both) for both in zip(rows, measures(rows), strict=True)]
    return sorted(every, key=lambda channel: channel.key)
