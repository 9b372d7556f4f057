"""`evigraph extend`: what it says at the end; its options are the fields of `indexer.run.settings`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evigraph.options import Json, Quiet, example, sub_app
from evigraph.schema.errors import in_shell
from evigraph.settings import takes

if TYPE_CHECKING:
    from evigraph.indexer.run.settings import ExtendSettings

app = sub_app()


@app.command(epilog=example("evigraph extend runs/vgg16 --thumbnails 224 --maps --verify wrong"))
@takes("evigraph.indexer.run.settings:ExtendSettings")
def extend(
    settings: ExtendSettings,
    *,
    run: Annotated[Path, typer.Argument(help="A finished run folder.", show_default=False)],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Add to a finished run what it lacks, without indexing it again; one that was stopped goes on."""
    from evigraph.indexer.run.extend import extend as extend_run
    from evigraph.progress import StepProgress

    with StepProgress(quiet or as_json) as progress:
        report = extend_run(run, settings, progress)
    if as_json:
        print(json.dumps(asdict(report)))
    elif quiet:
        for note in report.notes:
            print(f"evigraph: note: {note}", file=sys.stderr)
    else:
        print(f"run {report.name}: {report.image_count} images, extended in {report.seconds:.1f} s")
        for table, count in report.rows.items():
            print(f"  {table}: {count} rows")
        for note in report.notes:
            print(f"  note: {note}")
        print(f"next: evigraph publish {in_shell(run)} --db evidence.duckdb")
