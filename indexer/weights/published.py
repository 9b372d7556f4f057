"""What torchvision publishes of an architecture: which of its weights a file is, and what they go with.

A file of weights says nothing of the preprocessing that it was trained with, nor of how its network was made. Both are
known where it is a published one: its name there ends in the beginning of its SHA-256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchvision import models as zoo

from evigraph.indexer.data.preprocess import IMAGENET, Preprocessing
from evigraph.schema.errors import UsageError

ABOUT_PREPROCESSING = "preprocessing is "
"""How a note begins that says where the preprocessing is from."""
_EARLIER = {
    "resnet18": "5c106cde",
    "resnet34": "333f7ec4",
    "resnet50": "19c8e357",
    "resnet101": "5d3b4d8f",
    "resnet152": "b121ed2d",
    "inception_v3": "1a9a5a14",
    "squeezenet1_0": "a815701f",
    "squeezenet1_1": "f364aa15",
    "vgg11": "bbd30ac9",
    "vgg13": "c768596a",
    "efficientnet_b0": "3dd342df",
    "efficientnet_b1": "533bc792",
    "efficientnet_b2": "bcdf34b7",
    "efficientnet_b3": "cf984f9c",
    "efficientnet_b4": "7eb33cd5",
    "efficientnet_b5": "b6417697",
    "efficientnet_b6": "c76e70fd",
    "efficientnet_b7": "dcc49843",
}
"""Beginnings of the digests of earlier files of IMAGENET1K_V1."""
_TRANSFORMING = frozenset({"googlenet", "inception_v3"})
"""Architectures that change their input first (transform_input) where they are made for published weights."""


@dataclass(frozen=True)
class Origin:
    """The published weights that a file is taken for.

    Attributes:
        entry: of the architecture's torchvision weights.
        exact: whether the file is that one, by its digest; else the entry only stands for the architecture.
        named: whether the file is called as that one is.
    """

    entry: Any
    exact: bool
    named: bool


def origin_of(name: str, path: Path, sha256: str) -> Origin:
    """The published weights that a file of a torchvision architecture is, or else is likest to.

    Args:
        name: of the architecture.
        path: of the file.
        sha256: of its content.
    """
    entries = list(zoo.get_model_weights(name))
    for entry in entries:
        if sha256.startswith(_digests(name, entry)):
            return Origin(entry, exact=True, named=True)
    for entry in entries:
        if any(digest in path.name for digest in _digests(name, entry)):
            return Origin(entry, exact=False, named=True)
    return Origin(zoo.get_model_weights(name).DEFAULT, exact=False, named=False)


def build_options(name: str, entry: Any) -> dict[str, Any]:
    """What a torchvision architecture is made with for published weights, beside them."""
    if name in _TRANSFORMING:
        return {"transform_input": True, "init_weights": False}
    if name.startswith("vit_"):
        return {"image_size": min(entry.meta["min_size"])}
    return {}


def categories_of(origin: Origin) -> Sequence[str] | None:
    """Class names in output order, of a file that is a published one."""
    names: Sequence[str] | None = origin.entry.meta.get("categories") if origin.exact else None
    return names or None


def preprocessing_of(name: str, origin: Origin) -> tuple[Preprocessing, str]:
    """The preprocessing that a file's network takes, and a sentence that says where it is from."""
    mine = _preset(origin.entry)
    if mine is None:
        return (
            IMAGENET,
            f"{ABOUT_PREPROCESSING}ImageNet's ({described(IMAGENET)}): {origin.entry} has none for whole images",
        )
    said = f"{ABOUT_PREPROCESSING}that of {origin.entry} ({described(mine)})"
    if origin.exact:
        return mine, f"{said}, which the file is"
    if origin.named:
        return mine, f"{said}, as the file's name says, though its content is not that file's"
    others = {
        described(p): e.name for e in zoo.get_model_weights(name) if (p := _preset(e)) and e.meta.get("categories")
    }
    others.pop(described(mine), None)
    differ = "".join(f"; {entry} has {what}" for what, entry in others.items())
    return mine, f"{said}, since the file does not say its own{differ}; options such as --resize and --crop set another"


def input_note(name: str, origin: Origin) -> str | None:
    """A sentence on what the network does to its input first; None for nothing."""
    if name not in _TRANSFORMING:
        return None
    said = f"{name} changes its input from ImageNet's scale first (transform_input), as for its published weights"
    if origin.exact:
        return said
    return f"{said}; weights trained from scratch without that need --model package.module:factory"


def described(preprocessing: Preprocessing) -> str:
    """The parts of a preprocessing in which published weights differ."""
    resize = f"resize {preprocessing.resize}" if preprocessing.resize is not None else "no resize"
    usual = (preprocessing.mean, preprocessing.std) == (IMAGENET.mean, IMAGENET.std)
    scale = "" if usual else f", mean {preprocessing.mean}, std {preprocessing.std}"
    return f"{resize}, crop {preprocessing.crop}, {preprocessing.interpolation}{scale}"


def _preset(entry: Any) -> Preprocessing | None:
    try:
        return Preprocessing.from_weights(entry.transforms())
    except UsageError:
        return None


def _digests(name: str, entry: Any) -> tuple[str, ...]:
    """Beginnings of the digests of an entry's published files."""
    now = entry.url.rpartition("-")[2].partition(".")[0]
    earlier = _EARLIER.get(name) if entry.name == "IMAGENET1K_V1" else None
    return (now, earlier) if earlier else (now,)
