"""`evigraph serve`: the service on uvicorn."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from evigraph.options import Database, Quiet, example, sub_app
from evigraph.schema.errors import EvidenceError

app = sub_app()


@app.command(epilog=example("evigraph serve --db evidence.duckdb --port 8000"))
def serve(
    db: Database,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    quiet: Quiet = False,
) -> None:
    """Serve a database over GraphQL; a newly published version is taken up at once."""
    import uvicorn

    from evigraph.graphapi.http.app import create_app

    service = create_app(db)
    listener = _listen(host, port)
    address = f"http://{host}:{listener.getsockname()[1]}"
    if not quiet:
        print(f"serving {db} at {address}/graphql (GraphiQL in a browser); Ctrl-C ends it", flush=True)
    config = uvicorn.Config(service, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, taken before the server starts so that a port in use is one clear line."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise EvidenceError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; "
            "give another --host or --port (0 takes a free one)"
        ) from error
    return listener
