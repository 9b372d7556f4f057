"""The controls of removed channels: the same done to a channel that is not the evidence. Those of regions: `regions`.

Any disturbance turns some predictions. That a failure is corrected without a piece of evidence says something of that
evidence only where as large a disturbance of something else corrects fewer.

The control is another channel of the layer, which no decomposition of the decision has kept, which is active in the
image, and which its removal moves the same way, down or up. Of these it is the one whose map removal changes most
nearly as much: a channel drawn from all of them would be changed less, as the strongest channels are evidence.

It depends on the image and the decision alone, not on what else is in the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from evigraph.indexer.evidence.hierarchy import LevelEdges
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
    evidence[root, tested] = True  # its own control is none, where no decomposition has kept it
    fit = active[image] & ~evidence[root] & (falls[image] == falls[image].gather(1, own))
    distance = (size[image] - size[image].gather(1, own)).abs().masked_fill(~fit, torch.inf)
    return torch.where(fit.any(1), distance.argmin(1), NO_CHANNEL)
