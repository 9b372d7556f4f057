"""`evigraph export edges` and `evigraph export graph`: what the service streams, written to a file; pictures are in
`export_pictures`.
"""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evigraph.commands import export_pictures
from evigraph.commands.export_pictures import Role, RunName
from evigraph.local import asked_of_run, version_of
from evigraph.options import Database, Quiet, example, sub_app
from evigraph.outputs import STANDARD_OUTPUT, Out, format_of, report, size_text, write

if TYPE_CHECKING:
    from evigraph.graphapi.files.edges import EdgeFilter

app = sub_app(
    "Write edges, graphs of evidence, and pictures to files.",
    example("evigraph export edges --db evidence.duckdb --run vgg16 --out edges.parquet"),
)
app.add_typer(export_pictures.app)


class EdgeFormat(StrEnum):
    """Formats of exported edges."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"
    FEATHER = "feather"


class GraphFormat(StrEnum):
    """Formats of an exported graph."""

    GRAPHML = "graphml"
    JSON = "json"
    DOT = "dot"


class ImageOutcome(StrEnum):
    """Whether an image's predicted class is its label."""

    CORRECT = "correct"
    WRONG = "wrong"


@app.command("edges", epilog=example("evigraph export edges --db evidence.duckdb --run vgg16 --out edges.parquet"))
def export_edges(
    db: Database,
    out: Out,
    format_: Annotated[
        EdgeFormat | None,
        typer.Option(
            "--format",
            help="Of the file, where its ending does not say it; csv for standard output. arrow is an IPC stream, "
            "feather an IPC file.",
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(help="Of this run alone; all if not given.")] = None,
    class_: Annotated[str | None, typer.Option("--class", help="Of roots of this class: name, key or index.")] = None,
    source_layer: Annotated[
        str | None,
        typer.Option(
            "--source-layer", "--layer", help="Whose evidence (the source) is in this layer: name or module path."
        ),
    ] = None,
    target_layer: Annotated[
        str | None, typer.Option(help="Whose explained channel (the target) is in this layer; logits for the roots.")
    ] = None,
    role: Annotated[Role | None, typer.Option(help="Of roots of this role; both if not given.")] = None,
    image: Annotated[str | None, typer.Option(metavar="URI", help="Of this image.")] = None,
    label: Annotated[str | None, typer.Option(help="Of images of this class label: name, key or index.")] = None,
    predicted: Annotated[str | None, typer.Option(help="Of images predicted as this class.")] = None,
    outcome: Annotated[ImageOutcome | None, typer.Option(help="Of images rightly, or wrongly, predicted.")] = None,
    top: Annotated[
        int | None, typer.Option(help="The so many largest of each decomposition; all if not given.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write the edges of a database, or some of them, to a file, in memory that does not grow with their number."""
    from evigraph.graphapi.files import formats
    from evigraph.graphapi.files.edge_images import ImageFilter
    from evigraph.graphapi.files.edges import EdgeFilter

    format_name = format_of(out, format_ and format_.value, formats.ENDINGS, "csv")
    images = ImageFilter(image, label, predicted, outcome and outcome.value)
    wanted = EdgeFilter(run, class_, source_layer, target_layer, role and role.value, top, images)
    count, size = _write_edges(db, format_name, out, wanted)
    if not quiet:
        report(out, f"{count:,} {'edge' if count == 1 else 'edges'}, {size_text(size)} as {format_name}")


@app.command("graph", epilog=example("evigraph export graph --db evidence.duckdb --class boat --out boat.dot"))
def export_graph(
    db: Database,
    class_: Annotated[str, typer.Option("--class", help="The class: name, key or index.", show_default=False)],
    run: RunName = None,
    format_: Annotated[
        GraphFormat | None,
        typer.Option("--format", help="Of the file, where its ending does not say it; json for standard output."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The file to write, its format by its ending; - is standard output.")
    ] = STANDARD_OUTPUT,
    role: Annotated[Role, typer.Option(help="Which roots count.")] = Role.PREDICTED,
    outcome: Annotated[ImageOutcome | None, typer.Option(help="Only roots of such images.")] = None,
    min_rate: Annotated[float, typer.Option(help="Leave out what fewer of the roots hold.")] = 0.1,
    max_nodes_per_layer: Annotated[int, typer.Option(help="Channels of each layer.")] = 20,
    quiet: Quiet = False,
) -> None:
    """Write the evidence graph of a class: channels, and the evidence between them."""
    from evigraph.graphapi.files import graph
    from evigraph.graphapi.http.exports import graph_text

    format_name = format_of(out, format_ and format_.value, graph.ENDINGS, "json")
    given = {"class": class_, "role": role.value, "min_rate": str(min_rate)}
    given["max_nodes_per_layer"] = str(max_nodes_per_layer)
    given |= {"run": run} if run is not None else {}
    given |= {"outcome": outcome.value} if outcome is not None else {}
    text, note = asked_of_run(db, run, lambda session: graph_text(session, session.runs, given, format_name))
    size = write(out, [text.encode()])
    if not quiet and (out != STANDARD_OUTPUT or note):
        report(out, f"{size_text(size)} as {format_name}", note)


def _write_edges(db: Path, format_name: str, out: Path, wanted: EdgeFilter) -> tuple[int, int]:
    """Write edges, a batch at a time; gives how many they are and the bytes written.

    Raises:
        EvidenceError: the database cannot be read, a name stands for nothing, or the file cannot be written.
    """
    from evigraph.graphapi.files.edges import open_edges
    from evigraph.graphapi.files.formats import encoded

    with (
        version_of(db) as version,
        version.engine.connect() as connection,
        closing(open_edges(connection, version.runs, wanted)) as edges,
    ):
        size = write(out, encoded(edges, format_name), is_text=format_name == "csv")
        return edges.row_count, size
