"""How the evidence of a layer's decompositions falls off, and how many channels are positive and overlap (Fig. 6).

From the rollups `layer_profile` and `positive_profile`: one statement answers for all layers of a request that ask for
the same class, role and outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, and_, cast, func, literal, select, union_all

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.sql import KEPT, R, Statement, Template, hole
from evigraph.schema.tables.rollups import ALL_CLASSES, LayerProfile, PositiveProfile


class ProfileKey(NamedTuple):
    """Whose decompositions: of roots of a class (ALL_CLASSES for any), a role and an outcome (None for any)."""

    class_id: int
    role: str
    outcome: str | None
    run_id: int
    layer_id: int


class RankRow(NamedTuple):
    """Edges of one rank of a layer's decompositions."""

    run_id: int
    layer_id: int
    rank: int
    edges: int
    share_sum: Decimal


class CountRow(NamedTuple):
    """How many decompositions of a layer have so many channels of a kind; value None where they were not counted."""

    run_id: int
    layer_id: int
    kind: str
    value: int | None
    decompositions: int


@dataclass(frozen=True)
class Count:
    """How many decompositions have a count of `value`."""

    value: int
    decompositions: int


@dataclass(frozen=True)
class Positive:
    """The positive channels of some decompositions; what was not counted is None or empty."""

    decompositions: int
    barren: int
    mean_positive: float | None
    mean_overlapping: float | None
    positive: list[Count]
    overlapping: list[Count]


@dataclass(frozen=True)
class Profile:
    """Mean share by rank of the decompositions that have evidence, and what is left; None where there are none."""

    decompositions: int
    shares: list[float]
    residual: float | None


def shares_statement(keys: Sequence[ProfileKey]) -> Statement[RankRow]:
    """A row for each layer and rank; the keys differ in run and layer alone."""
    return _filled(_shares, keys)


def _filled(template: Callable[[matching.Shape, bool], Template[R]], keys: Sequence[ProfileKey]) -> Statement[R]:
    first, layers = keys[0], [(key.run_id, key.layer_id) for key in keys]
    holes = {"class_id": first.class_id, "role": first.role, "outcome": first.outcome}
    return template(matching.shape_of(layers), first.outcome is not None).filled(**matching.values(layers), **holes)


@lru_cache(maxsize=KEPT)
def _shares(shape: matching.Shape, of_outcome: bool) -> Template[RankRow]:
    table = LayerProfile.__table__.c
    return Template(
        RankRow,
        select(
            table.run_id,
            table.layer_id,
            table.rank,
            cast(func.sum(table.edges), BigInteger).label("edges"),
            func.sum(table.share_sum).label("share_sum"),
        )
        .where(_wanted(table, shape, of_outcome), table.class_id == hole("class_id"))
        .group_by(table.run_id, table.layer_id, table.rank)
        .order_by(table.run_id, table.layer_id, table.rank),
    )


def _wanted(table: Any, shape: matching.Shape, of_outcome: bool) -> ColumnElement[bool]:
    layer = matching.condition([table.run_id, table.layer_id], shape)
    outcome = [table.outcome == hole("outcome")] if of_outcome else []
    return and_(layer, table.role == hole("role"), *outcome)


def profile(rows: Sequence[RankRow]) -> Profile:
    """From the rows of one layer, by rank. Every decomposition with evidence has an edge of rank 0."""
    if not rows:
        return Profile(0, [], None)
    count = rows[0].edges
    shares = [float(row.share_sum) / count for row in rows]
    # Shares are rounded: of all of them the sum may be a little above 1.
    return Profile(count, shares, max(0.0, 1 - sum(shares)))


def positive_statement(keys: Sequence[ProfileKey]) -> Statement[CountRow]:
    """Rows of a layer: (kind, value, decompositions), for how many channels are `positive`, are `overlapping` of those,
    and are kept (`evidence`, whose value 0 is a decomposition without evidence).
    """
    return _filled(_positive, keys)


@lru_cache(maxsize=KEPT)
def _positive(shape: matching.Shape, of_outcome: bool) -> Template[CountRow]:
    table = PositiveProfile.__table__.c
    wanted = _wanted(table, shape, of_outcome)

    def counted(kind: str, value: Any) -> Select[Any]:
        count = cast(func.sum(table.decompositions), BigInteger).label("decompositions")
        columns = (table.run_id, table.layer_id, literal(kind).label("kind"), value.label("value"), count)
        return select(*columns).where(wanted).group_by(table.run_id, table.layer_id, value)

    every = union_all(
        counted("positive", table.positive_count),
        counted("overlapping", table.overlap_count),
        counted("evidence", table.evidence),
    )
    return Template(CountRow, every.order_by("run_id", "layer_id", "kind", "value"))


def positive(rows: Sequence[CountRow]) -> Positive:
    """From the rows of one layer."""
    counts: dict[str, list[Count]] = {"positive": [], "overlapping": []}
    decompositions = barren = 0
    for row in rows:
        if row.kind == "evidence":
            decompositions += row.decompositions
            barren += 0 if row.value else row.decompositions
        elif row.value is not None:
            counts[row.kind].append(Count(row.value, row.decompositions))
    means = (_mean(counts["positive"]), _mean(counts["overlapping"]))
    return Positive(decompositions, barren, *means, counts["positive"], counts["overlapping"])


def key_of(class_id: int | None, role: str, outcome: str | None, run_id: int, layer_id: int) -> ProfileKey:
    """The key of a layer; class_id None for all classes."""
    return ProfileKey(ALL_CLASSES if class_id is None else class_id, role, outcome, run_id, layer_id)


def _mean(counts: Sequence[Count]) -> float | None:
    total = sum(count.decompositions for count in counts)
    return sum(count.value * count.decompositions for count in counts) / total if total else None
