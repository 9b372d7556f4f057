"""GraphQL types of images, their decisions (roots), and the evidence of a decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import strawberry

from evigraph.graphapi.files import addresses
from evigraph.graphapi.questions.evidence import EvidenceRow, Graph, GraphNode, evidence_statement, graph
from evigraph.graphapi.questions.images import Near, NearRow, near_statement
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.rows import DecisionRow, ImageRow, LabelRow, MapRow
from evigraph.graphapi.types.base import (
    UNSET,
    DecisionRole,
    Info,
    NodeInterface,
    Outcome,
    described,
    given,
    outcome_of,
)
from evigraph.graphapi.types.layers_classes import Class, class_by_id, class_node
from evigraph.graphapi.types.loaders import Context, grouped, in_groups
from evigraph.graphapi.types.nodes import node_from
from evigraph.graphapi.types.profiles import OverlapMember, members_of_edge
from evigraph.graphapi.types.verification import Verification, tests_of_edge
from evigraph.schema.tables.dataset import ImageLabel
from evigraph.schema.tables.evidence import Decision as DecisionTable
from evigraph.schema.tables.pictures import ActivationMap

_MOST_NEAR = 20
NearFirst = Annotated[int, strawberry.argument(description=f"At most {_MOST_NEAR}.")]
SameLabel = Annotated[bool, strawberry.argument(description="Only those of the same label.")]


@strawberry.type(
    description="A part of a picture: its corner and size, in parts of the width and height, from the top left."
)
class PictureBox:
    x: float
    y: float
    width: float
    height: float


def picture_box(run: RunInfo, layer_id: int, y: int, x: int) -> PictureBox | None:
    """The receptive field of a place in the picture of its image; None of logits, and where it is not known."""
    pictures = run.pictures
    if pictures is None or layer_id >= len(pictures.layers) or pictures.layers[layer_id].field is None:
        return None
    height, width = pictures.size
    top, left, bottom, right = pictures.layers[layer_id].box(y, x, pictures.size)
    return PictureBox(x=left / width, y=top / height, width=(right - left) / width, height=(bottom - top) / height)


@strawberry.type(description="A node of the hierarchy: a channel at a place. Places are in the layer's map.")
class EvidenceNode:
    layer: str
    channel: int
    y: int
    x: int
    feature: float | None = strawberry.field(description="The map's value at the place; of the root, the logit.")
    importance: float = strawberry.field(
        description="1 at the root; else the sum over all incoming edges of the whole hierarchy."
    )
    run: strawberry.Private[RunInfo]
    image_id: strawberry.Private[int]
    layer_id: strawberry.Private[int]

    @described(
        "Path of a PNG of its receptive field in the image; null of the root, and where the run keeps no thumbnails.",
        name="cropUrl",
    )
    def crop_url(self) -> str | None:
        return addresses.crop_url(self.run, self.image_id, self.layer_id, self.y, self.x)

    @described("Its receptive field, within the picture of thumbnailUrl; null of the root, and where there are none.")
    def box(self) -> PictureBox | None:
        return picture_box(self.run, self.layer_id, self.y, self.x)


@strawberry.type(description="A kept channel of one decomposition. target and source are indices into nodes.")
class EvidenceEdge:
    target: int = strawberry.field(description="The upper node, which is explained.")
    source: int = strawberry.field(description="The lower node, its evidence.")
    contribution: float
    share: float
    rank: int
    activation: float
    importance: float = strawberry.field(description="Importance of the target node times the share.")
    context_label: str | None = strawberry.field(
        description="The label whose region has the largest IoU with the mask."
    )
    context_iou: float | None
    context_label_at_peak: str | None = strawberry.field(
        description="The label that most of the peak's cell has; null where that is none, or the run did not keep it."
    )
    context_activation_share: float | None = strawberry.field(
        description="Part of the mask's activation that lies on contextLabelAtPeak."
    )
    run: strawberry.Private[RunInfo]
    row: strawberry.Private[EvidenceRow]

    @described("What the network decides without it, by method; empty where the run did not test this edge.")
    async def verification(self, info: Info) -> list[Verification]:
        return await tests_of_edge(info.context, self.run, self.row)

    @described(
        "Channels that the source stands for, since their masks overlap its own (IoU > 0.9), the largest contribution "
        "first; empty where the run was made without --overlaps."
    )
    async def overlaps(self, info: Info) -> list[OverlapMember]:
        return await members_of_edge(info.context, self.run.run_id, self.row)

    @described(
        "Path of a PNG of the activation map over the image; null where the run does not keep this edge's map.",
        name="mapUrl",
    )
    async def map_url(self, info: Info) -> str | None:
        if self.run.pictures is None or self.run.pictures.maps is None:
            return None
        row = self.row
        edge = addresses.edge_of(row)
        kept = await info.context.ask(kept_maps).load((self.run.run_id, row.decision_id))
        return addresses.map_url(self.run, row.decision_id, edge) if edge in kept else None


@strawberry.type(description="The evidence graph of one decision; node 0 is the root.")
class Evidence:
    nodes: list[EvidenceNode]
    edges: list[EvidenceEdge]
    truncated: bool = strawberry.field(description="Whether maxDepth, top or the size bound left edges out.")


@strawberry.type(description="A root: one logit of one image.")
class Decision(NodeInterface):
    run: strawberry.Private[RunInfo]
    row: strawberry.Private[DecisionRow]
    role: DecisionRole
    logit: float
    probability: float
    cut_node_count: int = strawberry.field(
        description="Nodes, over all layers, that the run's maxNodes left undecomposed: no edge leads on from them."
    )
    cut_importance: float = strawberry.field(description="The sum of the importance of those nodes, in 0..1.")

    @described("The class that is explained.", name="class")
    def class_(self) -> Class:
        return class_node(self.run, self.run.classes[self.row.class_id])

    @strawberry.field
    async def image(self, info: Info) -> Image:
        (row,) = await info.context.images.load((self.run.run_id, self.row.image_id))
        return image_node(self.run, row)

    @described("The hierarchy below this root, from its own edges.")
    async def evidence(
        self,
        info: Info,
        max_depth: Annotated[
            int | None, strawberry.argument(description="Layers below the root; all if null.")
        ] = UNSET,
        top: Annotated[
            int | None, strawberry.argument(description="Edges of each decomposition; all kept ones if null.")
        ] = UNSET,
    ) -> Evidence:
        key = _EvidenceKey(
            run_id=self.run.run_id,
            root_layer=self.run.layers[-1].layer_id,
            max_depth=bounded("maxDepth", given(max_depth), 1),
            top=bounded("top", given(top), 1),
            decision_id=self.row.decision_id,
            class_id=self.row.class_id,
            logit=self.row.logit,
        )
        return _evidence(self.run, self.row.image_id, await info.context.ask(_graphs).load(key))

    def id_parts(self) -> tuple[str | int, ...]:
        return (self.run.name, self.row.decision_id)


@strawberry.type(description="An indexed image; its uri is relative to the data's root.")
class Image(NodeInterface):
    run: strawberry.Private[RunInfo]
    row: strawberry.Private[ImageRow]
    index: int = strawberry.field(description="Its position in the sorted listing of the data.")
    uri: str
    probability: float = strawberry.field(description="Of the predicted class.")

    @strawberry.field
    def label(self) -> Class | None:
        return class_by_id(self.run, self.row.label_id)

    @described("Every right class, by index; `label` is the one of the largest logit, which a prediction is held to.")
    async def labels(self, info: Info) -> list[Class]:
        labels = info.context.rows(LabelRow, ImageLabel, "run_id", "image_id")
        rows = await labels.load((self.run.run_id, self.row.image_id))
        # Runs of before it was kept have one right class at most.
        known = sorted(row.class_id for row in rows) or [one for one in (self.row.label_id,) if one is not None]
        return [class_node(self.run, self.run.classes[class_id]) for class_id in known]

    @strawberry.field
    def predicted(self) -> Class:
        return class_node(self.run, self.run.classes[self.row.predicted_id])

    @described("Whether the prediction is the label; null where there is no label.")
    def correct(self) -> bool | None:
        return None if self.row.label_id is None else bool(self.row.label_id == self.row.predicted_id)

    @described("Path of a picture of what the network saw; null where the run keeps none.", name="thumbnailUrl")
    def thumbnail_url(self) -> str | None:
        return addresses.image_url(self.run, self.row.image_id)

    @described("Of the predicted class, and of the label where it differs.")
    async def decisions(self, info: Info) -> list[Decision]:
        decisions = info.context.rows(DecisionRow, DecisionTable, "run_id", "image_id")
        return [decision_node(self.run, row) for row in await decisions.load((self.run.run_id, self.row.image_id))]

    @described("The images before it in the data's order, the nearest first.")
    async def preceding(
        self, info: Info, first: NearFirst = 1, same_label: SameLabel = False, outcome: Outcome | None = UNSET
    ) -> list[Image]:
        return await self._near(info.context, Near(-1, same_label, outcome_of(outcome)), first)

    @described("The images after it in the data's order, the nearest first.")
    async def following(
        self, info: Info, first: NearFirst = 1, same_label: SameLabel = False, outcome: Outcome | None = UNSET
    ) -> list[Image]:
        return await self._near(info.context, Near(1, same_label, outcome_of(outcome)), first)

    async def _near(self, context: Context, wanted: Near, first: int) -> list[Image]:
        key = _NearKey(self.run.run_id, wanted, bounded("first", first, 1, _MOST_NEAR, 1), self.row.image_id)
        rows = await context.ask(_near_images).load(key)
        return [image_node(self.run, ImageRow(*row[1:])) for row in rows]

    def id_parts(self) -> tuple[str | int, ...]:
        return (self.run.name, self.row.image_id)


@strawberry.type(description="An image that could not be used, and why.")
class SkippedImage:
    uri: str
    reason: str


def image_node(run: RunInfo, row: ImageRow) -> Image:
    """The GraphQL object of a row of `image`."""
    return node_from(Image, row, run=run, row=row, index=row.image_id)


def decision_node(run: RunInfo, row: DecisionRow) -> Decision:
    """The GraphQL object of a row of `decision`."""
    return node_from(Decision, row, run=run, row=row, role=DecisionRole(row.role))


async def kept_maps(context: Context, keys: list[tuple[int, int]]) -> Sequence[frozenset[tuple[int, ...]]]:
    """The edges of each (run, decision) whose map is kept."""
    maps = await context.rows(MapRow, ActivationMap, "run_id", "decision_id").load_many(keys)
    return [frozenset(map(addresses.edge_of, rows)) for rows in maps]


class _NearKey(NamedTuple):
    """What is near one image; all but the image is shared within a statement."""

    run_id: int
    wanted: Near
    first: int
    image_id: int


async def _near_images(context: Context, keys: list[_NearKey]) -> Sequence[list[NearRow] | BaseException]:
    async def load(group: list[_NearKey]) -> dict[_NearKey, list[NearRow]]:
        run_id, wanted, first, _ = group[0]
        statement = near_statement(run_id, sorted({key.image_id for key in group}), wanted, first)
        by_image = grouped(await context.session.rows(statement), ["near"])
        return {key: by_image.get((key.image_id,), []) for key in group}

    return await in_groups(keys, lambda key: key[:-1], load)


class _EvidenceKey(NamedTuple):
    """The evidence of one root; logit and class_id are its own, root_layer the id of `logits`."""

    run_id: int
    root_layer: int
    max_depth: int | None
    top: int | None
    decision_id: int
    class_id: int
    logit: float


async def _graphs(context: Context, keys: list[_EvidenceKey]) -> Sequence[Graph | BaseException]:
    async def load(group: list[_EvidenceKey]) -> dict[_EvidenceKey, Graph]:
        first = group[0]
        statement = evidence_statement(
            first.run_id,
            sorted({key.decision_id for key in group}),
            sorted({key.class_id for key in group}),
            first.root_layer,
            first.max_depth,
            first.top,
            context.session.settings.max_evidence_edges,
        )
        by_decision = grouped(await context.session.rows(statement), ["decision_id"])
        graphs = {}
        for key in group:
            root = GraphNode((key.root_layer, key.class_id, 0, 0), key.logit, 1.0)
            graphs[key] = graph(root, by_decision.get((key.decision_id,), []))
            context.session.spend(len(graphs[key].nodes))
        return graphs

    return await in_groups(keys, lambda key: key[:4], load)


def _evidence(run: RunInfo, image_id: int, answer: Graph) -> Evidence:
    layers = {layer.layer_id: layer.name for layer in run.layers}
    return Evidence(
        nodes=[_evidence_node(run, image_id, layers, node) for node in answer.nodes],
        edges=[_evidence_edge(run, *edge) for edge in answer.edges],
        truncated=answer.truncated,
    )


def _evidence_node(run: RunInfo, image_id: int, layers: dict[int, str], node: GraphNode) -> EvidenceNode:
    layer_id, channel, y, x = node.key
    place = {"layer": layers[layer_id], "layer_id": layer_id, "channel": channel, "y": y, "x": x}
    return node_from(EvidenceNode, node, run=run, image_id=image_id, **place)


def _evidence_edge(run: RunInfo, target: int, source: int, row: EvidenceRow) -> EvidenceEdge:
    ids = (row.context_label_id, row.context_peak_label_id)
    label, at_peak = (None if label_id is None else run.context_labels[label_id] for label_id in ids)
    return node_from(
        EvidenceEdge,
        row,
        target=target,
        source=source,
        context_label=label,
        context_label_at_peak=at_peak,
        context_activation_share=row.context_peak_mass,
        run=run,
        row=row,
    )
