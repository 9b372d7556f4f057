"""`evigraph publish`."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evigraph.options import Database, Json, Quiet, example, sub_app
from evigraph.schema.errors import in_shell

app = sub_app()


@app.command(epilog=example("evigraph publish runs/vgg16 runs/resnet18 --db evidence.duckdb"))
def publish(
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders.", show_default=False)],
    db: Database,
    memory_limit: Annotated[
        str | None, typer.Option(help="What DuckDB may hold in memory, such as 2GB; it sorts on the disk beyond.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace a run of the same name made from another network, weights or data."),
    ] = False,
    default: Annotated[
        bool, typer.Option("--default", help="Make the run the one that is asked where a query names none.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build a database of runs, check it, and put it in the place of the old one."""
    from evigraph.indexer.publish.publish import publish as publish_runs
    from evigraph.progress import StepProgress

    with StepProgress(quiet or as_json) as progress:
        report = publish_runs(runs, db, progress, memory_limit, replace_others=replace, default=default)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    elif not quiet:
        size = report.size_bytes / 1e6
        print(f"published {', '.join(report.runs)} to {db}: {report.edge_count} edges of {report.image_count} images")
        print(f"  {size:.1f} MB in {report.seconds:.1f} s, its invariants checked")
        for sentence in report.replaced:
            print(f"  {sentence}")
        if report.asked_as != "only":
            print(f"  a query that names no run asks {report.asked}, the {report.asked_as}")
        if report.asked_as == "newest":
            named = f"evigraph runs default {shlex.quote(report.asked)} --db {in_shell(db)}"
            print(f"  note: the next run published will answer it instead; to keep this one: {named}")
        print(f"next: evigraph serve --db {in_shell(db)}")
