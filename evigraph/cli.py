"""The console script `evigraph`. A command imports what it needs when it runs, so that `--help` loads no torch."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from schema.errors import EvidenceError, UsageError


def _example(*lines: str) -> str:
    """An epilog that help prints as it stands, so that the example can be copied."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Precomputed evidence graphs of convolutional networks: index a dataset, publish a database, ask it.",
    epilog="Errors are one line; `evigraph --debug COMMAND` shows the traceback.",
)


runs_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="List or delete the runs of a database.",
    epilog=_example("evigraph runs list --db evidence.duckdb"),
)
app.add_typer(runs_app, name="runs")

export_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Write edges, or the evidence graph of a class, to a file.",
    epilog=_example("evigraph export edges --db evidence.duckdb --run vgg16 --out edges.parquet"),
)
app.add_typer(export_app, name="export")


class Device(StrEnum):
    """Where the network runs."""

    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """Arithmetic of the network."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"


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


class ChannelOrder(StrEnum):
    """Order of the input's colour channels."""

    RGB = "rgb"
    BGR = "bgr"


class Verify(StrEnum):
    """Whose evidence is tested."""

    WRONG = "wrong"
    ALL = "all"


class Occlude(StrEnum):
    """What hides a region of the image."""

    GREY = "grey"
    BLUR = "blur"


class Attack(StrEnum):
    """How images are attacked."""

    PGD = "pgd"
    FGSM = "fgsm"
    NOISE = "noise"


_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

Database = Annotated[Path, typer.Option("--db", help="The published database.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no summary.")]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]


@app.callback(invoke_without_command=True)
def _main(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 (see main)
) -> None:
    if show_version:
        print(f"evigraph {version('evigraph')}")
        raise typer.Exit


@app.command(epilog=_example("evigraph demo --dir evigraph-demo"))
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where to put the data, the run and the database.")] = Path(
        "evigraph-demo"
    ),
    images: Annotated[int, typer.Option(help="How many scenes to draw.", min=12, max=5000)] = 400,
    quiet: Quiet = False,
) -> None:
    """Draw scenes, index a small trained network on them, publish, and answer two questions."""
    from evigraph.demo import run_demo

    run_demo(directory, images, quiet)


