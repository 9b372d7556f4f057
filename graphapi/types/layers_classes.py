"""GraphQL types of what a run consists of: layers and classes, both held in memory."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Annotated

import strawberry

from evigraph.graphapi.questions.degrees import DegreeKey, degrees, degrees_statement, require_sensible
from evigraph.graphapi.questions.profiles import key_of, positive, positive_statement, profile, shares_statement
from evigraph.graphapi.questions.support import ConfusionRow
from evigraph.graphapi.store.catalog import ClassInfo, LayerInfo, RunInfo
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
    class_id_of,
    described,
    given,
    listed_here,
    outcome_of,
    role_of,
)
from evigraph.graphapi.types.context import ContextLabelSupport, LayerName, labels_of_class
from evigraph.graphapi.types.context import OrderBy as LabelOrder
from evigraph.graphapi.types.loaders import of_layers
from evigraph.graphapi.types.nodes import node_from
from evigraph.graphapi.types.profiles import DegreeDistribution, LayerProfile, PositiveProfile

_degrees = of_layers(degrees_statement, lambda key, rows: degrees(rows, key.bins))
_profiles = of_layers(shares_statement, lambda _, rows: profile(rows))
_positive_profiles = of_layers(positive_statement, lambda _, rows: positive(rows))


@strawberry.type(description="A feature map that was decomposed; lengths in input pixels.")
class Layer(NodeInterface):
    run: strawberry.Private[RunInfo]
    index: int = strawberry.field(description="0 is the lowest; the highest is `logits`.")
    name: str
    module: str
    channels: int
    height: int
    width: int
    stride: int | None
    receptive_field: int | None

    @described(
        "The distribution of its channels' discriminative degree max_c N_c / sum_c N_c, over edges of rank < 3 of "
        "predicted roots."
    )
    async def discriminative_degree(
        self,
        info: Info,
        quantiles: Annotated[
            list[float] | None, strawberry.argument(description="Points in 0..1; 0.1, 0.25, 0.5, 0.75, 0.9 if null.")
        ] = UNSET,
        bins: Annotated[int, strawberry.argument(description="Of the histogram.")] = 10,
        threshold: Annotated[float, strawberry.argument(description="Channels above it are counted.")] = 0.5,
        min_edges: Annotated[
            int, strawberry.argument(description="Channels with fewer edges that count are left out: one edge gives 1.")
        ] = 1,
    ) -> DegreeDistribution:
        points = given(quantiles)
        points = [0.1, 0.25, 0.5, 0.75, 0.9] if points is None else points
        key = DegreeKey(tuple(points), bins, threshold, min_edges, self.run.run_id, self.index)
        return node_from(DegreeDistribution, await info.context.ask(_degrees).load(require_sensible(key)))

    @described("How the evidence of this layer's decompositions in the layer below falls off with rank.")
    async def profile(
        self,
        info: Info,
        class_: ClassName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = UNSET,
    ) -> LayerProfile:
        class_id = class_id_of(self.run, class_)
        key = key_of(class_id, role_of(role), outcome_of(outcome), self.run.run_id, self.index)
        return node_from(LayerProfile, await info.context.ask(_profiles).load(key))

    @described("How many channels of the layer below are positive in this layer's decompositions, how many overlap.")
    async def positive_profile(
        self, info: Info, role: Role = DecisionRole.PREDICTED, outcome: Outcome | None = UNSET
    ) -> PositiveProfile:
        key = key_of(None, role_of(role), outcome_of(outcome), self.run.run_id, self.index)
        counts = await info.context.ask(_positive_profiles).load(key)
        info.context.session.spend(len(counts.positive) + len(counts.overlapping))
        return node_from(PositiveProfile, counts, counts=counts)

    def id_parts(self) -> tuple[str | int, ...]:
        return (self.run.name, self.name)


def layer_node(run: RunInfo, layer: LayerInfo) -> Layer:
    """The GraphQL object of a layer."""
    return node_from(Layer, layer, run=run, index=layer.layer_id)


@strawberry.type(description="An output of the network. `key` is what folder names are matched to.")
class Class(NodeInterface):
    run: strawberry.Private[RunInfo]
    correct_count: strawberry.Private[int]
    index: int
    key: str | None
    name: str
    image_count: int = strawberry.field(description="Images whose label it is.")

    @described("Rightly predicted images of those with this label; null where there are none.")
    def accuracy(self) -> float | None:
        return self.correct_count / self.image_count if self.image_count else None

    @described("The context labels that the evidence of its roots lies on, those beyond their area first.")
    async def context_labels(
        self,
        info: Info,
        layer: LayerName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = UNSET,
        order_by: LabelOrder = UNSET,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ContextLabelSupport]:
        return await labels_of_class(info, self.run, self.index, layer, role, outcome, order_by, first, after)

    def id_parts(self) -> tuple[str | int, ...]:
        return (self.run.name, self.index)


def class_node(run: RunInfo, entry: ClassInfo) -> Class:
    """The GraphQL object of a class."""
    return node_from(Class, entry, run=run, index=entry.class_id)


def class_by_id(run: RunInfo, class_id: int | None) -> Class | None:
    """The class of a nullable column; None for null and for the row over all classes."""
    return None if class_id is None or class_id < 0 else class_node(run, run.classes[class_id])


@strawberry.enum(description="What classes are sorted by.")
class ClassOrder(enum.Enum):
    INDEX = strawberry.enum_value("index")
    IMAGES = strawberry.enum_value("images", description="Those of most images first.")
    ACCURACY = strawberry.enum_value("accuracy", description="The least accurate first; those without images last.")


Searched = Annotated[
    str | None, strawberry.argument(description="Words that names or keys hold, each of them, in any case.")
]
_FINE = 2**40
"""Accuracies as integers, for cursors: those of any two classes of fewer than a million images stay apart."""


def classes_page(
    info: Info, run: RunInfo, search: str | None, order: ClassOrder, first: int | None, after: str | None
) -> Connection[Class]:
    """One page of a run's classes."""
    words = (given(search) or "").casefold().split()
    nodes = [class_node(run, entry) for entry in run.classes.values() if _holds((entry.name, entry.key), words)]

    def place(node: Class) -> tuple[int, ...]:
        if order is ClassOrder.IMAGES:
            return -node.image_count, node.index
        if order is ClassOrder.ACCURACY:
            return (node.correct_count * _FINE // node.image_count if node.image_count else _FINE + 1), node.index
        return (node.index,)

    tag = "classes" if order is ClassOrder.INDEX else f"classes by {order.value}"
    return listed_here(info.context, tag, sorted(nodes, key=place), place, first, after)


def _holds(texts: Iterable[str], words: Iterable[str]) -> bool:
    folded = " ".join(texts).casefold()
    return all(word in folded for word in words)


@strawberry.type(description="Images of one label that were predicted as another class.")
class Confusion:
    label: Class
    predicted: Class
    images: int
    rate: float = strawberry.field(description="Of all images with that label.")


def confusion_node(run: RunInfo, row: ConfusionRow) -> Confusion:
    """The GraphQL object of a row of `confusion`."""
    label, predicted = run.classes[row.label_id], run.classes[row.predicted_id]
    return node_from(
        Confusion,
        row,
        label=class_node(run, label),
        predicted=class_node(run, predicted),
        rate=row.images / label.image_count,
    )
