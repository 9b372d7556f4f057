"""GraphQL type of the channels that a kept one stands for, since their masks overlap (Sec. 4.1)."""

from __future__ import annotations

from typing import Any

import strawberry

from evigraph.graphapi.questions.evidence import DecisionKey, EvidenceRow, OverlapRow, overlaps_statement
from evigraph.graphapi.types.loaders import Context, grouped
from evigraph.graphapi.types.nodes import node_from


@strawberry.type(
    description="A channel of smaller contribution to the same decision whose mask overlaps the kept one's."
)
class OverlapMember:
    channel: int = strawberry.field(description="Of the edge's source layer.")
    contribution: float
    iou: float = strawberry.field(description="Of the two masks; above 0.9.")


async def members_of_edge(context: Context, run_id: int, edge: EvidenceRow) -> list[OverlapMember]:
    """The group that an edge's source represents, without itself; one statement for all decisions of a request."""
    groups = await context.ask(_groups).load((run_id, edge.root_class_id, edge.decision_id))
    key = (edge.target_layer, edge.target_channel, edge.target_y, edge.target_x, edge.source_channel)
    return [node_from(OverlapMember, row, channel=row.member) for row in groups.get(key, [])]


async def _groups(context: Context, keys: list[DecisionKey]) -> list[dict[tuple[Any, ...], list[OverlapRow]]]:
    """Of each decision its groups, under (layer, channel, y, x, representative)."""
    rows = await context.session.rows(overlaps_statement(keys))
    context.session.spend(len(rows))
    by_decision = grouped(rows, ["run_id", "class_id", "decision_id"])
    node = ["layer_id", "channel", "y", "x", "representative"]
    return [grouped(by_decision.get(key, []), node) for key in keys]
