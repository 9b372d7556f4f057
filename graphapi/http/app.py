"""The service as a Starlette application.

/graphql    GraphQL over HTTP; GraphiQL for a browser that asks for a page
/           the explorer, also at /runs/... and /compare; to /graphql where the setting `explorer` is off
/media/...  pictures, as the URL fields of GraphQL name them (`graphapi.http.media`)
/export     edges and graphs as files (graphapi/http/exports.py)
/healthz    whether the database answers, which version of it, and its runs
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from evigraph.graphapi.http import exports
from evigraph.graphapi.http.explorer import explorer_routes
from evigraph.graphapi.http.graphiql import STATIC, page
from evigraph.graphapi.http.media import media_routes
from evigraph.graphapi.http.view import (
    GRAPHQL_JSON,
    HTML,
    JSON,
    VERSION_HEADER,
    accepted,
    error_response,
    serve_graphql,
)
from evigraph.graphapi.service.encoding import to_json
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.live import UnavailableError
from evigraph.graphapi.store.settings import Settings
from evigraph.schema.database import REVISIONS


class _Files(StaticFiles):
    """Files of the pages: a browser asks each time whether its copy is still the one that is installed."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def create_app(database: Path, *, settings: Settings | None = None) -> Starlette:
    """The service over one database, which is opened here.

    Args:
        database: The pointer that `publish` moves, or a single file.
        settings: Limits and switches; the defaults if None.

    Raises:
        DatabaseError: The database is missing, foreign, of another revision, or broken.
    """
    settings = settings or Settings()
    service = Service(database, settings)

    async def graphql(request: Request) -> Response:
        wants_page = accepted(request.headers, (JSON, GRAPHQL_JSON, HTML)) == HTML
        if settings.graphiql and request.method == "GET" and wants_page and "query" not in request.query_params:
            async with service.database.request() as version:
                return page(version.runs)
        return await serve_graphql(service, request)

    async def healthz(_: Request) -> Response:
        async with service.database.request() as version:
            runs = [{"name": run.name, "images": run.image_count} for run in version.runs]
            body = {"status": "ok", "database": version.file.name, "revision": REVISIONS[-1], "runs": runs}
            return Response(to_json(body), media_type=JSON, headers={"Cache-Control": "no-store"})

    async def root(_: Request) -> Response:
        return RedirectResponse("graphql")

    async def refused(_: Request, error: Exception) -> Response:
        status, message = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
        return error_response(status, message or "internal error; the server's log has its cause")

    async def unavailable(_: Request, error: Exception) -> Response:
        return error_response(503, str(error), UnavailableError.code, {"Retry-After": "1"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.database.watch())
        yield
        watching.cancel()
        service.close()

    middleware = []
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["content-type"],
                expose_headers=[VERSION_HEADER],
            )
        )
    routes: list[Route | Mount] = [
        # Every method, so that a refusal has the shape of every other error.
        Route("/graphql", graphql, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        *exports.routes(service),
        Route("/healthz", healthz),
        *(explorer_routes() if settings.explorer else [Route("/", root)]),
        *media_routes(service),
    ]
    if settings.explorer:
        routes.append(Mount("/static/explorer", _Files(directory=STATIC / "explorer")))
    if settings.graphiql:
        routes.append(Mount("/static", _Files(directory=STATIC)))
    handlers: dict[Any, Any] = {HTTPException: refused, UnavailableError: unavailable, Exception: refused}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)
