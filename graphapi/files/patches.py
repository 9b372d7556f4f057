"""The patches of a picture: crops of receptive fields, with the activation maps of edges over them, as small JPEGs.

Two statements for all patches of a picture, whatever their number: the thumbnails of its images, and the kept maps of
its decisions. Maps are of edges, so each is found by the edge's source: its place and its largest contribution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import and_, select

from evigraph.graphapi.files import drawing
from evigraph.graphapi.store.catalog import Depicted, RunInfo
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Template, hole
from evigraph.schema.ids import image_id_of
from evigraph.schema.pictures import Box
from evigraph.schema.tables.pictures import ActivationMap, Thumbnail
from evigraph.schema.views import edge

_SMALLEST_MAPPED = 12
"""Pixels of the input: over a smaller field a map is one blot, and hides the colours, which are all there is to see."""

NO_CROPS = "The run keeps no thumbnails, so there are no crops; evigraph index --thumbnails 224 keeps them."
"""The note of a picture whose run keeps no thumbnails."""


class Place(NamedTuple):
    """A channel at a place of a layer, in the hierarchy of one decision."""

    decision_id: int
    layer_id: int
    channel: int
    y: int
    x: int


class _ThumbnailRow(NamedTuple):
    image_id: int
    content: bytes


class MapPicture(NamedTuple):
    """An activation map as it is stored, and the edge that it is of."""

    decision_id: int
    target_layer: int
    source_channel: int
    source_y: int
    source_x: int
    content: bytes
    first_y: int
    first_x: int
    height: int
    width: int


class Patches:
    """The patches of some places of one run."""

    def __init__(self, run: Depicted, thumbnails: dict[int, bytes], maps: dict[Place, MapPicture]) -> None:
        """Take what they are drawn from.

        Args:
            run: Of the places.
            thumbnails: Encoded pictures of the network's input, by image.
            maps: Of the edge to each place that contributes most.
        """
        self._run, self._thumbnails, self._maps = run, thumbnails, maps

    @property
    def has_thumbnails(self) -> bool:
        """Whether there are any pictures at all."""
        return bool(self._thumbnails)

    @property
    def has_maps(self) -> bool:
        """Whether some patch has a map over it."""
        return bool(self._maps)

    def whole(self, image_id: int) -> bytes | None:
        """What the network saw of an image, as a small JPEG."""
        thumbnail, pictures = self._thumbnails.get(image_id), self._run.pictures
        if thumbnail is None or pictures is None:
            return None
        height, width = pictures.size
        return drawing.patch(thumbnail, Box(0, 0, height, width), pictures.size, None)

    def box(self, place: Place) -> tuple[Box, tuple[int, int]] | None:
        """The receptive field of a place in the input, and the input's height and width; None where not known."""
        pictures = self._run.pictures
        if pictures is None or place.layer_id >= len(pictures.layers):
            return None
        return pictures.layers[place.layer_id].box(place.y, place.x, pictures.size), pictures.size

    def patch(self, place: Place) -> bytes | None:
        """The receptive field of a place as a small JPEG, with its map where it is kept; None without thumbnails."""
        thumbnail, field, pictures = (
            self._thumbnails.get(image_id_of(place.decision_id)),
            self.box(place),
            self._run.pictures,
        )
        if thumbnail is None or field is None or pictures is None:
            return None
        row, over = self._maps.get(place), None
        if row is not None and min(pictures.size[0], pictures.layers[place.layer_id].field or 999) >= _SMALLEST_MAPPED:
            layer = next(one for one in self._run.layers if one.layer_id == place.layer_id)
            size = (row.height, row.width, layer.height, layer.width)
            over = (drawing.StoredMap(row.content, row.first_y, row.first_x, *size), pictures.layers[place.layer_id])
        return drawing.patch(thumbnail, *field, over)


async def patches(
    session: Session, run: RunInfo, places: Sequence[Place], class_ids: Iterable[int], with_maps: bool
) -> Patches:
    """What the patches of some places are drawn from; of a run without pictures nothing.

    Args:
        session: Of one request.
        run: Of the places.
        places: Of any decisions of the run.
        class_ids: The classes of those decisions: edges lie in their order.
        with_maps: Whether activation maps are wanted.
    """
    kept = run.pictures
    if kept is None or kept.thumbnails is None or not places:
        return Patches(run, {}, {})
    decision_ids = tuple(sorted({place.decision_id for place in places}))
    images = tuple(sorted({image_id_of(decision_id) for decision_id in decision_ids}))
    rows = await session.rows(_THUMBNAILS.filled(run_id=run.run_id, image_ids=images))
    thumbnails = {row.image_id: row.content for row in rows}
    if not with_maps or kept.maps is None:
        return Patches(run, thumbnails, {})
    statement = _MAPS.filled(
        run_id=run.run_id,
        decision_ids=decision_ids,
        class_ids=tuple(sorted(set(class_ids))),
        layers=tuple(sorted({place.layer_id + 1 for place in places})),
        channels=tuple(sorted({place.channel for place in places})),
    )
    maps: dict[Place, MapPicture] = {}
    for row in await session.rows(statement):  # the largest contribution first
        place = Place(row.decision_id, row.target_layer - 1, row.source_channel, row.source_y, row.source_x)
        maps.setdefault(place, row)
    wanted = set(places)
    return Patches(run, thumbnails, {place: row for place, row in maps.items() if place in wanted})


_THUMBNAILS = Template(
    _ThumbnailRow,
    select(Thumbnail.image_id, Thumbnail.content).where(
        Thumbnail.run_id == hole("run_id"), Thumbnail.image_id.op("IN")(hole("image_ids"))
    ),
)
_EDGE = ("run_id", "decision_id", "target_layer", "target_channel", "target_y", "target_x", "source_channel")
_MAPS = Template(
    MapPicture,
    select(
        *(edge.c[name] for name in ("decision_id", "target_layer", "source_channel", "source_y", "source_x")),
        *(getattr(ActivationMap, name) for name in ("content", "first_y", "first_x", "height", "width")),
    )
    .join(ActivationMap, and_(*(getattr(ActivationMap, name) == edge.c[name] for name in _EDGE)))
    .where(
        edge.c.run_id == hole("run_id"),
        edge.c.root_class_id.op("IN")(hole("class_ids")),
        edge.c.decision_id.op("IN")(hole("decision_ids")),
        edge.c.target_layer.op("IN")(hole("layers")),
        edge.c.source_channel.op("IN")(hole("channels")),
    )
    .order_by(edge.c.contribution.desc(), edge.c.target_channel),
)
