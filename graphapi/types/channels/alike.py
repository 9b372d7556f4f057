"""What the fields of alike channels take, and how they are asked: one statement a layer, whatever asks for it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import strawberry

from evigraph.graphapi.questions.channels.alike import Alike, AlikeKey, Group, Likeness, Measure, likeness
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.types.base import DecisionRole, Info, described, given, role_of
from evigraph.graphapi.types.loaders import Context, in_groups

if TYPE_CHECKING:
    from evigraph.graphapi.types.channel import Channel

ChannelOf = Annotated["Channel", strawberry.lazy("evigraph.graphapi.types.channel")]
"""`Channel`, which has fields of the types below."""
MOST_ALIKE = 100
FEWEST_EDGES = 10
_THRESHOLDS: dict[Measure, float] = {"edges": 0.9, "masks": 0.5}


@strawberry.enum(description="What channels of a layer are alike by.")
class AlikeBy(enum.Enum):
    EDGES = strawberry.enum_value(
        "edges",
        description="What they are evidence for and what is evidence for them: the cosine of their edge profiles over "
        "all classes. A profile has two halves, the channels of the layer above that it supports and those of the "
        "layer below that support it: the square root of each one's part of the importance of the edges.",
    )
    MASKS = strawberry.enum_value(
        "masks",
        description="Where they look: of the decompositions that keep one, the part in which the other's mask overlaps "
        "its own (IoU > 0.9) and its contribution is smaller; the larger of the two directions.",
    )


_MEASURES: dict[AlikeBy, Measure] = {AlikeBy.EDGES: "edges", AlikeBy.MASKS: "masks"}
By = Annotated[AlikeBy, strawberry.argument(description="What likeness is.")]
MinEdges = Annotated[
    int,
    strawberry.argument(
        description="Channels with fewer edges into them are left out (of MASKS, as the ones kept): few are alike by "
        "chance."
    ),
]
Threshold = Annotated[
    float | None,
    strawberry.argument(description="Likeness that joins two channels; 0.9 of EDGES and 0.5 of MASKS if null."),
]


@strawberry.type(description="A channel of the same layer, and how like it is.")
class AlikeChannel:
    channel: ChannelOf
    likeness: float = strawberry.field(description="In 0..1; see AlikeBy.")
    kept: ChannelOf | None = strawberry.field(
        description="Of MASKS, the one of the two that the decompositions counted keep; null of EDGES."
    )
    overlaps: int | None = strawberry.field(
        description="Those in which the other is a duplicate of it: likeness is overlaps / edges."
    )
    edges: int | None = strawberry.field(description="Decompositions that keep it: edges into it.")


@strawberry.type(
    description="Channels of a layer joined by likeness, a connected component of the pairs that reach the threshold: "
    "two of them may be less alike, where others lie between them."
)
class ChannelGroup:
    size: int
    least: float = strawberry.field(description="Likeness of the least alike pair.")
    mean: float = strawberry.field(description="Mean likeness of all pairs.")
    indices: strawberry.Private[tuple[int, ...]]
    channel_of: strawberry.Private[Callable[[int], Channel]]

    @described("Those of most edges first.")
    def channels(
        self, info: Info, first: Annotated[int, strawberry.argument(description="At most 100.")] = 20
    ) -> list[ChannelOf]:
        shown = self.indices[: bounded("first", first, 0, MOST_ALIKE)]
        info.context.session.spend(len(shown))
        return [self.channel_of(index) for index in shown]


def alike_node(row: Alike, channel_of: Callable[[int], Channel]) -> AlikeChannel:
    """The GraphQL object of a channel that is like another; `channel_of` gives a channel of their layer."""
    masks = row.masks
    return AlikeChannel(
        channel=channel_of(row.channel),
        likeness=row.likeness,
        kept=None if masks is None else channel_of(masks.kept),
        overlaps=None if masks is None else masks.overlaps,
        edges=None if masks is None else masks.edges,
    )


def group_node(group: Group, channel_of: Callable[[int], Channel]) -> ChannelGroup:
    """The GraphQL object of a group of channels."""
    return ChannelGroup(
        size=len(group.channels), least=group.least, mean=group.mean, indices=group.channels, channel_of=channel_of
    )


async def likeness_of(
    context: Context, run: RunInfo, layer_id: int, by: AlikeBy, role: DecisionRole | None, min_edges: int
) -> Likeness | None:
    """How alike the channels of a layer are; None by masks where the run did not look for overlaps.

    Raises:
        UsageError: min_edges is below 1.
    """
    bounded("minEdges", min_edges, 1)
    if by is AlikeBy.MASKS and not run.finds_overlaps:
        return None
    key = AlikeKey(_MEASURES[by], role_of(role), min_edges, run.run_id, layer_id)
    return await context.ask(_likeness).load(key)


async def groups_of(context: Context, found: Likeness, by: AlikeBy, threshold: float | None) -> list[Group]:
    """The groups of a layer's channels.

    Raises:
        UsageError: The threshold is not within 0.05 and 1.
    """
    least = bounded("threshold", given(threshold), 0.05, 1.0, _THRESHOLDS[_MEASURES[by]])
    return await context.session.compute(lambda: found.groups(least))


async def _likeness(context: Context, keys: list[AlikeKey]) -> Sequence[Likeness | BaseException]:
    async def load(group: list[AlikeKey]) -> dict[AlikeKey, Likeness]:
        return {key: await likeness(context.session, key) for key in group}

    return await in_groups(keys, lambda key: key, load)
