"""GraphQL types of a contrast: what sets one cohort of decisions apart from another."""

from __future__ import annotations

import asyncio
import enum
from bisect import bisect_right
from dataclasses import dataclass
from typing import Annotated

import strawberry
from strawberry.dataloader import DataLoader

from evigraph.graphapi.questions import cohorts, contrast
from evigraph.graphapi.questions.cohorts import Members, Root, settled_root
from evigraph.graphapi.questions.likeness import Likeness, likeness
from evigraph.graphapi.store import cursors
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import LayerInfo, RunInfo
from evigraph.graphapi.store.names import evidence_layer, find_run
from evigraph.graphapi.types.base import (
    UNSET,
    Connection,
    DecisionRole,
    Info,
    Outcome,
    class_id_of,
    described,
    given,
    outcome_of,
    page_size,
)
from evigraph.graphapi.types.channel import Channel, channel_node
from evigraph.graphapi.types.image import Decision, decision_node
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.graphapi.types.loaders import Context
from evigraph.graphapi.types.nodes import node_from
from evigraph.schema.errors import UsageError

MAX_EXAMPLES = 10
MAX_ROOT_CLASSES = 100
_TAG = "contrast"
_TYPES = (float, float, int, int)


@strawberry.enum(description="What two cohorts are compared by.")
class ContrastItem(enum.Enum):
    CHANNELS = strawberry.enum_value(contrast.CHANNELS, description="Channels of the layer.")
    EDGES = strawberry.enum_value(
        contrast.EDGES, description="Evidence from a channel of the layer to one of the next layer."
    )
    CONTEXT_LABELS = strawberry.enum_value(
        contrast.CONTEXT_LABELS, description="Labels that masks of the layer's channels overlap best."
    )


@strawberry.enum(description="Which decision (root) of each image of a cohort is compared.")
class ContrastRoot(enum.Enum):
    LABEL = strawberry.enum_value(
        Root.LABEL, description="The one that explains the label's class, whether or not it was predicted."
    )
    PREDICTED = strawberry.enum_value(Root.PREDICTED, description="The one that explains the predicted class.")
    OWN = strawberry.enum_value(Root.OWN, description="The one of the role that each cohort names.")


@strawberry.input(
    description="A set of images, of each of which one decision counts. What is left out does not filter."
)
class CohortInput:
    role: DecisionRole | None = strawberry.field(
        default=UNSET, description="For root OWN: decisions for the predicted class, or for a label that was missed."
    )
    label: str | None = strawberry.field(default=UNSET, description="The label, by name, key or index.")
    predicted: str | None = strawberry.field(default=UNSET, description="The predicted class, likewise.")
    outcome: Outcome | None = UNSET
    uri_prefix: str | None = strawberry.field(default=UNSET, description="What images' uris begin with.")
    tag: str | None = strawberry.field(default=UNSET, description="A label of the dataset's own that images have.")
    run: str | None = strawberry.field(default=UNSET, description="Another run by its name, of the same weights.")


Items = Annotated[
    ContrastItem | None, strawberry.argument(description="What decisions have or have not; null is CHANNELS.")
]
MinCount = Annotated[
    int | None,
    strawberry.argument(description="Items that fewer decisions of both cohorts together have are not tested."),
]
RootClasses = Annotated[int, strawberry.argument(description=f"At most {MAX_ROOT_CLASSES}.")]
ComparedRoot = Annotated[
    ContrastRoot | None,
    strawberry.argument(
        name="root",
        description="Which decisions are compared. Left out: LABEL where both cohorts have one label, else PREDICTED; "
        "OWN where a cohort names a role.",
    ),
]
Examples = Annotated[int | None, strawberry.argument(description=f"At most {MAX_EXAMPLES}.")]


