"""The picture at an address (`files.addresses`), from the database file alone.

What an address shows never changes. Receptive fields and maps are drawn when they are asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from sqlalchemy import FromClause, select

from evigraph.graphapi.files import drawing
from evigraph.graphapi.files.addresses import run_address
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import R, Template, columns_of
from evigraph.schema.errors import NotFoundError
from evigraph.schema.ids import image_id_of
from evigraph.schema.pictures import PictureSettings
from evigraph.schema.tables.pictures import ActivationMap, GuidedCrop, Thumbnail

_ID_LIMIT = 2**31
"""Numbers of an address are below: the columns of keys are 32-bit integers."""
_THUMBNAIL = ("run_id", "image_id")
_GUIDED = ("run_id", "layer_id", "channel", "image_id", "y", "x")
_MAP = ("run_id", "decision_id", "target_layer", "target_channel", "target_y", "target_x", "source_channel")


class Encoded(NamedTuple):
    """An encoded image; also a row of `thumbnail`."""

    media_type: str
    content: bytes


class _GuidedRow(NamedTuple):
    media_type: str
    width: int
    height: int
    content: bytes


class _MapRow(NamedTuple):
    decision_id: int
    target_layer: int
    content: bytes
    first_y: int
    first_x: int
    height: int
    width: int


class _Missing(Exception):  # noqa: N818 - an answer on its way out
    pass


class Place(NamedTuple):
    """What an address names: a run, a kind of picture, and its numbers, for which there need not be a picture."""

    run: RunInfo
    kind: str
    numbers: tuple[int, ...]


def place_at(runs: Sequence[RunInfo], address: str) -> Place:
    """What an address names, without a look at the database.

    Raises:
        NotFoundError: None of these runs, or no address; runs that were made anew have other addresses.
    """
    parts = address.split("/")
    if parts[:2] == ["", "media"] and len(parts) > 4 and parts[3] in _KINDS:
        of_run, kind, words = parts[2], parts[3], parts[4:]
        run = next((run for run in runs if run_address(run) == of_run), None)
        numbers = tuple(int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= 10)
        if run is not None and len(numbers) == len(words) == _KINDS[kind][0] and max(numbers) < _ID_LIMIT:
            return Place(run, kind, numbers)
    raise _not_found(address)


async def picture_at(session: Session, address: str, overlay: bool = True) -> Encoded:
    """The picture at an address of any run of the database.

    Args:
        session: Of one request.
        address: As the URL fields of GraphQL give it.
        overlay: Whether an activation map lies over the image, where there is a thumbnail; else on nothing.

    Raises:
        NotFoundError: There is none.
        QueryTimeoutError: Of the session.
    """
    run, kind, numbers = place_at(session.runs, address)
    try:
        return await _KINDS[kind][1](_Source(session, run, overlay), numbers)
    except _Missing:
        raise _not_found(address) from None


def _not_found(address: str) -> NotFoundError:
    return NotFoundError("picture", address[:200], (), "(take addresses from the URL fields of GraphQL)", near=[])


class _Source(NamedTuple):
    """One run, as one request sees it."""

    session: Session
    run: RunInfo
    overlay: bool

    def pictures(self) -> PictureSettings:
        if self.run.pictures is None:
            raise _Missing
        return self.run.pictures

    async def row(self, kind: type[R], table: FromClause, key: Sequence[str], *values: int) -> R:
        """The row with this key after the run's id; raises _Missing where there is none."""
        same = (table.c[name] == value for name, value in zip(key, (self.run.run_id, *values), strict=True))
        rows = await self.session.rows(Template(kind, select(*columns_of(kind, table)).where(*same)).filled())
        if not rows:
            raise _Missing
        return rows[0]

    async def thumbnail(self, image_id: int) -> Encoded:
        return await self.row(Encoded, Thumbnail.__table__, _THUMBNAIL, image_id)


async def _image(source: _Source, places: Sequence[int]) -> Encoded:
    return await source.thumbnail(places[0])


async def _crop(source: _Source, places: Sequence[int]) -> Encoded:
    image_id, layer_id, y, x = places
    pictures = source.pictures()
    layer = source.run.layers[layer_id] if layer_id < len(pictures.layers) else None
    if layer is None or not (y < layer.height and x < layer.width):
        raise _Missing
    box = pictures.layers[layer_id].box(y, x, pictures.size)
    thumbnail = await source.thumbnail(image_id)
    content = await source.session.compute(lambda: drawing.crop(thumbnail.content, box, pictures.size))
    return Encoded("image/png", content)


async def _guided(source: _Source, places: Sequence[int]) -> Encoded:
    row = await source.row(_GuidedRow, GuidedCrop.__table__, _GUIDED, *places)
    if min(row.width, row.height) >= drawing.SMALLEST:
        return Encoded(row.media_type, row.content)
    return Encoded("image/png", await source.session.compute(lambda: drawing.enlarged(row.content)))


async def _map(source: _Source, places: Sequence[int]) -> Encoded:
    pictures = source.pictures()
    row = await source.row(_MapRow, ActivationMap.__table__, _MAP, *places)
    layer = source.run.layers[row.target_layer - 1]
    has_image = source.overlay and pictures.thumbnails is not None
    under = (await source.thumbnail(image_id_of(row.decision_id))).content if has_image else None
    stored = drawing.StoredMap(row.content, row.first_y, row.first_x, row.height, row.width, layer.height, layer.width)
    geometry = pictures.layers[layer.layer_id]
    content = await source.session.compute(lambda: drawing.heat_map(stored, geometry, pictures.size, under))
    return Encoded("image/png", content)


_KINDS: dict[str, tuple[int, Callable[[_Source, Sequence[int]], Awaitable[Encoded]]]] = {
    "images": (1, _image),
    "crops": (4, _crop),
    "guided": (5, _guided),
    "maps": (6, _map),
}
"""By the word of the address: how many numbers follow, and what draws it."""
