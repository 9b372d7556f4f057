"""GraphQL types of channels: what they support, feed, are fed by, and localize."""

from __future__ import annotations

from typing import Annotated

import strawberry

from evigraph.graphapi.questions import context, support
from evigraph.graphapi.questions.degrees import ChannelDegreeRow, degree_ranks, degree_rows
from evigraph.graphapi.questions.support import ClassPeakRow, EdgeRow, PeakRow, SupportRow
from evigraph.graphapi.questions.verification import methods_of_channel
from evigraph.graphapi.questions.verified import CountsRow
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import LayerInfo, RunInfo
from evigraph.graphapi.types.base import (
    UNSET,
    After,
    ClassName,
    Connection,
    DecisionRole,
    First,
    Info,
    NodeInterface,
    Outcome,
    Role,
    SupportOrder,
    class_id_of,
    described,
    given,
    listed,
    outcome_of,
    page_of_rows,
    role_of,
)
from evigraph.graphapi.types.channels.alike import (
    FEWEST_EDGES,
    MOST_ALIKE,
    AlikeBy,
    AlikeChannel,
    By,
    ChannelGroup,
    MinEdges,
    Threshold,
    alike_node,
    group_node,
    groups_of,
    likeness_of,
)
from evigraph.graphapi.types.channels.peaks import Peak
from evigraph.graphapi.types.context import ContextLabelSupport, context_label_node
from evigraph.graphapi.types.context import OrderBy as LabelOrder
from evigraph.graphapi.types.context import order_of as label_order
from evigraph.graphapi.types.layers_classes import Class, Layer, class_by_id, layer_node
from evigraph.graphapi.types.loaders import of_layers
from evigraph.graphapi.types.nodes import node_from
from evigraph.graphapi.types.verification import (
    Fill,
    MaxArea,
    VerificationCounts,
    VerificationMethod,
    counts_by_method,
    counts_node,
    tests_asked,
)
from evigraph.schema.tables.rollups import ALL_CLASSES, LARGE_AREA, ChannelDegree
from evigraph.schema.tables.rollups import ChannelSupport as ChannelSupportTable

_CHANNEL = ("run_id", "layer_id", "channel")
"""What a channel is found by."""

_degree_ranks = of_layers(degree_rows, lambda _, rows: degree_ranks(rows))


