"""What `evigraph index` and `extend` are asked to do: a setting is a field, and a field an option of the command line.

What of it determines the rows of a run, `describe` says.
"""

# ruff: noqa: RUF009 (options and parts are dataclass fields)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.options import Settings, names, option, part
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.schema.errors import UsageError


def fraction(flag: str, text: str) -> float:
    """A number from "8/255" or ".03".

    Raises:
        UsageError: it is not a number.
    """
    upper, slash, lower = text.partition("/")
    try:
        return float(upper) / float(lower) if slash else float(upper)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{flag} {text!r} is not a number; give one such as 8/255 or .03") from None


def image_count(flag: str, text: str) -> int | None:
    """A number of images from "16"; None from "auto".

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{flag} {text!r} is out of range; give 1 or more, or auto")
    return int(text)


@dataclass(frozen=True)
class AttackSettings(Settings):
    """How images are attacked; all of it determines rows.

    Attributes:
        kind: of the attack; see `indexer.run.attack`.
        eps: the most that a pixel in 0..1 may change (L-infinity).
        steps: of pgd.
        alpha: size of a step of pgd; None for a quarter of eps.
        target: class id that the network is to say; None for any but the class label.
        seed: of the random starts.
    """

    kind: Literal["pgd", "fgsm", "noise"] = option(
        "Index adversarial images; noise is a random change of the same size.", flag="--attack"
    )
    eps: float = option(
        "The most that an attack changes a pixel in 0..1.",
        default="8/255",
        parse=fraction,
        above=0,
        most=1,
        hint="as 8/255",
    )
    steps: int = option("Steps of pgd.", default=10, flag="--attack-steps", least=1)
    alpha: float | None = option(
        "Size of a step of pgd; a quarter of --eps if not given.",
        default=None,
        flag="--attack-alpha",
        parse=fraction,
        above=0,
        most=1,
        hint="as 2/255",
    )
    target: int | None = option(
        "Index of the class that the network is to say; any but the label if not given.",
        default=None,
        flag="--attack-target",
    )
    seed: int = option("Of the random starts.", default=0, flag="--attack-seed", least=0)

    @property
    def step(self) -> float:
        """Size of a step of pgd."""
        return self.eps / 4 if self.alpha is None else self.alpha

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the run's settings: of a kind only what it uses."""
        used = {"pgd": ("steps", "alpha", "target", "seed"), "fgsm": ("target",), "noise": ("seed",)}[self.kind]
        values = asdict(self) | {"alpha": self.step}
        return {name: values[name] for name in ("kind", "eps", *used)}


@dataclass(frozen=True)
class Execution(Settings):
    """How the work is done: where, in what arithmetic and in what pieces.

    Attributes:
        device: where the network runs.
        workers: processes that decode images; None for what `run.cores` chooses.
        batch_size: images that are run together; None for as many as the free memory suggests.
        precision: of the network's arithmetic; tf32 on CUDA only.
        shard_size: images a shard: what a kill can cost.
        threads: of torch on the CPU; None likewise.
    """

    device: Literal["cpu", "cuda"] = option("Where the network runs.", default="cpu")
    workers: int | None = option(
        "Processes that decode images; one of four CPUs if not given, beside a GPU all but one, at most 4.",
        default=None,
        least=0,
    )
    batch_size: int | None = option(
        "Images run together, or `auto`: by the free memory.", default="16", parse=image_count, least=1, hint="or auto"
    )
    precision: Literal["fp32", "tf32", "bf16"] = option(
        "Of the network's arithmetic; tf32 on CUDA only.", default="fp32"
    )
    shard_size: int = option("Images a shard: the most that a kill costs.", default=128, least=1)
    threads: int | None = option(
        "Threads of torch on the CPU; OMP_NUM_THREADS, or the CPUs that do not decode, if not given.",
        default=None,
        least=1,
    )


