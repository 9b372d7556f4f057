"""Which channels of a layer are alike: by the evidence they are part of, or by the places they look at.

EDGES, from `channel_edge`, over all classes:

1. A channel's edges into it come from the channels of the layer above that it supports, those out of it from the
   channels of the layer below that support it. Each of the two is a half of its profile: the importance of the edges
   by that other channel, divided by the half's sum, and of that the square root, so that no single channel outweighs
   all others. Such a half has length 1.
2. Likeness is the cosine of two profiles. So it is the mean of the halves' cosines where both channels have both
   halves, and 1 where they are supported and support in the same parts. The lowest layer has the upper half only, and
   the logits the lower one.
3. A channel of few edges is like others by chance: those of fewer than `min_edges` edges into them (of the logits, out
   of them) are left out.

MASKS, from `channel_overlap`: of the decompositions that keep one channel, the part in which the other is a duplicate
of it, as its mask overlaps by an IoU above 0.9 and its contribution is smaller (docs/overlaps.md). Likeness is the
larger of the two directions, of those whose denominator is at least `min_edges`.

A group is a connected component of the pairs whose likeness reaches a threshold: two channels of a group may be less
alike than that, if others lie between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Template
from evigraph.schema.tables.rollups import ALL_CLASSES

Measure = Literal["edges", "masks"]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class AlikeKey(NamedTuple):
    """Of the roots of one role, the channels of a layer that have at least `min_edges` edges."""

    by: Measure
    role: str
    min_edges: int
    run_id: int
    layer_id: int


class ProfileRow(NamedTuple):
    """Edges between a channel and one of the layer above (`is_upper`) or below."""

    is_upper: bool
    channel: int
    other: int
    edges: int
    importance: float


class OverlapRow(NamedTuple):
    """Decompositions that keep a channel, and those of them in which another is a duplicate of it."""

    channel: int
    other: int
    decompositions: int
    edges: int


class Overlaps(NamedTuple):
    """In `overlaps` of the `edges` into the channel `kept` the other one of a pair is a duplicate of it."""

    kept: int
    overlaps: int
    edges: int


@dataclass(frozen=True)
class Alike:
    """A channel that is like the one that was asked for; `masks` is None of likeness by edges."""

    channel: int
    likeness: float
    masks: Overlaps | None


@dataclass(frozen=True)
class Group:
    """Channels that are alike, the one of most edges first; the least and the mean likeness of their pairs."""

    channels: tuple[int, ...]
    least: float
    mean: float


@dataclass(frozen=True)
class Likeness:
    """How alike the channels of a layer are.

    Attributes:
        channels: (n,) their numbers, ascending.
        edges: (n,) how many edges each has.
        matrix: (n, n) symmetric, in 0..1; of a channel and itself 0.
        overlaps: (n, n), where likeness is by masks, in how many decompositions of the row's channel the column's is a
            duplicate.
    """

    channels: Ints
    edges: Ints
    matrix: Floats
    overlaps: Ints | None = None

    def most_alike(self, channel: int, first: int) -> list[Alike]:
        """The channels that are most like one, the lower first of equal ones; those of likeness 0 are not."""
        (place,) = np.nonzero(self.channels == channel)
        if not len(place):
            return []
        row = self.matrix[place[0]]
        order = np.argsort(-row, kind="stable")[:first]
        return [
            Alike(int(self.channels[at]), float(row[at]), self._masks(int(place[0]), int(at)))
            for at in order
            if row[at] > 0
        ]

    def _masks(self, one: int, other: int) -> Overlaps | None:
        """The direction that a pair's likeness is of: where both are as large, of the channel asked for."""
        overlaps, edges = self.overlaps, self.edges
        if overlaps is None:
            return None
        kept, member = max([(one, other), (other, one)], key=lambda pair: overlaps[pair] / max(1, edges[pair[0]]))
        return Overlaps(int(self.channels[kept]), int(overlaps[kept, member]), int(edges[kept]))

    def groups(self, threshold: float) -> list[Group]:
        """The groups of two channels or more, the largest first, then the most alike."""
        found = [self._group(members) for members in _components(self.matrix >= threshold)]
        return sorted(found, key=lambda group: (-len(group.channels), -group.mean, group.channels))

    def _group(self, members: Ints) -> Group:
        pairs = self.matrix[np.ix_(members, members)][np.triu_indices(len(members), 1)]
        ordered = members[np.argsort(-self.edges[members], kind="stable")]
        return Group(tuple(self.channels[ordered].tolist()), float(pairs.min()), float(pairs.mean()))


