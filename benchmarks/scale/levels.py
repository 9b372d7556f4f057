"""The layers of the drawn network, VGG-16's, and what is drawn for the edges into each.

The constants reproduce what SqueezeNet 1.1 gives on 1,000 ImageNet images: median shares, spreads of contribution and
feature, how concentrated channels and pairs of channels are, and how many nodes are shared.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """A source layer, with what is drawn for the edges into it.

    Attributes:
        window: side of the receptive window in this layer of one place of the layer above; 0 for the whole map.
        feature: median of the map at a peak.
        share: median of the sum of the kept shares of a decomposition.
        focus: activation at the peak as a part of the sum of the activation map.
        of_class: how often a channel is taken by the class's preference instead of the target channel's.
        tail: exponent of the long tail over an order of preference.
        popularity: how much of that order all classes and targets have in common.
        context_iou: median; 0 where edges have no context label.
    """

    name: str
    module: str
    channels: int
    side: int
    stride: int
    receptive_field: int
    window: int
    feature: float
    share: float
    focus: float
    of_class: float
    tail: float
    popularity: float
    context_iou: float = 0.0


LEVELS = (
    Level("conv1_2", "features.3", 64, 224, 1, 5, 10, 2.2, 0.33, 0.5, 0.02, 2.3, 1.5),
    Level("conv2_2", "features.8", 128, 112, 2, 14, 14, 11.0, 0.28, 0.5, 0.05, 2.2, 1.5),
    Level("conv3_3", "features.15", 256, 56, 4, 40, 14, 57.0, 0.2, 0.4, 0.1, 2.1, 1.0),
    Level("conv4_3", "features.22", 512, 28, 8, 92, 14, 120.0, 0.13, 0.3, 0.25, 1.8, 0.8, context_iou=0.02),
    Level("conv5_3", "features.29", 512, 14, 16, 196, 0, 40.0, 0.15, 0.1, 1.0, 1.3, 0.5, context_iou=0.13),
)
"""Lowest first; above the last stand the logits."""
