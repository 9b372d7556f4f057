"""A forward pass that keeps what decomposition needs: the feature maps and the way between them.

    1. The network runs once on a batch, and the maps of its layers are kept.
    2. `Record.features[l]` is F^l; `Record.segments[l]` decomposes values of layer l + 1 over layer l.

`engine.windowed` records a network that torch.fx can trace, `engine.hooked` any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from evigraph.indexer.evidence.decisions import Segment


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
    """Runs a network on a batch and records it."""

    def record(self, pixels: Tensor) -> Record:
        """Record the pass of a batch (batch, 3, height, width)."""
        ...
