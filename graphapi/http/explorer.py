"""The explorer: pages in ES modules that ask the public GraphQL, from files of our own, so that it works offline.

Every address of the explorer is answered with the same page, which reads the rest from the address. It is
`static/explorer`; what of it is other people's work stands in its `vendor/vendor.json`.
"""

from __future__ import annotations

import html

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from evigraph.graphapi.http.graphiql import STATIC

PATHS = ("/", "/compare", "/runs/{rest:path}")
_PLOT_STYLES = (
    "'sha256-vnLCBQhI2E03zAY/Mp8RxBhuZSloT7+cclqIlG2t6/M=' 'sha256-+TfQir1nvDucAdvE6XUQBt4ayUjpAWkbw2kCdSfekHM='"
)
"""Of the style sheets that Observable Plot 0.6.17 writes into a chart and a legend of class `plot`."""
_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_PLOT_STYLES}; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'self'; form-action 'none'"
)


def explorer_routes() -> list[Route]:
    """The routes of the explorer's pages."""
    return [Route(path, _page) for path in PATHS]


async def _page(request: Request) -> Response:
    template = (STATIC / "explorer" / "index.html").read_text(encoding="utf-8")
    base = html.escape(request.scope.get("root_path", "").rstrip("/") + "/")
    # One panel is meant to stand in other people's pages; the whole explorer only in its own.
    policy = _POLICY if "embed" in request.query_params else f"{_POLICY}; frame-ancestors 'self'"
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }
    return HTMLResponse(template.replace("{{ base }}", base), headers=headers)
