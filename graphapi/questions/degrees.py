"""The distribution of the discriminative degree over the channels of a layer (Eq. 13, Fig. 14), from `channel_degree`.

One statement answers for all layers of all runs of a request that ask for the same quantiles, bins and threshold.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, cast, func, literal_column, select
from sqlalchemy.types import Integer

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.sql import KEPT, Statement, Template, columns_of
from evigraph.schema.sql import literal
from evigraph.schema.tables.rollups import ChannelDegree

MAX_BINS = 100
MAX_QUANTILES = 20


class DegreeKey(NamedTuple):
    """What is asked of which layer; `min_edges` leaves out channels with fewer edges that count."""

    quantiles: tuple[float, ...]
    bins: int
    threshold: float
    min_edges: int
    run_id: int
    layer_id: int


class DegreeRow(NamedTuple):
    """The distribution over the channels of a layer: of the points asked for, and from bin to its channels."""

    run_id: int
    layer_id: int
    channels: int
    mean: float
    median: float
    quantiles: list[float]
    above: int
    histogram: dict[int, int]


class ChannelDegreeRow(NamedTuple):
    """Of `channel_degree`."""

    run_id: int
    layer_id: int
    channel: int
    discriminative_degree: float
    edges: int


@dataclass(frozen=True)
class DegreeRank:
    """A channel among the `channels` of its layer that have a degree: `lower` have a lower one; `edges` its own."""

    edges: int
    lower: int
    channels: int


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
    bounded("bins", key.bins, 1, MAX_BINS)
    bounded("number of quantiles", len(key.quantiles), 0, MAX_QUANTILES)
    for quantile in key.quantiles:
        bounded("quantiles", quantile, 0, 1)
    bounded("threshold", key.threshold, 0, 1)
    bounded("minEdges", key.min_edges, 1)
    return key


def degrees_statement(keys: Sequence[DegreeKey]) -> Statement[DegreeRow]:
    """A row for each layer that has channels with enough edges; the keys differ in run and layer alone."""
    layers = [(key.run_id, key.layer_id) for key in keys]
    # One statement serves all keys that ask for the same of any layers.
    template = _template(keys[0]._replace(run_id=0, layer_id=0), matching.shape_of(layers))
    return template.filled(**matching.values(layers))


@lru_cache(maxsize=KEPT)
def _template(asked: DegreeKey, shape: matching.Shape) -> Template[DegreeRow]:
    table = ChannelDegree
    degree = table.discriminative_degree
    # A degree of 1 falls in the last bin, which holds its upper end.
    place = func.least(cast(func.floor(degree * asked.bins), Integer), asked.bins - 1)
    points: ColumnElement[Any] = literal_column(literal(list(asked.quantiles)))
    quantiles = func.quantile_cont(degree, points) if asked.quantiles else points
    column = table.__table__.c
    wanted = matching.condition([column.run_id, column.layer_id], shape)
    return Template(
        DegreeRow,
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
        .group_by(table.run_id, table.layer_id),
    )


def degrees(rows: Sequence[DegreeRow], bins: int) -> Degrees:
    """From the rows of one layer, of which there is one or none."""
    if not rows:
        return Degrees(0, None, None, [], 0, [0] * bins)
    (row,) = rows
    histogram = [row.histogram.get(place, 0) for place in range(bins)]
    return Degrees(row.channels, row.mean, row.median, row.quantiles, row.above, histogram)


def degree_rows(layers: Sequence[tuple[int, int]]) -> Statement[ChannelDegreeRow]:
    """The degrees of all channels of some (run, layer)."""
    return _every_degree(matching.shape_of(layers)).filled(**matching.values(layers))


@lru_cache(maxsize=KEPT)
def _every_degree(shape: matching.Shape) -> Template[ChannelDegreeRow]:
    table = ChannelDegree.__table__
    wanted = matching.condition([table.c.run_id, table.c.layer_id], shape)
    return Template(ChannelDegreeRow, select(*columns_of(ChannelDegreeRow, table)).where(wanted))


def degree_ranks(rows: Sequence[ChannelDegreeRow]) -> dict[int, DegreeRank]:
    """By channel, from the rows of one layer."""
    ordered = sorted(row.discriminative_degree for row in rows)
    return {
        row.channel: DegreeRank(row.edges, bisect_left(ordered, row.discriminative_degree), len(rows)) for row in rows
    }
