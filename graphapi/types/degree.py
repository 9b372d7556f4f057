"""GraphQL types of the discriminative degree of a layer's channels (Eq. 13, Fig. 14)."""

from __future__ import annotations

import strawberry

from evigraph.graphapi.questions.degrees import Degrees


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


def degree_node(found: Degrees) -> DegreeDistribution:
    """The GraphQL object of a distribution."""
    return DegreeDistribution(
        count=found.count,
        mean=found.mean,
        median=found.median,
        quantiles=found.quantiles,
        above=found.above,
        histogram=found.histogram,
    )
