"""What of the preprocessing is set by options rather than by the weights."""

# ruff: noqa: RUF009 (options and parts are dataclass fields)
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evigraph.indexer.options import Settings, option
from evigraph.schema.errors import UsageError

Numbers = tuple[float, ...]
"""One number for each channel."""
Size = tuple[int, int]
"""Height and width in pixels."""
MOST_PIXELS = 10_000
"""Of a side."""
MOST_CHANNELS = 1000


def parse_numbers(flag: str, text: str) -> Numbers:
    """One number a channel, from text such as ".5,.5,.5" or ".1307".

    Raises:
        UsageError: one is not a number.
    """
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"{flag} {text!r} is not three numbers, or one for each channel; give one a channel, as .5,.5,.5"
        ) from None


def parse_size(flag: str, text: str) -> int | Size:
    """A length from "224", or height and width from "24,40".

    Raises:
        UsageError: it is neither.
    """
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().removeprefix("-").isdecimal() for part in parts):
        raise UsageError(f"{flag} {text!r} is not a length; give pixels as 224, or HEIGHT,WIDTH as 24,40")
    lengths = [int(part) for part in parts]
    return lengths[0] if len(lengths) == 1 else (lengths[0], lengths[1])


def numbers_of(name: str, numbers: Sequence[float], channels: int) -> Numbers:
    """One number a channel, as floats.

    Raises:
        UsageError: there are not as many as channels.
    """
    if len(numbers) != channels:
        given = f"{len(numbers)} number{'s' * (len(numbers) != 1)}"
        needed = f"{channels} {'is' if channels == 1 else 'are'}"
        raise UsageError(
            f"{name} has {given} where {needed} needed, as the network's input has {_channels(channels)}; "
            "give one a channel"
        )
    return tuple(float(number) for number in numbers)


@dataclass(frozen=True)
class PreprocessingOptions(Settings):
    """Parts of the preprocessing to set otherwise than the weights ask for; None leaves a part as it is.

    Attributes:
        channels: of the images as they are decoded; None for those that the network takes.
        resize: length of the short side in pixels, or height and width; 0 leaves the size alone.
        crop, mean, std, channel_order, pixel_scale, interpolation: as in `Preprocessing`.
        transform: the network's own way from an image to its input, as package.module:function; beside it `crop` is the
            size that it gives, and `mean`, `std` and the others what it normalises by.
    """

    channels: int | None = option(
        "Of the images: 1 grey, 3 RGB, 4 RGBA, others from .npy; the network's if not given.",
        default=None,
        least=1,
        most=MOST_CHANNELS,
    )
    resize: int | Size | None = option(
        "Short side in pixels, or H,W; 0 for none.", default=None, parse=parse_size, metavar="PX|H,W"
    )
    crop: int | Size | None = option(
        "Side of the centre crop in pixels, or H,W.", default=None, parse=parse_size, metavar="PX|H,W"
    )
    mean: Numbers | None = option("A number a channel, as .485,.456,.406.", default=None, parse=parse_numbers)
    std: Numbers | None = option("A number a channel, as .229,.224,.225.", default=None, parse=parse_numbers)
    channel_order: Literal["rgb", "bgr"] | None = option("Of the network's input.", default=None)
    pixel_scale: Literal[1, 255] | None = option("Pixels are 0..1 (1) or 0..255 (255).", default=None)
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = option("Of the resize.", default=None)
    transform: str | None = option(
        "The network's own, from a PIL image to a tensor: package.module:function.", default=None
    )

    @property
    def size_of_input(self) -> Size | None:
        """Height and width that `crop` gives."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageError: a value cannot be used.
        """
        super().__post_init__()
        check_length("--resize", self.resize, 0 if isinstance(self.resize, int) else 1, ", 0 for no resize")
        check_length("--crop", self.crop, 1)
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and (not numbers or not all(math.isfinite(number) for number in numbers)):
                raise UsageError(f"{name} {numbers} is not of finite numbers; give one a channel, as .5,.5,.5")
            if numbers is not None and self.channels is not None and not self.transform:
                numbers_of(name, numbers, self.channels)
        if self.std and min(self.std) <= 0:
            raise UsageError(f"std {self.std} must be above 0; it is divided by")
        if self.transform is not None:
            self._check_transform()

    def _check_transform(self) -> None:
        if not self.transform:
            raise UsageError("--transform '' names no function; give package.module:function, or leave it out")
        own = [name for name in ("resize", "interpolation") if getattr(self, name) is not None]
        if own:
            raise UsageError(
                f"--{own[0]} is given beside --transform {self.transform}, which does all of that itself; "
                "leave one of the two out"
            )
        if (self.mean is None) != (self.std is None):
            raise UsageError(
                f"--transform {self.transform}: --mean and --std say together how it normalises; give both or neither"
            )


def check_length(flag: str, value: int | Size | None, least: int, hint: str = "") -> None:
    """Check a length in pixels, or a height and width.

    Raises:
        UsageError: it is out of range.
    """
    lengths = () if value is None else (value,) if isinstance(value, int) else tuple(value)
    if not all(least <= length <= MOST_PIXELS for length in lengths):
        shown = ",".join(map(str, lengths))
        raise UsageError(f"{flag} {shown} is out of range; give {least} or more and at most {MOST_PIXELS}{hint}")


def _channels(count: int) -> str:
    return f"{count} channel" + "s" * (count != 1)


def shown(value: object) -> str:
    """A setting as its option is written: numbers with commas between."""
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
