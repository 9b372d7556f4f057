"""The GraphQL type of a peak: a place where a channel contributes much, with its pictures."""

from __future__ import annotations

from collections.abc import Sequence

import strawberry

from evigraph.graphapi.files import addresses
from evigraph.graphapi.questions.channels.peaks import PlaceEdgeRow, PlaceKey, edges_into
from evigraph.graphapi.questions.support import ClassPeakRow, PeakRow
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.rows import GuidedRow
from evigraph.graphapi.types.base import Info, described
from evigraph.graphapi.types.image import (
    Decision,
    Image,
    PictureBox,
    decision_node,
    image_node,
    kept_maps,
    picture_box,
)
from evigraph.graphapi.types.loaders import Context, grouped
from evigraph.schema.tables.pictures import GuidedCrop

_CHANNEL = ("run_id", "layer_id", "channel")


@strawberry.type(description="A place of an image where a channel contributes much.")
class Peak:
    run: strawberry.Private[RunInfo]
    row: strawberry.Private[PeakRow | ClassPeakRow]
    y: int
    x: int
    contribution: float = strawberry.field(description="The largest of all edges into the channel there.")
    share: float
    feature: float
    activation: float

    @strawberry.field
    async def image(self, info: Info) -> Image:
        (row,) = await info.context.images.load((self.run.run_id, self.row.image_id))
        return image_node(self.run, row)

    @described("The root that this contribution belongs to.")
    async def decision(self, info: Info) -> Decision:
        (row,) = await info.context.decisions.load((self.run.run_id, self.row.decision_id))
        return decision_node(self.run, row)

    @described(
        "Path of a PNG of its receptive field in the image; null where the run keeps no thumbnails.", name="cropUrl"
    )
    def crop_url(self) -> str | None:
        return addresses.crop_url(self.run, self.row.image_id, self.row.layer_id, self.y, self.x)

    @described("The receptive field, within the picture of thumbnailUrl; null where the run keeps no pictures.")
    def box(self) -> PictureBox | None:
        return picture_box(self.run, self.row.layer_id, self.y, self.x)

    @described(
        "Path of a PNG of the activation map over the image, of the strongest edge into the place whose map is kept; "
        "null where the run keeps none.",
        name="mapUrl",
    )
    async def map_url(self, info: Info) -> str | None:
        return await peak_map_url(info.context, self.run, self.row)

    @described(
        "Path of a picture of what guided backpropagation finds in the receptive field; null where the run keeps none.",
        name="guidedUrl",
    )
    async def guided_url(self, info: Info) -> str | None:
        if self.run.pictures is None or self.run.pictures.guided is None:
            return None
        place = (self.row.layer_id, self.row.channel, self.row.image_id, self.y, self.x)
        crops = info.context.rows(GuidedRow, GuidedCrop, *_CHANNEL, "image_id", "y", "x")
        kept = await crops.load((self.run.run_id, *place))
        return addresses.guided_url(self.run, *place) if kept else None


async def peak_map_url(context: Context, run: RunInfo, row: PeakRow | ClassPeakRow) -> str | None:
    """The address of the map of the strongest edge into a place whose map is kept."""
    if run.pictures is None or run.pictures.maps is None:
        return None
    mapped = await context.ask(kept_maps).load((run.run_id, row.decision_id))
    if not any(source_channel == row.channel for *_, source_channel in mapped):
        return None
    (decision,) = await context.decisions.load((run.run_id, row.decision_id))
    place = (row.decision_id, row.layer_id, row.channel, row.y, row.x)
    edges = await context.ask(_edges_into).load(PlaceKey(run.run_id, decision.class_id, *place))
    edge = next((edge for edge in map(addresses.edge_of, edges) if edge in mapped), None)
    return None if edge is None else addresses.map_url(run, row.decision_id, edge)


async def _edges_into(context: Context, keys: list[PlaceKey]) -> Sequence[list[PlaceEdgeRow]]:
    """The edges into each place, the largest contribution first; one statement for all places of a request."""
    by_place = grouped(await context.session.rows(edges_into(keys)), PlaceKey._fields)
    return [by_place.get(key, []) for key in keys]
