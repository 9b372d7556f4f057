"""`evigraph index`: what it says at the end; its options are the fields of `indexer.run.settings`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from evigraph.options import Json, Quiet, example, sub_app
from evigraph.schema.errors import in_shell
from evigraph.settings import takes

if TYPE_CHECKING:
    from evigraph.indexer.run.report import IndexReport
    from evigraph.indexer.run.settings import IndexSettings

app = sub_app()


@app.command(
    epilog=example(
        "evigraph index --model vgg16 --weights IMAGENET1K_V1 \\",
        "  --data imagefolder:val --classes classes.csv --run runs/vgg16",
    )
)
@takes("evigraph.indexer.run.settings:IndexSettings")
def index(settings: IndexSettings, *, quiet: Quiet = False, as_json: Json = False) -> None:
    """Decompose every decision of a dataset into a run folder; a run that was stopped goes on."""
    from evigraph.indexer.run.pipeline import index as index_run
    from evigraph.progress import IndexProgress

    with IndexProgress(quiet, bar=not as_json) as progress:
        report = index_run(settings, progress)
    if as_json:
        print(json.dumps(report.to_json()))
    elif not quiet:
        _print_summary(report)
        print(f"next: evigraph publish {in_shell(settings.run)} --db evidence.duckdb")
    else:
        # A guess, or what was left out, is never made without a word.
        for note in report.notes:
            if note not in progress.noted:
                print(f"evigraph: note: {note}", file=sys.stderr)


def _print_summary(report: IndexReport) -> None:
    outcome = report.to_json()
    skipped = ", ".join(f"{count} {reason}" for reason, count in report.skipped.items())
    rate = report.new_image_count / report.seconds
    print(f"run {report.name}: {report.image_total} images over {', '.join(report.layers)}")
    print(f"  {report.new_image_count} indexed now in {report.seconds:.1f} s ({rate:.1f} images/s), {report.cores}")
    print(f"  input: {report.preprocessing}")
    print(f"  {report.edge_count} edges; {outcome['skipped_count']} skipped{f' ({skipped})' if skipped else ''}")
    for uri, reason in report.skipped_images:
        print(f"    {uri}: {reason}")
    more = outcome["skipped_count"] - len(report.skipped_images)
    if more:
        print(f"    and {more} more: the table skipped_image, or skippedImages in GraphQL")
    if outcome["accuracy"] is not None:
        print(f"  accuracy {outcome['accuracy']:.4f} over {report.labelled_count} labelled images")
    if report.barren_count > report.node_count / 2:
        print(
            f"  {report.barren_count} of {report.node_count} nodes have no evidence: they lie where the activation "
            "function is flat (a saturated ReLU6, say); take --layers before it, such as linear bottlenecks"
        )
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for layer, reason in report.fallbacks.items():
        by_reason[reason].append(layer)
    for reason, layers in by_reason.items():
        print(f"  slow, by autograd over whole maps: down to {', '.join(layers)}, since {reason}")
    for note in report.notes:
        print(f"  note: {note}")
