"""The field of a run that divides a layer's channels into groups."""

from __future__ import annotations

from typing import Annotated

import strawberry

from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_layer
from evigraph.graphapi.types.base import UNSET, DecisionRole, Info, Role, described
from evigraph.graphapi.types.channel import channel_node
from evigraph.graphapi.types.channels.alike import (
    FEWEST_EDGES,
    MOST_ALIKE,
    AlikeBy,
    By,
    ChannelGroup,
    MinEdges,
    Threshold,
    group_node,
    groups_of,
    likeness_of,
)


@strawberry.type
class GroupedRun:
    run: strawberry.Private[RunInfo]

    @described(
        "The channels of a layer that are alike, in groups of two or more, the largest first; null by MASKS where the "
        "run holds no overlaps."
    )
    async def channel_groups(
        self,
        info: Info,
        layer: str,
        by: By = AlikeBy.EDGES,
        role: Role = DecisionRole.PREDICTED,
        threshold: Threshold = UNSET,
        min_edges: MinEdges = FEWEST_EDGES,
        first: Annotated[int, strawberry.argument(description="At most 100.")] = 20,
    ) -> list[ChannelGroup] | None:
        layer_id = find_layer(self.run, layer).layer_id
        count = bounded("first", first, 0, MOST_ALIKE)
        found = await likeness_of(info.context, self.run, layer_id, by, role, min_edges)
        if found is None:
            return None
        groups = (await groups_of(info.context, found, by, threshold))[:count]
        info.context.session.spend(len(groups))
        return [group_node(group, lambda index: channel_node(self.run, layer_id, index)) for group in groups]
