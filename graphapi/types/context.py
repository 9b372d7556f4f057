"""GraphQL types of context labels: what channels, classes and layers localize, against what images show."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import strawberry

from evigraph.graphapi.questions.context import (
    BY_LOCALIZATION,
    ChannelContextRow,
    ClassContextRow,
    ShownRow,
    context_labels_of_class,
)
from evigraph.graphapi.questions.localization import LocalizationRow, Measured, Measures, measures
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
from evigraph.graphapi.types.loaders import Context
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema.tables.evidence import ALL_CHANNELS, ALL_LAYERS
from evigraph.schema.tables.evidence import Localization as LocalizationTable
from evigraph.schema.tables.rollups import ANY_OUTCOME, ClassLabel

LayerName = Annotated[
    str | None,
    strawberry.argument(description="A layer by name or module path; if null, all those where edges have labels."),
]


@strawberry.enum(description="What context labels are sorted by, largest first.")
class ContextOrder(enum.Enum):
    EDGES = "edges"
    LIFT = "lift"
    LOCALIZATION = strawberry.enum_value(
        BY_LOCALIZATION,
        description="By peak.low, the lower end of the interval of the lift under peaks: the surest first.",
    )


OrderBy = Annotated[
    ContextOrder | None,
    strawberry.argument(description="LOCALIZATION if null, or EDGES where the run does not hold what that is of."),
]


def order_of(run: RunInfo, order_by: ContextOrder | None) -> str:
    """What context labels of a run are sorted by; `order_by` as the client gave it."""
    default = ContextOrder.LOCALIZATION if run.localized_layers else ContextOrder.EDGES
    return str((given(order_by) or default).value)


@strawberry.type(description="How much evidence lies on a context label, whatever the size of its region.")
class Localization:
    images: int = strawberry.field(description="Decisions whose image shows the label; others cannot lie on it.")
    rate: float = strawberry.field(description="Part of the edges' evidence that lies on the label.")
    base_rate: float = strawberry.field(description="The area of the label, over the images of the same edges.")
    lift: float | None = strawberry.field(description="rate / baseRate: 1 where evidence lies anywhere alike.")
    low: float | None = strawberry.field(
        description="Lower end of the 95 % interval of the lift, over images; null where fewer than 3 show the label, "
        "or no evidence lies on it."
    )
    high: float | None
    chance_rate: float | None = strawberry.field(
        description="The rate with the semantic maps of other images of the same class, if these had as much of the "
        "label by area; null where no class has 3 images."
    )
    chance_lift: float | None = strawberry.field(description="rate / chanceRate.")
    z: float | None = strawberry.field(
        description="Standard deviations above chance, with maps permuted so; null where fewer than 8 images that show "
        "the label are compared, of which p would be too small."
    )
    p: float | None = strawberry.field(description="Two-sided, of z by the normal distribution.")
    q: float | None = strawberry.field(description="False discovery rate over the whole listing.")


class Shown(NamedTuple):
    """Of which images it is asked how much of them a label covers, outcome None for any, and of which evidence."""

    run_id: int
    class_id: int
    role: str
    outcome: str | None
    label_id: int
    layer_id: int
    channel: int


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

    @described("What lies under the peaks of all edges; null where the run did not keep it.")
    async def peak(self, info: Info) -> Localization | None:
        measured = await _measures(info, self.of)
        return None if measured is None else localization_node(measured.peak)

    @described("What lies under the activation of all edges' masks; null where the run did not keep it.")
    async def activation(self, info: Info) -> Localization | None:
        measured = await _measures(info, self.of)
        return None if measured is None else localization_node(measured.activation)


async def _measures(info: Info, of: Shown) -> Measures | None:
    key = (of.run_id, of.class_id, of.role, of.outcome or ANY_OUTCOME, of.layer_id, of.channel)
    return (await info.context.ask(_measures_by_label).load(key)).get(of.label_id)


async def _measures_by_label(
    context: Context, keys: list[tuple[int | str, ...]]
) -> Sequence[dict[int, Measures] | BaseException]:
    """The measures of every label of each group of edges; one statement for all of a request."""
    columns = ("run_id", "class_id", "role", "outcome", "layer_id", "channel")
    of_keys = await context.rows(LocalizationRow, LocalizationTable, *columns).load_many(keys)
    return [dict(zip([row.label_id for row in rows], measures(rows), strict=True)) for rows in of_keys]


def localization_node(measured: Measured) -> Localization:
    """The GraphQL object of one measure."""
    return node_from(Localization, measured)


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
    layer_id = ALL_LAYERS if row.layer_id is None else row.layer_id
    return node_from(
        ContextLabelSupport,
        row,
        label=run.context_labels[row.label_id],
        decisions=decisions,
        rate=row.edges / every_edge,
        mean_iou=row.iou_sum / row.edges,
        of=Shown(
            run.run_id, row.class_id, role, outcome, row.label_id, layer_id, getattr(row, "channel", ALL_CHANNELS)
        ),
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
    arguments = (layer is not None, wanted_role, wanted_outcome, order_of(run, order_by))
    return await listed(info.context, context_labels_of_class, arguments, parent, first, after, node)
