"""`evigraph serve`: the service on uvicorn."""

from __future__ import annotations

import socket
from pathlib import Path

from schema.errors import EvidenceError


def run_server(database: Path, host: str, port: int, quiet: bool) -> None:
    """Serve until interrupted.

    Raises:
        DatabaseError: the database cannot be served.
        EvidenceError: the address cannot be listened on.
    """
    import uvicorn

    from graphapi.app import create_app

    app = create_app(database)
    listener = _listen(host, port)
    address = f"http://{host}:{listener.getsockname()[1]}"
    if not quiet:
        print(f"serving {database} at {address}/graphql (GraphiQL in a browser); Ctrl-C ends it", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
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
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port (0 takes a free one)"
        ) from error
    return listener
