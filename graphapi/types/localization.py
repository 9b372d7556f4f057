"""GraphQL types of the channels that localize a context label."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

import strawberry

from evigraph.graphapi.questions.localization import FEWEST_EDGES, LocalizingChannel, in_order, localizing
from evigraph.graphapi.store import cursors
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import evidence_layer, find_context_label
from evigraph.graphapi.types.base import Connection, DecisionRole, class_id_of, described, given, page_size, role_of
from evigraph.graphapi.types.channel import Channel, channel_node
from evigraph.graphapi.types.context import Localization, localization_node
from evigraph.graphapi.types.loaders import Context
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema.errors import UsageError
from evigraph.schema.tables.rollups import ALL_CLASSES

__all__ = ["FEWEST_EDGES"]

MinEdges = Annotated[
    int | None, strawberry.argument(description="Channels of fewer edges are left out, of the listing and of q.")
]
_TAG = "channelsLocalizing"
_TYPES = (float, int, int)


@strawberry.type(
    description="A channel, and how much of its evidence lies on a context label.", name="LocalizingChannel"
)
class LocalizingChannelNode:
    channel: Channel
    edges: int = strawberry.field(description="Edges into the channel, on the label or not, of images with a map.")
    decisions: int = strawberry.field(description="Roots that have such edges.")
    peak: Localization
    activation: Localization


@strawberry.type(description="Channels that localize a context label.")
class LocalizingConnection(Connection[LocalizingChannelNode]):
    least: strawberry.Private[int]

    @described("Edges that each channel has at least.")
    def min_edges(self) -> int:
        return self.least


async def localizing_page(
    context: Context,
    run: RunInfo,
    label: str,
    layer: str,
    class_: str | None,
    role: DecisionRole | None,
    min_edges: int | None,
    first: int | None,
    after: str | None,
) -> LocalizingConnection:
    """A page of the channels that localize a label; arguments as the client gave them.

    Raises:
        NotFoundError: there is no such label, layer or class.
        UsageError: the run does not hold what this is told from.
    """
    size, after = page_size(context, first), given(after)
    start = None if after is None else cursors.decode(after, _TAG, _TYPES)
    least = bounded("minEdges", given(min_edges), 1, None, FEWEST_EDGES)
    of_layer, label_id, class_id = evidence_layer(run, layer), find_context_label(run, label), class_id_of(run, class_)
    _require_localized(run, of_layer.layer_id, layer)
    wanted_class = ALL_CLASSES if class_id is None else class_id
    statement = localizing(run.run_id, of_layer.layer_id, wanted_class, role_of(role), label_id, least)
    every = in_order(await context.session.rows(statement))
    begin = 0 if start is None else bisect_right(every, start, key=lambda channel: channel.key)
    page = every[begin : begin + size]
    context.session.spend(len(page))

    async def count() -> int:
        return len(every)

    return LocalizingConnection(
        least=least,
        items=[_node(run, channel) for channel in page],
        keys=[cursors.encode(_TAG, channel.key) for channel in page],
        has_more=begin + size < len(every),
        is_first=start is None,
        count=count,
    )


def _require_localized(run: RunInfo, layer_id: int, layer: str) -> None:
    if layer_id in run.localized_layers:
        return
    if run.localized_layers:
        known = [one.name for one in run.layers if one.layer_id in run.localized_layers]
        raise UsageError(
            f"layer: edges into {layer!r} have no context labels in run {run.name!r}; take {', '.join(known)}"
        )
    raise UsageError(
        f"run {run.name!r} holds no masks, as it was indexed before they were kept; index it into a new folder and "
        "publish that"
    )


def _node(run: RunInfo, channel: LocalizingChannel) -> LocalizingChannelNode:
    return node_from(
        LocalizingChannelNode,
        channel.row,
        channel=channel_node(run, channel.row.layer_id, channel.row.channel),
        peak=localization_node(channel.measures.peak),
        activation=localization_node(channel.measures.activation),
    )
