"""`evigraph schema`."""

from __future__ import annotations

from evigraph.options import example, sub_app

app = sub_app()


@app.command(epilog=example("evigraph schema > schema.graphql"))
def schema() -> None:
    """Print the GraphQL schema in SDL."""
    from evigraph.graphapi.service.schema import sdl

    print(sdl(), end="")
