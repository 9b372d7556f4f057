"""What of that which `extend` is asked for a run lacks, and the settings that the run was indexed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.run.describe import describe
from evigraph.indexer.run.growing import grow
from evigraph.indexer.run.pipeline import Opened, opened
from evigraph.indexer.run.settings import AttackSettings, Execution, ExtendSettings, IndexSettings
from evigraph.indexer.run.stored import StoredRun, verify_from
from evigraph.indexer.run.transform import own_transform
from evigraph.indexer.shards.description import RunDescription
from evigraph.schema.errors import DataError, RunFolderError, UsageError

OF_THE_MACHINE = ("weights", "classes", "data", "torch")
"""Settings that say where things were and what computed: the run keeps its own."""


def lacking(run: RunDescription, asked: ExtendSettings) -> dict[str, Any]:
    """What of that which is asked for the run lacks, as `run.stored.with_added` takes it.

    Raises:
        UsageError: the run has it already, but otherwise.
    """
    pictures = run.settings.get("pictures") or {}
    added: dict[str, Any] = {}
    for name, flag, value in (
        ("thumbnails", "--thumbnails", asked.pictures.thumbnails),
        ("maps", "--max-maps", asked.pictures.max_maps if asked.pictures.maps else None),
        ("guided", "--guided", asked.pictures.guided),
    ):
        if value is not None and _new(flag, pictures.get(name), value):
            added[name] = value
    if asked.verify and _new("--verify", run.settings.get("verify"), asked.verify.to_json()):
        added["verify"] = asked.verify.to_json()
    if asked.overlaps and not run.settings.get("overlaps"):
        added["overlaps"] = True
    if asked.context_layers is not None:
        if not run.context_labels:
            raise UsageError(
                f"--context-layers is given, but the run's data {run.dataset!r} have no semantic maps; leave it out"
            )
        before: list[str] | None = run.settings.get("context_layers")
        if before is not None and (more := [name for name in asked.context_layers if name not in before]):
            added["context_layers"] = [before, [*before, *more]]
    return added


def _new(flag: str, stored: Any, asked: Any) -> bool:
    """Whether a run lacks something.

    Raises:
        UsageError: it has it with another value.
    """
    if stored is not None and stored != asked:
        raise UsageError(
            f"the run has {_shown(flag, stored)} already, and what is stored stays; leave it out, or index into a new "
            f"folder with {_shown(flag, asked)}"
        )
    return stored is None


_OPTIONS = {"which": "--verify", "layers": "--verify-layer", "top": "--verify-top", "occlude": "--occlude"}


def _shown(flag: str, value: Any) -> str:
    """A setting as its options are given."""
    if not isinstance(value, Mapping):
        return f"{flag} {value}"
    given = [(option, value.get(name)) for name, option in _OPTIONS.items()]
    options = (
        f"{option} {inner if isinstance(inner, str | int) else ','.join(inner)}"
        for option, inner in given
        if inner is not None
    )
    return " ".join(options) + ("" if value.get("controls", True) else " without controls")


def settings_of(folder: Path, run: RunDescription, asked: ExtendSettings) -> IndexSettings:
    """The settings that a run was indexed with, as far as they determine rows, less its preprocessing.

    Raises:
        RunFolderError: run.json states something that this program does not know.
    """
    s = run.settings
    try:
        pictures = s.get("pictures") or {}
        maps = pictures.get("maps")
        kept = PictureOptions(pictures.get("thumbnails"), maps is not None, maps or 100, pictures.get("guided"))
        return IndexSettings(
            model=run.model,
            weights=asked.weights or s["weights"],
            data=asked.data or run.dataset,
            run=folder,
            name=run.name,
            classes=asked.classes or (Path(s["classes"]) if s["classes"] else None),
            limit=s["limit"],
            layers=tuple(layer.module or layer.name for layer in run.layers[:-1]),
            output=_output(s.get("output")),
            method=Method(run.top_n, run.mask_threshold, s["max_nodes"], s["overlaps"], s["merge_overlaps"]),
            context_layers=s["context_layers"],
            verify=verify_from(s["verify"]) if s.get("verify") else None,
            attack=AttackSettings(**s["attack"]) if s.get("attack") else None,
            pictures=kept,
            execution=Execution(
                device=asked.device,
                workers=asked.workers,
                batch_size=asked.batch_size,
                precision=s["precision"],
                shard_size=run.shard_size,
                threads=asked.threads,
            ),
        )
    except (KeyError, TypeError) as error:
        raise RunFolderError(
            f"run folder {folder} was made by evigraph {run.indexer_version}, whose settings this one cannot read "
            f"({error}); index into a new folder"
        ) from error


def _output(record: Mapping[str, Any] | None) -> Literal["auto", "logits", "probabilities", "sigmoid"]:
    """What a network's output was taken for: what it shows, unless independent classes had to be asked for."""
    independent = record is not None and record["probability"] == "sigmoid" and record["ends_in"] is None
    return "sigmoid" if independent else "auto"


