"""GraphQL types of tested evidence: what the network decides without it, and how often that corrected a failure."""

from __future__ import annotations

import enum

import strawberry

from evigraph.graphapi.questions.evidence import EvidenceRow
from evigraph.graphapi.questions.verification import CountsRow, VerificationRow
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.paging import Builder, Parent
from evigraph.graphapi.types.base import described
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.graphapi.types.loaders import Context, PageKey
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema.tables.evidence import Verification as VerificationTable

_EDGE = tuple(f"{end}_{part}" for end in ("target", "source") for part in ("layer", "channel", "y", "x"))


@strawberry.enum(description="How a piece of evidence was taken away.")
class VerificationMethod(enum.Enum):
    OCCLUDE = strawberry.enum_value(
        "occlude", description="The receptive field of the source at its peak was hidden in the image."
    )
    REMOVE = strawberry.enum_value(
        "remove", description="The source channel's map was set to the channel's mean over the dataset."
    )


@strawberry.type(description="What the network decided when the same was done to what is no evidence of the decision.")
class VerificationControl:
    run: strawberry.Private[RunInfo]
    predicted_id: strawberry.Private[int]
    channel: int | None = strawberry.field(description="The channel of the layer that was removed; null for OCCLUDE.")
    top: int | None = strawberry.field(description="First row of the region that was hidden; null for REMOVE.")
    left: int | None = strawberry.field(description="Its first column; null for REMOVE.")
    logit_change: float = strawberry.field(description="Of the decision's class.")
    label_logit_change: float | None = strawberry.field(description="Of the label; null where there is none.")
    corrected: bool | None = strawberry.field(description="As of the test.")
    disturbance: float = strawberry.field(description="As of the test, to be compared with it.")

    @strawberry.field
    def predicted(self) -> Class:
        return class_node(self.run, self.run.classes[self.predicted_id])


@strawberry.type(description="What the network decided without a piece of its evidence.")
class Verification:
    run: strawberry.Private[RunInfo]
    row: strawberry.Private[VerificationRow]
    method: VerificationMethod
    logit: float = strawberry.field(description="The new logit of the decision's class.")
    logit_change: float = strawberry.field(
        description="New less old: below 0 where the evidence did support the class."
    )
    label_logit_change: float | None = strawberry.field(description="The same of the label; null where there is none.")
    corrected: bool | None = strawberry.field(
        description="Whether a wrong prediction became right; null where the image has no label."
    )
    area: float | None = strawberry.field(
        description="Part of the input that was hidden; null for REMOVE. Near 1 the test says nothing of the place."
    )
    disturbance: float | None = strawberry.field(
        description="Root mean square of the change made, to the input or to the channel's map; null in old runs."
    )
    control: VerificationControl | None = strawberry.field(
        description="The same done to what is no evidence; null where there was nothing fit, and in old runs."
    )

    @strawberry.field
    def predicted(self) -> Class:
        return class_node(self.run, self.run.classes[self.row.predicted_id])


@strawberry.type(description="The controls of the tests counted: the same done to what is no evidence, test by test.")
class ControlCounts:
    tested: int = strawberry.field(description="Decisions whose tests have a control: pairs.")
    corrected: int = strawberry.field(description="Wrong predictions that became right by the control.")
    flipped: int = strawberry.field(description="Predictions that became another class by the control.")
    corrected_rate: float = strawberry.field(description="corrected / tested.")
    mean_logit_change: float = strawberry.field(description="Of the decisions' own class, by the control.")
    only_evidence: int = strawberry.field(description="Pairs of which the test corrected and the control did not.")
    only_control: int = strawberry.field(description="Pairs of which the control corrected and the test did not.")

    @described(
        "McNemar's exact test of onlyEvidence against onlyControl, two-sided: how probable so uneven a split is where "
        "both correct alike. Of these tests alone: among many channels some are small by chance."
    )
    def p(self) -> float:
        from evigraph.graphapi.questions.statistics import mcnemar_exact

        return mcnemar_exact(self.only_evidence, self.only_control)


@strawberry.type(
    description="How often a prediction changed without evidence: of a channel, or of any channel tested of a layer."
)
class VerificationCounts:
    method: VerificationMethod
    tested: int = strawberry.field(
        description="Decisions tested; of a channel, those of which it was among the strongest of its layer."
    )
    corrected: int = strawberry.field(description="Wrong predictions that became right; of a layer, by any test.")
    flipped: int = strawberry.field(
        description="Predictions that became another class, right or wrong; of a layer, by any test."
    )
    corrected_rate: float = strawberry.field(description="corrected / tested.")
    mean_logit_change: float = strawberry.field(description="Of the decisions' own class, over those tested.")
    control: ControlCounts | None = strawberry.field(
        description="What the same did to what is no evidence; null where no test has a control."
    )


def counts_node(row: CountsRow) -> VerificationCounts:
    """The GraphQL object of a row of a verification listing."""
    change = row.mean_control_logit_change
    return node_from(
        VerificationCounts,
        row,
        method=VerificationMethod(row.method),
        corrected_rate=row.corrected / row.tested,
        control=_control_counts(row, change) if row.control_tested and change is not None else None,
    )


def _control_counts(row: CountsRow, mean_logit_change: float) -> ControlCounts:
    return ControlCounts(
        tested=row.control_tested,
        corrected=row.control_corrected,
        flipped=row.control_flipped,
        corrected_rate=row.control_corrected / row.control_tested,
        mean_logit_change=mean_logit_change,
        only_evidence=row.only_corrected,
        only_control=row.control_only_corrected,
    )


async def counts_by_method(
    context: Context, listing: Builder[CountsRow], parent: Parent, *arguments: int | str | None
) -> list[VerificationCounts]:
    """The counts of a channel or a layer, a method each, by its listing; none where it was not tested."""
    page = PageKey(listing, arguments, None, len(VerificationMethod), parent)
    return [counts_node(row) for row in await context.pages.load(page)]


async def tests_of_edge(context: Context, run: RunInfo, edge: EvidenceRow) -> list[Verification]:
    """The tests of one edge, by method; none where it was not tested."""
    tests = context.rows(VerificationRow, VerificationTable, "run_id", "class_id", "decision_id")
    rows = await tests.load((run.run_id, edge.root_class_id, edge.decision_id))
    edge_key = tuple(getattr(edge, name) for name in _EDGE)
    of_edge = [row for row in rows if tuple(getattr(row, name) for name in _EDGE) == edge_key]
    return [_verification_node(run, row) for row in sorted(of_edge, key=lambda row: row.method)]


def _verification_node(run: RunInfo, row: VerificationRow) -> Verification:
    method, control = VerificationMethod(row.method), _control_node(run, row)
    return node_from(Verification, row, run=run, row=row, method=method, control=control)


def _control_node(run: RunInfo, row: VerificationRow) -> VerificationControl | None:
    predicted_id, logit_change = row.control_predicted_id, row.control_logit_change
    disturbance = row.control_disturbance
    if predicted_id is None or logit_change is None or disturbance is None:
        return None
    return VerificationControl(
        run=run,
        predicted_id=predicted_id,
        channel=row.control_channel,
        top=row.control_top,
        left=row.control_left,
        logit_change=logit_change,
        label_logit_change=row.control_label_logit_change,
        corrected=row.control_corrected,
        disturbance=disturbance,
    )
