"""Is the evidence really the cause? Decisions made again without it, as in Fig. 10.

1. In each layer take the K channels of largest importance in a decision's hierarchy; of each the most important edge
   into it, whose peak says where in the image it came from.
2. `occlude`: hide the peak's receptive field by each of the fillings asked for (`fills`), and run the network on that.
3. `remove`: set the channel's map to the channel's mean over the dataset (`means`), and run the network from
   there on.
4. Note the new prediction, and how the logits of the decision's class and of the label changed.
5. Do the same to the test's control: to another channel (`controls`), and to another region of the image (`regions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.decisions import occurrences
from evigraph.indexer.evidence.hierarchy import LevelEdges
from evigraph.indexer.evidence.measurement import Columns, DecomposedBatch, Measurement, Rows
from evigraph.indexer.verify.controls import control_channels
from evigraph.indexer.verify.disturb import NO_CHANNEL, Disturber, Outcomes
from evigraph.indexer.verify.fills import NO_IMAGE, Cover, Covers, Pool
from evigraph.indexer.verify.regions import Region, control_region
from evigraph.indexer.verify.settings import VerifySettings


@dataclass(frozen=True)
class Tests:
    """Evidence to test, (tests,) columns: the edge, by rows of its level, and its root."""

    level: LevelEdges
    edge: Tensor
    root: Tensor

    def __len__(self) -> int:
        return len(self.root)


@dataclass(frozen=True)
class Baseline:
    """What the network said of the decisions tested while all their evidence was there: (tests,) columns.

    Attributes:
        image: the image of each, by its place in the batch.
        decision_id: its id in the database.
        class_id: the class of its root.
        label: the image's class label; -1 where it has none.
        predicted: the image's predicted class.
        logits: (tests, classes).
        right: the right classes of each image.
    """

    image: Tensor
    decision_id: NDArray[np.int64]
    class_id: Tensor
    label: Tensor
    predicted: Tensor
    logits: Tensor
    right: Sequence[tuple[int, ...]]

    @classmethod
    def of(cls, root: Tensor, batch: DecomposedBatch) -> Baseline:
        """Of the decisions `root`, (tests,) rows of the batch's roots."""
        decided = batch.decided
        image, class_id = decided.roots.image[root], decided.roots.class_id[root]
        predicted = decided.predicted[image]
        ids = batch.decision_ids[root.cpu().numpy()]
        right = [batch.right_classes[i] for i in image.tolist()]
        return cls(image, ids, class_id, decided.labels[image], predicted, batch.record.logits.float()[image], right)

    def outcome(self, outcomes: Outcomes, prefix: str = "") -> Columns:
        """What the network says now: columns of `verification`, null where nothing was taken away or no label is."""
        predicted, change = outcomes.logits.argmax(1), outcomes.logits - self.logits
        now_and_was = zip(predicted.tolist(), self.predicted.tolist(), self.right, strict=True)
        columns = {
            "predicted_id": predicted,
            "logit": outcomes.logits.gather(1, self.class_id[:, None])[:, 0],
            "logit_change": change.gather(1, self.class_id[:, None])[:, 0],
            "label_logit_change": change.gather(1, self.label.clamp(min=0)[:, None])[:, 0],
            # Of several right classes any will do.
            "corrected": torch.tensor([now in right and was not in right for now, was, right in now_and_was]),
            "disturbance": outcomes.disturbance,
        }
        none, unlabelled = ~outcomes.tested.cpu().numpy(), (self.label < 0).cpu().numpy()
        of_label = ("label_logit_change", "corrected")
        return {
            prefix + name: np.ma.array(column.cpu().numpy(), mask=none | unlabelled if name in of_label else none)
            for name, column in columns.items()
        }


