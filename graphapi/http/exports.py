"""Exports over HTTP: GET /export/edges and /export/graph. Their query parameters:

/export/edges   run, class, source_layer (or layer, as it was called), target_layer, role, image, label, predicted,
                outcome, top; format = parquet (default), csv, arrow or feather: streamed, as it is read
/export/graph   run, class, role, outcome, min_rate, max_nodes_per_layer; format = json (default), graphml or dot

An export stays on the version of the database with which it began, until its last byte or until the client goes. Bad
parameters are refused before anything is sent, with the error shape of every other refusal. An export that breaks off
later (when its time is up, say) closes the connection before the end that the transfer announced, so that no client
takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from evigraph.graphapi.files import edges, formats, graph
from evigraph.graphapi.files.edge_images import ImageFilter, NamedEdges
from evigraph.graphapi.questions.class_graph import class_graph
from evigraph.graphapi.service.encoding import to_json
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.errors import LimitError, QueryTimeoutError, shape_of
from evigraph.graphapi.store.live import Version
from evigraph.graphapi.store.names import chosen_run
from evigraph.graphapi.store.session import Session
from evigraph.schema.errors import EvidenceError, NotFoundError, UsageError

T = TypeVar("T")
D = TypeVar("D")

_EDGE_PARAMETERS = (
    *("run", "class", "source_layer", "target_layer", "layer", "role"),
    *("image", "label", "predicted", "outcome", "top", "format"),
)


def routes(service: Service) -> list[Route]:
    """The routes of exports."""
    running = _Running(service.settings.max_exports)

    async def export_edges(request: Request) -> Response:
        try:
            return await _edges(service, running, request)
        except EvidenceError as error:
            return _refusal(error)

    async def export_graph(request: Request) -> Response:
        try:
            return await _graph(service, request)
        except EvidenceError as error:
            return _refusal(error)

    return [
        Route("/export/edges", export_edges, methods=["GET"]),
        Route("/export/graph", export_graph, methods=["GET"]),
    ]


class _Running:
    """Counts running exports, each of which holds a connection for as long as its client reads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._count = limit, 0

    def __enter__(self) -> None:
        if self._count >= self._limit:
            raise LimitError(f"{self._limit} exports are running already, which is the limit; try again later")
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1


class _Export(StreamingResponse):
    """A stream that gives back what it holds when it ends, however it ends."""

    def __init__(self, parts: AsyncIterator[bytes], held: AsyncExitStack, media_type: str, name: str) -> None:
        super().__init__(parts, media_type=media_type)
        self.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        self.headers["Cache-Control"] = "no-store"
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._held.aclose()


async def _edges(service: Service, running: _Running, request: Request) -> Response:
    given = _parameters(request, _EDGE_PARAMETERS)
    format_name = _format(given, formats.MEDIA_TYPES, "parquet")
    wanted = _edge_filter(given)
    async with AsyncExitStack() as stack:
        stack.enter_context(running)
        version = await stack.enter_async_context(service.database.request())
        export = _Reader(service, version)
        stack.push_async_callback(export.close)
        first = await export.begin(wanted, format_name)
        name = f"edges{formats.ENDINGS[format_name][0]}"
        return _Export(export.parts(first), stack.pop_all(), formats.MEDIA_TYPES[format_name], name)
    raise AssertionError("the block above returns")


def _edge_filter(given: dict[str, str]) -> edges.EdgeFilter:
    layer, source_layer = given.get("layer"), given.get("source_layer")
    if layer is not None and source_layer not in (None, layer):
        raise UsageError(f"layer {layer!r} and source_layer {source_layer!r} are the same parameter; give one of them")
    return edges.EdgeFilter(
        run=given.get("run"),
        class_name=given.get("class"),
        source_layer=layer if source_layer is None else source_layer,
        target_layer=given.get("target_layer"),
        role=given.get("role"),
        top=_number(given, "top", int, None),
        images=ImageFilter(given.get("image"), given.get("label"), given.get("predicted"), given.get("outcome")),
    )


