"""`evigraph check`."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from evigraph.options import Database, Json, Quiet, example, sub_app

app = sub_app()


@app.command(epilog=example("evigraph check --db evidence.duckdb"))
def check(db: Database, quiet: Quiet = False, as_json: Json = False) -> None:
    """Check every invariant of a database and recompute its rollups. Exit code 1 if one is broken."""
    from evigraph.schema.checks.checks import run_checks
    from evigraph.schema.database import open_read_only

    engine = open_read_only(db)
    try:
        with engine.connect() as connection:
            results = run_checks(connection)
    finally:
        engine.dispose()
    if as_json:
        print(json.dumps([asdict(result) for result in results]))
    for result in [] if as_json else results:
        if not (quiet and result.ok):
            print(f"{'ok    ' if result.ok else 'BROKEN'} {result.name}{'' if result.ok else f': {result.detail}'}")
    if not all(result.ok for result in results):
        raise typer.Exit(1)
