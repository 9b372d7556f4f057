"""Pictures over HTTP, from the database file alone (`files.pictures`).

What an address shows never changes, so clients may keep it for ever; the address of a run that was deleted or made anew
is not found.
"""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from evigraph.graphapi.files.pictures import picture_at, place_at
from evigraph.graphapi.http.view import error_response
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.errors import QueryTimeoutError
from evigraph.schema.errors import NotFoundError

FOR_EVER = "public, max-age=31536000, immutable"


def media_routes(service: Service) -> list[Route]:
    """The route of the pictures."""

    async def answer(request: Request) -> Response:
        return await _answer(service, request)

    return [Route("/media/{place:path}", answer)]


async def _answer(service: Service, request: Request) -> Response:
    address = f"/media/{request.path_params['place']}"
    async with service.database.request() as version:
        try:
            place_at(version.runs, address)
            # Nothing that an address shows ever changes, so the address itself tells one picture from another.
            named = f"{request.url.path}?{request.url.query}"
            headers = {
                "ETag": f'"{hashlib.sha256(named.encode()).hexdigest()[:24]}"',
                "Cache-Control": FOR_EVER,
                "X-Content-Type-Options": "nosniff",
            }
            held = request.headers.get("if-none-match", "")
            if _names(held, headers["ETag"]):
                return Response(status_code=304, headers=headers)  # only a client that has the picture can name its tag
            overlay = request.query_params.get("overlay") != "false"
            picture = await picture_at(service.session(version), address, overlay)
        except NotFoundError as error:
            return error_response(404, str(error))
        except QueryTimeoutError as error:
            return error_response(503, str(error), error.code)
        if held.strip() == "*":
            return Response(status_code=304, headers=headers)
        return Response(picture.content, media_type=picture.media_type, headers=headers)


def _names(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names a tag; weak tags count, as RFC 9110 has it for this header."""
    return etag in [tag.strip().removeprefix("W/") for tag in header.split(",")]