class Verification(Measurement):
    """What becomes of decisions without their evidence."""

    tables = ("verification",)

    def __init__(
        self,
        network: Network,
        settings: VerifySettings,
        levels: frozenset[int] | None,
        means: Callable[[], Sequence[Tensor]],
        pool: Callable[[], Pool],
    ) -> None:
        """Take a network in evaluation mode.

        Args:
            network: whose decisions are tested.
            settings: what to test.
            levels: places in the network's layers of those tested; None for all.
            means: gives per layer (channels,), what `remove` sets a channel to; asked once, by the first batch.
            pool: gives the images that regions may be filled from; asked once, where they are.
        """
        self._covers = Covers(network, settings.occlude, pool)
        self.network, self.settings, self._levels = network, settings, levels
        self._means_of_data = means

    @cached_property
    def _means(self) -> Sequence[Tensor]:
        return self._means_of_data()

    @cached_property
    def _disturber(self) -> Disturber:
        return Disturber(self.network, self._means)

    @torch.no_grad()
    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        """The tests of a batch by decision, the highest layer first, then by importance."""
        decided, roots = batch.decided, batch.decided.roots
        labels = decided.labels[roots.image]
        wanted = torch.ones_like(roots.image, dtype=torch.bool)
        if self.settings.which == "wrong":
            wanted = (roots.class_id == decided.predicted[roots.image]) & (labels >= 0) & (labels != roots.class_id)
        parts, covers = [], self._covers.of(batch, wanted)
        for level in batch.levels:
            if self._levels is None or level.source_layer in self._levels:
                channels = batch.record.features[level.source_layer].shape[1]
                tests = strongest(level, channels, wanted, self.settings.top)
                if len(tests):
                    parts.append(self._of_level(tests, batch, covers))
        if not parts:
            return {}
        columns = {name: np.ma.hstack([part[name] for part in parts]) for name in parts[0]}
        # Stable, so within a decision and layer the order is that of importance, and of a test that of the methods.
        order = np.lexsort((-columns["source_layer"], columns["decision_id"]))
        return {"verification": {name: values[order] for name, values in columns.items()}}

    def _of_level(self, tests: Tests, batch: DecomposedBatch, covers: Sequence[Cover]) -> Columns:
        baseline = Baseline.of(tests.root, batch)
        boxes = self._boxes(tests, batch.inputs, baseline.image)
        outcomes = [
            *(self._occluded(tests, batch, baseline, boxes, cover) for cover in covers),
            self._removed(tests, batch, baseline),
        ]
        edge = _edge_columns(tests) | {
            "decision_id": baseline.decision_id,
            "class_id": baseline.class_id.cpu().numpy(),
        }
        parts = [edge | outcome for outcome in outcomes]
        columns = {name: np.ma.stack([part[name] for part in parts], axis=1).ravel() for name in parts[0]}
        # A region that there is nothing to fill with is not tested.
        done = ~np.ma.getmaskarray(columns["logit"])
        return {name: values[done] for name, values in columns.items()}

    def _occluded(
        self, tests: Tests, batch: DecomposedBatch, baseline: Baseline, regions: Sequence[Region], cover: Cover
    ) -> Columns:
        """What became of the decisions without the regions of their evidence, and without other regions."""
        pixels, image, root = batch.inputs, baseline.image, tests.root
        size = (pixels.shape[2], pixels.shape[3])
        channel = tests.level.evidence.channel[tests.edge].tolist()
        others = [
            control_region(region.box, size, decision, tests.level.source_layer, k)
            for region, decision, k in zip(regions, baseline.decision_id.tolist(), channel, strict=True)
        ]
        none = np.array([other is None for other in others])
        control = [other or region for other, region in zip(others, regions, strict=True)]
        image_id = cover.image_id[root].cpu().numpy()
        return {
            "method": np.full(len(tests), "occlude"),
            "fill": np.ma.array(np.full(len(tests), cover.fill)),
            "fill_image_id": np.ma.masked_equal(image_id, NO_IMAGE),
            "empty_predicted_id": np.ma.array(cover.predicted[root].cpu().numpy()),
            "area": np.ma.array([region.area / (size[0] * size[1]) for region in regions]),
            "control_top": np.ma.array([region.start[0] for region in control], mask=none),
            "control_left": np.ma.array([region.start[1] for region in control], mask=none),
            "control_shape": np.ma.array([region.shape for region in control], mask=none),
            "control_area": np.ma.array([region.area / (size[0] * size[1]) for region in control], mask=none),
            "control_channel": _nulls(len(tests)),
            **baseline.outcome(self._disturber.without_regions(pixels, image, root, regions, cover)),
            **baseline.outcome(self._disturber.without_regions(pixels, image, root, others, cover), "control_"),
        }

    def _removed(self, tests: Tests, batch: DecomposedBatch, baseline: Baseline) -> Columns:
        """What became of the decisions without the channels of their evidence, and without other channels."""
        pixels, record = batch.inputs, batch.record
        layer, channel = tests.level.source_layer, tests.level.evidence.channel[tests.edge]
        other = control_channels(
            record.features[layer], self._means[layer], tests.level, baseline.image, tests.root, channel
        )
        nulls, texts = _nulls(len(tests)), np.ma.array(np.full(len(tests), ""), mask=True)
        return {
            "method": np.full(len(tests), "remove"),
            **dict.fromkeys(("fill", "control_shape"), texts),
            **dict.fromkeys(("fill_image_id", "empty_predicted_id", "area"), nulls),
            **dict.fromkeys(("control_top", "control_left", "control_area"), nulls),
            "control_channel": np.ma.masked_equal(other.cpu().numpy(), NO_CHANNEL),
            **baseline.outcome(self._disturber.without_channels(record, pixels, baseline.image, layer, channel)),
            **baseline.outcome(
                self._disturber.without_channels(record, pixels, baseline.image, layer, other), "control_"
            ),
        }

    def _boxes(self, tests: Tests, pixels: Tensor, image: Tensor) -> list[Region]:
        """The receptive field of each test's evidence at its peak."""
        layer, e = tests.level.source_layer, tests.level.evidence
        where = (e.channel[tests.edge], e.y[tests.edge], e.x[tests.edge])
        return [Region.of(box) for box in self.network.recorder.receptive_fields(layer, pixels, image, *where)]


def strongest(level: LevelEdges, channels: int, wanted: Tensor, top: int) -> Tests:
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
    return Tests(level, edge_of_key[chosen], root_of_key[chosen])


def _edge_columns(tests: Tests) -> Columns:
    level, e, node = tests.level, tests.level.evidence, tests.level.node[tests.edge]
    columns = {
        "target_channel": level.target.channel[node],
        "target_y": level.target.y[node],
        "target_x": level.target.x[node],
        "source_channel": e.channel[tests.edge],
        "source_y": e.y[tests.edge],
        "source_x": e.x[tests.edge],
    }
    return {name: column.cpu().numpy() for name, column in columns.items()} | {
        "target_layer": np.full(len(tests), level.source_layer + 1),
        "source_layer": np.full(len(tests), level.source_layer),
    }


def _nulls(count: int) -> Any:
    return np.ma.array(np.zeros(count, dtype=np.int64), mask=True)
