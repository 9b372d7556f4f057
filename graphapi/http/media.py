"""Pictures over HTTP, from the database file alone.

What an address (`files.addresses`) shows never changes, so clients may keep it for ever; the address of a run that was
deleted or made anew is not found. Receptive fields, guided gradients and maps are drawn when they are asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from sqlalchemy import FromClause, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from evigraph.graphapi.files import drawing
from evigraph.graphapi.files.addresses import run_address
from evigraph.graphapi.http.view import error_response
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.errors import QueryTimeoutError
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import R, Template, columns_of
from evigraph.schema.ids import image_id_of
from evigraph.schema.pictures import PictureSettings
from evigraph.schema.tables.pictures import ActivationMap, GuidedCrop, Thumbnail

FOR_EVER = "public, max-age=31536000, immutable"
_ID_LIMIT = 2**31
"""Numbers of an address are below: the columns of keys are 32-bit integers."""
_THUMBNAIL = ("run_id", "image_id")
_GUIDED = ("run_id", "layer_id", "channel", "image_id", "y", "x")
_MAP = ("run_id", "decision_id", "target_layer", "target_channel", "target_y", "target_x", "source_channel")


class Picture(NamedTuple):
    """An encoded image; also of `thumbnail`."""

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


def media_routes(service: Service) -> list[Route]:
    """The routes of the pictures."""

    def route(path: str, draw: Callable[[_Source, dict[str, int], Request], Awaitable[Picture]]) -> Route:
        async def answer(request: Request) -> Response:
            return await _answer(service, request, draw)

        return Route(path, answer)

    return [
        route("/media/{run}/images/{image}", _image),
        route("/media/{run}/crops/{image}/{layer}/{y}/{x}", _crop),
        route("/media/{run}/guided/{layer}/{channel}/{image}/{y}/{x}", _guided),
        route("/media/{run}/maps/{decision}/{layer}/{channel}/{y}/{x}/{source}", _map),
    ]


class _Source(NamedTuple):
    """One run, as one request sees it."""

    session: Session
    run: RunInfo

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

    async def thumbnail(self, image_id: int) -> Picture:
        return await self.row(Picture, Thumbnail.__table__, _THUMBNAIL, image_id)


async def _answer(
    service: Service, request: Request, draw: Callable[[_Source, dict[str, int], Request], Awaitable[Picture]]
) -> Response:
    names = {name: text for name, text in request.path_params.items() if name != "run"}
    places = {name: int(text) for name, text in names.items() if text.isascii() and text.isdigit() and len(text) <= 10}
    async with service.database.request() as version:
        run = next((run for run in version.runs if run_address(run) == request.path_params["run"]), None)
        if run is None or len(places) < len(names) or max(places.values()) >= _ID_LIMIT:
            return error_response(404, _not_found(request, "run" if run is None else "picture"))
        # Nothing that an address shows ever changes, so the address itself tells one picture from another.
        address = f"{request.url.path}?{request.url.query}"
        headers = {
            "ETag": f'"{hashlib.sha256(address.encode()).hexdigest()[:24]}"',
            "Cache-Control": FOR_EVER,
            "X-Content-Type-Options": "nosniff",
        }
        held = request.headers.get("if-none-match", "")
        if _names(held, headers["ETag"]):
            return Response(status_code=304, headers=headers)  # only a client that has the picture can name its tag
        try:
            picture = await draw(_Source(service.session(version), run), places, request)
        except _Missing:
            return error_response(404, _not_found(request, "picture"))
        except QueryTimeoutError as error:
            return error_response(503, str(error), error.code)
        if held.strip() == "*":
            return Response(status_code=304, headers=headers)
        return Response(picture.content, media_type=picture.media_type, headers=headers)


def _not_found(request: Request, what: str) -> str:
    return f"no {what} at {request.url.path[:200]}; take addresses from the URL fields of GraphQL"


def _names(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names a tag; weak tags count, as RFC 9110 has it for this header."""
    return etag in [tag.strip().removeprefix("W/") for tag in header.split(",")]


async def _image(source: _Source, place: dict[str, int], _: Request) -> Picture:
    return await source.thumbnail(place["image"])


async def _crop(source: _Source, place: dict[str, int], _: Request) -> Picture:
    pictures = source.pictures()
    layer = source.run.layers[place["layer"]] if place["layer"] < len(pictures.layers) else None
    if layer is None or not (place["y"] < layer.height and place["x"] < layer.width):
        raise _Missing
    box = pictures.layers[layer.layer_id].box(place["y"], place["x"], pictures.size)
    thumbnail = await source.thumbnail(place["image"])
    return Picture("image/png", await asyncio.to_thread(drawing.crop, thumbnail.content, box, pictures.size))


async def _guided(source: _Source, place: dict[str, int], _: Request) -> Picture:
    key = (place["layer"], place["channel"], place["image"], place["y"], place["x"])
    row = await source.row(_GuidedRow, GuidedCrop.__table__, _GUIDED, *key)
    if min(row.width, row.height) >= drawing.SMALLEST:
        return Picture(row.media_type, row.content)
    return Picture("image/png", await asyncio.to_thread(drawing.enlarged, row.content))


async def _map(source: _Source, place: dict[str, int], request: Request) -> Picture:
    pictures = source.pictures()
    key = (place["decision"], place["layer"], place["channel"], place["y"], place["x"], place["source"])
    row = await source.row(_MapRow, ActivationMap.__table__, _MAP, *key)
    layer = source.run.layers[row.target_layer - 1]
    overlay = request.query_params.get("overlay") != "false" and pictures.thumbnails is not None
    under = (await source.thumbnail(image_id_of(row.decision_id))).content if overlay else None
    stored = drawing.StoredMap(row.content, row.first_y, row.first_x, row.height, row.width, layer.height, layer.width)
    geometry = pictures.layers[layer.layer_id]
    return Picture("image/png", await asyncio.to_thread(drawing.heat_map, stored, geometry, pictures.size, under))
