"""The controls of tested evidence: the same done to something of the same kind that is not the evidence.

Any disturbance turns some predictions. That a failure is corrected without a piece of evidence says something of that
evidence only where as large a disturbance of something else corrects fewer.

- Of `remove`: another channel of the layer, which no decomposition of the decision has kept, which is active in the
  image, and which its removal moves the same way, down or up. Of these it is the one whose map removal changes most
  nearly as much: a channel drawn from all of them would be changed less, as the strongest channels are evidence.
- Of `occlude`: a region of the same shape at a random place of the image that does not overlap the one tested. Where
  there is no such place, as where a receptive field takes most of the image, there is no control.

Both depend on the image and the decision alone, not on what else is in the batch.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from evigraph.indexer.evidence.hierarchy import LevelEdges
from evigraph.indexer.evidence.record import Box
from evigraph.indexer.verify.disturb import NO_CHANNEL

_LEAST = 1e-30
"""A smaller disturbance is none; its log would be infinite."""


def control_channels(
    features: Tensor, means: Tensor, level: LevelEdges, image: Tensor, root: Tensor, tested: Tensor
) -> Tensor:
    """For each test the channel whose removal is its control.

    Args:
        features: (images, channels, height, width), the lower layer's maps.
        means: (channels,), what removal sets a channel to.
        level: the edges into that layer.
        image: (tests,) int64, the image of each test.
        root: (tests,) int64, its root.
        tested: (tests,) int64, its channel.

    Returns:
        (tests,) int64, NO_CHANNEL where no channel is fit; among equals the lower one.
    """
    variance, mean = torch.var_mean(features.float().flatten(2), 2, correction=0)
    active = (variance > 0) | (mean != 0)
    offset = mean - means.to(mean)
    falls, size = offset > 0, (variance + offset.square()).clamp(min=_LEAST).log()  # of the disturbance, squared
    channels, own = features.shape[1], tested[:, None]
    evidence = torch.zeros(int(level.target.root.max()) + 1, channels, dtype=torch.bool, device=root.device)
    evidence[level.target.root[level.node], level.evidence.channel] = True
    fit = active[image] & ~evidence[root] & (falls[image] == falls[image].gather(1, own))
    distance = (size[image] - size[image].gather(1, own)).abs().masked_fill(~fit, torch.inf)
    return torch.where(fit.any(1), distance.argmin(1), NO_CHANNEL)


def control_box(box: Box, size: tuple[int, int], *key: int) -> Box | None:
    """A region of the shape of another, apart from it, anywhere in an image of (height, width) with equal chance.

    Args:
        box: the region tested.
        size: of the image.
        key: what the draw depends on.
    """
    top, bottom, left, right = box
    height, width = bottom - top, right - left
    free = np.ones((size[0] - height + 1, size[1] - width + 1), dtype=bool)  # by the upper left corner
    free[max(0, top - height + 1) : bottom, max(0, left - width + 1) : right] = False
    places = np.flatnonzero(free)
    if not len(places):
        return None
    # A digest and no generator: torch's heeds 32 bits of a seed, and NumPy's may draw otherwise in another version.
    drawn = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8])
    y, x = divmod(int(places[drawn % len(places)]), free.shape[1])
    return y, y + height, x, x + width
