"""GraphQL types of tested evidence: what the network decides without it, and how often that corrected a failure."""

from __future__ import annotations

import enum
from typing import Annotated

import strawberry

from evigraph.graphapi.questions.cohorts import resolve
from evigraph.graphapi.questions.evidence import EvidenceRow
from evigraph.graphapi.questions.verified import CountsRow, Tests, VerificationRow
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.paging import Builder, Parent
from evigraph.graphapi.types.base import (
    DecisionRole,
    Outcome,
    class_id_of,
    described,
    given,
    outcome_of,
    role_of,
)
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.graphapi.types.loaders import Context, PageKey
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema.errors import UsageError
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


@strawberry.enum(description="What a hidden region was filled with.")
class VerificationFill(enum.Enum):
    GREY = strawberry.enum_value("grey", description="The preprocessing's mean.")
    BLUR = strawberry.enum_value("blur", description="The image itself, blurred until no shapes are left.")
    IMAGE = strawberry.enum_value(
        "image", description="The same region of another image of the run, of another class where there is one."
    )


Fill = Annotated[
    VerificationFill | None,
    strawberry.argument(description="Only OCCLUDE tests with this filling; each is counted apart if null."),
]
MaxArea = Annotated[
    float | None,
    strawberry.argument(
        description="Tests that hid more than this part of the input are left out of all counts, and counted as "
        "tooLarge; null leaves out none."
    ),
]


@strawberry.type(description="What the network decided when the same was done to what is no evidence of the decision.")
class VerificationControl:
    run: strawberry.Private[RunInfo]
    predicted_id: strawberry.Private[int]
    channel: int | None = strawberry.field(description="The channel of the layer that was removed; null for OCCLUDE.")
    top: int | None = strawberry.field(description="First row of the region that was hidden; null for REMOVE.")
    left: int | None = strawberry.field(description="Its first column; null for REMOVE.")
    area: float | None = strawberry.field(
        description="Part of the input that was hidden, that of the test; null for REMOVE."
    )
    shape: str | None = strawberry.field(
        description='"box", of the shape of the region tested; "rows" where no such box has room: from (top, left) on '
        "in reading order, around the end, and less the region tested. Null for REMOVE."
    )
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
    fill: VerificationFill | None = strawberry.field(
        description="What the region was filled with; null for REMOVE, and in old runs whose settings do not tell."
    )
    fill_image: int | None = strawberry.field(description="Index of the image that an IMAGE fill is of.")
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

    @described(
        "The class that the network gives to the whole picture hidden by the same fill: what it decides where nothing "
        "of the image is left. Null for REMOVE and in old runs."
    )
    def empty_predicted(self) -> Class | None:
        class_id = self.row.empty_predicted_id
        return None if class_id is None else class_node(self.run, self.run.classes[class_id])


@strawberry.type(description="The controls of the tests counted: the same done to what is no evidence, test by test.")
class ControlCounts:
    tested: int = strawberry.field(description="Decisions whose tests have a control: pairs.")
    corrected: int = strawberry.field(description="Wrong predictions that became right by the control.")
    flipped: int = strawberry.field(description="Predictions that became another class by the control.")
    corrected_rate: float = strawberry.field(description="corrected / tested.")
    mean_logit_change: float = strawberry.field(description="Of the decisions' own class, by the control.")
    to_empty_prediction: int | None = strawberry.field(description="Of the corrected, as of the tests.")
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
    fill: VerificationFill | None = strawberry.field(
        description="What regions were filled with; null for REMOVE, and in old runs whose settings do not tell."
    )
    tested: int = strawberry.field(
        description="Decisions tested; of a channel, those of which it was among the strongest of its layer. Tests "
        "that hid more than maxArea are left out."
    )
    too_large: int = strawberry.field(
        description="Decisions with a test that was left out, since it hid more than maxArea of the input."
    )
    corrected: int = strawberry.field(description="Wrong predictions that became right; of a layer, by any test.")
    flipped: int = strawberry.field(
        description="Predictions that became another class, right or wrong; of a layer, by any test."
    )
    to_empty_prediction: int | None = strawberry.field(
        description="Of the corrected, those that became the class which the network gives to the picture wholly "
        "hidden by the same fill, as hiding anything large may do. Null for REMOVE, and where tests are of old runs."
    )
    corrected_rate: float | None = strawberry.field(description="corrected / tested; null where none is left.")
    mean_logit_change: float | None = strawberry.field(
        description="Of the decisions' own class, over those tested; null where none is left."
    )
    control: ControlCounts | None = strawberry.field(
        description="What the same did to what is no evidence; null where no test has a control."
    )


@strawberry.type(description="The counts of a layer of the images of one label that were predicted as one class.")
class VerifiedPair:
    label: Class
    predicted: Class
    counts: VerificationCounts


def pair_node(run: RunInfo, row: CountsRow) -> VerifiedPair:
    """The GraphQL object of a row of `pairs_of_layer`."""
    label, predicted = (class_node(run, run.classes[class_id]) for class_id in (row.label_id, row.predicted_id))
    return VerifiedPair(label=label, predicted=predicted, counts=counts_node(row))


