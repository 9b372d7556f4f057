"""Which evidence is tested, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evigraph.indexer.options import Settings, names, option
from evigraph.schema.errors import UsageError

GREY, BLUR, IMAGE = FILLS = ("grey", "blur", "image")
"""What a hidden region may be filled with."""


def fills(flag: str, text: str) -> tuple[str, ...]:
    """Fills from "grey,image", in the order of FILLS.

    Raises:
        UsageError: one is unknown, or given twice.
    """
    given = names(flag, text)
    if unknown := next((name for name in given if name not in FILLS), None):
        raise UsageError(f"unknown {flag.removeprefix('--')} {unknown!r}; give one or more of {','.join(FILLS)}")
    if len(set(given)) < len(given):
        raise UsageError(f"{flag} {text!r} names a fill twice; name each once")
    return tuple(name for name in FILLS if name in given)


@dataclass(frozen=True)
class VerifySettings(Settings):
    """Which evidence is tested, and how. All of it determines rows.

    Attributes:
        which: "wrong": the predicted class of images whose label is another; "all": every decision, the labels' too.
        layers: names or module paths of the layers whose channels are tested; None for all.
        top: channels tested of each decision in each layer.
        occlude: what a hidden region is filled with, each of these a test of its own: "grey", the preprocessing's mean,
            "blur", or "image", another image of the run. A text is taken as on the command line.
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
    occlude: Sequence[str] = option(
        "What the region that evidence came from is filled with: grey, blur, image (of another image), or several, "
        "as grey,blur.",
        default="grey",
        parse=fills,
    )

    def __post_init__(self) -> None:
        """Check every option; `occlude` becomes a tuple.

        Raises:
            UsageError: a value cannot be used.
        """
        super().__post_init__()
        text = self.occlude if isinstance(self.occlude, str) else ",".join(self.occlude)
        object.__setattr__(self, "occlude", fills("--occlude", text))

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the run's settings."""
        layers = None if self.layers is None else list(self.layers)
        # `controls` tells these runs from those of before there were any, which cannot be gone on with.
        occlude = ",".join(self.occlude)
        return {"which": self.which, "layers": layers, "top": self.top, "occlude": occlude, "controls": True}
