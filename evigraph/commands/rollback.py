"""`evigraph rollback`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from evigraph.options import Database, Json, Quiet, example, sub_app
from evigraph.schema.errors import in_shell

app = sub_app()


@app.command(epilog=example("evigraph rollback --db evidence.duckdb"))
def rollback(
    db: Database,
    forward: Annotated[bool, typer.Option("--forward", help="Go to the newer version that was left.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Serve the version before the last publish again; the newer one is kept until the next publish."""
    from evigraph.indexer.publish.manage import rollback as roll_back

    report = roll_back(db, forward=forward)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    elif not quiet:
        contents = "no runs" if report.runs == () else f"runs {', '.join(report.runs or ())}"
        contents = f"revision {report.revision}" if report.runs is None else contents
        print(f"{db} is {report.version.name} now, with {contents}; it was {report.from_version.name}")
        if report.runs is None:
            print(f"  another evigraph made it, so it is to be read again after: evigraph migrate --db {in_shell(db)}")
        elif forward:
            print(f"  back again, until the next publish: evigraph rollback --db {in_shell(db)}")
        else:
            print(f"  forward again, until the next publish: evigraph rollback --forward --db {in_shell(db)}")
