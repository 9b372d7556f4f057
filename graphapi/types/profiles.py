"""GraphQL types of what a layer's decompositions keep, leave and merge (Fig. 6)."""

from __future__ import annotations

import strawberry

from evigraph.graphapi.questions.profiles import Count, Positive, Profile
from evigraph.graphapi.types.base import described


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
    found: strawberry.Private[Positive]

    @described("By number of positive channels, ascending.")
    def positive(self) -> list[DecompositionCount]:
        """Made when asked for, as there may be hundreds."""
        return _counts(self.found.positive)

    @described("By number of overlapping ones, ascending.")
    def overlapping(self) -> list[DecompositionCount]:
        """Likewise."""
        return _counts(self.found.overlapping)


def profile_node(found: Profile) -> LayerProfile:
    """The GraphQL object of a profile."""
    return LayerProfile(decompositions=found.decompositions, shares=found.shares, residual=found.residual)


def positive_node(found: Positive) -> PositiveProfile:
    """The GraphQL object of the counts of positive channels."""
    return PositiveProfile(
        decompositions=found.decompositions,
        barren=found.barren,
        mean_positive=found.mean_positive,
        mean_overlapping=found.mean_overlapping,
        found=found,
    )


def _counts(counts: list[Count]) -> list[DecompositionCount]:
    return [DecompositionCount(value=count.value, decompositions=count.decompositions) for count in counts]
