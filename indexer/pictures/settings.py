"""Which pictures of a run are kept."""

from __future__ import annotations

from dataclasses import dataclass

from evigraph.indexer.options import Settings, option


@dataclass(frozen=True)
class PictureOptions(Settings):
    """Which pictures are kept; none by default.

    Attributes:
        thumbnails: longest side of the pictures of images, in pixels; None for no pictures.
        maps: keep the activation maps of the most important edges of each decision.
        max_maps: how many of each decision.
        guided: how many peaks of each channel, the strongest ones, have a guided crop; None for no crops.
    """

    thumbnails: int | None = option(
        "Keep a picture of what the network saw, its longest side PX.", default=None, least=16, metavar="PX"
    )
    maps: bool = option("Keep the activation maps of the most important edges of each decision.", default=False)
    max_maps: int = option("How many of each decision --maps keeps.", default=100, least=1, needs="--maps")
    guided: int | None = option(
        "Keep guided backpropagation at the K strongest peaks of each channel.", default=None, least=1, metavar="K"
    )
