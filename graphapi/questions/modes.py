"""Failure modes: groups of wrong decisions that share an evidence signature.

1. The wrong decisions of a label and predicted class, evenly spread by id where they are more than MAX_FAILURES.
2. Their evidence at a layer, which `graphapi.questions.clusters` divides.
3. The signature of a group: channels and context labels that more of its decisions have than of all other failures
   (of the right decisions, where there is one group), by Fisher's exact test. Since the groups were made from the same
   channels, that p only orders them, and is not shown.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from evigraph.graphapi.questions.cohorts import Cohort, Members, census, resolve
from evigraph.graphapi.questions.contrast import CHANNELS, CONTEXT_LABELS, Item, counts, ranked
from evigraph.graphapi.questions.likeness import Likeness, likeness
from evigraph.graphapi.store.catalog import LayerInfo, RunInfo
from evigraph.graphapi.store.names import find_class
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Statement, Template
from evigraph.schema.encoding import NO_LABEL, fine
from evigraph.schema.errors import UsageError

MAX_FAILURES = 500
"""More are sampled: so many are clustered 20 times, shuffled and not."""


class FailureRow(NamedTuple):
    """A wrong decision; `total` is how many there are, of which some are looked at."""

    decision_id: int
    class_id: int
    label_id: int
    predicted_id: int
    total: int


class EvidenceRow(NamedTuple):
    """Lists of the same length: a decision, a channel, its importance there, and the context labels of those edges."""

    decisions: list[int] | None
    channels: list[int] | None
    importance: list[float] | None
    context_labels: list[list[int]] | None


@dataclass(frozen=True)
class Trait:
    """A channel or context label of a mode; rates are of decisions that have it, None where there are no such."""

    item: int
    count: int
    rate: float
    other_rate: float | None
    right_rate: float | None
    log_odds_ratio: float


@dataclass(frozen=True)
class Mode:
    """One group of failures: decisions by closeness to its mean, and what sets them apart, most telling first.

    `pairs` are (class label, predicted class, decisions), most decisions first.
    """

    decisions: tuple[int, ...]
    channels: tuple[Trait, ...]
    context_labels: tuple[Trait, ...]
    pairs: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Modes:
    """All groups, the largest first; `failures` counts all, `sampled` those that were looked at.

    `likeness` is of the classes that failures and right decisions explain; None where there are no right ones.
    """

    modes: tuple[Mode, ...]
    failures: int
    sampled: int
    unassigned: int
    right: int
    silhouette: float | None
    likeness: Likeness | None


@dataclass(frozen=True)
class _Evidence:
    """What decisions have: (decision, channel) to importance, and (decision, context label)."""

    importance: Mapping[tuple[int, int], float]
    context_labels: frozenset[tuple[int, int]]


@dataclass(frozen=True)
class _Right:
    """Right decisions: which, None for none, and how many of them have each channel and each context label."""

    members: Members | None
    channels: Mapping[Item, int]
    context_labels: Mapping[Item, int]

    @property
    def size(self) -> int:
        return 0 if self.members is None else self.members.size

    def likeness(self, failures: Members) -> Likeness | None:
        """How like the classes are that failures and right decisions explain; None where there are no right ones."""
        if self.members is None:
            return None
        called = ("the failures explain", "the right decisions")
        way_out = "name the predicted class to have right decisions for it"
        return likeness(failures, self.members, called, way_out, allows_chance=False)


async def failure_modes(
    session: Session,
    run: RunInfo,
    layer: LayerInfo,
    label: str | None,
    predicted: str | None,
    max_modes: int,
    size: int,
) -> Modes:
    """Divide failures into modes; five statements.

    Args:
        session: The request's.
        run: The run of the failures.
        layer: The layer whose channels are the evidence.
        label: The class label of the images, by name, key or index; any if None.
        predicted: The predicted class, likewise.
        max_modes: The most groups.
        size: The fewest decisions of a group.

    Raises:
        UsageError: There are no such failures.
    """
    wrong = resolve(run, label_id=_class_id(run, label), predicted_id=_class_id(run, predicted), outcome="wrong")
    failures = await session.rows(_failures(wrong))
    if not failures:
        raise UsageError(f"there are no failures ({wrong}); `confusions` lists what there is")
    classes = Counter(row.class_id for row in failures)
    members = Members(wrong, len(failures), None, tuple(row.decision_id for row in failures), classes)
    (row,), right = await asyncio.gather(
        session.rows(_evidence(layer.layer_id, members)), _right(session, run, layer, label, predicted)
    )
    evidence = _Evidence(
        dict(zip(zip(row.decisions or (), row.channels or (), strict=True), row.importance or (), strict=True)),
        frozenset(
            (decision, context_label)
            for decision, context_labels in zip(row.decisions or (), row.context_labels or (), strict=True)
            for context_label in context_labels
            if context_label != NO_LABEL
        ),
    )
    for module in ("statistics", "clusters"):
        await session.loaded(f"evigraph.graphapi.questions.{module}")
    return await session.compute(lambda: _divide(failures, members, evidence, layer.channels, right, max_modes, size))


def _class_id(run: RunInfo, name: str | None) -> int | None:
    return None if name is None else find_class(run, name).class_id


async def _right(session: Session, run: RunInfo, layer: LayerInfo, label: str | None, predicted: str | None) -> _Right:
    """The right decisions of the predicted class, else of the class label, else of all."""
    right = resolve(run, predicted_id=_class_id(run, predicted or label), outcome="correct")
    try:
        members = await census(session, "right", right)
    except UsageError:
        return _Right(None, {}, {})
    held = await asyncio.gather(*(counts(session, of, layer, members) for of in (CHANNELS, CONTEXT_LABELS)))
    return _Right(members, *held)


def _failures(cohort: Cohort) -> Statement[FailureRow]:
    """At most MAX_FAILURES decisions, evenly spread by id."""
    conditions, values = cohort.conditions()
    return Template(
        FailureRow,
        f"""
        SELECT decision_id, class_id, label_id, predicted_id, total
        FROM (SELECT *, row_number() OVER (ORDER BY decision_id) AS place, count(*) OVER () AS total
              FROM root WHERE {conditions})
        WHERE total <= :most OR place * :most // total != (place - 1) * :most // total
        ORDER BY decision_id
        """,
    ).filled(**values, most=MAX_FAILURES)


def _evidence(layer_id: int, members: Members) -> Statement[EvidenceRow]:
    conditions, values = members.where()
    return Template(
        EvidenceRow,
        f"""
        SELECT list(decision_id) AS decisions, list(channel) AS channels, list(importance) AS importance,
               list(context_labels) AS context_labels
        FROM (SELECT decision_id, e.channel, sum({fine("(importance_log + e.share_log)")}) AS importance,
                     list(DISTINCT e.context_label_id) AS context_labels
              FROM (SELECT decision_id, importance_log, unnest(evidence) AS e
                    FROM decomposition WHERE {conditions} AND layer_id = :upper_layer)
              GROUP BY ALL ORDER BY ALL)
        """,
    ).filled(**values, upper_layer=layer_id + 1)


def _divide(
    failures: list[FailureRow],
    members: Members,
    evidence: _Evidence,
    channels: int,
    right: _Right,
    max_modes: int,
    size: int,
) -> Modes:
    """The groups and what sets each apart."""
    import numpy as np

    from evigraph.graphapi.questions.clusters import UNASSIGNED, clusters

    ids = [row.decision_id for row in failures]
    place = {decision: index for index, decision in enumerate(ids)}
    importance = np.zeros((len(ids), channels))
    for (decision, channel), value in evidence.importance.items():
        importance[place[decision], channel] = value
    groups = clusters(importance, max_modes, size)
    modes = []
    for group in range(groups.count):
        inside = np.flatnonzero(groups.group == group)
        closest = inside[np.argsort(-groups.closeness[inside], kind="stable")]
        own = {ids[index] for index in inside}
        pairs = Counter((failures[index].label_id, failures[index].predicted_id) for index in inside)
        modes.append(
            Mode(
                tuple(ids[index] for index in closest),
                _traits(own, set(ids) - own, evidence.importance.keys(), right.size, right.channels),
                _traits(own, set(ids) - own, evidence.context_labels, right.size, right.context_labels),
                tuple((*pair, count) for pair, count in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))),
            )
        )
    unassigned = int((groups.group == UNASSIGNED).sum())
    alike = right.likeness(members)
    return Modes(tuple(modes), failures[0].total, len(ids), unassigned, right.size, groups.silhouette, alike)


def _traits(
    own: set[int], others: set[int], held: Collection[tuple[int, int]], right_size: int, right: Mapping[Item, int]
) -> tuple[Trait, ...]:
    """What is more frequent in a group than in what it is held against, by p, then effect.

    Args:
        own: Decisions of the group.
        others: All other failures.
        held: (decision, item) for each item that a decision has.
        right_size: How many right decisions there are.
        right: How many of them have each item.
    """
    inside: Counter[Item] = Counter((item, -1) for decision, item in held if decision in own)
    outside: Counter[Item] = Counter((item, -1) for decision, item in held if decision in others)
    against, size = (outside, len(others)) if others else (right, right_size)
    rows = ranked(inside, len(own), against, size, 1)
    return tuple(
        Trait(
            row.item[0],
            row.count_a,
            row.count_a / len(own),
            outside[row.item] / len(others) if others else None,
            right.get(row.item, 0) / right_size if right_size else None,
            row.log_odds_ratio,
        )
        for row in rows
        if row.log_odds_ratio > 0 and row.count_a
    )
