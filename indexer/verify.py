"""Is the evidence really the cause? Decisions made again without it, as in Fig. 10.

1. In each layer take the K channels of largest importance in a decision's hierarchy; of each the most important edge
   into it, whose peak says where in the image it came from.
2. `occlude`: hide the peak's receptive field, by the mean colour or by blurring, and run the network on that.
3. `remove`: set the channel's map to the channel's mean over the dataset, and run the network from there on.
4. Note the new prediction, and how the logits of the decision's class and of the label changed.

The mean is over all places of some images of the run, MEAN_IMAGES spread evenly over its listing, as they are in the
data: so a shard still depends on nothing but the run's description. The mean over the image's own map would change
nothing at all where global average pooling follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from indexer.data.loader import Batch
from indexer.decisions import occurrences
from indexer.engine import WindowedRecorder
from indexer.fields import Box, Fields, gradient_boxes
from indexer.hierarchy import LevelEdges
from indexer.network import Network
from indexer.record import Record
from indexer.replay import Replay
from indexer.rows import Columns, Decided
from schema.errors import UsageError

WHICH = ("wrong", "all")
OCCLUSIONS = ("grey", "blur")
MEAN_IMAGES = 64
MEAN_BATCH = 16
BLUR_RADII = 6
"""Radii of the blur in the image's side: at 224 pixels a standard deviation of 37, which leaves no shapes."""


@dataclass(frozen=True)
class VerifySettings:
    """Which evidence is tested, and how. All of it determines rows.

    Attributes:
        which: "wrong": the predicted class of images whose label is another; "all": every decision, the labels' too.
        layers: names or module paths of the layers whose channels are tested; None for all.
        top: channels tested of each decision in each layer.
        occlude: what hides a region: "grey", the preprocessing's mean, or "blur".
    """

    which: str
    layers: Sequence[str] | None = None
    top: int = 1
    occlude: str = "grey"

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageError: one cannot be used.
        """
        if self.which not in WHICH:
            raise UsageError(f"--verify {self.which!r} is unknown; give one of {', '.join(WHICH)}")
        if self.occlude not in OCCLUSIONS:
            raise UsageError(f"--occlude {self.occlude!r} is unknown; give one of {', '.join(OCCLUSIONS)}")
        if self.top < 1:
            raise UsageError(f"--verify-top {self.top} is too small; give 1 or more")

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the run's settings."""
        layers = None if self.layers is None else list(self.layers)
        return {"which": self.which, "layers": layers, "top": self.top, "occlude": self.occlude}


@dataclass(frozen=True)
class Chosen:
    """Evidence to test, (tests,) columns: the edge, by rows of its level, and its root."""

    level: LevelEdges
    edge: Tensor
    root: Tensor

    def __len__(self) -> int:
        return len(self.root)


