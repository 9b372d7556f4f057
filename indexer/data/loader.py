"""Batches of network inputs, decoded in worker processes; unusable images are named, not raised."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evigraph.indexer.data.channels import load_channels, load_channels_and_map
from evigraph.indexer.data.context_labels import MAX_MASK_VALUE
from evigraph.indexer.data.images import MAX_PIXELS, Decoded, SkippedImage
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.schema.errors import DataError, first_line

REMOVED = "no longer in the data"
"""Why an image is skipped that a run has an id for and the listing has not."""


@dataclass(frozen=True)
class Batch:
    """Some images of a source, in the order asked for.

    Attributes:
        image_ids: (images,) int64, those that could be used.
        pixels: (images, channels, height, width) float32.
        maps: (images, height, width) context label ids, uint8 or, where ids above 255 exist, int32; 0 = void, all void
            for an image without a map. None where the source has no maps.
        skipped: (image id, reason) of the others. A batch may be all skipped, with 0 images.
        unnamed: (mask value, images) of values in maps that no list names, which were taken for void.
        sizes: (height, width) of the images that could be used, as they were decoded.
    """

    image_ids: Tensor
    pixels: Tensor
    maps: Tensor | None
    skipped: tuple[tuple[int, str], ...]
    unnamed: tuple[tuple[int, int], ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory; the DataLoader calls it where CUDA is used."""
        maps = None if self.maps is None else self.maps.pin_memory()
        return replace(self, image_ids=self.image_ids.pin_memory(), pixels=self.pixels.pin_memory(), maps=maps)


def iterate_batches(
    source: DataSource,
    preprocessing: Preprocessing,
    image_ids: Sequence[int],
    *,
    batch_size: int = 32,
    workers: int = 0,
    pin_memory: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Batch]:
    """Decode and preprocess images; the batches are the same, bit for bit, for any number of workers.

    Args:
        source: the listing.
        preprocessing: that the network needs.
        image_ids: positions in `source.samples`, in the order wanted.
        batch_size: images a batch, those skipped included.
        workers: processes that decode; 0 decodes in this one.
        pin_memory: return page-locked tensors, for copies to a GPU.
        max_pixels: images of more pixels are skipped.

    Raises:
        DataError: a worker process died.
    """
    chunks = [image_ids[start : start + batch_size] for start in range(0, len(image_ids), batch_size)]
    yield from iterate_chunks(
        source, preprocessing, chunks, workers=workers, pin_memory=pin_memory, max_pixels=max_pixels
    )


def iterate_chunks(
    source: DataSource,
    preprocessing: Preprocessing,
    chunks: Sequence[Sequence[int]],
    *,
    workers: int = 0,
    pin_memory: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Batch]:
    """As `iterate_batches`, for batches that the caller has made up: `chunks` holds the image ids of each."""
    with warnings.catch_warnings():
        # more workers than cores is the user's choice
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        loader = DataLoader(
            _Decoded(source, preprocessing, max_pixels),
            batch_sampler=[list(chunk) for chunk in chunks],
            num_workers=min(workers, len(chunks)),
            collate_fn=_Collate((preprocessing.channels, *preprocessing.size), _map_dtype(source)),
            pin_memory=pin_memory,
        )
        # Python 3.12 warns of any fork beside threads; the workers use neither torch's threads nor a database
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        batches = iter(loader)
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"a loader process died ({first_line(error, None)}); it may have run out of memory or of "
            f"/dev/shm: give a smaller --batch-size, or --workers 0"
        ) from error


@dataclass(frozen=True)
class _Item:
    """What a worker makes of one image: pixels, or the reason why not."""

    image_id: int
    pixels: Tensor | None = None
    semantic_map: Tensor | None = None
    reason: str = ""
    unnamed: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)