@strawberry.type(description="One item, and how many decisions of each cohort have it.")
class ContrastRow:
    answer: strawberry.Private[contrast.Contrast]
    item: strawberry.Private[contrast.Item]
    loader: strawberry.Private[DataLoader[ExampleKey, list[Decision]]]
    count_a: int = strawberry.field(description="Decisions of a that have it.")
    rate_a: float = strawberry.field(description="countA / all decisions of a.")
    count_b: int
    rate_b: float
    log_odds_ratio: float = strawberry.field(
        description="Natural log of the odds in a over those in b, 1/2 added to each cell (Haldane-Anscombe)."
    )
    low: float = strawberry.field(description="Lower end of the log odds ratio's 95 % confidence interval.")
    high: float
    p: float = strawberry.field(description="Of Fisher's exact test, two-sided; 0 where it is below 1e-323.")
    q: float = strawberry.field(description="False discovery rate (Benjamini-Hochberg) over all tested items.")

    @described("The channel, of an edge its source; null of a context label.")
    def channel(self) -> Channel | None:
        if self.answer.of == contrast.CONTEXT_LABELS:
            return None
        return channel_node(self.answer.a.cohort.run, self.answer.layer.layer_id, self.item[0])

    @described("The upper channel of an edge, in the next layer; null else.")
    def target(self) -> Channel | None:
        if self.answer.of != contrast.EDGES:
            return None
        return channel_node(self.answer.a.cohort.run, self.answer.layer.layer_id + 1, self.item[1])

    @described("The context label; null of a channel or edge.")
    def context_label(self) -> str | None:
        if self.answer.of != contrast.CONTEXT_LABELS:
            return None
        return self.answer.a.cohort.run.context_labels[self.item[0]]

    @described("Decisions of a that have it, with the most importance first.")
    async def examples_a(self, first: Examples = 3) -> list[Decision]:
        return await self.loader.load(ExampleKey("a", example_count(first), self.item))

    @described("Decisions of b that have it, with the most importance first.")
    async def examples_b(self, first: Examples = 3) -> list[Decision]:
        return await self.loader.load(ExampleKey("b", example_count(first), self.item))


@strawberry.type(description="A class, and the decisions of a cohort that explain it.")
class RootClass:
    class_: Class = strawberry.field(name="class")
    decisions: int


@strawberry.type(
    description="What sets cohort a apart from cohort b: least p first, then the largest effect. Its totals are of "
    "all pages."
)
class ContrastConnection(Connection[ContrastRow]):
    answer: strawberry.Private[contrast.Contrast]

    @described("Decisions of a: of each item, those that have it and those that have not.")
    def decisions_a(self) -> int:
        return self.answer.a.size

    @strawberry.field
    def decisions_b(self) -> int:
        return self.answer.b.size

    @described("Which decisions were compared.")
    def root(self) -> ContrastRoot:
        return ContrastRoot(self.answer.root)

    @described("The classes that the decisions of a explain, most decisions first.")
    def root_classes_a(self, first: RootClasses = 5) -> list[RootClass]:
        return _root_classes(self.answer.a, first)

    @strawberry.field
    def root_classes_b(self, first: RootClasses = 5) -> list[RootClass]:
        return _root_classes(self.answer.b, first)

    @described(
        "Total variation distance of the classes that a and b explain: 0 where they are mixed alike, 1 where no class "
        "is in both."
    )
    async def root_class_distance(self, info: Info) -> float:
        return (await self._likeness(info)).distance

    @described(
        "Whether both cohorts explain the same classes: the distance is at most 0.1, or no larger than random "
        "divisions of the same decisions have. Where not, q says that the cohorts differ, but not why."
    )
    async def comparable(self, info: Info) -> bool:
        return (await self._likeness(info)).reason is None

    @described("Why the cohorts are not comparable, and what to do; null where they are.")
    async def reason(self, info: Info) -> str | None:
        return (await self._likeness(info)).reason

    async def _likeness(self, info: Info) -> Likeness:
        return await info.context.session.compute(lambda: likeness(self.answer.a, self.answer.b))

    @described("Items of at most this q.")
    def discoveries(self, q: float = 0.05) -> int:
        return self.answer.rows.discoveries(q)

    @described(
        "Images with a decision in both cohorts. The tests take decisions as independent, which those of one image "
        "are not: where this is many, p is too large. Null of runs of different data."
    )
    async def shared_images(self, info: Info) -> int | None:
        a, b = self.answer.a, self.answer.b
        if a.cohort.run.dataset_sha256 != b.cohort.run.dataset_sha256:
            return None
        return await cohorts.shared_count(info.context.session, a, b)


@dataclass(frozen=True)
class ExampleKey:
    """Whose examples of which item, and how many."""

    side: str
    count: int
    item: contrast.Item


async def contrast_page(
    context: Context,
    run: RunInfo,
    layer: str,
    a: CohortInput,
    b: CohortInput,
    of: ContrastItem | None,
    root: ContrastRoot | None,
    min_count: int | None,
    first: int | None,
    after: str | None,
) -> ContrastConnection:
    """One page of a contrast of two cohorts; `run` is that of a cohort that names none."""
    size = page_size(context, first)
    after = given(after)
    start = None if after is None else cursors.decode(after, _TAG, _TYPES)
    least = bounded("minCount", given(min_count), 1, None, 2)
    kind = str((given(of) or ContrastItem.CHANNELS).value)
    chosen = (_choice(context, run, a), _choice(context, run, b))
    named = given(root)
    compared = settled_root(*chosen, None if named is None else Root(str(named.value)))
    one, other = (cohorts.resolve(**choice, root=compared) for choice in chosen)
    of_layer = evidence_layer(one.run, layer)
    require_comparable(one.run, other.run, of_layer, kind)
    answer = await contrast.contrast(context.session, kind, of_layer, compared, one, other, least)
    begin = 0 if start is None else bisect_right(answer.rows, start, key=lambda row: row.key)
    rows = answer.rows[begin : begin + size]
    context.session.spend(len(rows))
    loader = _examples(context, answer)

    async def count() -> int:
        return len(answer.rows)

    return ContrastConnection(
        answer=answer,
        items=[_row(answer, row, loader) for row in rows],
        keys=[cursors.encode(_TAG, row.key) for row in rows],
        has_more=begin + size < len(answer.rows),
        is_first=start is None,
        count=count,
    )


