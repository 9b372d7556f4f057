"""Pictures of a shard's images: what the network saw, and the maps of its most important edges."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.hierarchy import LevelEdges
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.evidence.roots import Roots
from evigraph.indexer.pictures.maps import kept_maps
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.shards.files import SHARD_SCHEMAS
from evigraph.schema.pictures import LayerGeometry, PictureSettings

JPEG_QUALITY = 90
"""Without subsampled colours, since crops of a few pixels are cut from it: 20.7 kB an image of 224 pixels a side."""


def picture_settings(network: Network, side: int, options: PictureOptions) -> PictureSettings | None:
    """What a run is to keep; None where it is to keep no pictures, which costs it nothing.

    Args:
        network: whose layers say where their places lie.
        side: of the network's input, in pixels.
        options: as they were given.
    """
    maps = options.max_maps if options.maps else None
    if options.thumbnails is None and maps is None and options.guided is None:
        return None
    layers = []
    for layer in network.layers:
        spread = (side / layer.height, side / layer.width)
        stride = layer.exact_stride or spread
        # Without a trace a place is taken to stand for the cell of the input that it would cover.
        centre = layer.centre or (spread[0] / 2, spread[1] / 2)
        layers.append(LayerGeometry(centre, stride, layer.receptive_field))
    return PictureSettings(side, tuple(layers), options.thumbnails, maps, options.guided)


def as_images(pixels: Tensor, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The images that inputs of the network were made of.

    Args:
        pixels: (images, 3, height, width) as `Preprocessing.image` makes them.
        preprocessing: that made them.

    Returns:
        (images, height, width, 3) RGB, each value as it was before it was scaled and normalised.
    """
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    values = pixels.float().cpu() * std + mean
    if preprocessing.channel_order == "bgr":
        values = values.flip(1)
    bytes_ = (values * (255 / preprocessing.pixel_scale)).round().clamp(0, 255).to(torch.uint8)
    return bytes_.permute(0, 2, 3, 1).contiguous().numpy()


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


@dataclass(frozen=True)
class Pictures:
    """Makes the pictures of one run, less the guided crops, which `indexer.pictures.guided` makes."""

    settings: PictureSettings
    preprocessing: Preprocessing

    def add(
        self,
        rows: PictureRows,
        image_ids: Tensor,
        pixels: Tensor,
        record: Record,
        roots: Roots,
        levels: Sequence[LevelEdges],
    ) -> None:
        """Add the pictures of a batch.

        Args:
            rows: of the shard.
            image_ids: (images,) int64.
            pixels: (images, 3, height, width), what the network saw of them.
            record: of the batch.
            roots: that were explained.
            levels: their edges.
        """
        if self.settings.maps is not None:
            maps = kept_maps(record, roots, levels, self.settings.maps)
            ids, image = image_ids.numpy(), roots.image.cpu().numpy()
            is_label = np.diff(image, prepend=-1) == 0
            maps["decision_id"] = (2 * ids[image] + is_label)[maps.pop("root")]
            rows.maps.append(maps)
        if self.settings.thumbnails is not None:
            rows.longest = self.settings.thumbnails
            rows.images.append((image_ids.tolist(), as_images(pixels, self.preprocessing)))


@dataclass
class PictureRows:
    """Collects the pictures of one shard; thumbnails are encoded where `tables` is called, on the writer's thread."""

    longest: int = 0
    images: list[tuple[list[int], NDArray[np.uint8]]] = field(default_factory=list)
    maps: list[dict[str, Any]] = field(default_factory=list)

    def tables(self) -> dict[str, pa.Table]:
        """Tables of a shard by name; none where there are no pictures."""
        tables = {}
        if self.images:
            tables["thumbnail"] = self._thumbnails()
        if self.maps:
            tables["activation_map"] = pa.concat_tables([_cast("activation_map", part) for part in self.maps])
        return tables

    def _thumbnails(self) -> pa.Table:
        made = [thumbnail(image, self.longest) for _, images in self.images for image in images]
        columns: dict[str, Sequence[Any]] = {
            "image_id": [image_id for ids, _ in self.images for image_id in ids],
            "media_type": ["image/jpeg"] * len(made),
            "width": [width for _, width, _ in made],
            "height": [height for _, _, height in made],
            "content": [content for content, _, _ in made],
        }
        return _cast("thumbnail", columns)


def _cast(table: str, columns: dict[str, Any]) -> pa.Table:
    schema = SHARD_SCHEMAS[table]
    return pa.table([pa.array(columns[name]).cast(schema.field(name).type) for name in schema.names], schema=schema)
