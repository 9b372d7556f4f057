"""Looking at activation maps while they are at hand: they are gone once their decisions are decomposed.

An observer is shown each part of the decisions of a layer, with their maps and with the channels that were kept, and
notes columns. These travel with the edges: repeated for every node that stands for a decision, in the order of its
edges, and by themselves as rows of a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions
from evigraph.indexer.evidence.groups import Groups, overlap_groups

TensorColumns = dict[str, Tensor]
"""Columns of one length by name."""


@dataclass(frozen=True)
class Noted:
    """What observers note of some decisions. -1 in a column of integers and nan in one of floats stand for null.

    Attributes:
        edge: (edges,) columns of the kept edges.
        target: (decisions,) columns of the decomposed decisions.
        rows: by table, (rows,) columns, of which `target` int64 says whose row each is; ascending.
    """

    edge: TensorColumns = field(default_factory=dict)
    target: TensorColumns = field(default_factory=dict)
    rows: Mapping[str, TensorColumns] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Some decisions of one layer that are decomposed together.

    Attributes:
        maps: their activation maps.
        decisions: what is decomposed, in the order of `maps.rows`.
        alpha: (decisions, channels), contributions (Eq. 4).
        mask_threshold: of the largest activation, in 0..1.
    """

    maps: ActivationMaps
    decisions: Decisions
    alpha: Tensor
    mask_threshold: float

    @cached_property
    def groups(self) -> Groups:
        """The overlap groups of all positive channels, computed once for whoever asks."""
        return overlap_groups(self.maps, self.alpha, self.mask_threshold)


@dataclass(frozen=True)
class Kept:
    """The channels that were kept of a part's decisions, an edge each.

    Attributes:
        row: (edges,) int64, which of the part's decisions.
        channel: (edges,) int64, of the lower layer.
        windows: (edges, height, width), A outside of which it is zero.
        top, left: (edges,) int64, where each window begins in the lower layer's map.
    """

    row: Tensor
    channel: Tensor
    windows: Tensor
    top: Tensor
    left: Tensor


class Observer(Protocol):
    """Notes columns of decisions of one layer."""

    def observe(self, part: Part, kept: Kept) -> Noted:
        """Look at some decisions; columns are in the order of `part.decisions` and of `kept`."""
        ...


def observed(observers: Sequence[Observer], part: Part, kept: Kept) -> Noted:
    """What all observers note of a part; a row's `target` counts all decisions of the layer."""
    edge: TensorColumns = {}
    target: TensorColumns = {}
    rows: dict[str, TensorColumns] = {}
    for observer in observers:
        noted = observer.observe(part, kept)
        edge |= noted.edge
        target |= noted.target
        for table, columns in noted.rows.items():
            rows[table] = columns | {"target": part.maps.rows[columns["target"]]}
    return Noted(edge, target, rows)


def joined(parts: Sequence[Noted], place: Tensor, order: Tensor) -> Noted:
    """What was noted of the parts of a layer as one.

    Args:
        parts: one or more.
        place: (decisions,) int64, where each decision of the layer stands among those of all parts.
        order: (edges,) int64, the order that the edges of all parts are brought into.
    """
    return Noted(
        {name: column[order] for name, column in _concatenated([part.edge for part in parts]).items()},
        {name: column[place] for name, column in _concatenated([part.target for part in parts]).items()},
        {table: _by_target([part.rows[table] for part in parts]) for table in parts[0].rows},
    )


def _concatenated(parts: Sequence[TensorColumns]) -> TensorColumns:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _by_target(parts: Sequence[TensorColumns]) -> TensorColumns:
    columns = _concatenated(parts)
    order = torch.argsort(columns["target"], stable=True)
    return {name: column[order] for name, column in columns.items()}
