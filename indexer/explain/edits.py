"""What is taken away from a decision on demand, and what is taken away for comparison.

    occlude:LAYER/CHANNEL   the receptive field of the channel's peak is filled with grey, the preprocessing's mean
    remove:LAYER/CHANNEL    the channel's map is set to 0 before the layers above it are computed

1. The peak is that of the most important edge to the channel, as `verify` takes it; of a channel that the decision's
   evidence does not hold it is the largest value of its map.
2. Several edits are made together. So are their controls: another region of the same area for each that is occluded,
   and another channel, disturbed as much, for each that is removed (`verify.regions`, `verify.controls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor

from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.hierarchy import LevelEdges
from evigraph.indexer.evidence.measurement import DecomposedBatch
from evigraph.indexer.evidence.record import Change
from evigraph.indexer.model.layers import find_layers
from evigraph.indexer.verify.controls import control_channels
from evigraph.indexer.verify.disturb import NO_CHANNEL, root_mean_square
from evigraph.indexer.verify.regions import Region, control_region
from evigraph.schema.errors import NotFoundError, UsageError

Method = Literal["occlude", "remove"]
METHODS: tuple[Method, ...] = ("occlude", "remove")
_DRAWS = 32
"""Regions drawn as a control, until one hides none of the evidence that is hidden."""
_SHOWN = 8
"""Channels of a layer's evidence that an error names."""


@dataclass(frozen=True)
class AskedEdit:
    """An edit as it is written: "remove:conv4_3/21"."""

    method: Method
    layer: str
    channel: int
    text: str


@dataclass(frozen=True)
class Edit:
    """Something that is taken away.

    Attributes:
        method: occlude or remove.
        level: place of the layer among S1..SL.
        layer: its name.
        channel: of its map.
        y, x: the channel's peak.
        is_evidence: whether the decision's evidence holds the channel.
        disturbance: root mean square of the change made, in the network's input or in the channel's map.
        region: that is hidden; None of a removed channel.
    """

    method: Method
    level: int
    layer: str
    channel: int
    y: int
    x: int
    is_evidence: bool
    disturbance: float
    region: Region | None = None


def asked_edit(text: str) -> AskedEdit:
    """An edit from its text.

    Raises:
        UsageError: it is not METHOD:LAYER/CHANNEL.
    """
    method, colon, rest = text.partition(":")
    layer, slash, channel = rest.rpartition("/")
    if method not in METHODS and colon:
        raise NotFoundError("edit", method, METHODS, f"in --edit {text} (there are {' and '.join(METHODS)})")
    if not (colon and slash and layer and channel.isascii() and channel.isdecimal()):
        raise UsageError(f"--edit {text!r} is not METHOD:LAYER/CHANNEL; give one such as occlude:conv4_3/21")
    return AskedEdit(cast(Method, method), layer, int(channel), text)


def edits_of(asked: Sequence[AskedEdit], network: Network, batch: DecomposedBatch) -> list[Edit]:
    """What is asked for, found in the network and in one decomposed decision.

    Raises:
        NotFoundError: the network has no such layer, or the layer no such channel; with near names.
        UsageError: a channel is to be occluded that is 0 everywhere, or an edit is asked for twice.
    """
    made: list[Edit] = []
    for one in asked:
        (level,) = find_layers(network.layers, [one.layer], "layer")
        _check_channel(one, network, level, batch)
        made.append(_edit(one.method, level, one.channel, network, batch))
        if made[-1] in made[:-1]:
            raise UsageError(f"--edit {one.text} is given twice; leave one out")
    return made


def controls_of(edits: Sequence[Edit], network: Network, batch: DecomposedBatch) -> list[Edit] | None:
    """The control of each edit, of which none touches what the edits do; None where one has no control."""
    size = (batch.inputs.shape[2], batch.inputs.shape[3])
    hidden = torch.zeros(size, dtype=torch.bool)
    for edit in edits:
        if edit.region is not None:
            hidden |= edit.region.mask(size)
    made: list[Edit] = []
    for edit in edits:
        if edit.region is not None:
            control = _other_region(edit, hidden, batch)
        else:
            taken = [e.channel for e in (*edits, *made) if e.method == "remove" and e.level == edit.level]
            control = _other_channel(edit, taken, network, batch)
        if control is None:
            return None
        made.append(control)
    return made


