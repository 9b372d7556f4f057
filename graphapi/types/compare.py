"""GraphQL types of two runs over the same images."""

from __future__ import annotations

import enum
from typing import Annotated

import strawberry

from evigraph.graphapi.questions import images as compare
from evigraph.graphapi.questions.images import ClassChange, Comparison
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.types.base import (
    UNSET,
    After,
    ClassName,
    Connection,
    First,
    Info,
    class_id_of,
    described,
    given,
    listed_here,
)
from evigraph.graphapi.types.image import Image, image_node
from evigraph.graphapi.types.layers_classes import Class, class_node


@strawberry.enum(description="Which of two runs predicts an image rightly.")
class ComparedOutcome(enum.Enum):
    ONLY_THIS = strawberry.enum_value(compare.ONLY_THIS, description="This run, and not the other: lost by changing.")
    ONLY_OTHER = strawberry.enum_value(compare.ONLY_OTHER, description="The other run alone: gained by changing.")
    BOTH = strawberry.enum_value(compare.BOTH)
    NEITHER = strawberry.enum_value(compare.NEITHER)


@strawberry.type(description="A class label in both runs.")
class ComparedClass:
    class_: Class = strawberry.field(name="class")
    images: int = strawberry.field(description="Pairs with this label.")
    only_this: int = strawberry.field(description="Images that this run alone predicts rightly.")
    only_other: int
    accuracy: float = strawberry.field(description="Of this run, over the pairs.")
    other_accuracy: float


@strawberry.type(description="One image in both runs.")
class ComparedImage:
    run: strawberry.Private[RunInfo]
    other_run: strawberry.Private[RunInfo]
    image_id: strawberry.Private[int]
    other_id: strawberry.Private[int]
    outcome: ComparedOutcome

    @strawberry.field
    async def image(self, info: Info) -> Image:
        (row,) = await info.context.images.load((self.run.run_id, self.image_id))
        return image_node(self.run, row)

    @described("The same image in the other run.")
    async def other_image(self, info: Info) -> Image:
        (row,) = await info.context.images.load((self.other_run.run_id, self.other_id))
        return image_node(self.other_run, row)


@strawberry.type(description="Two runs over the same images, paired by uri; those of one label in both runs count.")
class RunComparison:
    answer: strawberry.Private[Comparison]

    @described("Uris that are in both runs.")
    def matched(self) -> int:
        return self.answer.matched

    @described("Pairs that have the same label in both runs: those that count.")
    def images_compared(self) -> int:
        return len(self.answer.pairs)

    @described("Images of this run that the other has not.")
    def only_in_this(self) -> int:
        return self.answer.run.image_count - self.answer.matched

    @described("Images of the other run that this one has not.")
    def only_in_other(self) -> int:
        return self.answer.other.image_count - self.answer.matched

    @described("Pairs that both runs predict rightly.")
    def both_right(self) -> int:
        return self.answer.count(compare.BOTH)

    @described("Pairs that neither does.")
    def both_wrong(self) -> int:
        return self.answer.count(compare.NEITHER)

    @described("Pairs that this run alone predicts rightly.")
    def only_this_right(self) -> int:
        return self.answer.count(compare.ONLY_THIS)

    @described("Pairs that the other run alone predicts rightly.")
    def only_other_right(self) -> int:
        return self.answer.count(compare.ONLY_OTHER)

    @described("McNemar's exact test of onlyThisRight against onlyOtherRight, two-sided.")
    def p(self) -> float:
        from evigraph.graphapi.questions.statistics import mcnemar_exact

        return mcnemar_exact(self.only_this_right(), self.only_other_right())

    @described("By label, those whose accuracy differs most first.")
    def by_class(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[ComparedClass]:
        places = {one.class_id: place for place, one in enumerate(self.answer.classes())}
        nodes = [_class_node(self.answer.run, one) for one in self.answer.classes()]
        return listed_here(info.context, "byClass", nodes, lambda node: (places[node.class_.index],), first, after)

    @described("The images of one outcome, in this run's order.")
    def images(
        self,
        info: Info,
        outcome: Annotated[
            ComparedOutcome | None, strawberry.argument(description="Those of every outcome if null.")
        ] = UNSET,
        class_: ClassName = UNSET,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[ComparedImage]:
        wanted, class_id = given(outcome), class_id_of(self.answer.run, class_)
        nodes = [
            ComparedImage(
                run=self.answer.run,
                other_run=self.answer.other,
                image_id=image_id,
                other_id=other_id,
                outcome=ComparedOutcome(right),
            )
            for image_id, other_id, label_id, right in self.answer.pairs
            if wanted in (None, ComparedOutcome(right)) and class_id in (None, label_id)
        ]
        return listed_here(info.context, "compared images", nodes, lambda node: (node.image_id,), first, after)


def _class_node(run: RunInfo, change: ClassChange) -> ComparedClass:
    return ComparedClass(
        class_=class_node(run, run.classes[change.class_id]),
        images=change.images,
        only_this=change.only_this,
        only_other=change.only_other,
        accuracy=(change.only_this + change.both) / change.images,
        other_accuracy=(change.only_other + change.both) / change.images,
    )
