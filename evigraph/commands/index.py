"""`evigraph index`: its options, and what it says at the end."""

from __future__ import annotations

import json
from collections import defaultdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evigraph.options import Json, Quiet, example, sub_app
from evigraph.schema.errors import UsageError, in_shell

if TYPE_CHECKING:
    from evigraph.indexer.run.report import IndexReport

app = sub_app()


class Device(StrEnum):
    """Where the network runs."""

    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """Arithmetic of the network."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"


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


_BELONGING = {
    "attack": ("eps", "attack_steps", "attack_alpha", "attack_target", "attack_seed"),
    "verify": ("verify_layer", "verify_top", "occlude"),
    "maps": ("max_maps",),
}
"""Options that say more of another one."""


@app.command(
    epilog=example(
        "evigraph index --model vgg16 --weights IMAGENET1K_V1 \\",
        "  --data imagefolder:val --classes classes.csv --run runs/vgg16",
    )
)
def index(
    context: typer.Context,
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
    from evigraph.indexer.run.attack import AttackSettings, fraction
    from evigraph.indexer.run.pipeline import index as index_run
    from evigraph.indexer.run.settings import IndexSettings
    from evigraph.indexer.verify.verifier import VerifySettings
    from evigraph.progress import IndexProgress

    _refuse_idle_options(context)
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
    if as_json:
        print(json.dumps(report.to_json()))
    elif not quiet:
        _print_summary(report)
        print(f"next: evigraph publish {in_shell(run)} --db evidence.duckdb")


def _refuse_idle_options(context: typer.Context) -> None:
    """Refuse an option that would do nothing, since the one it belongs to is not given."""
    for name, belonging in _BELONGING.items():
        sources = {option: context.get_parameter_source(option) for option in belonging}
        given = [option for option, source in sources.items() if source and source.name == "COMMANDLINE"]
        if given and not context.params[name]:
            option, of = (f"--{word.replace('_', '-')}" for word in (given[0], name))
            raise UsageError(f"{option} is given without {of}, so it would do nothing; give {of} too, or leave it out")


def _print_summary(report: IndexReport) -> None:
    outcome = report.to_json()
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
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for layer, reason in report.fallbacks.items():
        by_reason[reason].append(layer)
    for reason, layers in by_reason.items():
        print(f"  slow, by autograd over whole maps: down to {', '.join(layers)}, since {reason}")


def _names(option: str, value: str | None) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise UsageError(f"{option} {value!r} has an empty name; separate names by single commas")
    return names


def _batch_size(value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise UsageError(f"--batch-size {value!r} is out of range; give 1 or more, or auto")
    return int(value)
