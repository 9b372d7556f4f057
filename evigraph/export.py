"""`evigraph export edges` and `evigraph export graph`: what the service streams, written to a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from schema.errors import EvidenceError


def export_edges(
    db: Path, format_name: str, out: Path, run: str | None, class_name: str | None, layer: str | None, role: str | None
) -> int:
    """Write edges to a file, a batch at a time; gives the bytes written.

    The file has its name only when it is whole.

    Raises:
        EvidenceError: the database cannot be read, a name stands for nothing, or the file cannot be written.
    """
    from graphapi.export_edges import EdgeFilter, batches, edges_statement, encoded
    from graphapi.live import Version
    from schema.database import resolve

    version = Version(resolve(db))
    try:
        statement = edges_statement(version.runs, EdgeFilter(run, class_name, layer, role))
        with version.engine.connect() as connection:
            return _write(out, encoded(batches(connection, statement), format_name))
    finally:
        version.close()


def export_graph(db: Path, format_name: str, out: Path | None, given: dict[str, str]) -> None:
    """Write the evidence graph of a class to a file, or to standard output.

    Raises:
        EvidenceError: the database cannot be read, or a name stands for nothing.
    """
    from graphapi.exports import graph_text
    from graphapi.live import Version
    from graphapi.session import Session
    from graphapi.settings import Settings
    from schema.database import resolve

    version = Version(resolve(db))
    try:
        with ThreadPoolExecutor(1) as thread:
            session = Session(version, Settings(), thread)
            text = asyncio.run(graph_text(session, version.runs, given, format_name))
    finally:
        version.close()
    if out is None:
        sys.stdout.write(text)
    else:
        _write(out, [text.encode()])


def _write(out: Path, parts: Iterable[bytes]) -> int:
    partial = out.with_name(f"{out.name}.partial")
    size = 0
    try:
        with partial.open("wb") as file:
            for part in parts:
                size += file.write(part)
        partial.replace(out)
    except OSError as error:
        raise EvidenceError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return size