class _Decoded(Dataset[_Item]):
    def __init__(self, source: DataSource, preprocessing: Preprocessing, max_pixels: int) -> None:
        self.source, self.preprocessing, self.max_pixels = source, preprocessing, max_pixels
        self.lookup = _lookup(source)
        self.known = np.array(sorted(source.map_voids | source.map_colours.keys() | _named(source)), dtype=np.int64)

    def __getitem__(self, image_id: int) -> _Item:
        try:
            return self._decode(image_id, self.source.samples[image_id])
        except SkippedImage as skipped:
            return _Item(image_id, reason=skipped.reason)

    def _decode(self, image_id: int, sample: Sample) -> _Item:
        if sample.removed:
            raise SkippedImage(REMOVED)
        path = self.source.path(sample.uri)
        semantic_map: Image.Image | None = None
        channels = self.preprocessing.image_channels
        if sample.map_uri is None:
            image = load_channels(path, channels, self.max_pixels)
        else:
            map_path, colours = self.source.map_path(sample.map_uri), bool(self.source.map_colours)
            image, semantic_map = load_channels_and_map(path, map_path, channels, self.max_pixels, colours=colours)
        pixels = self.preprocessing.image(image, self.max_pixels)
        if semantic_map is None:
            return _Item(image_id, pixels, size=_size_of(image))
        # before the crop, whose padding is void whatever context label a map stores as 0
        labels = self.preprocessing.map(self._labelled(semantic_map), self.max_pixels)
        return _Item(image_id, pixels, labels, unnamed=self._unnamed(semantic_map), size=_size_of(image))

    def _unnamed(self, semantic_map: Image.Image) -> tuple[int, ...]:
        """The values of a map, ascending, that stand for no label without being known to."""
        values: np.ndarray[Any, Any] = np.asarray(semantic_map)
        present = np.flatnonzero(np.bincount(values.ravel())) if values.dtype == np.uint8 else np.unique(values)
        return tuple(np.setdiff1d(present, self.known).tolist())

    def _labelled(self, semantic_map: Image.Image) -> Image.Image:
        """A map of context label ids, from one of mask values or colours."""
        values: np.ndarray[Any, Any] = np.asarray(semantic_map)
        if self.source.map_colours:
            colours = np.array(sorted(self.source.map_colours), dtype=np.int32)
            ids = np.array([self.source.map_colours[c] for c in colours.tolist()], dtype=self.lookup.dtype)
            at = np.searchsorted(colours, values).clip(max=len(colours) - 1)
            return Image.fromarray(np.where(colours[at] == values, ids[at], 0).astype(self.lookup.dtype))
        if semantic_map.mode != "L":
            # values that no list can name go to the last entry, void
            values = values.clip(-1, len(self.lookup) - 1)
        return Image.fromarray(self.lookup[values])


def _size_of(image: Decoded) -> tuple[int, int]:
    """Height and width in pixels."""
    return (image.height, image.width) if isinstance(image, Image.Image) else (image.shape[0], image.shape[1])


def _lookup(source: DataSource) -> np.ndarray[Any, Any]:
    """Context label id by mask value; void for every other value and for the last entry."""
    dtype = np.int32 if _map_dtype(source) == torch.int32 else np.uint8
    lookup = np.zeros(MAX_MASK_VALUE + 2, dtype=dtype)
    lookup[: len(source.map_lookup)] = source.map_lookup
    return lookup


def _named(source: DataSource) -> set[int]:
    """Mask values that have a label."""
    return {value for value, label_id in enumerate(source.map_lookup) if label_id}


def unnamed_note(unnamed: Mapping[int, int], source: DataSource) -> str | None:
    """What to say of mask values that no list names, and of how many images each was in; None where there are none."""
    if not unnamed:
        return None
    shown = []
    for value, images in sorted(unnamed.items(), key=lambda item: (-item[1], item[0])):
        named = f"colour {value >> 16},{value >> 8 & 255},{value & 255}" if source.map_colours else str(value)
        shown.append(f"{named} (in {images} image{'' if images == 1 else 's'})")
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return f"mask values that no list names were taken for void: {', '.join(shown[:5])}{more}"


def _map_dtype(source: DataSource) -> torch.dtype | None:
    if not source.has_maps:
        return None
    return torch.uint8 if max(source.context_labels) <= 255 else torch.int32


@dataclass(frozen=True)
class _Collate:
    shape: tuple[int, int, int]
    """Channels, height and width of the network's input."""
    map_dtype: torch.dtype | None

    def __call__(self, items: list[_Item]) -> Batch:
        used = [(item, item.pixels) for item in items if item.pixels is not None]
        pixels = [pixels for _, pixels in used] or [torch.empty(0, *self.shape)]
        void = torch.zeros(self.shape[1:], dtype=self.map_dtype)
        maps = [void if item.semantic_map is None else item.semantic_map for item, _ in used]
        return Batch(
            image_ids=torch.tensor([item.image_id for item, _ in used], dtype=torch.int64),
            pixels=torch.stack(pixels) if used else pixels[0],
            maps=(torch.stack(maps) if maps else void.new_empty(0, *self.shape[1:])) if self.map_dtype else None,
            skipped=tuple((item.image_id, item.reason) for item in items if item.pixels is None),
            unnamed=tuple(Counter(value for item in items for value in item.unnamed).items()),
            sizes=tuple(item.size for item, _ in used),
        )