@strawberry.type(description="A channel of a layer, over the whole dataset.")
class Channel(NodeInterface):
    run: strawberry.Private[RunInfo]
    layer_info: strawberry.Private[LayerInfo]
    index: int
    layer: Layer

    @described("max_c N_c / sum_c N_c over edges of rank < 3 of predicted roots; null where there are none.")
    async def discriminative_degree(self, info: Info) -> float | None:
        degrees = info.context.rows(ChannelDegreeRow, ChannelDegree, *_CHANNEL)
        rows = await degrees.load(self._key())
        return rows[0].discriminative_degree if rows else None

    @described("Its place among the layer's channels by discriminative degree; null where it has no edges that count.")
    async def degree_rank(self, info: Info) -> DegreeRank | None:
        rank = (await info.context.ask(_degree_ranks).load(self._key()[:2])).get(self.index)
        return None if rank is None else node_from(DegreeRank, rank)

    @described("The class that a channel of the logits is; null of other layers.", name="class")
    def class_(self) -> Class | None:
        return class_by_id(self.run, self.index) if self.layer_info is self.run.layers[-1] else None

    @described("The classes that it supports, most first.")
    async def support(
        self,
        info: Info,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = UNSET,
        order_by: SupportOrder | None = SupportOrder.DECISIONS,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ChannelSupport]:
        def node(row: SupportRow) -> ChannelSupport:
            return support_node(self.run, row, *arguments[:2])

        arguments = (role_of(role), outcome_of(outcome), order_of(order_by))
        return await listed(info.context, support.classes_of_channel, arguments, self._key(), first, after, node)

    @described("The context labels that its masks overlap best, those first that it localizes most surely.")
    async def context_labels(
        self,
        info: Info,
        class_: ClassName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        order_by: LabelOrder = UNSET,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ContextLabelSupport]:
        class_id, wanted_role = class_id_of(self.run, class_), role_of(role)
        parent = (*self._key(), ALL_CLASSES if class_id is None else class_id)
        arguments = (wanted_role, label_order(self.run, order_by))
        page = await page_of_rows(info.context, context.context_labels, arguments, parent, first, after)
        # Of a page without rows nothing more is asked.
        edges = info.context.rows(context.EveryEdgeRow, ChannelSupportTable, *_CHANNEL, "class_id", "role")
        every_edge = await edges.load((*parent, wanted_role)) if page.items else []
        count = sum(row.edges for row in every_edge)
        return page.of([context_label_node(self.run, row, count, None, wanted_role, None) for row in page.items])

    @described("Lower channels that feed it, most decisions first.")
    async def supporters(
        self,
        info: Info,
        class_: ClassName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ChannelEdge]:
        return await self._edges(info, "target", class_, role, first, after)

    @described("Upper channels that it feeds, most decisions first.")
    async def supports(
        self,
        info: Info,
        class_: ClassName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ChannelEdge]:
        return await self._edges(info, "source", class_, role, first, after)

    @described(
        "Images and places where it contributes most: of a class to all its roots of the role, else to any root, of "
        "which the largest are kept."
    )
    async def peaks(
        self,
        info: Info,
        class_: ClassName = UNSET,
        role: Annotated[DecisionRole | None, strawberry.argument(description="Of a class's roots.")] = (
            DecisionRole.PREDICTED
        ),
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[Peak]:
        def node(row: PeakRow | ClassPeakRow) -> Peak:
            return node_from(Peak, row, run=self.run, row=row)

        class_id = class_id_of(self.run, class_)
        if class_id is not None:
            parent = (self.run.run_id, class_id, self.layer_info.layer_id + 1, self.index)
            return await listed(info.context, support.peaks_of_class, (role_of(role),), parent, first, after, node)
        return await listed(info.context, support.peaks, (), self._key(), first, after, node)

    @described("How often decisions changed without it, by method and fill; empty where the run did not test it.")
    async def verification(
        self,
        info: Info,
        class_: ClassName = UNSET,
        method: VerificationMethod | None = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = Outcome.WRONG,
        label: str | None = UNSET,
        predicted: str | None = UNSET,
        fill: Fill = UNSET,
        max_area: MaxArea = LARGE_AREA,
    ) -> list[VerificationCounts]:
        tests = tests_asked(self.run, class_, label, predicted, method, fill, role, outcome, max_area)
        return await counts_by_method(info.context, methods_of_channel, self._key(), tests)

    @described("The channels of its layer that are most like it; null by MASKS where the run holds no overlaps.")
    async def alike(
        self,
        info: Info,
        by: By = AlikeBy.EDGES,
        role: Role = DecisionRole.PREDICTED,
        min_edges: MinEdges = FEWEST_EDGES,
        first: Annotated[int, strawberry.argument(description="At most 100.")] = 10,
    ) -> list[AlikeChannel] | None:
        count = bounded("first", first, 0, MOST_ALIKE, 10)
        found = await likeness_of(info.context, self.run, self.layer_info.layer_id, by, role, min_edges)
        if found is None:
            return None
        rows = found.most_alike(self.index, count)
        info.context.session.spend(len(rows))
        return [alike_node(row, self._beside) for row in rows]

    @described("The group of alike channels that it belongs to, as Run.channelGroups has them; null of none.")
    async def group(
        self,
        info: Info,
        by: By = AlikeBy.EDGES,
        role: Role = DecisionRole.PREDICTED,
        threshold: Threshold = UNSET,
        min_edges: MinEdges = FEWEST_EDGES,
    ) -> ChannelGroup | None:
        found = await likeness_of(info.context, self.run, self.layer_info.layer_id, by, role, min_edges)
        groups = [] if found is None else await groups_of(info.context, found, by, threshold)
        own = next((group for group in groups if self.index in group.channels), None)
        return None if own is None else group_node(own, self._beside)

    def id_parts(self) -> tuple[str | int, ...]:
        return (self.run.name, self.layer_info.name, self.index)

    def _beside(self, index: int) -> Channel:
        """Another channel of its layer."""
        return Channel(run=self.run, layer_info=self.layer_info, index=index, layer=self.layer)

    def _key(self) -> tuple[int, int, int]:
        return (self.run.run_id, self.layer_info.layer_id, self.index)

    async def _edges(
        self,
        info: Info,
        end: str,
        class_: str | None,
        role: DecisionRole | None,
        first: int | None,
        after: str | None,
    ) -> Connection[ChannelEdge]:
        def node(row: EdgeRow) -> ChannelEdge:
            return channel_edge_node(self.run, row, end, roots)

        class_id, wanted_role = class_id_of(self.run, class_), role_of(role)
        roots = self.run.roots(class_id, wanted_role, None)
        arguments = (end, class_id is not None, wanted_role)
        parent = self._key() if class_id is None else (*self._key(), class_id)
        return await listed(info.context, support.channel_edges, arguments, parent, first, after, node)


@strawberry.type(description="A channel among those of its layer that have edges that count, by degree.")
class DegreeRank:
    edges: int = strawberry.field(description="Edges that its own degree is of: of rank < 3, of predicted roots.")
    lower: int = strawberry.field(description="Channels of a lower degree.")
    channels: int = strawberry.field(description="Channels of the layer that have a degree, itself too.")


@strawberry.type(description="A channel whose evidence was tested.")
class VerifiedChannel:
    channel: Channel
    counts: VerificationCounts


@strawberry.type(description="One channel's support for one class, or for all (class is null).")
class ChannelSupport:
    channel: Channel
    class_: Class | None = strawberry.field(name="class")
    decisions: int = strawberry.field(description="Roots of that class whose hierarchy holds the channel.")
    roots: int = strawberry.field(description="All roots of that class, same role and outcome.")
    rate: float = strawberry.field(description="decisions / roots.")
    low: float = strawberry.field(description="Lower end of the rate's 95 % confidence interval (Wilson's score).")
    high: float
    edges: int = strawberry.field(description="Edges into the channel from those roots.")
    mean_share: float = strawberry.field(description="Share, over edges.")
    mean_importance: float = strawberry.field(description="Importance, per supporting root.")


@strawberry.type(description="Evidence that flows from one channel to another, over the whole dataset.")
class ChannelEdge:
    channel: Channel = strawberry.field(description="The other end, as seen from the channel that was asked.")
    target: Channel = strawberry.field(description="The upper channel, which is explained.")
    source: Channel = strawberry.field(description="The lower channel, its evidence.")
    decisions: int = strawberry.field(description="Roots whose hierarchy holds such an edge.")
    rate: float = strawberry.field(description="decisions / all roots of the class, same role.")
    edges: int
    mean_share: float = strawberry.field(description="Share, over edges.")
    mean_importance: float = strawberry.field(description="Importance, per root that holds such an edge.")


def order_of(order_by: SupportOrder | None) -> str:
    """The column to sort by; DECISIONS where none is given."""
    column: str = (given(order_by) or SupportOrder.DECISIONS).value
    return column


def channel_node(run: RunInfo, layer_id: int, index: int) -> Channel:
    """The GraphQL object of a channel."""
    layer = run.layer(layer_id)
    return Channel(run=run, layer_info=layer, index=index, layer=layer_node(run, layer))


def support_node(run: RunInfo, row: SupportRow, role: str, outcome: str | None) -> ChannelSupport:
    """The GraphQL object of a row of a channel-support listing of this role and outcome."""
    roots = run.roots(row.class_id, role, outcome)
    low, high = support.wilson(row.decisions, roots)
    return node_from(
        ChannelSupport,
        row,
        channel=channel_node(run, row.layer_id, row.channel),
        class_=class_by_id(run, row.class_id),
        roots=roots,
        rate=row.decisions / roots,
        low=low,
        high=high,
        mean_share=row.share_sum / row.edges,
        mean_importance=row.importance_sum / row.decisions,
    )


def verified_node(run: RunInfo, row: CountsRow) -> VerifiedChannel:
    """The GraphQL object of a row of a verified-channel listing."""
    return VerifiedChannel(channel=channel_node(run, row.layer_id, row.channel), counts=counts_node(row))


def channel_edge_node(run: RunInfo, row: EdgeRow, end: str, roots: int) -> ChannelEdge:
    """The GraphQL object of a channel-edge row; `end` is the end that was asked, "target" or "source"; `roots` are all
    of the class and role.
    """
    target = channel_node(run, row.target_layer, row.target_channel)
    source = channel_node(run, row.source_layer, row.source_channel)
    return node_from(
        ChannelEdge,
        row,
        channel=source if end == "target" else target,
        target=target,
        source=source,
        rate=row.decisions / roots,
        mean_share=row.share_sum / row.edges,
        mean_importance=row.importance_sum / row.decisions,
    )
