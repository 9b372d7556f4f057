"""GraphQL types of a layer: what its decompositions keep, leave and merge (Fig. 6), and how class-specific its channels
are (Eq. 13, Fig. 14); and the channels that a kept one stands for.
"""

from __future__ import annotations

from typing import Any

import strawberry

from evigraph.graphapi.questions.evidence import DecisionKey, EvidenceRow, OverlapRow, overlaps_statement
from evigraph.graphapi.questions.profiles import Count, Positive
from evigraph.graphapi.types.base import described
from evigraph.graphapi.types.loaders import Context, grouped
from evigraph.graphapi.types.nodes import node_from


@strawberry.type(description="How the evidence of a layer's decompositions falls off with rank.")
class LayerProfile:
    decompositions: int = strawberry.field(description="Those with a positive channel; means are over them.")
    shares: list[float] = strawberry.field(description="Mean share by rank, the largest first; 0 where none is kept.")
    residual: float | None = strawberry.field(
        description="Mean part of the positive contributions that top N leaves out: 1 - the sum of the shares."
    )


@strawberry.type(description="How many decompositions have a count of this value.")
class DecompositionCount:
    value: int
    decompositions: int


@strawberry.type(
    description="How many channels contribute positively to the decisions of a layer, and how many of those overlap."
)
class PositiveProfile:
    decompositions: int = strawberry.field(description="All of them, with evidence or without.")
    barren: int = strawberry.field(description="Decompositions without any positive channel.")
    mean_positive: float | None = strawberry.field(description="Positive channels; null where they were not counted.")
    mean_overlapping: float | None = strawberry.field(
        description="Positive channels whose mask overlaps (IoU > 0.9) that of one of larger contribution, its "
        "representative; null where the run was made without --overlaps."
    )
    counts: strawberry.Private[Positive]

    @described("By number of positive channels, ascending.")
    def positive(self) -> list[DecompositionCount]:
        """Made when asked for, as there may be hundreds."""
        return _counts(self.counts.positive)

    @described("By number of overlapping ones, ascending.")
    def overlapping(self) -> list[DecompositionCount]:
        """Likewise."""
        return _counts(self.counts.overlapping)


@strawberry.type(description="How class-specific the channels of a layer are, over those with edges that count.")
class DegreeDistribution:
    count: int = strawberry.field(description="Channels with at least minEdges edges that count; the others have none.")
    mean: float | None
    median: float | None
    quantiles: list[float] = strawberry.field(description="At the points asked for, interpolated.")
    above: int = strawberry.field(description="Channels whose degree is above the threshold.")
    histogram: list[int] = strawberry.field(
        description="Channels by degree: bins of equal width from 0 to 1, each with its lower end, the last with both."
    )


def _counts(counts: list[Count]) -> list[DecompositionCount]:
    return [node_from(DecompositionCount, count) for count in counts]


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
