"""From a decoded image to the network's input, exactly as torchvision.transforms.v2 does it with Pillow images.

Resize of the short side, or to a height and width (antialiased) -> centre crop, padded with 0 where it is larger than
the image -> float32 in 0..1 or 0..255 -> channels reversed for BGR -> (x - mean) / std. Semantic maps go through the
same resize and crop by nearest neighbour; their padding is 0, void. Images of other channels than Pillow's come as
arrays, each of whose channels takes that way by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evigraph.indexer.data.images import MAX_PIXELS, Decoded, SkippedImage
from evigraph.indexer.data.settings import Numbers, PreprocessingOptions, Size, numbers_of, shown
from evigraph.schema.errors import UsageError

_RGB = 3


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a network; the defaults are ImageNet's.

    Attributes:
        resize: length of the short side in pixels, or height and width; None to leave the size alone.
        crop: side of the square input in pixels, or its height and width.
        mean: subtracted, one value a channel, in the network's channel order and on its pixel scale. As many as there
            are, so many channels the input has.
        std: divided by, likewise.
        channel_order: "rgb" or "bgr".
        pixel_scale: 1 for pixels in 0..1, 255 for 0..255.
        interpolation: "bilinear", "bicubic" or "nearest", of the resize.
        resize_mode: what a resize to a height and width does: "squash" gives just these, "cover" keeps the proportions
            and gives at least these.
    """

    resize: int | Size | None = 256
    crop: int | Size = 224
    mean: Numbers = (0.485, 0.456, 0.406)
    std: Numbers = (0.229, 0.224, 0.225)
    channel_order: str = "rgb"
    pixel_scale: int = 1
    interpolation: str = "bilinear"
    resize_mode: str = "squash"

    def __post_init__(self) -> None:
        """Check every value: what can be used is what can be given as an option.

        Raises:
            UsageError: the value that cannot be used, and what can.
        """
        own = {name: value for name, value in asdict(self).items() if name in _OPTIONS}
        PreprocessingOptions(**own, channels=len(self.mean))
        if self.channel_order == "bgr" and self.channels != _RGB:
            raise UsageError(
                f"channel order 'bgr' is of three channels, and the network's input has {self.channels}; leave it out"
            )

        if max(self.mean) > self.pixel_scale:
            raise UsageError(
                f"mean {','.join(map(str, self.mean))} is beyond the pixels, which are 0 to {self.pixel_scale}; give "
                f"{'--pixel-scale 255 for pixels of 0 to 255' if self.pixel_scale == 1 else 'one of them'}"
            )

    @property
    def channels(self) -> int:
        """Of the network's input."""
        return len(self.mean)

    @property
    def image_channels(self) -> int:
        """Of an image as it is decoded."""
        return self.channels

    @property
    def size(self) -> Size:
        """Height and width of the network's input, in pixels."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    @property
    def gives_pixels(self) -> bool:
        """Whether an input can be taken back to pixels: mean, std and pixel scale are what they say."""
        return True

    @classmethod
    def from_weights(cls, transforms: Any) -> Preprocessing:
        """From the preset that torchvision weights carry (`weights.transforms()`, an ImageClassification).

        Raises:
            UsageError: the preset is of another kind.
        """
        try:
            resize, crop = (_length(size) for size in (transforms.resize_size, transforms.crop_size))
            mean, std, interpolation = transforms.mean, transforms.std, transforms.interpolation.value
        except (AttributeError, ValueError, TypeError):
            raise UsageError(
                f"preprocessing {type(transforms).__name__} is not a preset for image classification; "
                f"set --resize, --crop, --mean and --std"
            ) from None
        mean, std = numbers_of("mean", mean, len(mean)), numbers_of("std", std, len(mean))
        return cls(resize, crop, mean, std, interpolation=interpolation)

    @classmethod
    def from_timm(cls, config: Mapping[str, Any]) -> Preprocessing:
        """From timm's data configuration (`timm.data.resolve_data_config`), a dict.

        Raises:
            UsageError: the crop mode or the input shape has no counterpart here.
        """
        channels, height, width = config["input_size"]
        mode = config.get("crop_mode") or "center"
        if mode not in ("center", "squash"):
            raise UsageError(
                f"timm's input {height} x {width} with crop mode {mode!r} is not supported; "
                f"set --resize, --crop, --mean and --std"
            )
        scaled = tuple(math.floor(length / (config.get("crop_pct") or 0.875)) for length in (height, width))
        resize = scaled[0] if mode == "center" and scaled[0] == scaled[1] else (scaled[0], scaled[1])
        mean, std = (numbers_of(name, _each(config[name], channels), channels) for name in ("mean", "std"))
        return cls(
            resize,
            height if height == width else (height, width),
            mean,
            std,
            interpolation=config.get("interpolation", "bilinear"),
            resize_mode="cover" if mode == "center" and not isinstance(resize, int) else "squash",
        )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_settings`."""
        values: dict[str, Any] = {
            n: tuple(value) if isinstance(value, list) else value for n, value in settings.items()
        }
        return cls(**values)

    def to_settings(self) -> dict[str, Any]:
        """As JSON values, for the run's settings; a mode of resizing that is the usual one is not told."""
        told = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: value for name, value in told.items() if (name, value) != ("resize_mode", "squash")}

    def with_options(self, options: PreprocessingOptions, channels: int | None = None) -> Preprocessing:
        """With the options that are given put in.

        Args:
            options: as they were given; its `transform` is not looked at (`run.transform`).
            channels: that the network takes; None for as many as the images have.

        Raises:
            UsageError: a value that cannot be used.
        """
        given = {name: value for name, value in asdict(options).items() if value is not None and name in _OPTIONS}
        if options.resize == 0:
            given["resize"] = None
        if "resize" in given:
            given["resize_mode"] = "squash"
        wanted = options.channels or channels or self.channels
        # What is known of three channels says nothing of others: their pixels stay as they are.
        known = {"mean": self.mean, "std": self.std} if wanted == self.channels else {}
        whole = {"mean": (0.0,) * wanted, "std": (1.0,) * wanted} | known
        numbers = {name: numbers_of(name, given.get(name, value), wanted) for name, value in whole.items()}
        return replace(self, **(given | numbers))

    def image(self, image: Decoded, max_pixels: int = MAX_PIXELS) -> Tensor:
        """The network's input.

        Args:
            image: of the network's channels, any size: mode L, RGB or another of as many, or (height, width, channels)
                uint8.
            max_pixels: the most pixels that the resize may make.

        Returns:
            (channels, *size) float32.

        Raises:
            SkippedImage: the image is so elongated that the resize would make more than `max_pixels`, or an array
                whose values have no known range.
        """
        resampling = Image.Resampling[self.interpolation.upper()]
        if isinstance(image, Image.Image):
            values = np.array(self._cropped(image, resampling, max_pixels))
        elif image.dtype != np.uint8:
            raise SkippedImage(f"array of {image.dtype}, not uint8, which only --transform takes")
        else:
            bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(image, 2, 0)]
            values = np.stack([np.array(self._cropped(band, resampling, max_pixels)) for band in bands], axis=2)
        pixels = torch.from_numpy(values if values.ndim == 3 else values[:, :, None])
        pixels = pixels.permute(2, 0, 1).to(torch.float32).contiguous()
        if self.pixel_scale == 1:
            pixels.mul_(1.0 / 255)  # a product, as torchvision has it: a quotient differs in the last bit
        if self.channel_order == "bgr":
            pixels = pixels.flip(0)
        mean, std = self.per_channel()
        return pixels.sub_(mean).div_(std)

    def enlargement(self, size: Size) -> float | None:
        """How many times larger the resize makes an image of this (height, width); None where that is not known."""
        if self.resize is None:
            return 1.0
        width, height = _resized((size[1], size[0]), self.resize, self.resize_mode)
        return max(height / size[0], width / size[1])

    def described(self) -> str:
        """The whole of it in a line, each part as its option is written."""
        parts = [f"resize {shown(self.resize)}" if self.resize is not None else "no resize", f"crop {shown(self.crop)}"]
        parts += [f"mean {shown(self.mean)}", f"std {shown(self.std)}", self.interpolation]
        parts += ["bgr"] if self.channel_order == "bgr" else []
        parts += ["pixel scale 255"] if self.pixel_scale == 255 else []
        return ", ".join(parts)

    def per_channel(self) -> tuple[Tensor, Tensor]:
        """Mean and std, (channels, 1, 1) float32."""
        return torch.tensor(self.mean).view(-1, 1, 1), torch.tensor(self.std).view(-1, 1, 1)

    def map(self, semantic_map: Image.Image, max_pixels: int = MAX_PIXELS) -> Tensor:
        """A semantic map, aligned with the network's input.

        Args:
            semantic_map: context label ids, mode L or I, of the image's size.
            max_pixels: as for `image`.

        Returns:
            (height, width) of the input, uint8 or int32 as the mode is; 0 where the crop lies outside the image.
        """
        return torch.from_numpy(np.array(self._cropped(semantic_map, Image.Resampling.NEAREST, max_pixels)))

    def _cropped(self, image: Image.Image, resampling: Image.Resampling, max_pixels: int) -> Image.Image:
        if self.resize is not None:
            width, height = _resized(image.size, self.resize, self.resize_mode)
            if width * height > max_pixels:
                raise SkippedImage("too elongated")
            if (width, height) != image.size:
                image = image.resize((width, height), resampling)
        top, left = (_crop_start(*lengths) for lengths in zip(reversed(image.size), self.size, strict=True))
        return image.crop((left, top, left + self.size[1], top + self.size[0]))


