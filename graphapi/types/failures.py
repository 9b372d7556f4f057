"""GraphQL types of failures: which classes are confused, and a wrong decision's evidence beside the true class's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, cast

import strawberry

from evigraph.graphapi.questions.failures import (
    ChannelRow,
    by_decision,
    confusions_among,
    evidence_of,
    failures,
    least_accurate,
)
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import LayerInfo, RunInfo
from evigraph.graphapi.store.names import evidence_layer
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.types.base import Connection, Info, class_id_of, described, given, page_of_rows
from evigraph.graphapi.types.channel import Channel, channel_node
from evigraph.graphapi.types.image import Decision, Image, decision_node, image_node
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.graphapi.types.loaders import Context
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema import ids
from evigraph.schema.errors import UsageError

MAX_TOP = 50

Top = Annotated[int | None, strawberry.argument(description=f"Channels of each side, at most {MAX_TOP}.")]


MAX_CLASSES = 100

MatrixSize = Annotated[int, strawberry.argument(description=f"How many, at most {MAX_CLASSES}.")]


@strawberry.type(description="Images of one label and one predicted class; none is not listed.")
class ConfusionCell:
    label: int | None = strawberry.field(description="Index into classes; null for all other classes together.")
    predicted: int | None = strawberry.field(description="Index into classes; null for all other classes together.")
    images: int


@strawberry.type(description="The classes of least accuracy and what their images were predicted as.")
class ConfusionMatrix:
    classes: list[Class] = strawberry.field(
        description="Those with errors, the least accurate first; of equals those of more errors."
    )
    cells: list[ConfusionCell] = strawberry.field(
        description="By label, then predicted class, others last; the right ones are those of equal indices. Images "
        "that neither end of is among classes are in no cell."
    )
    total_count: int = strawberry.field(description="All classes with errors.")


async def confusion_matrix(info: Info, run: RunInfo, count: int) -> ConfusionMatrix:
    """The matrix of the `count` least accurate classes; one statement."""
    bounded("classes", count, 1, MAX_CLASSES)
    every = least_accurate(run, len(run.classes))
    entries = every[:count]
    place = {entry.class_id: index for index, entry in enumerate(entries)}
    cells = Counter({(index, index): entry.correct_count for index, entry in enumerate(entries)})
    if entries:
        for row in await info.context.session.rows(confusions_among(run.run_id, list(place))):
            cells[place.get(row.label_id, count), place.get(row.predicted_id, count)] += row.images
    ends = {index: index for index in place.values()}
    return ConfusionMatrix(
        classes=[class_node(run, entry) for entry in entries],
        cells=[
            ConfusionCell(label=ends.get(label), predicted=ends.get(predicted), images=images)
            for (label, predicted), images in sorted(cells.items())
            if images
        ],
        total_count=len(every),
    )


@strawberry.type(description="A channel of a layer as evidence of one decision.")
class DecisionEvidence:
    channel: Channel
    importance: float = strawberry.field(description="The sum over the decision's edges into the channel.")
    share: float = strawberry.field(description="Of the importance of all channels of the layer in this decision.")
    edges: int
    y: int = strawberry.field(description="The place in the layer's map that its most important edge peaks at.")
    x: int
    context_label: str | None = strawberry.field(description="Of that edge.")
    context_iou: float | None
    in_both: bool = strawberry.field(description="Whether the other decision of the image has the channel too.")


@strawberry.type(description="One side of a failure: a class, and the evidence for it, the most important first.")
class FailureSide:
    run: strawberry.Private[RunInfo]
    class_id: strawberry.Private[int]
    decision_id: strawberry.Private[int]
    evidence: list[DecisionEvidence]
    shared_importance: float = strawberry.field(
        description="The share of the layer's importance that lies on channels that are in both decisions."
    )

    @described("The class that is explained.", name="class")
    def class_(self) -> Class:
        return class_node(self.run, self.run.classes[self.class_id])

    @strawberry.field
    async def decision(self, info: Info) -> Decision:
        (row,) = await info.context.decisions.load((self.run.run_id, self.decision_id))
        return decision_node(self.run, row)


@strawberry.type(description="A wrongly predicted image with the evidence for both classes.")
class Failure:
    image: Image
    predicted: FailureSide = strawberry.field(description="The evidence for the class that was predicted.")
    true: FailureSide = strawberry.field(description="The evidence that there was for the label.")


async def failures_page(
    context: Context,
    run: RunInfo,
    layer: str,
    label: str | None,
    predicted: str | None,
    top: int | None,
    first: int | None,
    after: str | None,
) -> Connection[Failure]:
    """One page of failures: a statement for the images, one for the evidence of all of them."""
    limit = bounded("top", given(top), 1, MAX_TOP, 5)
    of_layer = evidence_layer(run, layer)
    label_id, predicted_id = class_id_of(run, label), class_id_of(run, predicted)
    if label_id is not None and label_id == predicted_id:
        raise UsageError(f"label and predicted are both {run.classes[label_id].name!r}, which is no failure")
    page = await page_of_rows(context, failures, (label_id, predicted_id), (run.run_id,), first, after)
    evidence: dict[int, list[ChannelRow]] = {}
    if page.items:
        evidence = by_decision(await context.session.rows(evidence_of(run.run_id, of_layer.layer_id, page.items)))
    return page.of([_failure(run, of_layer, row, evidence, limit) for row in page.items])


def _failure(
    run: RunInfo, layer: LayerInfo, image: ImageRow, evidence: Mapping[int, Sequence[ChannelRow]], top: int
) -> Failure:
    predicted, true = (ids.decision_id(image.image_id, is_label) for is_label in (0, 1))

    def side(class_id: int, decision: int, other: int) -> FailureSide:
        own = evidence.get(decision, ())
        in_both = {row.channel for row in own} & {row.channel for row in evidence.get(other, ())}
        return FailureSide(
            run=run,
            class_id=class_id,
            decision_id=decision,
            evidence=[_evidence(run, layer, row, row.channel in in_both) for row in own[:top]],
            shared_importance=sum(row.share for row in own if row.channel in in_both),
        )

    return Failure(
        image=image_node(run, image),
        predicted=side(image.predicted_id, predicted, true),
        true=side(cast(int, image.label_id), true, predicted),  # a failure has a label
    )


def _evidence(run: RunInfo, layer: LayerInfo, row: ChannelRow, in_both: bool) -> DecisionEvidence:
    return node_from(
        DecisionEvidence,
        row,
        channel=channel_node(run, layer.layer_id, row.channel),
        context_label=None if row.context_label_id is None else run.context_labels[row.context_label_id],
        in_both=in_both,
    )
