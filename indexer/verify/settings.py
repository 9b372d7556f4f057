"""Which evidence is tested, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evigraph.indexer.options import Settings, names, option


@dataclass(frozen=True)
class VerifySettings(Settings):
    """Which evidence is tested, and how. All of it determines rows.

    Attributes:
        which: "wrong": the predicted class of images whose label is another; "all": every decision, the labels' too.
        layers: names or module paths of the layers whose channels are tested; None for all.
        top: channels tested of each decision in each layer.
        occlude: what hides a region: "grey", the preprocessing's mean, or "blur".
    """

    which: Literal["wrong", "all"] = option(
        "Test the evidence of wrong (or all) decisions: decide again without it.", flag="--verify"
    )
    layers: Sequence[str] | None = option(
        "Layers whose evidence is tested, named as in --layers; all if not given.",
        default=None,
        flag="--verify-layer",
        parse=names,
    )
    top: int = option("Channels tested of each decision in each layer.", default=1, flag="--verify-top", least=1)
    occlude: Literal["grey", "blur"] = option("What hides the region that evidence came from.", default="grey")

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the run's settings."""
        layers = None if self.layers is None else list(self.layers)
        # `controls` tells these runs from those of before there were any, which cannot be gone on with.
        return {"which": self.which, "layers": layers, "top": self.top, "occlude": self.occlude, "controls": True}
