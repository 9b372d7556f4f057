"""The distribution of the discriminative degree over the channels of a layer (Eq. 13, Fig. 14), from `channel_degree`.

One statement answers for all layers of all runs of a request that ask for the same quantiles, bins and threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import case, cast, func, literal_column, select
from sqlalchemy.types import Integer

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.sql import KEPT, Row, Statement, Template
from evigraph.schema.errors import UsageError
from evigraph.schema.tables.rollups import ChannelDegree

MOST_BINS = 100
MOST_QUANTILES = 20


class DegreeKey(NamedTuple):
    """What is asked of which layer; `min_edges` leaves out channels with fewer edges that count."""

    quantiles: tuple[float, ...]
    bins: int
    threshold: float
    min_edges: int
    run_id: int
    layer_id: int


@dataclass(frozen=True)
class Degrees:
    """The distribution over `count` channels; all else is None or empty where there are none."""

    count: int
    mean: float | None
    median: float | None
    quantiles: list[float]
    above: int
    histogram: list[int]


def require_sensible(key: DegreeKey) -> DegreeKey:
    """The key itself; UsageError where an argument is out of its range."""
    if not 1 <= key.bins <= MOST_BINS:
        raise UsageError(f"bins: {key.bins} is not within 1 and {MOST_BINS}")
    if len(key.quantiles) > MOST_QUANTILES:
        raise UsageError(f"quantiles: {len(key.quantiles)} are more than {MOST_QUANTILES}; ask for fewer")
    for name, values in (("quantiles", key.quantiles), ("threshold", (key.threshold,))):
        for value in values:
            if not 0 <= value <= 1:
                raise UsageError(f"{name}: {value} is not within 0 and 1")
    if key.min_edges < 1:
        raise UsageError(f"minEdges: {key.min_edges} is below 1; leave it out for all channels")
    return key


def degrees_statement(keys: Sequence[DegreeKey]) -> Statement:
    """A row for each layer that has channels with enough edges; the keys differ in run and layer alone."""
    layers = [(key.run_id, key.layer_id) for key in keys]
    # One statement serves all keys that ask for the same of any layers.
    template = _template(keys[0]._replace(run_id=0, layer_id=0), matching.shape_of(layers))
    return template.filled(**matching.values(layers))


@lru_cache(maxsize=KEPT)
def _template(asked: DegreeKey, shape: matching.Shape) -> Template:
    table = ChannelDegree
    degree = table.discriminative_degree
    # A degree of 1 falls in the last bin, which holds its upper end.
    place = func.least(cast(func.floor(degree * asked.bins), Integer), asked.bins - 1)
    points = ", ".join(repr(float(point)) for point in asked.quantiles)
    quantiles = func.quantile_cont(degree, literal_column(f"[{points}]::DOUBLE[]")) if points else literal_column("[]")
    column = table.__table__.c
    wanted = matching.condition([column.run_id, column.layer_id], shape)
    return Template(
        select(
            table.run_id,
            table.layer_id,
            func.count().label("channels"),
            func.avg(degree).label("mean"),
            func.median(degree).label("median"),
            quantiles.label("quantiles"),
            func.count(case((degree > asked.threshold, 1))).label("above"),
            func.histogram(place).label("histogram"),
        )
        .where(wanted, table.edges >= asked.min_edges)
        .group_by(table.run_id, table.layer_id)
    )


def degrees(rows: Sequence[Row], bins: int) -> Degrees:
    """From the rows of one layer, of which there is one or none."""
    if not rows:
        return Degrees(0, None, None, [], 0, [0] * bins)
    (row,) = rows
    counts: dict[int, int] = dict(row.histogram)
    histogram = [counts.get(place, 0) for place in range(bins)]
    return Degrees(row.channels, row.mean, row.median, list(row.quantiles), row.above, histogram)
