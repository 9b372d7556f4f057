"""Guided backpropagation of a run's strongest peaks, as pictures (Fig. 4).

Springenberg et al., "Striving for Simplicity", ICLR 2015 workshop: the gradient of a feature with respect to the input,
where the way back through an activation function lets only positive gradients pass. What is left is the part of the
image that raises the feature.

1. The strongest peaks of each channel are found once every shard is there (`indexer.shards.guided_files`).
2. The images of a file's peaks are decoded once each.
3. Batch by batch of one layer, the network runs up to that layer on the part of its image that each peak depends on
   (`windows`), and one backward pass carries the feature of every row back to its own input: rows do not mix.
4. The gradient is cropped to the receptive field, drawn around mid-grey and stored.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode

from evigraph.indexer.data.loader import Batch, iterate_chunks
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.engine.network import Network
from evigraph.indexer.model.registry import OPERATIONS
from evigraph.indexer.pictures.thumbnails import as_colours
from evigraph.indexer.pictures.windows import Window, corners, whole, window_of
from evigraph.indexer.shards import guided_files
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.guided_files import Peaks
from evigraph.schema.errors import DataError, ModelError
from evigraph.schema.pictures import PictureSettings

BATCH = 16
"""Peaks that are run together. Not a setting, since it changes the last bits of a gradient."""
HELD_BYTES = 256 << 20
"""Of decoded images that are held at a time: all those of a file at 224 pixels."""
LONGEST = 128
"""Larger crops are made smaller: the fields of upper layers cover the whole input, and their channels are many."""
_LOSSLESS_AREA = 32 * 32
"""Crops of so few pixels are stored as they are, since compression would show."""
_AGREE = 1e-3
"""Of the largest gradient: far above what another order of summation changes, far below what a grey value shows."""
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
    if pixels.device.type == "cpu":
        # By pixel, then channel: max-pooling and its way back take a third to a half of the time.
        try:
            return _gradients(network, level, pixels.clone(memory_format=torch.channels_last), channel, y, x)
        except RuntimeError:
            pass  # a network that takes views of its maps as they lie
    return _gradients(network, level, pixels.clone(memory_format=torch.contiguous_format), channel, y, x)


def _gradients(network: Network, level: int, pixels: Tensor, channel: Tensor, y: Tensor, x: Tensor) -> Tensor:
    with torch.enable_grad(), GuidedActivations():
        leaf = pixels.detach().requires_grad_()
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
    progress: Callable[[int], None] | None = None,
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
        progress: told how many more are made.

    Raises:
        DataError: an image that was indexed can no longer be used.
        RunFolderError: the disk is full or broken.
    """
    peaks = guided_files.strongest_peaks(folder, pictures.guided or 0)
    for leftover in (folder.path / "guided").glob("*.partial"):
        leftover.unlink()
    pending = [n for n in range(guided_files.file_count(peaks)) if not guided_files.is_written(folder, peaks, n)]
    parts = [guided_files.part(peaks, number) for number in pending]
    held = max(BATCH, HELD_BYTES // (4 * preprocessing.channels * math.prod(preprocessing.size)))
    chunks = [chunk for part in parts for ids in _image_parts(part, held) for chunk in _chunks(ids)]
    decoded = iterate_chunks(source, preprocessing, chunks, workers=workers)
    gradients = _Gradients(network, pictures)
    for number, part in zip(pending, parts, strict=True):
        crops: list[tuple[bytes, int, int]] = [(b"", 0, 0)] * len(part)
        for ids in _image_parts(part, held):
            images = torch.cat([input_of(_usable(next(decoded), source)) for _ in _chunks(ids)])
            for rows, windows in gradients.batches(part, np.flatnonzero(np.isin(part[:, 2], ids))):
                made = gradients.of(part[rows], np.searchsorted(ids, part[rows, 2]), windows, images)
                for row, crop in zip(rows, _crops(made, part[rows], windows, preprocessing, pictures), strict=True):
                    crops[row] = crop
        guided_files.write(folder, peaks, number, _columns(part, crops))
        if progress:
            progress(len(part))
    return sum(map(len, parts))


def _image_parts(peaks: Peaks, held: int) -> list[list[int]]:
    """The images of some peaks, each once and ascending, so many at most at a time."""
    ids: list[int] = np.unique(peaks[:, 2]).tolist()
    return _chunks(ids, held)


def _chunks(ids: list[int], size: int = BATCH) -> list[list[int]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _usable(batch: Batch, source: DataSource) -> Batch:
    if batch.skipped:
        image_id, reason = batch.skipped[0]
        raise DataError(
            f"image {source.samples[image_id].uri} was indexed but can no longer be used ({reason}); "
            "bring it back, or index into a new folder"
        )
    return batch


class _Gradients:
    """Guided gradients of the peaks of one run."""

    def __init__(self, network: Network, pictures: PictureSettings) -> None:
        self._network, self._pictures = network, pictures
        self._on_windows: dict[int, bool] = {}
        """Whether a layer may be run on windows, of those that were tried."""

    def batches(self, peaks: Peaks, rows_of: NDArray[np.intp]) -> Iterator[tuple[list[int], list[Window]]]:
        """Those rows of peaks, with a window each, in batches: of one layer and of windows of one size."""
        groups: dict[tuple[int, int, int], list[tuple[int, Window]]] = {}
        for row in rows_of.tolist():
            level, _, _, y, x = peaks[row].tolist()
            window = window_of(self._pictures.layers[level], self._pictures.size, y, x)
            groups.setdefault((level, window.height, window.width), []).append((row, window))
        for _, group in sorted(groups.items()):
            for start in range(0, len(group), BATCH):
                rows, windows = zip(*group[start : start + BATCH], strict=True)
                yield list(rows), list(windows)

    def of(self, peaks: Peaks, image: Any, windows: list[Window], images: Tensor) -> list[Tensor]:
        """(channels, height, width) gradient of each peak over its window; `image` (peaks,) are rows of `images`.

        Where the layer cannot be run on windows, `windows` become the whole input.
        """
        level = int(peaks[0, 0])
        if windows[0] != whole(self._pictures.size, windows[0].y, windows[0].x):
            if level not in self._on_windows:
                self._on_windows[level] = self._agree(peaks, image, windows, images)
            if not self._on_windows[level]:
                windows[:] = [whole(self._pictures.size, y, x) for y, x in peaks[:, 3:].tolist()]
        return list(self._run(peaks, image, windows, images))

    def _run(self, peaks: Peaks, image: Any, windows: Sequence[Window], images: Tensor) -> Tensor:
        pixels = torch.stack(
            [
                images[row, :, w.top : w.top + w.height, w.left : w.left + w.width]
                for row, w in zip(image.tolist(), windows, strict=True)
            ]
        )
        channel, y, x = (
            torch.tensor(values, device=pixels.device)
            for values in (peaks[:, 1].tolist(), [w.y for w in windows], [w.x for w in windows])
        )
        return guided_gradients(self._network, int(peaks[0, 0]), pixels, channel, y, x)

    def _agree(self, peaks: Peaks, image: Any, windows: Sequence[Window], images: Tensor) -> bool:
        """Whether windows give the gradients that whole inputs give, at the corners."""
        rows = corners(windows)
        inputs = [whole(self._pictures.size, y, x) for y, x in peaks[rows, 3:].tolist()]
        expected = self._run(peaks[rows], image[rows], inputs, images)
        try:
            made = self._run(peaks[rows], image[rows], [windows[row] for row in rows], images)
        except (RuntimeError, IndexError, ModelError):  # of a network that takes inputs of one size
            return False
        for row, gradient, whole_gradient in zip(rows, made, expected, strict=True):
            w, inside = windows[row], whole_gradient.clone()
            inside[:, w.top : w.top + w.height, w.left : w.left + w.width] -= gradient
            if float(inside.abs().max()) > _AGREE * float(whole_gradient.abs().max()):
                return False
        return True


def _crops(
    gradients: Sequence[Tensor],
    peaks: Peaks,
    windows: Sequence[Window],
    preprocessing: Preprocessing,
    pictures: PictureSettings,
) -> Iterator[tuple[bytes, int, int]]:
    """A picture of each gradient within its receptive field: content, width, height."""
    # With respect to the pixels, before they were normalised.
    scaled = torch.stack(list(gradients)).cpu() / preprocessing.per_channel()[1]
    if preprocessing.channel_order == "bgr":
        scaled = scaled.flip(1)
    scaled = as_colours(scaled)
    for gradient, window, (layer, _, _, y, x) in zip(scaled, windows, peaks.tolist(), strict=True):
        box = pictures.layers[layer].box(y, x, pictures.size)
        top, left = box.top - window.top, box.left - window.left
        part = gradient[:, top : top + box.bottom - box.top, left : left + box.right - box.left]
        yield drawn(part.permute(1, 2, 0).numpy())


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