async def likeness(session: Session, key: AlikeKey) -> Likeness:
    """How alike the channels of a layer are; one statement."""
    statement = _statement(key.by).filled(run_id=key.run_id, layer_id=key.layer_id, role=key.role, every=ALL_CLASSES)
    columns = await session.columns(statement)
    make = by_edges if key.by == "edges" else by_masks
    return await session.compute(lambda: make(columns, key.min_edges))


@cache
def _statement(by: Measure) -> Template[Any]:
    if by == "masks":
        return Template(OverlapRow, _OVERLAPS)
    return Template(ProfileRow, _PROFILES)


_PROFILES = """
    SELECT is_upper, channel, other, sum(edges)::INTEGER AS edges, sum(importance_sum)::DOUBLE AS importance
    FROM (
        SELECT TRUE AS is_upper, source_channel AS channel, target_channel AS other, edges, importance_sum
        FROM channel_edge WHERE run_id = :run_id AND target_layer = :layer_id + 1 AND role = :role
        UNION ALL
        SELECT FALSE, target_channel, source_channel, edges, importance_sum
        FROM channel_edge WHERE run_id = :run_id AND target_layer = :layer_id AND role = :role
    )
    GROUP BY ALL
"""
_OVERLAPS = """
    WITH kept AS (
        SELECT channel, sum(edges)::INTEGER AS edges FROM channel_support
        WHERE run_id = :run_id AND layer_id = :layer_id AND class_id = :every AND role = :role GROUP BY channel)
    SELECT representative AS channel, member AS other, decompositions, edges
    FROM channel_overlap JOIN kept ON channel = representative
    WHERE run_id = :run_id AND layer_id = :layer_id AND role = :role
    UNION ALL SELECT channel, channel, 0, edges FROM kept
"""


def by_edges(columns: dict[str, NDArray[Any]], min_edges: int) -> Likeness:
    """The cosines of profiles, from the columns of `ProfileRow`."""
    is_upper, channel, importance = columns["is_upper"], columns["channel"], columns["importance"]
    # Of the logits there is no upper half, so theirs are counted in the lower one.
    counted = is_upper if is_upper.any() else ~is_upper
    channels, place = np.unique(channel, return_inverse=True)
    edges = np.bincount(place[counted], columns["edges"][counted], len(channels)).astype(np.int64)
    profile = np.zeros((len(channels), 0), np.float32)
    for half in (is_upper, ~is_upper):
        others, of_other = np.unique(columns["other"][half], return_inverse=True)
        values = np.zeros((len(channels), len(others)), np.float32)
        values[place[half], of_other] = np.sqrt(importance[half])
        profile = np.hstack([profile, _unit(values)])
    kept = edges >= min_edges
    profile = _unit(profile[kept])
    return Likeness(channels[kept].astype(np.int64), edges[kept], _of_pairs(profile @ profile.T))


def by_masks(columns: dict[str, NDArray[Any]], min_edges: int) -> Likeness:
    """The rates of overlaps, from the columns of `OverlapRow`."""
    every = np.concatenate([columns["channel"], columns["other"]])
    channels, places = np.unique(every, return_inverse=True)
    kept, member = places[: len(every) // 2], places[len(every) // 2 :]
    edges = np.zeros(len(channels), np.int64)
    edges[kept] = columns["edges"]
    overlaps = np.zeros((len(channels), len(channels)), np.int64)
    overlaps[kept, member] = columns["decompositions"]
    overlaps[edges < min_edges] = 0  # a part of too few decompositions
    rate = overlaps / np.maximum(edges, 1)[:, None]
    return Likeness(channels.astype(np.int64), edges, _of_pairs(np.maximum(rate, rate.T)), overlaps)


def _components(joined: NDArray[np.bool_]) -> Iterator[Ints]:
    """The connected components of two or more; of the pairs of a wide layer, NetworkX's took ten times as long."""
    left: NDArray[np.bool_] = np.asarray(joined.any(axis=1))
    while left.any():
        members = np.zeros(len(joined), np.bool_)
        members[np.argmax(left)] = True
        before = 0
        while before < (size := int(np.count_nonzero(members))):
            before = size
            members |= joined[members].any(axis=0)
        left &= ~members
        yield np.flatnonzero(members)


def _unit(rows: Floats) -> Floats:
    """Rows of length 1, or of zeros where there is nothing."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)


def _of_pairs(matrix: NDArray[Any]) -> Floats:
    """A matrix of pairs: rounding leaves none above 1, and no channel is alike itself."""
    pairs: Floats = np.clip(matrix, 0, 1).astype(np.float32)
    np.fill_diagonal(pairs, 0)
    return pairs
