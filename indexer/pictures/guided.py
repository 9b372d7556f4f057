"""Guided backpropagation of a run's strongest peaks, as pictures (Fig. 4).

Springenberg et al., "Striving for Simplicity", ICLR 2015 workshop: the gradient of a feature with respect to the input,
where the way back through an activation function lets only positive gradients pass. What is left is the part of the
image that raises the feature.

1. The strongest peaks of each channel are found once every shard is there (`indexer.shards.guided_files`).
2. Batch by batch of one layer, the network runs up to that layer on each peak's image, and one backward pass carries
   the feature of every row back to its own input: images of a batch do not mix.
3. The gradient is cropped to the receptive field, drawn around mid-grey and stored.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode

from evigraph.indexer.data.loader import Batch, iterate_chunks
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.engine.network import Network
from evigraph.indexer.model.registry import OPERATIONS
from evigraph.indexer.pictures.thumbnails import as_colours
from evigraph.indexer.shards import guided_files
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.guided_files import Peaks
from evigraph.schema.errors import DataError
from evigraph.schema.pictures import PictureSettings

BATCH = 16
"""Peaks that are run together. Not a setting, since it changes the last bits of a gradient."""
LONGEST = 128
"""Larger crops are made smaller: the fields of upper layers cover the whole input, and their channels are many."""
_LOSSLESS_AREA = 32 * 32
"""Crops of so few pixels are stored as they are, since compression would show."""
_BRIGHTEST = 0.995
"""Of all |gradient| this part is drawn within black and white; a single pixel shall not dim the others."""

_GUIDED: frozenset[Callable[..., Any]] = frozenset(
    spelling
    for operation in OPERATIONS
    if operation.guided
    for spelling in (
        *(*operation.functions, *operation.in_place),
        *(getattr(Tensor, name + ending) for name in operation.methods for ending in ("", "_")),
    )
)
"""Every way to call an activation function that has a side where nothing passes."""


class _PositiveGradient(torch.autograd.Function):
    """The identity, whose gradient is cut off below 0."""

    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        # No view, since the network may write into it.
        return value.clone()

    @staticmethod
    def backward(_ctx: Any, *gradients: Any) -> Tensor:
        (gradient,) = gradients
        positive: Tensor = gradient.clamp(min=0)
        return positive


class GuidedActivations(TorchFunctionMode):
    """Within the block the way back through an activation function lets only positive gradients pass.

    Calls are caught as they are made, as modules or as functions, so no network is changed.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        value = func(*args, **(kwargs or {}))
        return _PositiveGradient.apply(value) if func in _GUIDED else value


def guided_gradients(network: Network, level: int, pixels: Tensor, channel: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Guided gradient of one feature of each image.

    Args:
        network: frozen.
        level: which of its layers.
        pixels: (peaks, channels, height, width), the network's input.
        channel: (peaks,) int64, the channel of each feature.
        y: (peaks,) int64, its place. Where the feature is negative, what lowers it is found.
        x: (peaks,) int64.

    Returns:
        (peaks, channels, height, width) float32.
    """
    with torch.enable_grad(), GuidedActivations():
        leaf = pixels.detach().clone().requires_grad_()
        features = network.recorder.features_at(level, leaf)
        values = features[torch.arange(len(pixels), device=pixels.device), channel, y, x]
        (gradient,) = torch.autograd.grad((values * torch.where(values < 0, -1.0, 1.0)).sum(), leaf)
    return gradient.float()


def make_guided(
    folder: RunFolder,
    network: Network,
    source: DataSource,
    preprocessing: Preprocessing,
    pictures: PictureSettings,
    input_of: Callable[[Batch], Tensor],
    workers: int,
) -> int:
    """Make what is missing of a run's guided crops; every shard must be there. Gives how many were made.

    Args:
        folder: of the run.
        network: frozen.
        source: of the run.
        preprocessing: of the run.
        pictures: says how many peaks of each channel, and where they lie.
        input_of: gives what the network sees of a batch.
        workers: processes that decode.

    Raises:
        DataError: an image that was indexed can no longer be used.
        RunFolderError: the disk is full or broken.
    """
    peaks = guided_files.strongest_peaks(folder, pictures.guided or 0)
    for leftover in (folder.path / "guided").glob("*.partial"):
        leftover.unlink()
    pending = [n for n in range(guided_files.file_count(peaks)) if not guided_files.is_written(folder, peaks, n)]
    batches = [batch for n in pending for batch in _batches(guided_files.part(peaks, n))]
    decoded = iterate_chunks(source, preprocessing, [batch[:, 2].tolist() for batch in batches], workers=workers)
    made = 0
    for number in pending:
        mine = guided_files.part(peaks, number)
        crops: list[tuple[bytes, int, int]] = []
        for batch in _batches(mine):
            given = next(decoded)
            if given.skipped:
                image_id, reason = given.skipped[0]
                raise DataError(
                    f"image {source.samples[image_id].uri} was indexed but can no longer be used ({reason}); "
                    "bring it back, or index into a new folder"
                )
            where = torch.from_numpy(batch)
            pixels = input_of(given)
            channel, y, x = (where[:, column].to(pixels.device) for column in (1, 3, 4))
            gradients = guided_gradients(network, int(batch[0, 0]), pixels, channel, y, x)
            crops += list(_crops(gradients, batch, preprocessing, pictures))
        guided_files.write(folder, peaks, number, _columns(mine, crops))
        made += len(mine)
    return made


def _batches(peaks: Peaks) -> Iterator[Peaks]:
    """Peaks in batches, each of one layer."""
    for layer in np.unique(peaks[:, 0]):
        mine = peaks[peaks[:, 0] == layer]
        for start in range(0, len(mine), BATCH):
            yield mine[start : start + BATCH]


def _crops(
    gradients: Tensor, peaks: Peaks, preprocessing: Preprocessing, pictures: PictureSettings
) -> Iterator[tuple[bytes, int, int]]:
    """A picture of each gradient within its receptive field: content, width, height."""
    # With respect to the pixels, before they were normalised.
    scaled = gradients.cpu() / preprocessing.per_channel()[1]
    if preprocessing.channel_order == "bgr":
        scaled = scaled.flip(1)
    scaled = as_colours(scaled)
    for gradient, (layer, _, _, y, x) in zip(scaled, peaks.tolist(), strict=True):
        box = pictures.layers[layer].box(y, x, pictures.size)
        part = gradient[:, box.top : box.bottom, box.left : box.right].permute(1, 2, 0).numpy()
        yield drawn(part)


def drawn(gradient: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[bytes, int, int]:
    """A gradient (height, width, 3) as a picture around mid-grey: WebP, its width and height."""
    largest = max(float(np.quantile(np.abs(gradient), _BRIGHTEST)), float(np.finfo(np.float32).tiny))
    values = (127.5 + 127.5 * np.clip(gradient / largest, -1, 1)).round().astype(np.uint8)
    picture = Image.fromarray(values)
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    lossless = picture.width * picture.height <= _LOSSLESS_AREA
    picture.save(sink, "WEBP", lossless=lossless, quality=80, method=4)
    return sink.getvalue(), picture.width, picture.height


def _columns(peaks: Peaks, crops: Sequence[tuple[bytes, int, int]]) -> dict[str, Any]:
    names = ("layer_id", "channel", "image_id", "y", "x")
    return {name: peaks[:, column] for column, name in enumerate(names)} | {
        "media_type": ["image/webp"] * len(crops),
        "width": [width for _, width, _ in crops],
        "height": [height for _, _, height in crops],
        "content": [content for content, _, _ in crops],
    }
