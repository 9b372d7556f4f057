"""GraphQL types of paired runs: how the peak features of important channels changed between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import strawberry
from strawberry.dataloader import DataLoader

from evigraph.graphapi.questions import peak_shift
from evigraph.graphapi.questions.peak_shift import AverageRow, ChangeRow, PairRow
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import evidence_layer, find_layer, find_run
from evigraph.graphapi.types.base import (
    UNSET,
    After,
    Connection,
    First,
    Info,
    Outcome,
    class_id_of,
    described,
    given,
    listed,
    outcome_of,
)
from evigraph.graphapi.types.image import Image, image_node
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.graphapi.types.loaders import Context
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema.errors import UsageError

TrueClass = Annotated[
    str | None,
    strawberry.argument(name="class", description="Pairs of this true class, by name, key or index; all if null."),
]
OtherOutcome = Annotated[
    Outcome | None,
    strawberry.argument(description="Whether the other run predicts the true class; pairs of both kinds if null."),
]
TopChannels = Annotated[
    int | None,
    strawberry.argument(description="Only so many channels of each class, the most important ones; all if null."),
]


class Question(NamedTuple):
    """What is compared: two runs, the layer's id in each, and how many channels of each side count."""

    runs: tuple[int, int]
    layers: tuple[int, int]
    true_id: int | None
    outcome: str | None
    top: int | None


@strawberry.type(description="Peak features of a class's important channels in both images of a pair.")
class PeakChange:
    channels: int = strawberry.field(description="Channels in the class's evidence at the layer.")
    matched: int = strawberry.field(
        description="Those of them that are evidence in both images; the others are left out."
    )
    before: float | None = strawberry.field(description="Mean feature at the peaks, in this run; null if none matched.")
    after: float | None = strawberry.field(description="The same in the other run.")
    change: float | None = strawberry.field(description="after - before.")


@strawberry.type(description="Peak changes averaged over images, each image counting alike.")
class MeanPeakChange:
    images: int = strawberry.field(description="Pairs whose class has evidence at the layer.")
    matched_images: int = strawberry.field(description="Those with a matched channel, which the means are over.")
    channels: int
    matched: int
    before: float | None
    after: float | None
    change: float | None
    standard_error: float | None = strawberry.field(description="Of change, over images; null below two.")
    rose: int = strawberry.field(description="Images whose mean peak feature rose.")


@strawberry.type(description="One image in both runs.")
class PeakShiftPair:
    run: strawberry.Private[RunInfo]
    other_run: strawberry.Private[RunInfo]
    row: strawberry.Private[PairRow]
    changes: strawberry.Private[DataLoader[PairRow, dict[str, ChangeRow]]]

    @strawberry.field
    async def image(self, info: Info) -> Image:
        (row,) = await info.context.images.load((self.run.run_id, self.row.image_id))
        return image_node(self.run, row)

    @strawberry.field
    async def other_image(self, info: Info) -> Image:
        (row,) = await info.context.images.load((self.other_run.run_id, self.row.other_image_id))
        return image_node(self.other_run, row)

    @described("The label, or of an unlabelled image what this run predicted.")
    def true_class(self) -> Class:
        return class_node(self.run, self.run.classes[self.row.true_id])

    @described("What the other run predicted; null where that is the true class.")
    def wrong_class(self) -> Class | None:
        if self.row.other_predicted_id == self.row.true_id:
            return None
        return class_node(self.run, self.run.classes[self.row.other_predicted_id])

    @described("Of the channels in the true class's evidence in this run.", name="true")
    async def true_(self) -> PeakChange | None:
        return await self._change("true")

    @described("Of the channels in the wrong class's evidence in the other run.")
    async def wrong(self) -> PeakChange | None:
        return await self._change("wrong")

    async def _change(self, side: str) -> PeakChange | None:
        row = (await self.changes.load(self.row)).get(side)
        return row and node_from(PeakChange, row)


@strawberry.type(description="Change of peak features between two runs of one network, over images of the same uri.")
class PeakShift:
    run: strawberry.Private[RunInfo]
    other_run: strawberry.Private[RunInfo]
    question: strawberry.Private[Question]
    averages: strawberry.Private[DataLoader[None, dict[str, AverageRow]]]

    @described("In the data's order.")
    async def pairs(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[PeakShiftPair]:
        q, context = self.question, info.context
        changes = _changes(context, q)

        def node(row: PairRow) -> PeakShiftPair:
            return PeakShiftPair(run=self.run, other_run=self.other_run, row=row, changes=changes)

        arguments = (q.runs[1], q.true_id, q.outcome)
        return await listed(context, peak_shift.pairs, arguments, (self.run.run_id,), first, after, node)

    @described("Of the channels in the true class's evidence in this run, over all pairs.", name="true")
    async def true_(self) -> MeanPeakChange | None:
        return await self._mean("true")

    @described("Of the channels in the wrong class's evidence in the other run, over all pairs.")
    async def wrong(self) -> MeanPeakChange | None:
        return await self._mean("wrong")

    async def _mean(self, side: str) -> MeanPeakChange | None:
        row = (await self.averages.load(None)).get(side)
        return row and node_from(MeanPeakChange, row)


def peak_shift_node(
    info: Info,
    run: RunInfo,
    other: str,
    layer: str,
    class_: str | None,
    outcome: Outcome | None,
    top: int | None,
) -> PeakShift:
    """The GraphQL object; arguments as the client gave them.

    Raises:
        NotFoundError: There is no such run, layer or class.
        UsageError: The runs are of different networks, the layer is the logits, or `top` is below 1.
    """
    other_run = find_run(info.context.session.runs, other)
    if other_run.weights_sha256 != run.weights_sha256:
        raise UsageError(
            f"runs {run.name!r} and {other!r} are of different weights, so their channels are not the same; "
            "index both sets with one network"
        )
    top = bounded("top", given(top), 1)
    # Edges are found by the layer that they explain, one above that of the channels.
    layers = (evidence_layer(run, layer).layer_id + 1, find_layer(other_run, layer).layer_id + 1)
    of_class = class_id_of(run, class_)
    question = Question((run.run_id, other_run.run_id), layers, of_class, outcome_of(outcome), top)
    averages = _averages(info.context, question)
    return PeakShift(run=run, other_run=other_run, question=question, averages=averages)


def _changes(context: Context, question: Question) -> DataLoader[PairRow, dict[str, ChangeRow]]:
    async def load(pairs: list[PairRow]) -> Sequence[dict[str, ChangeRow]]:
        rows = await context.session.rows(peak_shift.of_images(question.runs, question.layers, pairs, question.top))
        by_image: dict[int, dict[str, ChangeRow]] = {}
        for row in rows:
            by_image.setdefault(row.image_id, {})[row.side] = row
        return [by_image.get(pair.image_id, {}) for pair in pairs]

    return DataLoader(load_fn=load)


def _averages(context: Context, question: Question) -> DataLoader[None, dict[str, AverageRow]]:
    async def load(keys: list[None]) -> Sequence[dict[str, AverageRow]]:
        rows = await context.session.rows(peak_shift.average(*question))
        return [{row.side: row for row in rows}] * len(keys)

    return DataLoader(load_fn=load)
