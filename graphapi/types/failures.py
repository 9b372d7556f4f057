"""GraphQL types of failures: a wrong decision's evidence beside the true class's."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from evigraph.graphapi.questions.failures import by_decision, evidence_of, failures
from evigraph.graphapi.store.catalog import LayerInfo, RunInfo
from evigraph.graphapi.types.base import Connection, Info, described, given, listed
from evigraph.graphapi.types.channel import Channel, channel_node, class_id_of
from evigraph.graphapi.types.contrast import evidence_layer
from evigraph.graphapi.types.image import Decision, Image, decision_node, image_node
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.graphapi.types.loaders import Context, Rows
from evigraph.schema.errors import UsageError

_MAX_TOP = 50

Top = Annotated[int | None, strawberry.argument(description=f"Channels of each side, at most {_MAX_TOP}.")]


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
    top = 5 if given(top) is None else top
    if top is None or not 1 <= top <= _MAX_TOP:
        raise UsageError(f"top: {top} is not within 1 and {_MAX_TOP}")
    limit = top
    found = evidence_layer(run, layer)
    label_id, predicted_id = class_id_of(run, label), class_id_of(run, predicted)
    if label_id is not None and label_id == predicted_id:
        raise UsageError(f"label and predicted are both {run.classes[label_id].name!r}, which is no failure")
    images: Rows = []

    def nodes(rows: Rows) -> list[Any]:
        images.extend(rows)
        return rows

    page = await listed(context, failures, (label_id, predicted_id), (run.run_id,), first, after, nodes)
    evidence: dict[int, list[Any]] = {}
    if images:
        evidence = by_decision(await context.session.rows(evidence_of(run.run_id, found.layer_id, images)))
    items = [_failure(run, found, row, evidence, limit) for row in images]
    return Connection(items=items, keys=page.keys, has_more=page.has_more, is_first=page.is_first, count=page.count)


def _failure(run: RunInfo, layer: LayerInfo, row: Any, evidence: dict[int, list[Any]], top: int) -> Failure:
    sides = []
    for role, class_id in enumerate((row.predicted_id, row.label_id)):
        own, other = (evidence.get(2 * row.image_id + which, []) for which in (role, 1 - role))
        both = {one.channel for one in own} & {one.channel for one in other}
        sides.append(
            FailureSide(
                run=run,
                class_id=class_id,
                decision_id=2 * row.image_id + role,
                evidence=[_evidence(run, layer, one, one.channel in both) for one in own[:top]],
                shared_importance=sum(one.share for one in own if one.channel in both),
            )
        )
    return Failure(image=image_node(run, row), predicted=sides[0], true=sides[1])


def _evidence(run: RunInfo, layer: LayerInfo, row: Any, in_both: bool) -> DecisionEvidence:
    return DecisionEvidence(
        channel=channel_node(run, layer.layer_id, row.channel),
        importance=row.importance,
        share=row.share,
        edges=row.edges,
        y=row.source_y,
        x=row.source_x,
        context_label=None if row.context_label_id is None else run.context_labels[row.context_label_id],
        context_iou=row.context_iou,
        in_both=in_both,
    )
