"""GraphQL over HTTP (the specification of that name): what a request asks, and how the answer is sent.

POST, application/json {"query", "variables"?, "operationName"?, "extensions"?}     GET, the same as parameters
Accept: application/graphql-response+json   400 where the query was refused, 200 where it ran
Accept: application/json                    200 for every well-formed request
Evigraph-Database: (of an answer)           the version of the database that answered
anything that is not a GraphQL request: 400, 405, 406, 413 or 415 with the same error shape
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from evigraph.graphapi.service.encoding import to_json
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.errors import BAD_USER_INPUT, INTERNAL, LimitError
from evigraph.schema.errors import NotFoundError

GRAPHQL_JSON = "application/graphql-response+json"
JSON = "application/json"
HTML = "text/html"
VERSION_HEADER = "Evigraph-Database"
"""File name of the version that answered: answers of one name go together."""


class _Refused(Exception):  # noqa: N818 - an answer on its way out, not a failure
    def __init__(self, status: int, message: str, code: str = BAD_USER_INPUT, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


@dataclass(frozen=True)
class _Parameters:
    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


async def serve_graphql(service: Service, request: Request) -> Response:
    """Answer one HTTP request."""
    # The new media type changes status codes, so only clients that name it get it.
    named = GRAPHQL_JSON in request.headers.get("accept", "")
    wanted = accepted(request.headers, (GRAPHQL_JSON, JSON) if named else (JSON, GRAPHQL_JSON))
    media_type = wanted or JSON
    try:
        if wanted is None:
            raise _Refused(406, f"accept {GRAPHQL_JSON} or {JSON}")
        parameters = await _parameters(request, service.settings.max_body_bytes)
    except _Refused as refused:
        return error_response(refused.status, str(refused), refused.code, refused.headers, media_type)
    answer = await service.answer(parameters.query, parameters.variables, parameters.operation_name)
    status = 400 if media_type == GRAPHQL_JSON and not answer.executed else 200
    headers = {VERSION_HEADER: answer.database}
    return Response(to_json(answer.body), status, headers, media_type=f"{media_type}; charset=utf-8")


def error_response(
    status: int,
    message: str,
    code: str | None = None,
    headers: dict[str, str] | None = None,
    media_type: str = JSON,
) -> Response:
    """A failure outside GraphQL, in the shape of GraphQL's errors."""
    code = code or {404: NotFoundError.code, 500: INTERNAL}.get(status, BAD_USER_INPUT)
    return Response(
        to_json({"errors": [{"message": message, "extensions": {"code": code}}]}), status, headers, media_type
    )


def accepted(headers: Headers, offered: tuple[str, ...]) -> str | None:
    """The offered media type that the Accept header prefers, the first of equals; None where it accepts none."""
    header = headers.get("accept", "*/*").strip() or "*/*"
    best: tuple[float, str] | None = None
    for media_type in offered:
        quality = _quality(header, media_type)
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, media_type)
    return best[1] if best else None


def _quality(header: str, media_type: str) -> float:
    """The q of the most specific range of an Accept header that contains the type; 0 where none does."""
    ranges = {media_type: 2, media_type.split("/")[0] + "/*": 1, "*/*": 0}
    best = (-1, 0.0)
    for part in header.split(","):
        name, *options = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for option in options:
            if option.startswith("q="):
                try:
                    quality = float(option[2:])
                except ValueError:
                    quality = 0.0
        if name in ranges:
            best = max(best, (ranges[name], quality))
    return best[1]


async def _parameters(request: Request, max_body_bytes: int) -> _Parameters:
    if request.method == "GET":
        given: dict[str, Any] = dict(request.query_params)
        for name in ("variables", "extensions"):
            if given.get(name):
                given[name] = _parsed(given[name].encode(), name)
    elif request.method == "POST":
        content_type, _, options = request.headers.get("content-type", "").partition(";")
        if content_type.strip().lower() != JSON:
            raise _Refused(415, f"content type {content_type!r}: send {JSON}")
        charset = options.partition("charset=")[2].strip().strip('"').lower()
        if charset not in ("", "utf-8", "utf8"):
            raise _Refused(415, f"charset {charset!r}: send utf-8")
        given = _parsed(await _body(request, max_body_bytes), "the body")
    else:
        raise _Refused(405, f"method {request.method}: use POST or GET", Allow="GET, POST")
    return _checked(given)


def _checked(given: dict[str, Any]) -> _Parameters:
    query = given.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _Refused(400, '"query" must be a GraphQL text')
    operation_name = given.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise _Refused(400, '"operationName" must be a string')
    for name in ("variables", "extensions"):
        if given.get(name) is not None and not isinstance(given[name], dict):
            raise _Refused(400, f'"{name}" must be an object')
    return _Parameters(query, given.get("variables"), operation_name or None)


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than the limit in bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _Refused(413, f"the body is larger than {limit} bytes; shorten the query", LimitError.code)
    return bytes(body)


def _parsed(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _Refused(400, f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _Refused(400, f"{what} must be a JSON object")
    return value