def without(edits: Sequence[Edit], pixels: Tensor) -> tuple[Tensor, Change | None]:
    """An image with all regions hidden, and what removes all channels.

    Args:
        edits: made together.
        pixels: (1, channels, height, width), as the network takes it.

    Returns:
        The image, and what takes the place of maps; None where no channel is removed.
    """
    size = (pixels.shape[2], pixels.shape[3])
    for edit in edits:
        if edit.region is not None:
            pixels = torch.where(edit.region.mask(size).to(pixels.device), torch.zeros_like(pixels), pixels)
    removed: dict[int, list[int]] = {}
    for edit in edits:
        if edit.method == "remove":
            removed.setdefault(edit.level, []).append(edit.channel)
    if not removed:
        return pixels, None

    def change(level: int, maps: Tensor) -> Tensor:
        if level not in removed:
            return maps
        kept = torch.ones(maps.shape[1], dtype=torch.bool, device=maps.device)
        kept[removed[level]] = False
        return torch.where(kept[:, None, None], maps, torch.zeros_like(maps))

    return pixels, change


def level_of(batch: DecomposedBatch, level: int) -> LevelEdges:
    """The edges into one layer."""
    return next(one for one in batch.levels if one.source_layer == level)


def _check_channel(asked: AskedEdit, network: Network, level: int, batch: DecomposedBatch) -> None:
    layer = network.layers[level]
    if asked.channel < layer.channels:
        return
    edges = level_of(batch, level)
    strongest = torch.argsort(edges.importance, descending=True, stable=True)
    evidence = list(dict.fromkeys(edges.evidence.channel[strongest].tolist()))[:_SHOWN]
    hint = f"in layer {layer.name!r}, which has channels 0 to {layer.channels - 1}"
    if evidence:
        hint += f" (this decision's evidence is {', '.join(map(str, evidence))})"
    raise NotFoundError("channel", str(asked.channel), (), hint)


def _edit(method: Method, level: int, channel: int, network: Network, batch: DecomposedBatch) -> Edit:
    layer, maps = network.layers[level], batch.record.features[level][:, channel]
    edges = level_of(batch, level)
    here = torch.nonzero(edges.evidence.channel == channel)[:, 0]
    if len(here):
        best = here[edges.importance[here].argmax()]
        y, x = int(edges.evidence.y[best]), int(edges.evidence.x[best])
    else:
        y, x = divmod(int(maps[0].float().argmax()), maps.shape[2])
    edit = Edit(method, level, layer.name, channel, y, x, bool(len(here)), float(root_mean_square(maps)))
    if method == "remove":
        return edit
    if not len(here) and not bool((maps != 0).any()):
        raise UsageError(
            f"channel {channel} of layer {layer.name!r} is 0 everywhere in this image, so it has no peak to occlude; "
            f"take one of the decision's evidence, or remove:{layer.name}/{channel}"
        )
    one, at = torch.zeros(1, dtype=torch.int64), torch.tensor([[channel], [y], [x]])
    one, at = one.to(batch.inputs.device), at.to(batch.inputs.device)
    with torch.no_grad():
        (box,) = network.recorder.receptive_fields(level, batch.inputs, one, *at)
    return _hiding(edit, Region.of(box), batch)


def _hiding(edit: Edit, region: Region, batch: DecomposedBatch) -> Edit:
    made = replace(edit, region=region)
    change = without([made], batch.inputs)[0] - batch.inputs
    return replace(made, disturbance=float(root_mean_square(change)))


def _other_region(edit: Edit, hidden: Tensor, batch: DecomposedBatch) -> Edit | None:
    """The region that `verify` draws, unless another edit hides part of it; then others are drawn."""
    size = (batch.inputs.shape[2], batch.inputs.shape[3])
    if edit.region is None:
        return None
    key = (int(batch.decision_ids[0]), edit.level, edit.channel)
    for draw in range(_DRAWS):
        region = control_region(edit.region.box, size, *key, *([draw] if draw else []))
        if region is not None and not bool((region.mask(size) & hidden).any()):
            return _hiding(edit, region, batch)
    return None


def _other_channel(edit: Edit, taken: Sequence[int], network: Network, batch: DecomposedBatch) -> Edit | None:
    features = batch.record.features[edit.level].clone()
    features[:, [channel for channel in taken if channel != edit.channel]] = 0  # as silent ones they are not drawn
    zero = torch.zeros(1, dtype=torch.int64, device=features.device)
    means = torch.zeros(features.shape[1], device=features.device)
    edges = level_of(batch, edit.level)
    (channel,) = control_channels(features, means, edges, zero, zero, zero + edit.channel).tolist()
    return None if channel == NO_CHANNEL else _edit("remove", edit.level, channel, network, batch)
