"""The GraphQL type of a run: the way in to everything that was indexed."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated

import strawberry

from evigraph.graphapi.questions import support
from evigraph.graphapi.questions.class_graph import class_graph
from evigraph.graphapi.questions.images import compare, named_image
from evigraph.graphapi.questions.support import SkippedRow, SupportRow
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import check_channel, find_class, find_layer, find_run
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.types.base import (
    UNSET,
    After,
    BigInt,
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
    role_of,
)
from evigraph.graphapi.types.channel import (
    Channel,
    ChannelSupport,
    channel_node,
    order_of,
    support_node,
)
from evigraph.graphapi.types.channels.groups import GroupedRun
from evigraph.graphapi.types.class_graph import ClassGraph, class_graph_node
from evigraph.graphapi.types.compare import RunComparison
from evigraph.graphapi.types.context import ContextLabelSupport, LayerName, labels_of_class
from evigraph.graphapi.types.context import OrderBy as LabelOrder
from evigraph.graphapi.types.contrast import (
    CohortInput,
    ComparedRoot,
    ContrastConnection,
    ContrastItem,
    Items,
    MinCount,
    contrast_page,
)
from evigraph.graphapi.types.failures import (
    ConfusionMatrix,
    Failure,
    MatrixSize,
    Top,
    confusion_matrix,
    failures_page,
)
from evigraph.graphapi.types.image import Image, SkippedImage, image_node
from evigraph.graphapi.types.layers_classes import (
    Class,
    ClassOrder,
    Confusion,
    Layer,
    Searched,
    class_node,
    classes_page,
    confusions_page,
    layer_node,
)
from evigraph.graphapi.types.localization import FEWEST_EDGES, LocalizingConnection, MinEdges, localizing_page
from evigraph.graphapi.types.modes import FailureModes, MaxModes, MinSize, failure_modes_answer
from evigraph.graphapi.types.nodes import node_from
from evigraph.graphapi.types.peak_shift import OtherOutcome, PeakShift, TopChannels, TrueClass, peak_shift_node
from evigraph.graphapi.types.tested import TestedRun
from evigraph.schema.asked import Asked
from evigraph.schema.tables.rollups import ALL_CLASSES


@strawberry.enum(description="Why this run answers.")
class RunChoice(enum.Enum):
    NAME = strawberry.enum_value(Asked.NAME, description="It was named, or stands in a list or behind an id.")
    ONLY = strawberry.enum_value(Asked.ONLY, description="There is no other.")
    DEFAULT = strawberry.enum_value(Asked.DEFAULT, description="It is the default of its database.")
    NEWEST = strawberry.enum_value(Asked.NEWEST, description="No run is the default, and it was made last.")


@strawberry.type(description="One dataset indexed with one network and one set of settings.")
class Run(TestedRun, GroupedRun, NodeInterface):
    run: strawberry.Private[RunInfo]
    name: str
    model: str
    weights_sha256: str = strawberry.field(name="weightsSha256")
    dataset: str
    dataset_sha256: str = strawberry.field(name="datasetSha256")
    top_n: int
    max_nodes: int | None = strawberry.field(
        description="Nodes decomposed of each root in each layer, the most important ones; null where all were."
    )
    mask_threshold: float
    image_count: int = strawberry.field(description="Images that were indexed.")
    skipped_count: int = strawberry.field(description="Images that could not be used.")
    decision_count: int
    edge_count: BigInt
    created_at: datetime
    finished_at: datetime
    indexer_version: str
    is_default: bool = strawberry.field(description="Whether it is asked where a query names no run.")
    chosen_by: RunChoice

    @described("Rightly predicted images of those with a label; null where none has one.")
    def accuracy(self) -> float | None:
        return self.run.correct_count / self.run.labelled_count if self.run.labelled_count else None

    @described("The lowest first; the last is `logits`.")
    def layers(self) -> list[Layer]:
        return [layer_node(self.run, layer) for layer in self.run.layers]

    @described("All of them, or those that a text is found in.")
    def classes(
        self,
        info: Info,
        search: Searched = UNSET,
        order_by: ClassOrder | None = ClassOrder.INDEX,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[Class]:
        return classes_page(info, self.run, search, order_by or ClassOrder.INDEX, first, after)

    @described("A layer goes by its name or its module path.")
    def channel(self, layer: str, index: int) -> Channel | None:
        of_layer = find_layer(self.run, layer)
        check_channel(self.run, of_layer, index)
        return channel_node(self.run, of_layer.layer_id, index)

    @described("The channels of a layer that support a class, or all classes, most first.")
    async def channel_support(
        self,
        info: Info,
        layer: str,
        class_: ClassName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = UNSET,
        order_by: SupportOrder | None = SupportOrder.DECISIONS,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ChannelSupport]:
        def node(row: SupportRow) -> ChannelSupport:
            return support_node(self.run, row, *arguments[:2])

        class_id = class_id_of(self.run, class_)
        arguments = (role_of(role), outcome_of(outcome), order_of(order_by))
        layer_id = find_layer(self.run, layer).layer_id
        parent = (self.run.run_id, layer_id, ALL_CLASSES if class_id is None else class_id)
        return await listed(info.context, support.channels_of_class, arguments, parent, first, after, node)

    @described(
        "The context labels that the evidence of a class, or of all classes, lies on, those beyond their area first."
    )
    async def context_labels(
        self,
        info: Info,
        class_: ClassName = UNSET,
        layer: LayerName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = UNSET,
        order_by: LabelOrder = UNSET,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ContextLabelSupport]:
        class_id = class_id_of(self.run, class_)
        wanted = ALL_CLASSES if class_id is None else class_id
        return await labels_of_class(info, self.run, wanted, layer, role, outcome, order_by, first, after)

    @described(
        "The channels of a layer whose evidence is of images that show a context label, by peak.low: those that "
        "localize it most surely first. Of one class, channels with evidence in fewer than 3 such images are left out."
    )
    async def channels_localizing(
        self,
        info: Info,
        label: Annotated[str, strawberry.argument(description="A context label by name.")],
        layer: str,
        class_: ClassName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        min_edges: MinEdges = FEWEST_EDGES,
        first: First = UNSET,
        after: After = UNSET,
    ) -> LocalizingConnection:
        wanted = (label, layer, class_, role, min_edges)
        return await localizing_page(info.context, self.run, *wanted, first, after)

    @described("What the decisions for one class have in common: channels, and the evidence between them.")
    async def evidence_graph(
        self,
        info: Info,
        class_: Annotated[str, strawberry.argument(name="class", description="A class by name, key or index.")],
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = UNSET,
        min_rate: Annotated[
            float, strawberry.argument(description="Channels and edges that fewer of the roots hold are left out.")
        ] = 0.1,
        max_nodes_per_layer: Annotated[
            int, strawberry.argument(description="Channels of each layer, those that most roots hold.")
        ] = 20,
    ) -> ClassGraph:
        wanted = (role_of(role), outcome_of(outcome), min_rate, max_nodes_per_layer)
        return class_graph_node(self.run, await class_graph(info.context.session, self.run, class_, *wanted))

    @described("A class by name, key or index.", name="class")
    def class_(self, name: str) -> Class | None:
        return class_node(self.run, find_class(self.run, name))

    @described("The image of this uri, which is relative to the data's root, or of this index.")
    async def image(self, info: Info, uri: str | None = UNSET, index: int | None = UNSET) -> Image | None:
        return image_node(self.run, await named_image(info.context.session, self.run, given(uri), given(index)))

    @described("In the data's order. label and predicted are classes by name, key or index.")
    async def images(
        self,
        info: Info,
        label: str | None = UNSET,
        predicted: str | None = UNSET,
        outcome: Outcome | None = UNSET,
        uri_prefix: Annotated[str | None, strawberry.argument(description="What uris begin with.")] = UNSET,
        search: Annotated[str | None, strawberry.argument(description="What uris hold, in any case.")] = UNSET,
        tag: Annotated[str | None, strawberry.argument(description="A label of the dataset's own.")] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[Image]:
        def node(row: ImageRow) -> Image:
            return image_node(self.run, row)

        classes = (class_id_of(self.run, label), class_id_of(self.run, predicted))
        wanted = support.ImageFilter(*classes, outcome_of(outcome), given(uri_prefix), given(search), given(tag))
        return await listed(info.context, support.images, (wanted,), (self.run.run_id,), first, after, node)

    @described("In the data's order.")
    async def skipped_images(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[SkippedImage]:
        def node(row: SkippedRow) -> SkippedImage:
            return node_from(SkippedImage, row)

        return await listed(info.context, support.skipped_images, (), (self.run.run_id,), first, after, node)

    @described("Wrongly predicted images per label and predicted class, most first.")
    async def confusions(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Confusion]:
        return await confusions_page(info, self.run, None, None, first, after)

    @described("The classes of least accuracy, and how many of their images were predicted as which.")
    async def confusion_matrix(self, info: Info, classes: MatrixSize = 50) -> ConfusionMatrix:
        return await confusion_matrix(info, self.run, classes)

    @described("Wrong decisions in the data's order, with a layer's evidence for the predicted and the true class.")
    async def failures(
        self,
        info: Info,
        layer: str,
        label: str | None = UNSET,
        predicted: str | None = UNSET,
        top: Top = 5,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[Failure]:
        return await failures_page(info.context, self.run, layer, label, predicted, top, first, after)

    @described("Wrong decisions in groups that share an evidence signature at a layer.")
    async def failure_modes(
        self,
        info: Info,
        layer: str,
        label: str | None = UNSET,
        predicted: str | None = UNSET,
        max_modes: MaxModes = 6,
        min_size: MinSize = 3,
    ) -> FailureModes:
        return await failure_modes_answer(info.context, self.run, layer, label, predicted, max_modes, min_size)

    @described("What sets cohort a of decisions apart from cohort b, by what evidence of a layer they have.")
    async def contrast(
        self,
        info: Info,
        layer: str,
        a: CohortInput,
        b: CohortInput,
        of: Items = ContrastItem.CHANNELS,
        compared: ComparedRoot = UNSET,
        min_count: MinCount = 2,
        first: First = UNSET,
        after: After = UNSET,
    ) -> ContrastConnection:
        return await contrast_page(info.context, self.run, layer, a, b, of, compared, min_count, first, after)

    @described("Change of peak features from this run's images to another's, paired by uri (clean and attacked, say).")
    def peak_shift(
        self,
        info: Info,
        other: str,
        layer: str,
        class_: TrueClass = UNSET,
        outcome: OtherOutcome = Outcome.WRONG,
        top: TopChannels = UNSET,
    ) -> PeakShift:
        return peak_shift_node(info, self.run, other, layer, class_, outcome, top)

    @described("Which images this run and another of the same data predict rightly, paired by uri.")
    async def compare(
        self, info: Info, other: Annotated[str, strawberry.argument(description="The other run's name.")]
    ) -> RunComparison:
        session = info.context.session
        return RunComparison(answer=await compare(session, self.run, find_run(session.runs, other)))

    def id_parts(self) -> tuple[str | int, ...]:
        return (self.run.name,)


def run_node(run: RunInfo, asked: Asked = Asked.NAME) -> Run:
    """The GraphQL object of a run, and why it is this one."""
    return node_from(Run, run, run=run, edge_count=BigInt(run.edge_count), chosen_by=RunChoice(asked))