def example_count(first: int | None) -> int:
    """How many examples; UsageError outside of 0 to MAX_EXAMPLES."""
    return bounded("first", given(first), 0, MAX_EXAMPLES, 3)


def _choice(context: Context, run: RunInfo, cohort: CohortInput) -> cohorts.Choice:
    """What a cohort is chosen by; its classes by index, however the client named them."""
    name = given(cohort.run)
    of = run if name is None else find_run(context.session.runs, name)
    role = given(cohort.role)
    return {
        "run": of,
        "role": None if role is None else str(role.value),
        "label_id": class_id_of(of, cohort.label),
        "predicted_id": class_id_of(of, cohort.predicted),
        "outcome": outcome_of(cohort.outcome),
        "uri_prefix": given(cohort.uri_prefix),
        "tag": given(cohort.tag),
    }


def _root_classes(members: Members, first: int) -> list[RootClass]:
    run = members.cohort.run
    size = bounded("first", first, 0, MAX_ROOT_CLASSES, 5)
    most = sorted(members.classes.items(), key=lambda item: (-item[1], item[0]))[:size]
    return [RootClass(class_=class_node(run, run.classes[class_id]), decisions=count) for class_id, count in most]


def require_comparable(run: RunInfo, other: RunInfo, layer: LayerInfo, of: str) -> None:
    """UsageError unless the layer's channels mean the same in both runs; labels are compared by name."""
    if run is other:
        return
    if evidence_layer(other, layer.name).layer_id != layer.layer_id:
        raise UsageError(f"layer: {layer.name!r} has another place in run {other.name!r} than in {run.name!r}")
    if of != contrast.CONTEXT_LABELS and run.weights_sha256 != other.weights_sha256:
        raise UsageError(
            f"runs {run.name!r} and {other.name!r} are of different weights, so their channels have nothing in "
            "common; contrast their CONTEXT_LABELS"
        )


def _row(answer: contrast.Contrast, row: contrast.Row, loader: DataLoader[ExampleKey, list[Decision]]) -> ContrastRow:
    rates = {"rate_a": row.count_a / answer.a.size, "rate_b": row.count_b / answer.b.size}
    return node_from(ContrastRow, row, answer=answer, loader=loader, **rates)


def _examples(context: Context, answer: contrast.Contrast) -> DataLoader[ExampleKey, list[Decision]]:
    """A loader of the examples of one page's rows: a statement for each cohort, and one for the decisions."""

    async def of_cohort(members: Members, count: int, keys: list[ExampleKey]) -> dict[ExampleKey, list[Decision]]:
        run = members.cohort.run
        by_name = {name: label for label, name in run.context_labels.items()}
        own: dict[contrast.Item, ExampleKey] = {}
        for key in keys:
            item = key.item
            if answer.of == contrast.CONTEXT_LABELS and run is not answer.a.cohort.run:
                item = (by_name.get(answer.a.cohort.run.context_labels[item[0]], -2), item[1])
            own[item] = key
        rows = await context.session.rows(
            contrast.examples(answer.of, answer.layer.layer_id, members, list(own), count)
        )
        decisions = await context.decisions.load_many([(run.run_id, row.decision_id) for row in rows])
        examples: dict[ExampleKey, list[Decision]] = {}
        for row, (decision,) in zip(rows, decisions, strict=True):
            examples.setdefault(own[row.first, row.second], []).append(decision_node(run, decision))
        return examples

    async def load(keys: list[ExampleKey]) -> list[list[Decision]]:
        wanted: dict[tuple[str, int], list[ExampleKey]] = {}
        for key in keys:
            if key.count:
                wanted.setdefault((key.side, key.count), []).append(key)
        members = {"a": answer.a, "b": answer.b}
        parts = (of_cohort(members[side], count, group) for (side, count), group in wanted.items())
        examples = {key: decisions for part in await asyncio.gather(*parts) for key, decisions in part.items()}
        return [examples.get(key, []) for key in keys]

    return DataLoader(load)