class Verifier:
    """Tests the evidence of batches of one run."""

    def __init__(
        self, network: Network, settings: VerifySettings, levels: frozenset[int] | None, means: Sequence[Tensor]
    ) -> None:
        """Take a network in evaluation mode.

        Args:
            network: of the run.
            settings: what to test.
            levels: places in the network's layers of those tested; None for all.
            means: per layer, (channels,), what `remove` sets a channel to.
        """
        self.network, self.settings, self._levels, self._means = network, settings, levels, means
        self._replay = Replay(network)
        self._fields: Fields | None = None

    @torch.no_grad()
    def columns(
        self,
        pixels: Tensor,
        record: Record,
        decided: Decided,
        levels: Sequence[LevelEdges],
        right: Sequence[tuple[int, ...]],
    ) -> Columns:
        """The rows of `verification` for a batch, by decision, the highest layer first, then by importance.

        Args:
            pixels: (images, 3, side, side), the network's input.
            record: of these.
            decided: what the network said.
            levels: the decisions' hierarchies.
            right: the right classes of each image; none where it is unlabelled.
        """
        roots = decided.roots
        labels = decided.labels[roots.image]
        wanted = torch.ones_like(roots.image, dtype=torch.bool)
        if self.settings.which == "wrong":
            wanted = (roots.class_id == decided.predicted[roots.image]) & (labels >= 0) & (labels != roots.class_id)
        parts = []
        for level in levels:
            if self._levels is None or level.source_layer in self._levels:
                channels = record.features[level.source_layer].shape[1]
                tests = strongest(level, channels, wanted, self.settings.top)
                if len(tests):
                    parts.append(self._of_level(tests, pixels, record, decided, right))
        if not parts:
            return {}
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        # Stable, so within a decision and layer the order is that of importance, and of a test that of the methods.
        order = np.lexsort((-columns["source_layer"], columns["decision_id"]))
        columns = {name: values[order] for name, values in columns.items()}
        hidden, unlabelled = columns["method"] == "occlude", columns.pop("unlabelled")
        columns["area"] = pa.array(columns["area"], mask=~hidden)
        for name in ("label_logit_change", "corrected"):
            columns[name] = pa.array(columns[name], mask=unlabelled)
        return columns

    def _of_level(
        self, tests: Chosen, pixels: Tensor, record: Record, decided: Decided, right: Sequence[tuple[int, ...]]
    ) -> Columns:
        occluded, area = self._occluded(tests, pixels, decided)
        removed = self._removed(tests, pixels, record, decided)
        # Rows in pairs: each test by both methods.
        logits = torch.stack([occluded, removed], 1).flatten(0, 1)
        twice = torch.repeat_interleave(torch.arange(len(tests), device=logits.device), 2)
        root, edge, level = tests.root[twice], tests.edge[twice], tests.level
        image, class_id = decided.roots.image[root], decided.roots.class_id[root]
        before, predicted = record.logits.float()[image], logits.argmax(1)
        labels, rows = decided.labels[image], torch.arange(len(logits), device=logits.device)
        change = logits - before
        said = predicted.tolist()
        of_image = image.tolist()
        was = decided.predicted.tolist()
        corrected = [
            now in right[i] and was[i] not in right[i] for now, i in zip(said, of_image, strict=True)
        ]  # of several right classes any will do
        node = level.node[edge]
        target, e = level.target, level.evidence
        columns = {
            "target_channel": target.channel[node],
            "target_y": target.y[node],
            "target_x": target.x[node],
            "source_channel": e.channel[edge],
            "source_y": e.y[edge],
            "source_x": e.x[edge],
            "class_id": class_id,
            "predicted_id": predicted,
            "logit": logits[rows, class_id],
            "logit_change": change[rows, class_id],
            "label_logit_change": change[rows, labels.clamp(min=0)],
            "unlabelled": labels < 0,
        }
        arrays: Columns = {name: column.cpu().numpy() for name, column in columns.items()}
        is_label = class_id != decided.predicted[image]
        return arrays | {
            "decision_id": (2 * decided.image_ids[image] + is_label.long()).cpu().numpy(),
            "target_layer": np.full(len(logits), level.source_layer + 1),
            "source_layer": np.full(len(logits), level.source_layer),
            "method": np.tile(["occlude", "remove"], len(tests)),
            "area": np.repeat(np.array(area, dtype=np.float32), 2),
            "corrected": np.array(corrected, dtype=bool),
        }

    def _occluded(self, tests: Chosen, pixels: Tensor, decided: Decided) -> tuple[Tensor, list[float]]:
        """The logits (tests, classes) without the regions, and the part of the image that each takes."""
        image = decided.roots.image[tests.root]
        boxes = self._boxes(tests, pixels, image)
        found = []
        for rows in _chunks(len(tests), len(pixels)):
            part = pixels[image[rows]]
            cover = blurred(part) if self.settings.occlude == "blur" else torch.zeros_like(part)
            part = part.clone()
            for row, (top, bottom, left, right) in enumerate(boxes[rows]):
                part[row, :, top:bottom, left:right] = cover[row, :, top:bottom, left:right]
            found.append(self.network.model(part).float())
        size = pixels.shape[2] * pixels.shape[3]
        return torch.cat(found), [(bottom - top) * (right - left) / size for top, bottom, left, right in boxes]

    def _removed(self, tests: Chosen, pixels: Tensor, record: Record, decided: Decided) -> Tensor:
        """The logits (tests, classes) with the channels at their means."""
        level = tests.level.source_layer
        image, channel = decided.roots.image[tests.root], tests.level.evidence.channel[tests.edge]
        means = self._means[level].to(pixels)
        found = []
        for rows in _chunks(len(tests), len(pixels)):
            maps = record.features[level][image[rows]].clone()
            maps[torch.arange(len(maps), device=maps.device), channel[rows]] = means[channel[rows], None, None]
            found.append(self._replay.logits(level, maps, pixels[image[rows]]).float())
        return torch.cat(found)

    def _boxes(self, tests: Chosen, pixels: Tensor, image: Tensor) -> list[Box]:
        """The receptive field of each test's evidence at its peak."""
        layer, e = self.network.layers[tests.level.source_layer], tests.level.evidence
        channel, y, x = e.channel[tests.edge], e.y[tests.edge], e.x[tests.edge]
        recorder = self.network.recorder
        if isinstance(recorder, WindowedRecorder) and layer.node is not None:
            if self._fields is None:
                self._fields = Fields(recorder.graph, pixels[:1])
            return [self._fields.box(layer.node, *place) for place in zip(y.tolist(), x.tolist(), strict=True)]
        found = []
        for rows in _chunks(len(tests), len(pixels)):
            part = pixels[image[rows]]
            found += gradient_boxes(self.network.model, layer.module, part, channel[rows], y[rows], x[rows])
        return found


