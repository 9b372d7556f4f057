"""A forward pass that keeps what decomposition needs: the feature maps and the way between them.

    1. The network runs once on a batch, and the maps of its layers are kept.
    2. `Record.features[l]` is F^l; `Record.segments[l]` decomposes values of layer l + 1 over layer l.

`engine.windowed` records a network that torch.fx can trace, `engine.hooked` any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from evigraph.indexer.evidence.decisions import Segment

Box = tuple[int, int, int, int]
"""Rows [top, bottom) and columns [left, right) of the input, clipped to it: (top, bottom, left, right)."""
Change = Callable[[int, Tensor], Tensor]
"""Takes the level of a layer and its maps, (batch, channels, height, width), and gives what takes their place.

It writes into no map, and a gradient may come back through it."""


@dataclass(frozen=True)
class Record:
    """One recorded batch.

    Attributes:
        features: per layer S1..SL, (batch, channels, height, width).
        logits: (batch, classes).
        segments: segments[l] decomposes layer l + 1 over layer l; the last one decomposes logits.
    """

    features: list[Tensor]
    logits: Tensor
    segments: Sequence[Segment]


class Recorder(Protocol):
    """Runs a network: the whole of it, or what lies below or above one of its layers (level 0 is S1)."""

    def record(self, pixels: Tensor, change: Change | None = None) -> Record:
        """Record the pass of a batch (batch, 3, height, width), as the network has it or with other maps.

        What lies above a layer whose maps are changed is computed from what takes their place.
        """
        ...

    def features_at(self, level: int, pixels: Tensor) -> Tensor:
        """F of one layer, (batch, channels, height, width); what lies above it does not run.

        Autograd may follow it back to `pixels`, (batch, 3, height, width).
        """
        ...

    def logits_from(self, level: int, maps: Tensor, pixels: Tensor) -> Tensor:
        """The logits (batch, classes) with other maps in the place of a layer's own; without a gradient.

        Args:
            level: of the layer.
            maps: (batch, channels, height, width).
            pixels: (batch, 3, height, width), the input that all else is computed from.
        """
        ...

    def receptive_fields(
        self, level: int, pixels: Tensor, image: Tensor, channel: Tensor, y: Tensor, x: Tensor
    ) -> list[Box]:
        """The pixels that values of a layer depend on: in the images given, or in any.

        Args:
            level: of the layer.
            pixels: (images, 3, height, width).
            image: (values,) int64, rows of them.
            channel: (values,) int64, of the layer's maps.
            y: (values,) int64, rows of the maps.
            x: (values,) int64, columns of the maps.
        """
        ...
