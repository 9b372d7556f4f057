"""The settings of the method: what of a run determines its edges, besides the network and the images."""

from __future__ import annotations

from dataclasses import dataclass

from evigraph.indexer.options import Settings, option


@dataclass(frozen=True)
class Method(Settings):
    """How decisions are decomposed.

    Attributes:
        top_n: channels kept of each decomposition.
        mask_threshold: of the largest activation, in 0..1; what is above it is an activation map's mask.
        max_nodes: nodes decomposed of each root in each layer; None for all.
        overlaps: store the overlap groups of kept channels, and how many positive channels overlap.
        merge_overlaps: let `top_n` count groups instead of channels; it stores them too.
    """

    top_n: int = option("Channels kept of each decomposition.", default=3, flag="--top", least=1)
    mask_threshold: float = option("Of the largest activation.", default=0.5, least=0, below=1)
    max_nodes: int | None = option(
        "Decompose only the M most important nodes of each root in each layer.", default=None, least=1
    )
    overlaps: bool = option("Store which positive channels overlap (masks of IoU > 0.9), and how many.", default=False)
    merge_overlaps: bool = option("--top counts groups of overlapping channels; implies --overlaps.", default=False)

    @property
    def finds_overlaps(self) -> bool:
        """Whether channels of equal masks are grouped."""
        return self.overlaps or self.merge_overlaps
