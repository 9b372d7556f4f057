"""The settings of the method: what of a run determines its edges, besides the network and the images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """How decisions are decomposed.

    Attributes:
        top_n: channels kept of each decomposition.
        mask_threshold: of the largest activation, in 0..1; what is above it is an activation map's mask.
        max_nodes: nodes decomposed of each root in each layer; None for all.
        overlaps: store the overlap groups of kept channels, and how many positive channels overlap.
        merge_overlaps: let `top_n` count groups instead of channels; it stores them too.
    """

    top_n: int = 3
    mask_threshold: float = 0.5
    max_nodes: int | None = None
    overlaps: bool = False
    merge_overlaps: bool = False

    @property
    def finds_overlaps(self) -> bool:
        """Whether channels of equal masks are grouped."""
        return self.overlaps or self.merge_overlaps