def counts_node(row: CountsRow) -> VerificationCounts:
    """The GraphQL object of a row of a verification listing."""
    change = row.mean_control_logit_change
    is_known = row.empty_known == row.tested > 0
    return node_from(
        VerificationCounts,
        row,
        method=VerificationMethod(row.method),
        fill=VerificationFill(row.fill) if row.fill else None,
        to_empty_prediction=row.empty_corrected if is_known else None,
        corrected_rate=row.corrected / row.tested if row.tested else None,
        control=_control_counts(row, change, is_known) if row.control_tested and change is not None else None,
    )


def _control_counts(row: CountsRow, mean_logit_change: float, is_known: bool) -> ControlCounts:
    return ControlCounts(
        tested=row.control_tested,
        corrected=row.control_corrected,
        flipped=row.control_flipped,
        to_empty_prediction=row.control_empty_corrected if is_known else None,
        corrected_rate=row.control_corrected / row.control_tested,
        mean_logit_change=mean_logit_change,
        only_evidence=row.only_corrected,
        only_control=row.control_only_corrected,
    )


def tests_asked(
    run: RunInfo,
    class_: str | None,
    label: str | None,
    predicted: str | None,
    method: VerificationMethod | None,
    fill: VerificationFill | None,
    role: DecisionRole | None,
    outcome: Outcome | None,
    max_area: float | None,
) -> Tests:
    """The tests that arguments of a field ask for.

    Raises:
        UsageError: an argument is out of its bounds, or no test can be what they ask for together: an empty answer
            would say that nothing was tested.
        NotFoundError: the run has no such class.
    """
    method, fill = given(method), given(fill)
    if fill is not None and method is VerificationMethod.REMOVE:
        raise UsageError(
            f"fill: {fill.name} is of OCCLUDE tests, and method REMOVE is asked for; give method: OCCLUDE, or no fill"
        )
    tests = Tests(
        class_id=class_id_of(run, class_),
        label_id=class_id_of(run, label),
        predicted_id=class_id_of(run, predicted),
        method=None if method is None else str(method.value),
        fill=None if fill is None else str(fill.value),
        role=role_of(role),
        outcome=outcome_of(outcome),
        max_area=bounded("maxArea", given(max_area), 0.0, 1.0),
    )
    _refuse_contradiction(run, tests)
    return tests


def _refuse_contradiction(run: RunInfo, tests: Tests) -> None:
    """UsageError where no decision can be of the classes, role and outcome that are asked for together."""
    own = "label" if tests.role == "label" else "predicted"
    label_id, predicted_id = tests.label_id, tests.predicted_id
    explained = label_id if own == "label" else predicted_id
    if tests.class_id is not None and explained not in (None, tests.class_id):
        one, other = (run.classes[class_id].name for class_id in (tests.class_id, explained))
        raise UsageError(
            f"class: {one!r} and {own}: {other!r} disagree, as decisions of role {tests.role.upper()} explain the "
            f"{own} class; drop one of them"
        )
    if own == "label":
        label_id = tests.class_id if label_id is None else label_id
    else:
        predicted_id = tests.class_id if predicted_id is None else predicted_id
    way_out = "name other classes, or give outcome: null"
    resolve(run, tests.role, label_id, predicted_id, tests.outcome, way_out=way_out)


async def counts_by_method(
    context: Context, listing: Builder[CountsRow], parent: Parent, tests: Tests
) -> list[VerificationCounts]:
    """The counts of a channel or a layer, a method and fill each, by its listing; none where it was not tested."""
    most = len(VerificationMethod) * (len(VerificationFill) + 1)  # a fill may be unknown
    page = PageKey(listing, (tests,), None, most, parent)
    return [counts_node(row) for row in await context.pages.load(page)]


async def tests_of_edge(context: Context, run: RunInfo, edge: EvidenceRow) -> list[Verification]:
    """The tests of one edge, by method; none where it was not tested."""
    tests = context.rows(VerificationRow, VerificationTable, "run_id", "class_id", "decision_id")
    rows = await tests.load((run.run_id, edge.root_class_id, edge.decision_id))
    edge_key = tuple(getattr(edge, name) for name in _EDGE)
    of_edge = [row for row in rows if tuple(getattr(row, name) for name in _EDGE) == edge_key]
    return [_verification_node(run, row) for row in sorted(of_edge, key=lambda row: (row.method, row.fill or ""))]


def _verification_node(run: RunInfo, row: VerificationRow) -> Verification:
    return node_from(
        Verification,
        row,
        run=run,
        row=row,
        method=VerificationMethod(row.method),
        fill=None if row.fill is None else VerificationFill(row.fill),
        fill_image=row.fill_image_id,
        control=_control_node(run, row),
    )


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
        area=row.control_area,
        shape=row.control_shape,
        logit_change=logit_change,
        label_logit_change=row.control_label_logit_change,
        corrected=row.control_corrected,
        disturbance=disturbance,
    )
