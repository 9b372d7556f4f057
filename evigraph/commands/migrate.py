"""`evigraph migrate`."""

from __future__ import annotations

import json
from dataclasses import asdict

from evigraph.options import Database, Json, Quiet, example, sub_app
from evigraph.schema.errors import in_shell

app = sub_app()


@app.command(epilog=example("evigraph migrate --db evidence.duckdb"))
def migrate(db: Database, quiet: Quiet = False, as_json: Json = False) -> None:
    """Bring a database that another evigraph wrote to this one's revision and rollups."""
    from evigraph.indexer.publish.manage import migrate as migrate_database
    from evigraph.progress import StepProgress

    with StepProgress(quiet or as_json) as progress:
        report = migrate_database(db, progress)
    if as_json:
        print(json.dumps(asdict(report) | {"changed": report.changed}, default=str))
    elif not quiet and report.changed:
        if report.from_revision != report.revision:
            print(f"{db} is at revision {report.revision} now, from {report.from_revision}")
        else:
            print(f"{db} has its rollups made anew: {', '.join(report.rollups)}")
        print(f"  {report.size_bytes / 1e6:.1f} MB in {report.seconds:.1f} s, its invariants checked")
        print(f"  the version before is kept until the next publish: evigraph rollback --db {in_shell(db)}")
    elif not quiet:
        print(f"{db} is already at revision {report.revision}; nothing was changed")
