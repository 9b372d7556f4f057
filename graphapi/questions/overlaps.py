"""Overlap groups: the channels that a kept one stands for, since their masks overlap (Sec. 4.1), from `overlap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.sql import Statement, Template, columns_of
from evigraph.schema.tables.evidence import Overlap

DecisionKey = tuple[int, int, int]
"""(run_id, class_id, decision_id)"""


class OverlapRow(NamedTuple):
    """Of `overlap`: a member of a representative's group, at the decomposed node (layer_id, channel, y, x)."""

    run_id: int
    class_id: int
    decision_id: int
    layer_id: int
    channel: int
    y: int
    x: int
    representative: int
    member: int
    contribution: float
    iou: float


def overlaps_statement(keys: Sequence[DecisionKey]) -> Statement[OverlapRow]:
    """The groups of some decisions, their members by contribution, the largest first."""
    column = Overlap.__table__.c
    wanted = matching.condition([column.run_id, column.class_id, column.decision_id], matching.shape_of(keys))
    members = select(*columns_of(OverlapRow, Overlap.__table__)).where(wanted)
    ordered = members.order_by(column.contribution.desc(), column.member)
    return Template(OverlapRow, ordered).filled(**matching.values(keys))