_OPTIONS = frozenset({"resize", "crop", "mean", "std", "channel_order", "pixel_scale", "interpolation"})
"""The parts that are options too."""

IMAGENET = Preprocessing()
"""What torchvision's networks mostly take; used where neither weights nor options say anything."""


def _resized(size: tuple[int, int], to: int | Size, mode: str) -> tuple[int, int]:
    """(width, height) with the short side `to`, the long one rounded down, as torchvision does; or of that height and
    width, or, with their proportions kept, the smallest that covers it, rounded as timm does.
    """
    width, height = size
    if isinstance(to, int):
        return (to, int(to * height / width)) if width <= height else (int(to * width / height), to)
    if mode == "squash":
        return to[1], to[0]
    ratio = min(height / to[0], width / to[1])
    return round(width / ratio), round(height / ratio)


def _length(size: Sequence[int]) -> int | Size:
    """A length of torchvision's, which are lists of one or two."""
    if len(size) not in (1, 2):
        raise ValueError
    return int(size[0]) if len(size) == 1 else (int(size[0]), int(size[1]))


def _each(numbers: Sequence[float], channels: int) -> Sequence[float]:
    """Timm's numbers for as many channels: the mean of three for one, as its own first convolution is changed."""
    if len(numbers) == channels or channels != 1:
        return numbers
    return [sum(numbers) / len(numbers)]


def _crop_start(length: int, crop: int) -> int:
    """Where the centre crop starts; negative where it is larger. Rounds as torchvision does."""
    return -((crop - length) // 2) if crop > length else round((length - crop) / 2)
