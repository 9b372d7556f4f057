"""`evigraph demo`: everything from images to answers on drawn scenes, by the same functions as the other commands.

1. Scenes are drawn: six things, each mostly in a context of its own (boats at sea), one in five in another thing's.
2. A narrow VGG-16 that was trained on such scenes is indexed over them, and the run is published.
3. Both headline questions are asked of the database, and the commands to go on with are printed; with --serve the
   explorer is there at once.

The folder then holds scenes/, classes.txt, run/ and evidence.duckdb; run again in it, the demo goes on from what is
there.
"""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from evigraph.options import Quiet, example, sub_app
from evigraph.schema.errors import EvidenceError, UsageError, in_shell

app = sub_app()

LAYER = "conv4_3"
CLASS = "boat"

WHICH_CHANNELS = """query ($layer: String!, $class: String!) {
  run {
    channelSupport(layer: $layer, class: $class, first: 5) {
      edges { node { channel { index discriminativeDegree } decisions rate meanShare } }
    }
  }
}"""
WHAT_CONTEXT = """query ($layer: String!, $index: Int!, $class: String!) {
  run {
    channel(layer: $layer, index: $index) {
      contextLabels(class: $class, orderBy: EDGES, first: 3) {
        nodes { label rate peak { rate baseRate lift low high } }
      }
    }
  }
}"""
_ACCURACY = """query ($after: String) {
  run {
    name imageCount edgeCount accuracy
    images(first: 100, after: $after) { edges { node { uri correct } } pageInfo { hasNextPage endCursor } }
  }
}"""