def strongest(level: LevelEdges, channels: int, wanted: Tensor, top: int) -> Chosen:
    """The most important channels of each root in the lower layer, each with its most important edge.

    Args:
        level: the edges of one pair of layers.
        channels: of the lower layer.
        wanted: (roots,) bool, whose evidence is tested.
        top: how many channels of each root; among equals the lower ones.
    """
    root = level.target.root[level.node]
    keys, of_edge = torch.unique(root * channels + level.evidence.channel, return_inverse=True)
    total = torch.zeros(len(keys), dtype=torch.float64, device=keys.device)
    total.index_add_(0, of_edge, level.importance)
    # Each sort is stable; edges of equal importance stay in the order of their targets and ranks.
    order = torch.argsort(level.importance, descending=True, stable=True)
    order = order[torch.argsort(of_edge[order], stable=True)]
    edge_of_key = order[occurrences(of_edge[order]) == 0]
    root_of_key = keys // channels
    by_total = torch.argsort(total, descending=True, stable=True)
    by_total = by_total[torch.argsort(root_of_key[by_total], stable=True)]
    ranked = root_of_key[by_total]
    chosen = by_total[(occurrences(ranked) < top) & wanted[ranked]]
    return Chosen(level, edge_of_key[chosen], root_of_key[chosen])


def blurred(pixels: Tensor) -> Tensor:
    """Images (images, 3, height, width) under a Gaussian of a sixth of their side, with their borders mirrored."""
    side = pixels.shape[-1]
    sigma = side / BLUR_RADII
    reach = min(round(2 * sigma), side - 1)
    place = torch.arange(-reach, reach + 1, device=pixels.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(pixels.dtype)
    padded = F.pad(pixels, (reach, reach, reach, reach), mode="reflect")
    down = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)
    return F.conv2d(down, kernel.view(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)


def sample_ids(total: int, count: int = MEAN_IMAGES) -> list[int]:
    """Some image ids, spread evenly over a listing."""
    return sorted({index * total // count for index in range(count)})


def channel_means(network: Network, batches: Iterable[Batch], device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """The mean of each channel of each layer over all places of some images: per layer (channels,) float32."""
    sums = [torch.zeros(layer.channels, dtype=torch.float64, device=device) for layer in network.layers]
    images = 0
    for batch in batches:
        if not len(batch.image_ids):
            continue
        record = network.recorder.record(batch.pixels.to(device).to(dtype))
        sound = torch.stack(
            [record.logits.isfinite().all(1), *(f.isfinite().all(3).all(2).all(1) for f in record.features)]
        )
        images += int(sound.all(0).sum())
        for total, features in zip(sums, record.features, strict=True):
            total += features[sound.all(0)].double().mean((2, 3)).sum(0)
    return [(total / max(1, images)).float() for total in sums]


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
