"""Pictures of a shard's images: what the network saw, and the maps of its most important edges."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.measurement import Columns, DecomposedBatch, Measurement, Rows
from evigraph.indexer.pictures.maps import kept_maps
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.schema.pictures import PictureSettings

JPEG_QUALITY = 90
"""Without subsampled colours, since crops of a few pixels are cut from it: 20.7 kB an image of 224 pixels a side."""


def picture_settings(network: Network, size: int | tuple[int, int], options: PictureOptions) -> PictureSettings | None:
    """What a run is to keep; None where it is to keep no pictures, which costs it nothing.

    Args:
        network: whose layers say where their places lie.
        size: height and width of the network's input, in pixels, or the side of a square one.
        options: as they were given.
    """
    maps = options.max_maps if options.maps else None
    if options.thumbnails is None and maps is None and options.guided is None:
        return None
    side = size[0] if isinstance(size, tuple) and size[0] == size[1] else size
    layers = tuple(layer.crops(side) for layer in network.layers)
    return PictureSettings(side, layers, options.thumbnails, maps, options.guided)


def as_images(pixels: Tensor, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The images that inputs of the network were made of.

    Args:
        pixels: (images, channels, height, width) as `Preprocessing.image` makes them.
        preprocessing: that made them. Where it does not say how to undo it, what is shown are the inputs themselves,
            of each image the smallest value black and the largest white.

    Returns:
        (images, height, width, 3) RGB, each value as it was before it was scaled and normalised; of more channels the
        first three, and of fewer the first as grey.
    """
    values = pixels.float().cpu()
    if preprocessing.gives_pixels:
        mean, std = preprocessing.per_channel()
        values = values * std + mean
        if preprocessing.channel_order == "bgr":
            values = values.flip(1)
        values = values * (255 / preprocessing.pixel_scale)
    else:
        low, high = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
        values = (values - low) * (255 / (high - low).clamp(min=torch.finfo(torch.float32).tiny))
    bytes_ = as_colours(values).round().clamp(0, 255).to(torch.uint8)
    return bytes_.permute(0, 2, 3, 1).contiguous().numpy()


def as_colours(values: Tensor) -> Tensor:
    """Of any channels the three that are shown: (images, channels, height, width) -> (images, 3, height, width)."""
    return values[:, :3] if values.shape[1] >= 3 else values[:, :1].expand(-1, 3, -1, -1)


def thumbnail(image: NDArray[np.uint8], longest: int) -> tuple[bytes, int, int]:
    """A JPEG, its width and height: no larger than the image is.

    Args:
        image: (height, width, 3) RGB.
        longest: the longest side that it may have, in pixels.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return sink.getvalue(), picture.width, picture.height


class Pictures(Measurement):
    """The pictures of one run, less the guided crops, which `indexer.pictures.guided` makes."""

    tables = ("thumbnail", "activation_map")

    def __init__(self, settings: PictureSettings, preprocessing: Preprocessing) -> None:
        """Say which pictures are kept, and what the network's inputs were made by."""
        self.settings, self.preprocessing = settings, preprocessing

    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        rows: dict[str, Rows] = {}
        if self.settings.maps is not None:
            maps = kept_maps(batch.record, batch.decided.roots, batch.levels, self.settings.maps)
            rows["activation_map"] = {"decision_id": batch.decision_ids[maps.pop("root")], **maps}
        if self.settings.thumbnails is not None:
            rows |= self.thumbnails(batch.image_ids, batch.pixels)
        return rows

    def thumbnails(self, image_ids: Tensor, pixels: Tensor) -> Mapping[str, Rows]:
        """Rows of `thumbnail` of the network's inputs: (images,) ids and (images, channels, height, width)."""
        images = as_images(pixels, self.preprocessing)
        # Encoded on the thread that writes.
        return {"thumbnail": partial(_thumbnails, image_ids.tolist(), images, self.settings.thumbnails or 0)}


def _thumbnails(image_ids: Sequence[int], images: NDArray[np.uint8], longest: int) -> Columns:
    made = [thumbnail(image, longest) for image in images]
    return {
        "image_id": image_ids,
        "media_type": ["image/jpeg"] * len(made),
        "width": [width for _, width, _ in made],
        "height": [height for _, _, height in made],
        "content": [content for content, _, _ in made],
    }
