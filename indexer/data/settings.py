"""What of the preprocessing is set by options rather than by the weights."""

# ruff: noqa: RUF009 (options and parts are dataclass fields)
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evigraph.indexer.options import Settings, option
from evigraph.schema.errors import UsageError

Triple = tuple[float, float, float]
"""One number for each channel."""


def parse_triple(flag: str, text: str) -> Triple:
    """Three numbers from text such as ".5,.5,.5".

    Raises:
        UsageError: there are not three, or one is not a number.
    """
    try:
        return triple(flag, [float(number) for number in text.split(",")])
    except ValueError:
        raise UsageError(f"{flag} {text!r} is not three numbers; give one a channel, as .5,.5,.5") from None


def triple(name: str, numbers: Sequence[float]) -> Triple:
    """Three numbers as floats.

    Raises:
        UsageError: there are not three.
    """
    if len(numbers) != 3:
        raise UsageError(f"{name} has {len(numbers)} numbers where 3 are needed; give one a channel, as .5,.5,.5")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


@dataclass(frozen=True)
class PreprocessingOptions(Settings):
    """Parts of the preprocessing to set otherwise than the weights ask for; None leaves a part as it is.

    Attributes:
        resize: length of the short side in pixels; 0 leaves the size alone.
        crop, mean, std, channel_order, pixel_scale, interpolation: as in `Preprocessing`.
    """

    resize: int | None = option(
        "Short side in pixels; 0 for none.", default=None, least=0, most=10_000, hint="0 for no resize"
    )
    crop: int | None = option("Side of the centre crop in pixels.", default=None, least=1, most=10_000)
    mean: Triple | None = option("Three numbers, as .485,.456,.406.", default=None, parse=parse_triple)
    std: Triple | None = option("Three numbers, as .229,.224,.225.", default=None, parse=parse_triple)
    channel_order: Literal["rgb", "bgr"] | None = option("Of the network's input.", default=None)
    pixel_scale: Literal[1, 255] | None = option("Pixels are 0..1 (1) or 0..255 (255).", default=None)
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = option("Of the resize.", default=None)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageError: a value cannot be used.
        """
        super().__post_init__()
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers and (len(numbers) != 3 or not all(math.isfinite(number) for number in numbers)):
                raise UsageError(f"{name} {numbers} is not three finite numbers; give one a channel, as .5,.5,.5")
        if self.std and min(self.std) <= 0:
            raise UsageError(f"std {self.std} must be above 0; it is divided by")
