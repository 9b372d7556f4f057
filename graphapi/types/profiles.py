"""GraphQL types of a layer: what its decompositions keep, leave and merge (Fig. 6), and how class-specific its channels
are (Eq. 13, Fig. 14).
"""

from __future__ import annotations

import strawberry

from evigraph.graphapi.questions.profiles import Count, Positive
from evigraph.graphapi.types.base import described
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
