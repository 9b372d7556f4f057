"""GraphQL types of context labels: what channels, classes and layers localize, against what images show."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import strawberry
from sqlalchemy import Row

from graphapi import listings_context
from graphapi.catalog import RunInfo
from graphapi.loaders import Rows
from graphapi.names import find_layer
from graphapi.types_base import Connection, DecisionRole, Info, Outcome, given, listed, role_of

LayerName = Annotated[
    str | None,
    strawberry.argument(description="A layer by name or module path; if null, all those where edges have labels."),
]


@strawberry.enum(description="What context labels are sorted by, largest first.")
class ContextOrder(enum.Enum):
    EDGES = "edges"
    LIFT = "lift"


@strawberry.type(description="A context label that evidence lies on, and how much of the images it covers anyway.")
class ContextLabelSupport:
    label: str
    edges: int = strawberry.field(description="Edges into the channel or layer whose mask overlaps the label best.")
    decisions: int | None = strawberry.field(
        description="Roots that have such an edge; null for a single channel, and for all layers together."
    )
    rate: float = strawberry.field(
        description="edges / all edges into the channel or layer from the same roots, those without a label too."
    )
    mean_iou: float = strawberry.field(description="IoU of mask and region, over those edges.")
    base_rate: float | None = strawberry.field(
        description="Mean part of the input that the label covers, over all roots of the same class, role and outcome: "
        "the rate expected if evidence lay anywhere alike. Null where the run did not keep areas."
    )
    presence: float | None = strawberry.field(description="Share of those roots whose image shows the label.")
    lift: float | None = strawberry.field(
        description="rate / baseRate: above 1 where evidence lies on the label more than its area explains."
    )


def context_label_node(run: RunInfo, row: Row[Any]) -> ContextLabelSupport:
    """The GraphQL object of a row of a context-label listing."""
    return ContextLabelSupport(
        label=run.context_labels[row.label_id],
        edges=row.edges,
        decisions=row.decisions,
        rate=row.rate,
        mean_iou=row.mean_iou,
        base_rate=row.base_rate,
        presence=row.presence,
        lift=row.lift,
    )


async def labels_of_class(
    info: Info,
    run: RunInfo,
    class_id: int,
    layer: str | None,
    role: DecisionRole | None,
    outcome: Outcome | None,
    order_by: ContextOrder | None,
    first: int | None,
    after: str | None,
) -> Connection[ContextLabelSupport]:
    """A page of the labels of one class, or of all where class_id is ALL_CLASSES; arguments as the client gave them."""

    def nodes(rows: Rows) -> list[ContextLabelSupport]:
        return [context_label_node(run, row) for row in rows]

    layer, outcome = given(layer), given(outcome)
    parent = (run.run_id, class_id, *(() if layer is None else (find_layer(run, layer).layer_id,)))
    order: str = (given(order_by) or ContextOrder.EDGES).value
    arguments = (layer is not None, role_of(role), None if outcome is None else outcome.value, order)
    build = listings_context.context_labels_of_class
    return await listed(info.context, build, arguments, parent, first, after, nodes)
