"""GraphQL types of context labels: what channels, classes and layers localize, against what images show."""

from __future__ import annotations

import enum
from typing import Annotated, NamedTuple

import strawberry

from evigraph.graphapi.questions.context import (
    ChannelContextRow,
    ClassContextRow,
    ShownRow,
    context_labels_of_class,
)
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_layer
from evigraph.graphapi.types.base import (
    Connection,
    DecisionRole,
    Info,
    Outcome,
    described,
    given,
    listed,
    outcome_of,
    role_of,
)
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema.tables.rollups import ClassLabel

LayerName = Annotated[
    str | None,
    strawberry.argument(description="A layer by name or module path; if null, all those where edges have labels."),
]


@strawberry.enum(description="What context labels are sorted by, largest first.")
class ContextOrder(enum.Enum):
    EDGES = "edges"
    LIFT = "lift"


class Shown(NamedTuple):
    """Of which images it is asked how much of them a label covers; outcome None for any."""

    run_id: int
    class_id: int
    role: str
    outcome: str | None
    label_id: int


class _Base(NamedTuple):
    area: float | None
    presence: float | None


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
    of: strawberry.Private[Shown]

    @described(
        "Mean part of the input that the label covers, over all roots of the same class, role and outcome: the rate "
        "expected if evidence lay anywhere alike. Null where the run did not keep areas."
    )
    async def base_rate(self, info: Info) -> float | None:
        return (await _base(info, self.of)).area

    @described("Share of those roots whose image shows the label.")
    async def presence(self, info: Info) -> float | None:
        return (await _base(info, self.of)).presence

    @described("rate / baseRate: above 1 where evidence lies on the label more than its area explains.")
    async def lift(self, info: Info) -> float | None:
        area = (await _base(info, self.of)).area
        return self.rate / area if area else None


async def _base(info: Info, of: Shown) -> _Base:
    """How much of their images a label covers; one statement for all labels of a request."""
    shown = info.context.rows(ShownRow, ClassLabel, "run_id", "class_id", "role", "label_id")
    rows = await shown.load((of.run_id, of.class_id, of.role, of.label_id))
    wanted = [row for row in rows if of.outcome in (None, row.outcome)]
    if not wanted:
        return _Base(None, None)
    count = info.context.session.version.run(of.run_id).roots(of.class_id, of.role, of.outcome)
    return _Base(float(sum(row.area_sum for row in wanted)) / count, sum(row.decisions for row in wanted) / count)


def context_label_node(
    run: RunInfo,
    row: ChannelContextRow | ClassContextRow,
    every_edge: int,
    decisions: int | None,
    role: str,
    outcome: str | None,
) -> ContextLabelSupport:
    """The GraphQL object of a row of a context-label listing; `every_edge` counts those without a label too."""
    return node_from(
        ContextLabelSupport,
        row,
        label=run.context_labels[row.label_id],
        decisions=decisions,
        rate=row.edges / every_edge,
        mean_iou=row.iou_sum / row.edges,
        of=Shown(run.run_id, row.class_id, role, outcome, row.label_id),
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

    def node(row: ClassContextRow) -> ContextLabelSupport:
        return context_label_node(run, row, row.every_edge, row.decisions, wanted_role, wanted_outcome)

    layer = given(layer)
    wanted_role, wanted_outcome = role_of(role), outcome_of(outcome)
    parent = (run.run_id, class_id, *(() if layer is None else (find_layer(run, layer).layer_id,)))
    order: str = (given(order_by) or ContextOrder.EDGES).value
    arguments = (layer is not None, wanted_role, wanted_outcome, order)
    return await listed(info.context, context_labels_of_class, arguments, parent, first, after, node)