def stored_preprocessing(run: RunDescription) -> Preprocessing:
    """The preprocessing of a run.

    Raises:
        UsageError: its transform cannot be used.
    """
    stated = run.settings["preprocessing"]
    if "transform" not in stated:
        return Preprocessing.from_settings(stated)
    known: dict[str, Any] = {n: tuple(stated[n]) for n in ("mean", "std") if n in stated}
    known |= {n: stated[n] for n in ("channel_order", "pixel_scale") if n in stated}
    size = tuple(stated["crop"])
    options = PreprocessingOptions(transform=stated["transform"], channels=stated["image_channels"], crop=size, **known)
    return own_transform(options)


@contextmanager
def opened_again(stored: StoredRun, wanted: IndexSettings) -> Iterator[Opened]:
    """The network and the data of a run, as `pipeline.opened` gives them, the images in the order of their ids.

    Args:
        stored: the run.
        wanted: its settings, with what is added.

    Raises:
        DataError: the data are no longer what the run holds.
    """
    with opened(wanted, stored_preprocessing(stored.description)) as made, frozen(made.network.model):
        growth = grow(made.source, stored, wanted.limit)
        if growth.note():
            raise DataError(
                f"{wanted.data} is no longer what run {stored.description.name!r} holds ({growth.note()}); "
                "run the same `evigraph index` command first"
            )
        yield replace(made, source=growth.source)


def described(
    stored: RunDescription, wanted: IndexSettings, made: Opened, grown: Any, added: Mapping[str, Any]
) -> RunDescription:
    """The description that a run has of its network and data as they are now.

    Args:
        stored: the run's own.
        wanted: its settings, with what is added.
        made: the network and the data.
        grown: of its description.
        added: what it gets besides; nothing where it is only looked at.

    Raises:
        RunFolderError: the network, its weights or the data are others than the run's.
    """
    now = describe(wanted, made.loaded, made.preprocessing, made.network, made.source, grown)
    kept = {name: stored.settings[name] for name in OF_THE_MACHINE if name in stored.settings}
    now = replace(
        now, dataset=stored.dataset, indexer_version=stored.indexer_version, settings={**now.settings, **kept}
    )
    changes = {"pictures" if name in ("thumbnails", "maps", "guided") else name for name in added}
    same = {name: value for name, value in now.settings.items() if name not in changes}
    same |= {name: stored.settings[name] for name in changes if name in stored.settings}
    difference = stored.difference(replace(now, settings=same))
    if difference is not None:
        name, was, is_now = difference
        where = (
            "; give the run's own with --data" if name == "dataset_sha256" else "; give the run's own, or index anew"
        )
        raise RunFolderError(f"run {stored.name!r} was made with {name} = {was!r}, not {is_now!r}{where}")
    return now