@app.command(
    epilog=_example(
        "evigraph index --model vgg16 --weights IMAGENET1K_V1 \\",
        "  --data imagefolder:val --classes classes.csv --run runs/vgg16",
    )
)
def index(
    model: Annotated[str, typer.Option(help="A torchvision name, timm:NAME, or package.module:factory.")],
    weights: Annotated[
        str,
        typer.Option(
            help="A torchvision weights name, a .safetensors or .pth state dict, `random`, "
            "or `own` for those that a factory's network comes with."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="imagefolder:DIR, list:FILE.csv (uri,label), or, with semantic maps, scenes:DIR, voc:DIR, "
            "pascal-context:DIR, ade20k:DIR or coco-stuff:DIR; the last four take options, as voc:DIR?split=Main/val."
        ),
    ],
    run: Annotated[Path, typer.Option(help="The run folder; one that was begun goes on.")],
    classes: Annotated[
        Path | None, typer.Option(help="The network's classes: a name a line, or a CSV of index, key, name.")
    ] = None,
    layers: Annotated[str | None, typer.Option(help="Names or module paths, lowest first, comma-separated.")] = None,
    top: Annotated[int, typer.Option(help="Channels kept of each decomposition.", min=1)] = 3,
    max_nodes: Annotated[
        int | None,
        typer.Option(help="Decompose only the M most important nodes of each root in each layer.", min=1),
    ] = None,
    context_layers: Annotated[
        str | None,
        typer.Option(help="Layers where edges get context labels, named as in --layers; all if not given."),
    ] = None,
    overlaps: Annotated[
        bool,
        typer.Option("--overlaps", help="Store which positive channels overlap (masks of IoU > 0.9), and how many."),
    ] = False,
    merge_overlaps: Annotated[
        bool,
        typer.Option("--merge-overlaps", help="--top counts groups of overlapping channels; implies --overlaps."),
    ] = False,
    verify: Annotated[
        Verify | None,
        typer.Option(help="Test the evidence of wrong (or all) decisions: decide again without it."),
    ] = None,
    verify_layer: Annotated[
        str | None, typer.Option(help="Layers whose evidence is tested, named as in --layers; all if not given.")
    ] = None,
    verify_top: Annotated[int, typer.Option(help="Channels tested of each decision in each layer.", min=1)] = 1,
    occlude: Annotated[Occlude, typer.Option(help="What hides the region that evidence came from.")] = Occlude.GREY,
    attack: Annotated[
        Attack | None, typer.Option(help="Index adversarial images; noise is a random change of the same size.")
    ] = None,
    eps: Annotated[str, typer.Option(help="The most that an attack changes a pixel in 0..1.")] = "8/255",
    attack_steps: Annotated[int, typer.Option(help="Steps of pgd.", min=1)] = 10,
    attack_alpha: Annotated[
        str | None, typer.Option(help="Size of a step of pgd; a quarter of --eps if not given.")
    ] = None,
    attack_target: Annotated[
        int | None, typer.Option(help="Index of the class that the network is to say; any but the label if not given.")
    ] = None,
    attack_seed: Annotated[int, typer.Option(help="Of the random starts.", min=0)] = 0,
    mask_threshold: Annotated[float, typer.Option(help="Of the largest activation.")] = 0.5,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.CPU,
    limit: Annotated[int | None, typer.Option(help="Only the first images of the sorted listing.", min=1)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode images.", min=0)] = None,
    batch_size: Annotated[str, typer.Option(help="Images run together, or `auto`: by the free memory.")] = "16",
    precision: Annotated[
        Precision, typer.Option(help="Of the network's arithmetic; tf32 on CUDA only.")
    ] = Precision.FP32,
    shard_size: Annotated[int, typer.Option(help="Images a shard: the most that a kill costs.", min=1)] = 128,
    name: Annotated[str | None, typer.Option(help="Of the run; the run folder's name if not given.")] = None,
    resize: Annotated[int | None, typer.Option(help="Short side in pixels; 0 for none.", min=0)] = None,
    crop: Annotated[int | None, typer.Option(help="Side of the centre crop in pixels.", min=1)] = None,
    mean: Annotated[str | None, typer.Option(help="Three numbers, as .485,.456,.406.")] = None,
    std: Annotated[str | None, typer.Option(help="Three numbers, as .229,.224,.225.")] = None,
    channel_order: Annotated[ChannelOrder | None, typer.Option(help="Of the network's input.")] = None,
    pixel_scale: Annotated[int | None, typer.Option(help="Pixels are 0..1 (1) or 0..255 (255).")] = None,
    interpolation: Annotated[str | None, typer.Option(help="bilinear, bicubic or nearest.")] = None,
    thumbnails: Annotated[
        int | None,
        typer.Option(help="Keep a picture of what the network saw, its longest side PX.", metavar="PX", min=16),
    ] = None,
    maps: Annotated[
        bool, typer.Option("--maps", help="Keep the activation maps of the most important edges of each decision.")
    ] = False,
    max_maps: Annotated[int, typer.Option(help="How many of each decision --maps keeps.", min=1)] = 100,
    guided: Annotated[
        int | None,
        typer.Option(help="Keep guided backpropagation at the K strongest peaks of each channel.", metavar="K", min=1),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Decompose every decision of a dataset into a run folder; a run that was stopped goes on."""
    from evigraph.progress import IndexProgress
    from indexer.attack import AttackSettings, fraction
    from indexer.pipeline import IndexSettings
    from indexer.pipeline import index as index_run
    from indexer.verify import VerifySettings

    settings = IndexSettings(
        model=model,
        weights=weights,
        data=data,
        run=run,
        layers=_names("--layers", layers),
        top_n=top,
        max_nodes=max_nodes,
        context_layers=_names("--context-layers", context_layers),
        overlaps=overlaps,
        merge_overlaps=merge_overlaps,
        attack=None
        if attack is None
        else AttackSettings(
            kind=attack.value,
            eps=fraction("--eps", eps),
            steps=attack_steps,
            alpha=None if attack_alpha is None else fraction("--attack-alpha", attack_alpha),
            target=attack_target,
            seed=attack_seed,
        ),
        verify=None
        if verify is None
        else VerifySettings(verify.value, _names("--verify-layer", verify_layer), verify_top, occlude.value),
        mask_threshold=mask_threshold,
        device=device.value,
        limit=limit,
        workers=workers,
        batch_size=_batch_size(batch_size),
        precision=precision.value,
        shard_size=shard_size,
        name=name,
        classes=classes,
        thumbnails=thumbnails,
        maps=max_maps if maps else None,
        guided=guided,
        preprocessing={
            "resize": resize,
            "crop": crop,
            "mean": mean,
            "std": std,
            "channel_order": channel_order and channel_order.value,
            "pixel_scale": pixel_scale,
            "interpolation": interpolation,
        },
    )
    with IndexProgress(quiet or as_json) as progress:
        report = index_run(settings, progress)
    outcome = report.to_json()
    if as_json:
        print(json.dumps(outcome))
    elif not quiet:
        skipped = ", ".join(f"{count} {reason}" for reason, count in report.skipped.items())
        rate = report.new_image_count / report.seconds
        print(f"run {report.name}: {report.image_total} images over {', '.join(report.layers)}")
        print(f"  {report.new_image_count} indexed now in {report.seconds:.1f} s ({rate:.1f} images/s)")
        print(f"  {report.edge_count} edges; {outcome['skipped_count']} skipped{f' ({skipped})' if skipped else ''}")
        if outcome["accuracy"] is not None:
            print(f"  accuracy {outcome['accuracy']:.4f} over {report.labelled_count} labelled images")
        if report.barren_count > report.node_count / 2:
            print(
                f"  {report.barren_count} of {report.node_count} nodes have no evidence: they lie where the activation "
                "function is flat (a saturated ReLU6, say); take --layers before it, such as linear bottlenecks"
            )
        for layer, reason in report.fallbacks.items():
            print(f"  slow, by autograd over whole maps: down to {layer}, since {reason}")
        print(f"next: evigraph publish {run} --db evidence.duckdb")


@app.command(epilog=_example("evigraph publish runs/vgg16 runs/resnet18 --db evidence.duckdb"))
def publish(
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders.", show_default=False)],
    db: Database,
    memory_limit: Annotated[
        str | None, typer.Option(help="What DuckDB may hold in memory, such as 2GB; it sorts on the disk beyond.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build a database of runs, check it, and put it in the place of the old one."""
    from evigraph.progress import StepProgress
    from indexer.publish import publish as publish_runs

    with StepProgress(quiet or as_json) as progress:
        report = publish_runs(runs, db, progress, memory_limit)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    elif not quiet:
        size = report.size_bytes / 1e6
        print(f"published {', '.join(report.runs)} to {db}: {report.edge_count} edges of {report.image_count} images")
        print(f"  {size:.1f} MB in {report.seconds:.1f} s, its invariants checked")
        print(f"next: evigraph serve --db {db}")


@app.command(epilog=_example("evigraph migrate --db evidence.duckdb"))
def migrate(db: Database, quiet: Quiet = False, as_json: Json = False) -> None:
    """Bring a database that an older evigraph wrote to this one's revision."""
    from evigraph.progress import StepProgress
    from indexer.manage import migrate as migrate_database

    with StepProgress(quiet or as_json) as progress:
        report = migrate_database(db, progress)
    if as_json:
        print(json.dumps(asdict(report) | {"changed": report.changed}, default=str))
    elif not quiet and report.changed:
        print(f"{db} is at revision {report.revision} now, from {report.from_revision}")
        print(f"  {report.size_bytes / 1e6:.1f} MB in {report.seconds:.1f} s, its invariants checked")
        print(f"  the version before is kept until the next publish: evigraph rollback --db {db}")
    elif not quiet:
        print(f"{db} is already at revision {report.revision}; nothing was changed")


@app.command(epilog=_example("evigraph rollback --db evidence.duckdb"))
def rollback(
    db: Database,
    forward: Annotated[bool, typer.Option("--forward", help="Go to the newer version that was left.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Serve the version before the last publish again; the newer one is kept until the next publish."""
    from indexer.manage import rollback as roll_back

    report = roll_back(db, forward=forward)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    elif not quiet:
        held = "no runs" if report.runs == () else f"runs {', '.join(report.runs or ())}"
        held = f"revision {report.revision}" if report.runs is None else held
        print(f"{db} is {report.version.name} now, with {held}; it was {report.from_version.name}")
        if report.runs is None:
            print(f"  it is of an older revision, to be read again after: evigraph migrate --db {db}")
        elif forward:
            print(f"  back again, until the next publish: evigraph rollback --db {db}")
        else:
            print(f"  forward again, until the next publish: evigraph rollback --forward --db {db}")


@runs_app.command("list", epilog=_example("evigraph runs list --db evidence.duckdb"))
def list_runs(db: Database, as_json: Json = False) -> None:
    """List the runs of a database, in the order in which they were first published."""
    from indexer.manage import list_runs as runs_of

    runs = runs_of(db)
    if as_json:
        print(json.dumps([asdict(run) for run in runs], default=lambda moment: moment.isoformat()))
        return
    if not runs:
        print(f"{db} holds no runs; add one with: evigraph publish RUN_DIR --db {db}")
        return
    rows = [("name", "model", "dataset", "images", "edges", "accuracy", "created")]
    for run in runs:
        accuracy = "-" if run.accuracy is None else f"{run.accuracy:.4f}"
        created = f"{run.created_at:%Y-%m-%d %H:%M}"
        rows.append((run.name, run.model, run.dataset, str(run.image_count), str(run.edge_count), accuracy, created))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{c:>{w}}" if 3 <= i <= 5 else f"{c:<{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        print("  ".join(cells).rstrip())


@runs_app.command("delete", epilog=_example("evigraph runs delete vgg16-old --db evidence.duckdb"))
def delete_runs(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of runs.", show_default=False)],
    db: Database,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Put a database without these runs in the place of the old one; their run folders stay."""
    from evigraph.progress import StepProgress
    from indexer.manage import delete_runs as delete

    with StepProgress(quiet or as_json) as progress:
        report = delete(names, db, progress)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    elif not quiet:
        print(f"deleted {', '.join(report.deleted)} from {db}, which holds {', '.join(report.kept) or 'no runs'} now")
        print(f"  {report.size_bytes / 1e6:.1f} MB in {report.seconds:.1f} s, its invariants checked")
        print(f"  the version before is kept until the next publish: evigraph rollback --db {db}")


@export_app.command(
    "edges", epilog=_example("evigraph export edges --db evidence.duckdb --run vgg16 --out edges.parquet")
)
def export_edges(
    db: Database,
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
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
    from evigraph.export import export_edges as write

    size = write(db, format_.value, out, run, class_, layer, role and role.value)
    if not quiet:
        print(f"wrote {out}: {size / 1e6:.1f} MB")


@export_app.command(
    "graph", epilog=_example("evigraph export graph --db evidence.duckdb --class boat --format dot --out boat.dot")
)
def export_graph(
    db: Database,
    class_: Annotated[str, typer.Option("--class", help="The class: name, key or index.", show_default=False)],
    run: Annotated[str | None, typer.Option(help="The run; the newest if not given.")] = None,
    format_: Annotated[GraphFormat, typer.Option("--format", help="Of the file.")] = GraphFormat.JSON,
    out: Annotated[Path | None, typer.Option(help="The file to write; standard output if not given.")] = None,
    role: Annotated[Role, typer.Option(help="Which roots count.")] = Role.PREDICTED,
    outcome: Annotated[ImageOutcome | None, typer.Option(help="Only roots of such images.")] = None,
    min_rate: Annotated[float, typer.Option(help="Leave out what fewer of the roots hold.")] = 0.1,
    max_nodes_per_layer: Annotated[int, typer.Option(help="Channels of each layer.")] = 20,
) -> None:
    """Write the evidence graph of a class: channels, and the evidence between them."""
    from evigraph.export import export_graph as write

    given = {"class": class_, "role": role.value, "min_rate": str(min_rate)}
    given["max_nodes_per_layer"] = str(max_nodes_per_layer)
    given |= {"run": run} if run is not None else {}
    given |= {"outcome": outcome.value} if outcome is not None else {}
    write(db, format_.value, out, given)


@app.command(epilog=_example("evigraph serve --db evidence.duckdb --port 8000"))
def serve(
    db: Database,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    quiet: Quiet = False,
) -> None:
    """Serve a database over GraphQL; a newly published version is taken up at once."""
    from evigraph.server import run_server

    run_server(db, host, port, quiet)


@app.command(epilog=_example("evigraph query --db evidence.duckdb '{ run { name imageCount accuracy } }'"))
def query(
    db: Database,
    text: Annotated[str, typer.Argument(metavar="GRAPHQL", help="The query; - reads it from standard input.")],
    variables: Annotated[str | None, typer.Option(help="The query's variables, as a JSON object.")] = None,
) -> None:
    """Answer one GraphQL query without a server, as JSON. Exit code 1 if the answer has errors."""
    from graphapi.query import execute

    values = _json_object("--variables", variables) if variables is not None else None
    answer = execute(db, sys.stdin.read() if text == "-" else text, values)
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    if answer.get("errors"):
        raise typer.Exit(1)


@app.command(epilog=_example("evigraph check --db evidence.duckdb"))
def check(db: Database, quiet: Quiet = False, as_json: Json = False) -> None:
    """Check every invariant of a database and recompute its rollups. Exit code 1 if one is broken."""
    from schema.checks import run_checks
    from schema.database import open_read_only

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


@app.command(epilog=_example("evigraph schema > schema.graphql"))
def schema() -> None:
    """Print the GraphQL schema in SDL."""
    from graphapi.schema import sdl

    print(sdl(), end="")


def main() -> NoReturn:
    """Run the command line: what goes wrong becomes one line on standard error and an exit code."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # Its place does not matter: whoever asks for a traceback has typed the rest already.
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(args=arguments or ["--help"], prog_name="evigraph", standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
    except TyperException as error:
        _fail(f"{error.format_message().rstrip('.?')}; see {_command(arguments)} --help", error.exit_code)
    except EvidenceError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        goes_on = "; the same command goes on where it stopped" if arguments[:1] == ["index"] else ""
        _fail(f"interrupted{goes_on}", _INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the last resort, so that nobody meets a traceback who did not ask for one
        if debug:
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        _fail(f"unexpected {type(error).__name__}: {reason}; --debug shows where", 1)
    sys.exit(code or 0)


def _command(arguments: list[str]) -> str:
    """The words that name a command, `evigraph runs list`, as far as there is one."""
    words: list[str] = ["evigraph"]
    there: Any = get_command(app)
    for argument in arguments:
        there = getattr(there, "commands", {}).get(argument)
        if there is None:
            break
        words.append(argument)
    return " ".join(words)


def _fail(message: str, code: int) -> NoReturn:
    print(f"evigraph: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _batch_size(value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise UsageError(f"--batch-size {value!r} is out of range; give 1 or more, or auto")
    return int(value)


def _names(option: str, value: str | None) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise UsageError(f"{option} {value!r} has an empty name; separate names by single commas")
    return names


def _json_object(option: str, value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise UsageError(f'{option} {value!r} is no JSON ({error}); give an object as {{"class": "boat"}}') from error
    if not isinstance(parsed, dict):
        raise UsageError(f'{option} {value!r} is no JSON object; give one as {{"class": "boat"}}')
    return parsed
