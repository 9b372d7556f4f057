"""GraphQL types of tested evidence: what the network decides without it, and how often that corrected a failure."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import strawberry

from graphapi import listings_verification
from graphapi.catalog import RunInfo
from graphapi.loaders import Context, PageKey
from graphapi.sql import Row
from graphapi.types_run_parts import Class, class_node

_EDGE = tuple(f"{end}_{part}" for end in ("target", "source") for part in ("layer", "channel", "y", "x"))


@strawberry.enum(description="How a piece of evidence was taken away.")
class VerificationMethod(enum.Enum):
    OCCLUDE = strawberry.enum_value(
        "occlude", description="The receptive field of the source at its peak was hidden in the image."
    )
    REMOVE = strawberry.enum_value(
        "remove", description="The source channel's map was set to the channel's mean over the dataset."
    )


@strawberry.type(description="What the network decided without a piece of its evidence.")
class Verification:
    run: strawberry.Private[RunInfo]
    row: strawberry.Private[Row]
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

    @strawberry.field
    def predicted(self) -> Class:
        return class_node(self.run, self.run.classes[self.row.predicted_id])


@strawberry.type(description="How often a prediction changed without a channel's evidence, over the decisions tested.")
class VerificationCounts:
    method: VerificationMethod
    tested: int = strawberry.field(description="Decisions of which this channel was among the strongest of its layer.")
    corrected: int = strawberry.field(description="Wrong predictions that became right.")
    flipped: int = strawberry.field(description="Predictions that became another class, right or wrong.")
    corrected_rate: float = strawberry.field(description="corrected / tested.")
    mean_logit_change: float = strawberry.field(description="Of the decisions' own class, over those tested.")


def counts_node(row: Row) -> VerificationCounts:
    """The GraphQL object of a row of a verification listing."""
    return VerificationCounts(
        method=VerificationMethod(row.method),
        tested=row.tested,
        corrected=row.corrected,
        flipped=row.flipped,
        corrected_rate=row.corrected / row.tested,
        mean_logit_change=row.mean_logit_change,
    )


async def counts_of_channel(
    context: Context,
    key: tuple[int, int, int],
    class_id: int | None,
    method: str | None,
    role: str,
    outcome: str | None,
) -> list[VerificationCounts]:
    """The counts of a channel (run, layer, index), a method each; none where it was not tested."""
    arguments = (class_id, method, role, outcome)
    page = PageKey(listings_verification.methods_of_channel, arguments, None, len(VerificationMethod), key)
    return [counts_node(row) for row in await context.pages.load(page)]


async def tests_of_edge(context: Context, run: RunInfo, edge: Row) -> list[Verification]:
    """The tests of one edge; none where it was not tested."""
    rows: Iterable[Row] = await context.verifications.load((run.run_id, edge.root_class_id, edge.decision_id))
    edge_key = tuple(getattr(edge, name) for name in _EDGE)
    of_edge = [row for row in rows if tuple(getattr(row, name) for name in _EDGE) == edge_key]
    return [
        Verification(
            run=run,
            row=row,
            method=VerificationMethod(row.method),
            logit=row.logit,
            logit_change=row.logit_change,
            label_logit_change=row.label_logit_change,
            corrected=row.corrected,
            area=row.area,
        )
        for row in sorted(of_edge, key=lambda row: str(row.method))
    ]