@app.command(epilog=example("evigraph demo --dir evigraph-demo"))
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where to put the data, the run and the database.")] = Path(
        "evigraph-demo"
    ),
    images: Annotated[int, typer.Option(help="How many scenes to draw.", min=12, max=5000)] = 400,
    serve: Annotated[bool, typer.Option("--serve", help="Then serve it, until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="Port of --serve; 0 takes a free one.", min=0, max=65535)] = 8000,
    quiet: Quiet = False,
) -> None:
    """Draw scenes, index a small trained network on them, publish, and answer two questions."""
    started = time.perf_counter()
    _refuse_another_demo(directory, images)
    database = _index_and_publish(directory, images, quiet)
    if not quiet:
        _print_accuracy(database, directory / "scenes" / "labels.csv")
    channels = _print_channels(database)
    _print_context(database, channels)
    if not quiet:
        print(f"\nThat took {time.perf_counter() - started:.0f} s.", end=" " if serve else "\n")
    if serve:
        from evigraph.commands.serve import serve as serve_command

        serve_command(db=database, port=port, quiet=quiet)
    elif not quiet:
        _print_what_next(database)


def _print_what_next(database: Path) -> None:
    shown = in_shell(database)
    # After `make demo` in a shell without the environment, the name alone would not be found.
    program = "evigraph" if shutil.which("evigraph") else shlex.quote(sys.argv[0])
    print("To see it:\n")
    print(f"  {program} serve --db {shown}        # then open http://127.0.0.1:8000")
    print("\nTo ask it:\n")
    question = f'{{ run {{ channelSupport(layer: "conv5_3", class: "{CLASS}", first: 5)'
    wanted = "{ edges { node { channel { index } rate } } } } }"
    print(f"  {program} query --db {shown} \\\n    '{question} {wanted}'")


def _refuse_another_demo(directory: Path, images: int) -> None:
    drawn = len(list((directory / "scenes" / "images").glob("*.png")))
    description = directory / "run" / "run.json"
    run = json.loads(description.read_bytes()) if description.is_file() else None
    indexed = images if run is None else run["image_total"]
    if drawn > images or indexed != images:
        raise UsageError(
            f"{directory} holds a demo of {max(drawn, indexed)} scenes, not {images}; "
            "give that --images, or another --dir"
        )
    if run is not None and not run["settings"].get("pictures"):
        raise UsageError(
            f"{directory} holds a demo of an older evigraph, without pictures; give another --dir, or remove it first"
        )


def _index_and_publish(directory: Path, images: int, quiet: bool) -> Path:
    from evigraph.indexer.demo import MODEL, make
    from evigraph.indexer.demo.canvas import SIDE
    from evigraph.indexer.demo.model import OPTIONS
    from evigraph.indexer.pictures.settings import PictureOptions
    from evigraph.indexer.publish.publish import publish
    from evigraph.indexer.run.pipeline import index
    from evigraph.indexer.run.settings import Execution, IndexSettings
    from evigraph.indexer.verify.settings import VerifySettings
    from evigraph.progress import IndexProgress, StepProgress

    _say(quiet, f"Drawing {images} scenes into {directory / 'scenes'}: six things, each mostly in its own context.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        paths = make(directory, images)
    except OSError as error:
        raise EvidenceError(
            f"the demo's scenes cannot be written to {directory}: {error.strerror or error}; give another --dir"
        ) from error
    settings = IndexSettings(
        model=MODEL,
        weights=str(paths.weights),
        data=f"scenes:{paths.data}",
        classes=paths.classes,
        run=directory / "run",
        name="demo",
        execution=Execution(workers=0),  # scenes of 96 pixels decode faster than a worker process starts
        preprocessing=OPTIONS,
        # All that the explorer can show; the size and the time are still small.
        pictures=PictureOptions(thumbnails=SIDE, maps=True, max_maps=150, guided=4),
        verify=VerifySettings("wrong", top=3, occlude="grey,image"),
    )
    with IndexProgress(quiet) as progress:
        report = index(settings, progress)
    _say(quiet, f"Indexed {report.image_total} images over {', '.join(report.layers)}: {report.edge_count} edges.")
    database = directory / "evidence.duckdb"
    with StepProgress(quiet) as steps:
        published = publish([directory / "run"], database, steps)
    _say(quiet, f"Published {database} ({published.size_bytes / 1e6:.1f} MB), every invariant checked.")
    return database


def _print_accuracy(database: Path, labels_csv: Path) -> None:
    with labels_csv.open(encoding="utf-8", newline="") as file:
        contradicting = {row["uri"]: row["contradicting"] == "1" for row in csv.DictReader(file)}
    outcomes: dict[bool, list[bool]] = {False: [], True: []}
    after = None
    while True:
        run = _ask(database, _ACCURACY, {"after": after})
        for edge in run["images"]["edges"]:
            outcomes[contradicting[edge["node"]["uri"]]].append(edge["node"]["correct"])
        if not run["images"]["pageInfo"]["hasNextPage"]:
            break
        after = run["images"]["pageInfo"]["endCursor"]
    print(f"\nThe network is right on {run['accuracy']:.1%} of the scenes:")
    for kind, name in ((False, "ordinary"), (True, "contradicting")):
        right = outcomes[kind]
        if right:
            print(f"  {sum(right) / len(right):6.1%} of {len(right)} {name} ones")


def _print_channels(database: Path) -> list[int]:
    """Answer the first question; return the channels, most often first."""
    run = _ask(database, WHICH_CHANNELS, {"layer": LAYER, "class": CLASS})
    supports = [edge["node"] for edge in run["channelSupport"]["edges"]]
    print(f"\nWhich {LAYER} channels most often support the class {CLASS}?")
    print("  channel  decisions    rate  mean share  discriminative degree")
    for node in supports:
        degree = node["channel"]["discriminativeDegree"]
        print(
            f"  {node['channel']['index']:7}  {node['decisions']:9}  {node['rate']:6.1%}  {node['meanShare']:10.3f}  "
            + (f"{degree:21.2f}" if degree is not None else "")
        )
    if not supports:
        raise EvidenceError(f"no decision is for {CLASS}; give a larger --images")
    return [node["channel"]["index"] for node in supports]


def _print_context(database: Path, channels: list[int]) -> None:
    """Answer the second question for some channels."""
    print(f"\nWhat context labels do these channels localize where the decision is {CLASS}?")
    print("  channel  label   best fit  at peak    area  lift (95 %)")
    for channel in channels:
        run = _ask(database, WHAT_CONTEXT, {"layer": LAYER, "index": channel, "class": CLASS})
        labels = run["channel"]["contextLabels"]["nodes"]
        for place, node in enumerate(labels or [None]):
            print(f"  {'' if place else channel:7}  {_localized(node) if node else 'none'}")
    print(
        "  best fit: edges whose mask overlaps the label's region best. at peak, area: the label's share of the cells"
    )
    print(
        "  of the peaks, and of the images. lift: their ratio, 1 where evidence lies anywhere alike; from 3 images on"
    )


def _localized(node: dict[str, Any]) -> str:
    """A label of a channel; without what it has at peaks where too few images show it, or the run has no masks."""
    line, peak = f"{node['label']:7} {node['rate']:8.1%}", node["peak"]
    if peak is None:
        return line
    line += f" {peak['rate']:8.1%} {peak['baseRate']:7.1%}  {peak['lift']:.2f}"
    return line if peak["low"] is None else f"{line} ({peak['low']:.2f} to {peak['high']:.2f})"


def _ask(database: Path, question: str, variables: dict[str, Any]) -> dict[str, Any]:
    from evigraph.graphapi.service.query import execute

    answer = execute(database, question, variables)
    if answer.get("errors"):
        raise EvidenceError(f"the demo's query failed: {answer['errors'][0]['message']}; report this as a bug")
    run: dict[str, Any] = answer["data"]["run"]
    return run


def _say(quiet: bool, line: str) -> None:
    if not quiet:
        print(line, flush=True)
