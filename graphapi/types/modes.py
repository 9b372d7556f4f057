"""GraphQL types of failure modes."""

from __future__ import annotations

from typing import Annotated

import strawberry

from evigraph.graphapi.questions.modes import MAX_FAILURES, Mode, failure_modes
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import evidence_layer
from evigraph.graphapi.types.base import Info, described, given
from evigraph.graphapi.types.channel import Channel, channel_node
from evigraph.graphapi.types.contrast import Examples, example_count
from evigraph.graphapi.types.image import Decision, decision_node
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.graphapi.types.loaders import Context
from evigraph.graphapi.types.nodes import node_from

MAX_MODES = 20

MaxModes = Annotated[int | None, strawberry.argument(description=f"Groups, at most; at most {MAX_MODES}.")]
MinSize = Annotated[int | None, strawberry.argument(description="Failures of smaller groups are in none.")]
_RATES = "Rates are of decisions that have it."


@strawberry.type(description=f"A channel that failures of a mode have more often than others. {_RATES}")
class ModeChannel:
    channel: Channel
    count: int = strawberry.field(description="Failures of the mode that have it.")
    rate: float
    other_rate: float | None = strawberry.field(description="Of all other failures; null where there are none.")
    right_rate: float | None = strawberry.field(description="Of the right decisions; null where there are none.")
    log_odds_ratio: float = strawberry.field(
        description="Against the other failures, or the right decisions where there are none, 1/2 added to each cell."
    )


@strawberry.type(description=f"A context label that failures of a mode have more often than others. {_RATES}")
class ModeLabel:
    label: str
    count: int
    rate: float
    other_rate: float | None
    right_rate: float | None
    log_odds_ratio: float


@strawberry.type(description="How many failures of a mode have this label and prediction.")
class ModePair:
    label: Class
    predicted: Class
    images: int


@strawberry.type(description="A group of failures with like evidence.")
class FailureMode:
    run: strawberry.Private[RunInfo]
    mode: strawberry.Private[Mode]
    layer_id: strawberry.Private[int]
    size: int = strawberry.field(description="Its failures.")

    @described("What sets its evidence apart, the most telling first.")
    def channels(self, first: Examples = 5) -> list[ModeChannel]:
        return [
            node_from(ModeChannel, trait, channel=channel_node(self.run, self.layer_id, trait.item))
            for trait in self.mode.channels[: example_count(first)]
        ]

    @described("Context labels of its evidence, the most telling first.")
    def context_labels(self, first: Examples = 5) -> list[ModeLabel]:
        return [
            node_from(ModeLabel, trait, label=self.run.context_labels[trait.item])
            for trait in self.mode.context_labels[: example_count(first)]
        ]

    @described("Its labels and predictions, most images first.")
    def confusions(self, first: Examples = 5) -> list[ModePair]:
        classes = self.run.classes
        return [
            ModePair(
                label=class_node(self.run, classes[label]),
                predicted=class_node(self.run, classes[predicted]),
                images=images,
            )
            for label, predicted, images in self.mode.pairs[: example_count(first)]
        ]

    @described("Its decisions, the most typical first.")
    async def examples(self, info: Info, first: Examples = 3) -> list[Decision]:
        keys = [(self.run.run_id, decision) for decision in self.mode.decisions[: example_count(first)]]
        return [decision_node(self.run, row) for (row,) in await info.context.decisions.load_many(keys)]


@strawberry.type(description="Failures in groups of like evidence at a layer, the largest first.")
class FailureModes:
    modes: list[FailureMode]
    failures: int = strawberry.field(description="Wrong decisions of this label and prediction.")
    truncated: bool = strawberry.field(
        description=f"Whether there are more than {MAX_FAILURES}, of which so many were taken evenly by id."
    )
    unassigned: int = strawberry.field(description="Failures in groups below minSize, or without evidence there.")
    right: int = strawberry.field(
        description="Right decisions of the predicted class (of the label, of all classes, where none is named)."
    )
    comparable: bool | None = strawberry.field(
        description="Whether the right decisions explain the classes that the failures do, in parts that differ by "
        "0.1 at most; null where there are none. Where not, rightRate differs from rate by the classes too."
    )
    reason: str | None = strawberry.field(
        description="Why rightRate is not comparable, and what to do; null where it is, or nothing is to compare."
    )
    silhouette: float | None = strawberry.field(
        description="How well the groups are apart, up to 1; null where the failures do not fall into groups."
    )


async def failure_modes_answer(
    context: Context,
    run: RunInfo,
    layer: str,
    label: str | None,
    predicted: str | None,
    max_modes: int | None,
    min_size: int | None,
) -> FailureModes:
    """The modes of a run's failures."""
    most = bounded("maxModes", given(max_modes), 1, MAX_MODES, 6)
    size = bounded("minSize", given(min_size), 1, MAX_FAILURES, 3)
    of_layer = evidence_layer(run, layer)
    answer = await failure_modes(context.session, run, of_layer, given(label), given(predicted), most, size)
    context.session.spend(len(answer.modes))
    modes = [
        FailureMode(run=run, mode=mode, layer_id=of_layer.layer_id, size=len(mode.decisions)) for mode in answer.modes
    ]
    reason = None if answer.likeness is None else answer.likeness.reason
    return node_from(
        FailureModes,
        answer,
        modes=modes,
        truncated=answer.sampled < answer.failures,
        comparable=None if answer.likeness is None else reason is None,
        reason=reason,
    )
