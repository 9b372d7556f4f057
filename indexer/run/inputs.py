"""What a network is given: its preprocessing, and how many channels its input has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import nn

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.run.settings import IndexSettings
from evigraph.indexer.run.transform import OwnTransform, check_on_data, own_transform
from evigraph.indexer.weights.published import ABOUT_PREPROCESSING

_IMAGES = (1, 3)
"""Channels that image files can be made to have, whatever they hold."""
_RGB = 3


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
        said.append("the options set it otherwise: " + ", ".join(f"{name} {value}" for name, value in given.items()))
    if isinstance(preprocessing, OwnTransform):
        shape = " x ".join(map(str, (preprocessing.channels, *preprocessing.size)))
        said.append(f"the input, {shape}, is what --transform {preprocessing.name} makes of each image")
        if settings.pictures.thumbnails and not preprocessing.gives_pixels:
            said.append(
                "thumbnails show the network's input, stretched from black to white: which pixels it was made of is "
                "not known"
            )
        if settings.verify and settings.verify.occlude == "grey" and not preprocessing.gives_pixels:
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


def takes_arrays(preprocessing: Preprocessing) -> bool:
    """Whether .npy files are images of this run."""
    return preprocessing.image_channels not in _IMAGES


def check_data(preprocessing: Preprocessing, source: DataSource) -> None:
    """Raise UsageError where a network's own transform cannot be used with the data."""
    if isinstance(preprocessing, OwnTransform):
        check_on_data(preprocessing, source)
