"""What a network is given: its preprocessing, and how many channels its input has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from evigraph.indexer.data.classes import ClassList, read_classes
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.settings import PreprocessingOptions, shown
from evigraph.indexer.data.sources import names_classes
from evigraph.indexer.engine.network import Network
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.run.settings import IndexSettings
from evigraph.indexer.run.transform import OwnTransform, check_on_data, own_transform
from evigraph.indexer.weights.loading import LoadedModel
from evigraph.indexer.weights.published import ABOUT_PREPROCESSING

_IMAGES = (1, 3)
"""Channels that image files can be made to have, whatever they hold."""
_RGB = 3
ONE_LOGIT = ("negative", "positive")
"""The classes of a network of one output, where nobody names them."""


def preprocessing_of(options: PreprocessingOptions, known: Preprocessing, model: nn.Module) -> Preprocessing:
    """The preprocessing of a run.

    Args:
        options: as they were given.
        known: what the weights ask for.
        model: the network, in evaluation mode.

    Raises:
        UsageError: a value cannot be used, or the network's own transform cannot.
    """
    if options.transform:
        return own_transform(options)
    given = options.channels or (len(options.mean) if options.mean else None)
    # With the numbers of another count of channels than the weights' a size alone is looked at.
    sized = known.with_options(replace(options, channels=known.channels, mean=None, std=None, channel_order=None))
    return known.with_options(options, None if options.channels else _channels_of(model, sized, given))


def _channels_of(model: nn.Module, preprocessing: Preprocessing, given: int | None) -> int:
    """Those of the first convolution, unless the network runs on as many as the weights are known for."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    own = preprocessing.channels
    if first is None or first.in_channels in (0, own):
        return own
    like = first.weight
    for channels in (own, given):
        if channels is not None and channels != first.in_channels:
            try:
                with frozen(model), torch.no_grad():
                    model(torch.zeros(1, channels, *preprocessing.size).to(like.device, like.dtype))
            except Exception:  # a user's network may raise anything where its input is none
                continue
            return channels
    return first.in_channels


def notes_of(settings: IndexSettings, preprocessing: Preprocessing, of_weights: Sequence[str]) -> tuple[str, ...]:
    """What the user should know of the weights and of what was made of their preprocessing, a sentence each.

    Args:
        settings: of the run.
        preprocessing: that the run has.
        of_weights: the notes of the weights, which know nothing of options.
    """
    options, said = settings.preprocessing, list(of_weights)
    about = [note for note in said if note.startswith(ABOUT_PREPROCESSING)]
    given = {name: value for name, value in asdict(options).items() if value is not None}
    if options.transform:
        said = [note for note in said if note not in about]
    elif about and given:
        options_given = ", ".join(f"{name} {shown(value)}" for name, value in given.items())
        said.append(f"the options set it otherwise: {options_given}")
    if isinstance(preprocessing, OwnTransform):
        shape = " x ".join(map(str, (preprocessing.channels, *preprocessing.size)))
        said.append(f"the input, {shape}, is what --transform {preprocessing.name} makes of each image")
        if settings.pictures.thumbnails and not preprocessing.gives_pixels:
            said.append(
                "thumbnails show the network's input, stretched from black to white: which pixels it was made of is "
                "not known"
            )
        if settings.verify and "grey" in settings.verify.occlude and not preprocessing.gives_pixels:
            said.append("--verify hides regions by 0 in the network's input, whatever the transform makes of grey")
        return tuple(said)
    if preprocessing.channels != _RGB:
        said.append(
            f"the network's input has {preprocessing.channels} channel{'s' if preprocessing.channels != 1 else ''}: "
            + {
                1: "images are made grey",
                2: "images must be grey with transparency, or .npy files",
                4: "images must have four themselves, as RGBA does",
            }.get(preprocessing.channels, "images are .npy files of as many")
        )
        if options.mean is None and options.std is None and set(preprocessing.std) == {1.0}:
            said.append(f"no --mean and --std are given: pixels are 0 to {preprocessing.pixel_scale}, as they are")
        if settings.pictures.thumbnails and preprocessing.channels > _RGB:
            said.append("thumbnails show the first three channels")
    return tuple(said)


_PARTS = ("resize", "crop", "mean", "std")


def preprocessing_line(options: PreprocessingOptions, preprocessing: Preprocessing, loaded: LoadedModel) -> str:
    """The preprocessing in one line, and who asks for it."""
    given = [name for name, value in asdict(options).items() if value is not None]
    if options.transform:
        return preprocessing.described()
    source = loaded.preprocessing_from or "ImageNet's, by default"
    if set(_PARTS) <= set(given):
        return f"{preprocessing.described()}: from the options"
    set_ = f"; {', '.join(name.replace('_', ' ') for name in given)} from the options" if given else ""
    return f"{preprocessing.described()}: {'from ' * (loaded.preprocessing_from is not None)}{source}{set_}"


def default_note(settings: IndexSettings, preprocessing: Preprocessing, loaded: LoadedModel) -> str | None:
    """What to say where ImageNet's numbers are taken for a trained network of which nothing says what it takes."""
    options = settings.preprocessing
    if loaded.preprocessing_from is not None or settings.weights == "random" or options.transform:
        return None
    parts = _PARTS if preprocessing.channels == _RGB else _PARTS[:2]
    open_ = [name for name in parts if getattr(options, name) is None]
    if not open_:
        return None
    taken = ", ".join(f"{name} {shown(getattr(preprocessing, name))}" for name in open_)
    return (
        f"nothing says what the network was trained with: ImageNet's {taken} "
        f"{'is' if len(open_) == 1 else 'are'} taken; give {', '.join(f'--{name}' for name in open_)}, or --transform"
    )


def classes_of(file: Path | None, data: str, loaded: LoadedModel, network: Network) -> ClassList | None:
    """The network's classes in output order, if known.

    Args:
        file: that names them, if given.
        data: as `--data`: a layout may name the two classes of one output itself.
        loaded: whose weights may name them.
        network: that tells them apart.
    """
    if file is not None:
        return read_classes(file, network.class_count, loaded.class_names)
    if loaded.class_names is not None and len(loaded.class_names) == network.class_count:
        return ClassList.from_names(loaded.class_names)
    if network.head.one_logit and not names_classes(data):
        return ClassList.from_names(ONE_LOGIT)
    return None


def takes_arrays(preprocessing: Preprocessing) -> bool:
    """Whether .npy files are images of this run."""
    return preprocessing.image_channels not in _IMAGES


def check_data(preprocessing: Preprocessing, source: DataSource) -> None:
    """Raise UsageError where a network's own transform cannot be used with the data."""
    if isinstance(preprocessing, OwnTransform):
        check_on_data(preprocessing, source)
