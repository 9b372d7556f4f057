"""`evigraph export edges` and `evigraph export graph`: what the service streams, written to a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evigraph.options import Database, Quiet, example, sub_app
from evigraph.schema.errors import EvidenceError

app = sub_app(
    "Write edges, or the evidence graph of a class, to a file.",
    example("evigraph export edges --db evidence.duckdb --run vgg16 --out edges.parquet"),
)


class EdgeFormat(StrEnum):
    """Formats of exported edges."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"


class GraphFormat(StrEnum):
    """Formats of an exported graph."""

    GRAPHML = "graphml"
    JSON = "json"
    DOT = "dot"


class Role(StrEnum):
    """Which class a decision explains."""

    PREDICTED = "predicted"
    LABEL = "label"


class ImageOutcome(StrEnum):
    """Whether an image's predicted class is its label."""

    CORRECT = "correct"
    WRONG = "wrong"


@app.command("edges", epilog=example("evigraph export edges --db evidence.duckdb --run vgg16 --out edges.parquet"))
def export_edges(
    db: Database,
    out: Annotated[Path, typer.Option(help="The file to write; takes the place of an older one.", show_default=False)],
    format_: Annotated[EdgeFormat, typer.Option("--format", help="Of the file; arrow is an IPC stream.")] = (
        EdgeFormat.PARQUET
    ),
    run: Annotated[str | None, typer.Option(help="Of this run alone; all if not given.")] = None,
    class_: Annotated[str | None, typer.Option("--class", help="Of roots of this class: name, key or index.")] = None,
    layer: Annotated[str | None, typer.Option(help="Into channels of this layer: name or module path.")] = None,
    role: Annotated[Role | None, typer.Option(help="Of roots of this role; both if not given.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write the edges of a database, or some of them, to a file, in memory that does not grow with it."""
    size = _write_edges(db, format_.value, out, run, class_, layer, role and role.value)
    if not quiet:
        print(f"wrote {out}: {size / 1e6:.1f} MB")


@app.command(
    "graph", epilog=example("evigraph export graph --db evidence.duckdb --class boat --format dot --out boat.dot")
)
def export_graph(
    db: Database,
    class_: Annotated[str, typer.Option("--class", help="The class: name, key or index.", show_default=False)],
    run: Annotated[str | None, typer.Option(help="The run; the default, or the newest, if not given.")] = None,
    format_: Annotated[GraphFormat, typer.Option("--format", help="Of the file.")] = GraphFormat.JSON,
    out: Annotated[Path | None, typer.Option(help="The file to write; standard output if not given.")] = None,
    role: Annotated[Role, typer.Option(help="Which roots count.")] = Role.PREDICTED,
    outcome: Annotated[ImageOutcome | None, typer.Option(help="Only roots of such images.")] = None,
    min_rate: Annotated[float, typer.Option(help="Leave out what fewer of the roots hold.")] = 0.1,
    max_nodes_per_layer: Annotated[int, typer.Option(help="Channels of each layer.")] = 20,
) -> None:
    """Write the evidence graph of a class: channels, and the evidence between them."""
    given = {"class": class_, "role": role.value, "min_rate": str(min_rate)}
    given["max_nodes_per_layer"] = str(max_nodes_per_layer)
    given |= {"run": run} if run is not None else {}
    given |= {"outcome": outcome.value} if outcome is not None else {}
    _write_graph(db, format_.value, out, given)


def _write_edges(
    db: Path, format_name: str, out: Path, run: str | None, class_name: str | None, layer: str | None, role: str | None
) -> int:
    """Write edges to a file, a batch at a time; gives the bytes written.

    The file has its name only when it is whole.

    Raises:
        EvidenceError: the database cannot be read, a name stands for nothing, or the file cannot be written.
    """
    from evigraph.graphapi.files.edges import EdgeFilter, batches, edges_statement, encoded
    from evigraph.graphapi.store.live import Version
    from evigraph.schema.database import resolve

    version = Version(resolve(db), db)
    try:
        statement = edges_statement(version.runs, EdgeFilter(run, class_name, layer, role))
        with version.engine.connect() as connection:
            return _write(out, encoded(batches(connection, statement), format_name))
    finally:
        version.close()


def _write_graph(db: Path, format_name: str, out: Path | None, given: dict[str, str]) -> None:
    """Write the evidence graph of a class to a file, or to standard output.

    Raises:
        EvidenceError: the database cannot be read, or a name stands for nothing.
    """
    from evigraph.graphapi.http.exports import graph_text
    from evigraph.graphapi.store.live import Version
    from evigraph.graphapi.store.session import Session
    from evigraph.graphapi.store.settings import Settings
    from evigraph.schema.database import resolve

    version = Version(resolve(db), db)
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
    partial = out.parent / f"{out.name}.partial"
    size = 0
    try:
        with partial.open("wb") as file:
            for part in parts:
                size += file.write(part)
        partial.replace(out)
    except OSError as error:
        raise EvidenceError(f"{out} cannot be written: {error.strerror or error}; give another --out") from error
    finally:
        with suppress(OSError):  # where it could not be made it cannot be removed
            partial.unlink(missing_ok=True)
    return size
