"""`evigraph runs list`, `evigraph runs default` and `evigraph runs delete`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from evigraph.options import Database, Json, Quiet, example, sub_app
from evigraph.schema.errors import in_shell

app = sub_app(
    "List the runs of a database, delete some, or name the default.", example("evigraph runs list --db evidence.duckdb")
)


@app.command("list", epilog=example("evigraph runs list --db evidence.duckdb"))
def list_runs(db: Database, as_json: Json = False) -> None:
    """List the runs of a database, in the order in which they were first published."""
    from evigraph.indexer.publish.manage import list_runs as runs_of

    runs = runs_of(db)
    if as_json:
        print(json.dumps([asdict(run) for run in runs], default=lambda moment: moment.isoformat()))
        return
    if not runs:
        print(f"{db} holds no runs; add one with: evigraph publish RUN_DIR --db {in_shell(db)}")
        return
    rows = [("name", "model", "dataset", "images", "edges", "accuracy", "created")]
    for run in runs:
        accuracy = "-" if run.accuracy is None else f"{run.accuracy:.4f}"
        created = f"{run.created_at:%Y-%m-%d %H:%M}"
        name = f"{run.name} (default)" if run.is_default else run.name
        rows.append((name, run.model, run.dataset, str(run.image_count), str(run.edge_count), accuracy, created))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{c:>{w}}" if 3 <= i <= 5 else f"{c:<{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        print("  ".join(cells).rstrip())


@app.command("default", epilog=example("evigraph runs default vgg16 --db evidence.duckdb"))
def name_default(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a run.", show_default=False)],
    db: Database,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a run the one that is asked where a query names none; later publishes keep it."""
    from evigraph.indexer.publish.manage import set_default
    from evigraph.progress import StepProgress

    with StepProgress(quiet or as_json) as progress:
        report = set_default(name, db, progress)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    elif not quiet:
        before = f"; it was {report.before}" if report.before not in (None, name) else ""
        print(f"a query of {db} that names no run asks {name} now{before}")


@app.command("delete", epilog=example("evigraph runs delete vgg16-old --db evidence.duckdb"))
def delete_runs(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of runs.", show_default=False)],
    db: Database,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Put a database without these runs in the place of the old one; their run folders stay."""
    from evigraph.indexer.publish.manage import delete_runs as delete
    from evigraph.progress import StepProgress

    with StepProgress(quiet or as_json) as progress:
        report = delete(names, db, progress)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    elif not quiet:
        print(f"deleted {', '.join(report.deleted)} from {db}, which holds {', '.join(report.kept) or 'no runs'} now")
        if report.asked is not None:
            print(f"  a query that names no run asks {report.asked} now")
        print(f"  {report.size_bytes / 1e6:.1f} MB in {report.seconds:.1f} s, its invariants checked")
        print(f"  the version before is kept until the next publish: evigraph rollback --db {in_shell(db)}")
