"""What sets one cohort of decisions apart from another: counts by SQL, then statistics, then a ranking.

1. Both cohorts are counted; an empty one and overlapping ones are refused (`graphapi.questions.cohorts`). Whether they
   explain the same classes is told beside the answer (`graphapi.questions.likeness`).
2. How many decisions of each have an item: from the rollups where the cohort is a row of these, else from its own
   decompositions (`held`).
3. Every item that enough decisions have is tested, and q is taken over all tests (`graphapi.questions.statistics`).
4. The least p comes first, then the largest effect (`ranked`).

An item is a channel of the layer, an edge from it to a channel of the next layer, or a context label of its edges.
A decision has a channel if an edge of its hierarchy leads to it, and a context label if a mask of the layer overlaps
that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evigraph.graphapi.questions import cohorts
from evigraph.graphapi.questions.cohorts import Members
from evigraph.graphapi.store.catalog import LayerInfo
from evigraph.graphapi.store.cursors import Key
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Statement, Template
from evigraph.schema.encoding import NO_LABEL, fine
from evigraph.schema.tables.rollups import ALL_CLASSES

Item = tuple[int, int]
"""(channel of the layer, channel of the next) of an edge; (channel or context label, -1) else."""

CHANNELS, EDGES, CONTEXT_LABELS = "channels", "edges", "context labels"
_ITEM = {
    CHANNELS: ("e.channel", "-1"),
    EDGES: ("e.channel", "target"),
    CONTEXT_LABELS: ("e.context_label_id", "-1"),
}
"""SQL of both parts of an item over the unfolded evidence `e` of a decomposition of the channel `target`."""
_ROLLED_UP = {
    CHANNELS: ("channel_support", "channel", "-1", "layer_id"),
    EDGES: ("channel_edge", "source_channel", "target_channel", "source_layer"),
    CONTEXT_LABELS: ("class_context", "label_id", "-1", "layer_id"),
}
"""Rollup of each kind, its columns of both parts of an item, and of the layer."""


class HeldRow(NamedTuple):
    """Both parts of each item and how many decisions have it, in lists of the same length; None without items."""

    first: list[int] | None
    second: list[int] | None
    decisions: list[int] | None


class ExampleRow(NamedTuple):
    """A decision that has an item, by both parts of it."""

    first: int
    second: int
    decision_id: int


@dataclass(frozen=True)
class Row:
    """One item with its table and statistics; rates and logs as in `graphapi.questions.statistics`."""

    item: Item
    count_a: int
    count_b: int
    log_odds_ratio: float
    low: float
    high: float
    p: float
    q: float

    @property
    def key(self) -> Key:
        """What rows are sorted by."""
        return (self.p, -abs(self.log_odds_ratio), *self.item)


@dataclass(frozen=True)
class Ranking(Sequence[Row]):
    """Tested items in order, as columns of the fields of `Row`: rows are made only of those that a page shows."""

    columns: tuple[Any, ...]

    def __len__(self) -> int:
        """The number of items that were tested."""
        return len(self.columns[0])

    def __getitem__(self, place: Any) -> Any:
        """The row at a place, or those of a slice."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        first, second, count_a, count_b, *values = (column[place].item() for column in self.columns)
        return Row((first, second), count_a, count_b, *values)

    def discoveries(self, q: float) -> int:
        """How many items have at most this q."""
        return int((self.columns[-1] <= q).sum())


async def counts(session: Session, of: str, layer: LayerInfo, members: Members) -> dict[Item, int]:
    """Decisions of a cohort that have each item of a layer, in one statement of one row."""
    (row,) = await session.rows(held(of, layer.layer_id, members))
    return dict(zip(zip(row.first or (), row.second or (), strict=True), row.decisions or (), strict=True))


def held(of: str, layer_id: int, members: Members) -> Statement[HeldRow]:
    """The statement of `counts`: one row of lists, since a row for each item would take longer."""
    # Edges are rolled up over all classes only.
    if members.rolled_up is not None and (of != EDGES or members.rolled_up[0] == ALL_CLASSES):
        table, first, second, layer = _ROLLED_UP[of]
        class_id, outcome = members.rolled_up
        values: dict[str, Any] = {
            "run_id": members.cohort.run.run_id,
            "role": members.cohort.role,
            "layer_id": layer_id,
        }
        conditions = f"run_id = :run_id AND role = :role AND {layer} = :layer_id"
        if table != "channel_edge":
            conditions += " AND class_id = :class_id"
            values["class_id"] = class_id
        if outcome is not None:
            conditions += " AND outcome = :outcome"
            values["outcome"] = outcome
        grouped = f"""SELECT {first} AS first, {second} AS second, sum(decisions)::INTEGER AS decisions
                      FROM {table} WHERE {conditions} GROUP BY ALL"""
    else:
        conditions, values = members.where()
        values["upper_layer"] = layer_id + 1
        first, second = _ITEM[of]
        grouped = f"""
            SELECT first, second, count(*)::INTEGER AS decisions
            FROM (SELECT DISTINCT decision_id, {first} AS first, {second} AS second
                  FROM (SELECT decision_id, channel AS target, unnest(evidence) AS e
                        FROM decomposition WHERE {conditions} AND layer_id = :upper_layer))
            {f"WHERE first != {NO_LABEL}" if of == CONTEXT_LABELS else ""} GROUP BY ALL"""
    lists = f"SELECT list(first) AS first, list(second) AS second, list(decisions) AS decisions FROM ({grouped})"
    return Template(HeldRow, lists).filled(**values)