@dataclass(frozen=True)
class IndexSettings(Settings):
    """What `evigraph index` is asked to do.

    Attributes:
        model, weights, data, classes: as on the command line.
        run: the run folder.
        layers: names or module paths, lowest first; None for the default ones.
        output: what the network's output is; "auto" for what it shows (`indexer.engine.heads`).
        context_layers: names or module paths of the layers where edges get context labels; None for all.
        limit: index only the first images of the listing.
        name: of the run; None for the run folder's name.
        method: how decisions are decomposed.
        verify: which evidence is tested, and how; None for none.
        attack: how images are attacked before they are indexed; None for not at all.
        preprocessing: what of it is set otherwise than the weights ask for.
        pictures: which ones are kept.
        execution: how the work is done.
    """

    model: str = option(
        "A torchvision name, timm:NAME, or package.module:factory, looked up in the current directory, then among "
        "the installed packages."
    )
    weights: str = option(
        "A torchvision weights name, a file of weights (FILE#PART for one of several in it), `random`, "
        "or `own` for those that a factory's network comes with."
    )
    data: str = option(
        "imagefolder:DIR, folder:DIR (no labels), list:FILE.csv (uri,label; uris from the "
        "list's folder), or, with semantic maps, scenes:DIR, "
        "voc:DIR, pascal-context:DIR, ade20k:DIR or coco-stuff:DIR; the last four take options, "
        "as voc:DIR?split=Main/val."
    )
    run: Path = option("The run folder; one that was begun goes on.")
    name: str | None = option("Of the run; the run folder's name if not given.", default=None)
    classes: Path | None = option("The network's classes: a name a line, or a CSV of index, key, name.", default=None)
    limit: int | None = option("Only the first images of the sorted listing.", default=None, least=1)
    layers: Sequence[str] | None = option(
        "Names or module paths, lowest first, comma-separated.", default=None, parse=names
    )
    output: Literal["auto", "logits", "probabilities", "sigmoid"] = option(
        "What the network's output is; sigmoid: logits, each class with its own probability.", default="auto"
    )
    method: Method = part(Method)
    context_layers: Sequence[str] | None = option(
        "Layers where edges get context labels, named as in --layers; all if not given.", default=None, parse=names
    )
    verify: VerifySettings | None = part(VerifySettings, optional=True)
    attack: AttackSettings | None = part(AttackSettings, optional=True)
    preprocessing: PreprocessingOptions = part(PreprocessingOptions)
    pictures: PictureOptions = part(PictureOptions)
    execution: Execution = part(Execution)


@dataclass(frozen=True)
class LayersSettings(Settings):
    """What `evigraph layers` is asked beside the network's name; as for `index` where nothing else is said.

    Attributes:
        weights, data, classes, layers, output, preprocessing: as of `IndexSettings`; without data nothing is measured.
        images: of the data, spread evenly over the listing.
    """

    weights: str = option("As of index; random ones show all but what images do.", default="random")
    data: str | None = option("As of index; a few of its images are looked at.", default=None)
    images: int = option("Of the data, spread over the sorted listing.", default=8, least=1, most=1000, needs="--data")
    classes: Path | None = option("As of index, where the data's labels need it.", default=None)
    layers: Sequence[str] | None = option("Decompose these instead of the default ones.", default=None, parse=names)
    output: Literal["auto", "logits", "probabilities", "sigmoid"] = option("As of index.", default="auto")
    preprocessing: PreprocessingOptions = part(PreprocessingOptions)


@dataclass(frozen=True)
class ExtendSettings(Settings):
    """What `evigraph extend` is asked to add.

    Attributes:
        pictures: that the run is to keep besides.
        verify: which evidence is tested, and how; None for none.
        overlaps: store which channels overlap.
        context_layers: further layers where edges get context labels.
        weights, data, classes: where they lie now, if elsewhere than when the run was indexed.
        device, workers, batch_size, threads: as in `Execution`.
    """

    pictures: PictureOptions = part(PictureOptions)
    verify: VerifySettings | None = part(VerifySettings, optional=True)
    overlaps: bool = option("Store which positive channels overlap (masks of IoU > 0.9), and how many.", default=False)
    context_layers: Sequence[str] | None = option(
        "Further layers where edges get context labels.", default=None, parse=names
    )
    weights: str | None = option("Where the run's weights are now, if they moved.", default=None)
    data: str | None = option("Where the run's data are now, if they moved.", default=None)
    classes: Path | None = option("Where the run's file of classes is now, if it moved.", default=None)
    device: Literal["cpu", "cuda"] = option("Where the network runs.", default="cpu")
    workers: int | None = option("Processes that decode images.", default=None, least=0)
    batch_size: int | None = option(
        "Images run together, or `auto`; that of `index` gives its very numbers.",
        default="16",
        parse=image_count,
        least=1,
        hint="or auto",
    )
    threads: int | None = option("Threads of torch on the CPU; its own choice if not given.", default=None, least=1)
