"""From a decoded image to the network's input, exactly as torchvision.transforms.v2 does it with Pillow images.

Resize of the short side (antialiased) -> centre crop, padded with 0 where it is larger than the image
-> float32 in 0..1 or 0..255 -> channels reversed for BGR -> (x - mean) / std. Semantic maps go through the same
resize and crop by nearest neighbour; their padding is 0, void.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evigraph.indexer.data.images import MAX_PIXELS, SkippedImage
from evigraph.indexer.data.settings import PreprocessingOptions, Triple, triple
from evigraph.schema.errors import UsageError


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a network; the defaults are ImageNet's.

    Attributes:
        resize: length of the short side in pixels, or None to leave the size alone.
        crop: side of the square input in pixels.
        mean: subtracted, one value a channel, in the network's channel order and on its pixel scale.
        std: divided by, likewise.
        channel_order: "rgb" or "bgr".
        pixel_scale: 1 for pixels in 0..1, 255 for 0..255.
        interpolation: "bilinear", "bicubic" or "nearest", of the resize.
    """

    resize: int | None = 256
    crop: int = 224
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    channel_order: str = "rgb"
    pixel_scale: int = 1
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        """Check every value: what can be used is what can be given as an option.

        Raises:
            UsageError: the value that cannot be used, and what can.
        """
        PreprocessingOptions(**asdict(self))

    @classmethod
    def from_weights(cls, transforms: Any) -> Preprocessing:
        """From the preset that torchvision weights carry (`weights.transforms()`, an ImageClassification).

        Raises:
            UsageError: the preset is of another kind.
        """
        try:
            (resize,), (crop,) = transforms.resize_size, transforms.crop_size
            mean, std, interpolation = transforms.mean, transforms.std, transforms.interpolation.value
        except (AttributeError, ValueError, TypeError):
            raise UsageError(
                f"preprocessing {type(transforms).__name__} is not a preset for image classification; "
                f"set --resize, --crop, --mean and --std"
            ) from None
        return cls(resize, crop, triple("mean", mean), triple("std", std), interpolation=interpolation)

    @classmethod
    def from_timm(cls, config: Mapping[str, Any]) -> Preprocessing:
        """From timm's data configuration (`timm.data.resolve_data_config`), a dict.

        Raises:
            UsageError: the crop mode or the input shape has no counterpart here.
        """
        _, height, width = config["input_size"]
        mode = config.get("crop_mode") or "center"
        if height != width or mode != "center":
            raise UsageError(
                f"timm's input {height} x {width} with crop mode {mode!r} is not supported; "
                f"set --resize, --crop, --mean and --std"
            )
        resize = math.floor(height / (config.get("crop_pct") or 0.875))
        mean, std = triple("mean", config["mean"]), triple("std", config["std"])
        return cls(resize, height, mean, std, interpolation=config.get("interpolation", "bilinear"))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_settings`."""
        triples = {name: triple(name, settings[name]) for name in ("mean", "std")}
        return cls(**{**settings, **triples})

    def to_settings(self) -> dict[str, Any]:
        """As JSON values, for the run's settings."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    def with_options(self, options: PreprocessingOptions) -> Preprocessing:
        """With the options that are given put in.

        Raises:
            UsageError: a value that cannot be used.
        """
        given = {name: value for name, value in asdict(options).items() if value is not None}
        if options.resize == 0:
            given["resize"] = None
        return replace(self, **given)

    def image(self, image: Image.Image, max_pixels: int = MAX_PIXELS) -> Tensor:
        """The network's input.

        Args:
            image: mode RGB, any size.
            max_pixels: the most pixels that the resize may make.

        Returns:
            (3, crop, crop) float32.

        Raises:
            SkippedImage: the image is so elongated that the resize would make more than `max_pixels`.
        """
        cropped = self._cropped(image, Image.Resampling[self.interpolation.upper()], max_pixels)
        pixels = torch.from_numpy(np.array(cropped)).permute(2, 0, 1).to(torch.float32).contiguous()
        if self.pixel_scale == 1:
            pixels.mul_(1.0 / 255)  # a product, as torchvision has it: a quotient differs in the last bit
        if self.channel_order == "bgr":
            pixels = pixels.flip(0)
        mean, std = torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.std).view(3, 1, 1)
        return pixels.sub_(mean).div_(std)

    def map(self, semantic_map: Image.Image, max_pixels: int = MAX_PIXELS) -> Tensor:
        """A semantic map, aligned with the network's input.

        Args:
            semantic_map: context label ids, mode L or I, of the image's size.
            max_pixels: as for `image`.

        Returns:
            (crop, crop), uint8 or int32 as the mode is; 0 where the crop lies outside the image.
        """
        return torch.from_numpy(np.array(self._cropped(semantic_map, Image.Resampling.NEAREST, max_pixels)))

    def _cropped(self, image: Image.Image, resampling: Image.Resampling, max_pixels: int) -> Image.Image:
        if self.resize is not None:
            width, height = _resized(image.size, self.resize)
            if width * height > max_pixels:
                raise SkippedImage("too elongated")
            if (width, height) != image.size:
                image = image.resize((width, height), resampling)
        left, top = (_crop_start(length, self.crop) for length in image.size)
        return image.crop((left, top, left + self.crop, top + self.crop))


IMAGENET = Preprocessing()
"""What torchvision's networks mostly take; used where neither weights nor options say anything."""


def _resized(size: tuple[int, int], short: int) -> tuple[int, int]:
    """(width, height) with the short side `short`; the long one is rounded down, as torchvision does."""
    width, height = size
    return (short, int(short * height / width)) if width <= height else (int(short * width / height), short)


def _crop_start(length: int, crop: int) -> int:
    """Where the centre crop starts; negative where it is larger. Rounds as torchvision does."""
    return -((crop - length) // 2) if crop > length else round((length - crop) / 2)
