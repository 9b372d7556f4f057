"""The fields of a run that count tests of its evidence."""

from __future__ import annotations

import strawberry

from evigraph.graphapi.questions.verification import methods_of_layer, pairs_of_layer, verified_channels
from evigraph.graphapi.questions.verified import CountsRow
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_layer
from evigraph.graphapi.types.base import (
    UNSET,
    After,
    ClassName,
    Connection,
    DecisionRole,
    First,
    Info,
    Outcome,
    Role,
    described,
    given,
    listed,
)
from evigraph.graphapi.types.channel import VerifiedChannel, verified_node
from evigraph.graphapi.types.verification import (
    Fill,
    MaxArea,
    VerificationCounts,
    VerificationMethod,
    VerifiedPair,
    counts_by_method,
    pair_node,
    tests_asked,
)
from evigraph.schema.tables.rollups import LARGE_AREA


@strawberry.type
class TestedRun:
    run: strawberry.Private[RunInfo]

    @described("The channels of a layer whose evidence was tested, those that corrected most failures first.")
    async def verified_channels(
        self,
        info: Info,
        layer: str,
        method: VerificationMethod | None = VerificationMethod.REMOVE,
        class_: ClassName = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = Outcome.WRONG,
        label: str | None = UNSET,
        predicted: str | None = UNSET,
        fill: Fill = UNSET,
        max_area: MaxArea = LARGE_AREA,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[VerifiedChannel]:
        def node(row: CountsRow) -> VerifiedChannel:
            return verified_node(self.run, row)

        wanted = given(method) or VerificationMethod.REMOVE
        tests = tests_asked(self.run, class_, label, predicted, wanted, fill, role, outcome, max_area)
        parent = (self.run.run_id, find_layer(self.run, layer).layer_id)
        return await listed(info.context, verified_channels, (tests,), parent, first, after, node)

    @described(
        "How often decisions changed without evidence of a layer, by method and fill: a decision counts once, however "
        "many channels of it were tested. Empty where the run tested none."
    )
    async def verification(
        self,
        info: Info,
        layer: str,
        class_: ClassName = UNSET,
        method: VerificationMethod | None = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = Outcome.WRONG,
        label: str | None = UNSET,
        predicted: str | None = UNSET,
        fill: Fill = UNSET,
        max_area: MaxArea = LARGE_AREA,
    ) -> list[VerificationCounts]:
        tests = tests_asked(self.run, class_, label, predicted, method, fill, role, outcome, max_area)
        parent = (self.run.run_id, find_layer(self.run, layer).layer_id)
        return await counts_by_method(info.context, methods_of_layer, parent, tests)

    @described(
        "The same by label and predicted class, those pairs first of which most were corrected; a pair's methods and "
        "fills are rows of their own."
    )
    async def verified_pairs(
        self,
        info: Info,
        layer: str,
        method: VerificationMethod | None = UNSET,
        role: Role = DecisionRole.PREDICTED,
        outcome: Outcome | None = Outcome.WRONG,
        label: str | None = UNSET,
        predicted: str | None = UNSET,
        fill: Fill = UNSET,
        max_area: MaxArea = LARGE_AREA,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[VerifiedPair]:
        def node(row: CountsRow) -> VerifiedPair:
            return pair_node(self.run, row)

        tests = tests_asked(self.run, None, label, predicted, method, fill, role, outcome, max_area)
        parent = (self.run.run_id, find_layer(self.run, layer).layer_id)
        return await listed(info.context, pairs_of_layer, (tests,), parent, first, after, node)