class _Reader:
    """One export on the thread pool: a part at a time, so that a slow client holds no thread."""

    def __init__(self, service: Service, version: Version) -> None:
        self._service, self._version = service, version
        self._deadline = time.monotonic() + service.settings.export_time_limit_ms / 1000
        self._connection: Connection | None = None
        self._edges: NamedEdges | None = None
        self._parts: Iterator[bytes] = iter(())
        self._job: asyncio.Future[Any] | None = None

    async def begin(self, wanted: edges.EdgeFilter, format_name: str) -> bytes:
        """Start reading; returns the head of the file. Raises as `open_edges` does."""

        def start() -> bytes:
            self._connection = self._version.engine.connect()
            self._edges = edges.open_edges(self._connection, self._version.runs, wanted)
            self._parts = formats.encoded(self._edges, format_name)
            return next(self._parts)

        return await self._run(start)

    async def parts(self, first: bytes) -> AsyncIterator[bytes]:
        """The parts of the file, the head first."""
        part: bytes | None = first
        while part is not None:
            if part:
                yield part
            part = await self._run(lambda: next(self._parts, None))

    async def _run(self, work: Callable[[], T]) -> T:
        limit = self._service.settings.export_time_limit_ms
        self._job = asyncio.ensure_future(self._service.on_a_thread(work))
        try:
            return await asyncio.wait_for(asyncio.shield(self._job), max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            raise QueryTimeoutError(
                f"the export took longer than {limit} ms; ask for a class or a layer of it"
            ) from None

    async def close(self) -> None:
        """End the statement and give the connection back."""
        while self._job is not None and not self._job.done():
            if self._connection is not None and self._connection.connection.dbapi_connection is not None:
                self._connection.connection.dbapi_connection.interrupt()
            await asyncio.wait([self._job], timeout=0.02)
        if self._job is not None and not self._job.cancelled():
            self._job.exception()  # read, so that asyncio does not report it: the export has failed already
        if self._edges is not None:
            await self._service.on_a_thread(self._edges.close)
        if self._connection is not None:
            await self._service.on_a_thread(self._connection.close)


async def _graph(service: Service, request: Request) -> Response:
    known = ("run", "class", "role", "outcome", "min_rate", "max_nodes_per_layer", "format")
    given = _parameters(request, known)
    format_name = _format(given, graph.MEDIA_TYPES, "json")
    async with service.database.request() as version:
        text = await graph_text(service.session(version), version.runs, given, format_name)
    name = f"graph.{format_name}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, media_type=graph.MEDIA_TYPES[format_name], headers=headers)


async def graph_text(session: Session, runs: tuple[RunInfo, ...], given: dict[str, str], format_name: str) -> str:
    """The evidence graph of a class, as the text of a file.

    Args:
        session: Of one request.
        runs: Of its database.
        given: Parameters by name, as text: those of /export/graph without `format`.
        format_name: One of `graph.MEDIA_TYPES`.

    Raises:
        NotFoundError, AmbiguousError: A name that stands for nothing, or for several things.
        UsageError: Another parameter is missing or wrong.
    """
    if "class" not in given:
        raise UsageError("class is missing; name the class of the graph")
    for name, values in (("role", ("predicted", "label")), ("outcome", ("correct", "wrong"))):
        if name in given and given[name] not in values:
            raise UsageError(f"unknown {name} {given[name]!r}; give {' or '.join(values)}")
    run, _ = chosen_run(runs, given.get("run"))
    answer = await class_graph(
        session,
        run,
        given["class"],
        given.get("role", "predicted"),
        given.get("outcome"),
        _number(given, "min_rate", float, 0.1),
        _number(given, "max_nodes_per_layer", int, 20),
    )
    return graph.graph_text(answer, run, format_name)


def _number(given: dict[str, str], name: str, kind: Callable[[str], T], default: D) -> T | D:
    try:
        return kind(given[name]) if name in given else default
    except ValueError:
        left_out = "all" if default is None else default
        raise UsageError(f"{name} {given[name]!r} is not a number; leave it out for {left_out}") from None


def _parameters(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    given = dict(request.query_params)
    for name in given:
        if name not in known:
            raise NotFoundError("parameter", name, known, f"; there are {', '.join(known)}")
    return given


def _format(given: dict[str, str], formats: dict[str, str], default: str) -> str:
    name = given.get("format", default)
    if name not in formats:
        raise UsageError(f"unknown format {name!r}; give {', '.join(formats)}")
    return name


def _refusal(error: EvidenceError) -> Response:
    """400 for a wrong request, 404 for an unknown name, 429 for too many exports, 504 for one that took too long."""
    status = 500
    for kind, value in ((NotFoundError, 404), (LimitError, 429), (UsageError, 400), (QueryTimeoutError, 504)):
        if isinstance(error, kind):
            status = value
            break
    return Response(to_json({"errors": [shape_of(error)]}), status, media_type="application/json")