def ranked(
    count_a: Mapping[Item, int], size_a: int, count_b: Mapping[Item, int], size_b: int, min_count: int
) -> Ranking:
    """Every item that at least `min_count` decisions of both cohorts together have, tested and in order."""
    import numpy as np

    from evigraph.graphapi.questions.statistics import statistics

    items = [
        item for item in count_a.keys() | count_b.keys() if count_a.get(item, 0) + count_b.get(item, 0) >= min_count
    ]
    first, second = np.array(items, np.int64).reshape(-1, 2).T
    in_a, in_b = (np.array([count.get(item, 0) for item in items], np.int64) for count in (count_a, count_b))
    tested = statistics(in_a, size_a, in_b, size_b)
    order = np.lexsort((second, first, -abs(tested.log_odds_ratio), tested.p))
    columns = (first, second, in_a, in_b, tested.log_odds_ratio, tested.low, tested.high, tested.p, tested.q)
    return Ranking(tuple(column[order] for column in columns))


@dataclass(frozen=True)
class Contrast:
    """The answer: all tested items, in order."""

    of: str
    layer: LayerInfo
    root: cohorts.Root
    a: Members
    b: Members
    rows: Ranking


async def contrast(
    session: Session,
    of: str,
    layer: LayerInfo,
    root: cohorts.Root,
    a: cohorts.Cohort,
    b: cohorts.Cohort,
    min_count: int,
) -> Contrast:
    """Compare two cohorts; at most four statements, of which two at a time.

    Args:
        session: The request's.
        of: CHANNELS, EDGES or CONTEXT_LABELS.
        layer: A layer of a's run; b's run has one of the same name and network.
        root: Which decisions the cohorts were resolved to.
        a: The cohort whose rates are compared.
        b: The cohort that they are compared with.
        min_count: Items that fewer decisions of both cohorts together have are not tested.

    Raises:
        UsageError: A cohort is empty, or a decision is in both.
    """
    in_a, in_b = await asyncio.gather(cohorts.census(session, "a", a), cohorts.census(session, "b", b))
    await cohorts.refuse_overlap(session, in_a, in_b)
    count_a, count_b = await asyncio.gather(*(counts(session, of, layer, members) for members in (in_a, in_b)))
    if of == CONTEXT_LABELS and a.run is not b.run:
        # Context labels of two runs are the same where their names are.
        ids = {name: label_id for label_id, name in a.run.context_labels.items()}
        count_b = {
            (ids[b.run.context_labels[label_id]], rest): count
            for (label_id, rest), count in count_b.items()
            if b.run.context_labels[label_id] in ids
        }
    await session.loaded("evigraph.graphapi.questions.statistics")
    rows = await session.compute(lambda: ranked(count_a, in_a.size, count_b, in_b.size, min_count))
    return Contrast(of, layer, root, in_a, in_b, rows)


def examples(of: str, layer_id: int, members: Members, items: Sequence[Item], count: int) -> Statement[ExampleRow]:
    """The decisions of a cohort that have each item with most importance, `count` of each."""
    conditions, values = members.where()
    first, second = _ITEM[of]
    importance = fine("(importance_log + e.share_log)")
    return Template(
        ExampleRow,
        f"""
        SELECT first, second, decision_id
        FROM (SELECT decision_id, {first} AS first, {second} AS second, sum({importance}) AS importance
              FROM (SELECT decision_id, channel AS target, importance_log, unnest(evidence) AS e
                    FROM decomposition WHERE {conditions} AND layer_id = :upper_layer)
              GROUP BY ALL)
        WHERE (first, second) IN :items
        QUALIFY row_number() OVER (PARTITION BY first, second ORDER BY importance DESC, decision_id) <= :count
        ORDER BY importance DESC, decision_id
        """,
    ).filled(**values, upper_layer=layer_id + 1, items=tuple(items), count=count)
