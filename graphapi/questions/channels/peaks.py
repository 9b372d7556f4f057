"""The edges that lead to places where a channel contributes: whose activation map shows the place, for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.sql import Statement, Template, columns_of
from evigraph.schema.views import edge


class PlaceKey(NamedTuple):
    """A place of a channel in the evidence of one root."""

    run_id: int
    root_class_id: int
    decision_id: int
    source_layer: int
    source_channel: int
    source_y: int
    source_x: int


class PlaceEdgeRow(NamedTuple):
    """An edge into such a place."""

    run_id: int
    root_class_id: int
    decision_id: int
    source_layer: int
    source_channel: int
    source_y: int
    source_x: int
    target_layer: int
    target_channel: int
    target_y: int
    target_x: int
    contribution: float


def edges_into(keys: Sequence[PlaceKey]) -> Statement[PlaceEdgeRow]:
    """All edges into some places, the largest contribution of each first.

    Edges lie by class, layer and decision, so of those a filter on these three leaves, a few blocks are read.
    """
    of = edge.c
    of_key = (of.run_id, of.root_class_id, of.decision_id, of.target_layer, of.source_channel)
    wanted = [(*key[:3], key.source_layer + 1, key.source_channel) for key in keys]
    order = (of.contribution.desc(), of.target_channel, of.target_y, of.target_x)
    rows = (
        select(*columns_of(PlaceEdgeRow, edge))
        .where(matching.condition(of_key, matching.shape_of(wanted)))
        .order_by(*order)
    )
    return Template(PlaceEdgeRow, rows).filled(**matching.values(wanted))
