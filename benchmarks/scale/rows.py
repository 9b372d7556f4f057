"""The rows of a run of dataset scale, drawn rather than computed: what VGG-16 on ImageNet's validation set looks like.

Images come in order of class; three in four are right, the others confused with a few similar classes. Their edges are
those of `benchmarks.scale.trees`, by what `benchmarks.scale.preferences` has classes and channels prefer; tests of
wrong decisions are those of `benchmarks.scale.verified`; sizes and spreads those of `benchmarks.scale.levels`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.scale.draws import Ints, long_tail, uniform_of
from benchmarks.scale.levels import LEVELS
from benchmarks.scale.preferences import CLASSES, CONTEXT_LABELS, SEED, Preferences
from benchmarks.scale.trees import TOP_N, Roots, Trees
from benchmarks.scale.verified import tests_drawn
from evigraph.indexer.shards.folder import SHARD_SCHEMAS, ShardTables
from evigraph.schema.ids import decision_id

ACCURACY = 0.75
_MAP_SIDE = 28
"""Of a semantic map, as fine as the grids that it is counted over."""


@dataclass(frozen=True)
class Scale:
    """A run of `images` images; everything in it follows from this and the seed."""

    images: int
    seed: int

    def shard(self, shard: int, image_ids: range) -> ShardTables:
        """The rows of a shard."""
        rng = np.random.default_rng((SEED, self.seed, self.images, shard))
        ids = np.arange(image_ids.start, image_ids.stop)
        label = self.labels[ids]
        predicted = self._predicted(label, rng)
        wrong = predicted != label
        probability = np.where(wrong, rng.beta(3, 4, len(ids)), rng.beta(5, 1.3, len(ids))).clip(1e-3, 1 - 1e-6)
        of_label = np.minimum(probability, 1 - probability) * rng.uniform(1e-3, 1, len(ids))
        logit = rng.normal(16, 3, len(ids)).clip(4, None)
        # The root of each image's predicted class, followed by that of its label where the two differ.
        image = np.repeat(np.arange(len(ids)), 1 + wrong)
        is_label = np.zeros(len(image), dtype=bool)
        is_label[1:] = image[1:] == image[:-1]
        root_logit = np.where(is_label, logit[image] + np.log(of_label / probability)[image], logit[image])
        roots = Roots(ids[image], decision_id(ids[image], is_label), np.where(is_label, label[image], predicted[image]))
        images = {
            "image_id": ids,
            "uri": [self.uris[i] for i in ids],
            "label_id": label,
            "predicted_id": predicted,
            "probability": probability,
        }
        decisions = {
            "decision_id": roots.decision,
            "image_id": roots.image,
            "class_id": roots.class_id,
            "role": np.where(is_label, "label", "predicted"),
            "logit": root_logit,
            "probability": np.where(is_label, of_label[image], probability[image]),
            "cut_node_count": np.zeros(len(image), dtype=np.int64),
            "cut_importance": np.zeros(len(image)),
        }
        trees = Trees(self.preferences, self.labels)
        edges = trees.edges(roots, root_logit, rng)
        edge = _table("edge", edges)
        masks = trees.masks(edges, rng)
        failed = wrong[image] & ~is_label
        return {
            "image": _table("image", images),
            "skipped_image": SHARD_SCHEMAS["skipped_image"].empty_table(),
            "decision": _table("decision", decisions),
            "edge": edge,
            "decomposition": _decompositions(edge, rng),
            "image_context": _table("image_context", self._image_context(ids)),
            "context_map": _table("context_map", self._context_map(ids)),
            "context_mask": _table("context_mask", masks),
            "verification": tests_drawn(
                edge, roots.decision[failed], roots.class_id[failed], label[image][failed], CLASSES, rng
            ),
        }

    @cached_property
    def labels(self) -> Ints:
        """(images,) class of each image, ascending: the listing is sorted by class folder."""
        labels: Ints = np.arange(self.images) * CLASSES // self.images
        return labels

    @cached_property
    def preferences(self) -> Preferences:
        """What its classes and channels prefer."""
        return Preferences(self.seed)

    @cached_property
    def uris(self) -> list[str]:
        """(images,) path of each image, ascending."""
        numbers = np.random.default_rng((SEED, self.seed, self.images)).permutation(self.images) + 1
        numbers = numbers[np.lexsort((numbers, self.labels))]
        return [
            f"{self.preferences.keys[label]}/ILSVRC2012_val_{number:08d}.JPEG"
            for label, number in zip(self.labels, numbers, strict=True)
        ]

    def _predicted(self, label: Ints, rng: np.random.Generator) -> Ints:
        place = long_tail(5, 1.5, rng.random(len(label)))
        confused = np.where(
            rng.random(len(label)) < 0.85,
            self.preferences.similar[label, place],
            (label + rng.integers(1, CLASSES, len(label))) % CLASSES,
        )
        return np.where(rng.random(len(label)) < ACCURACY, label, confused)

    def _image_context(self, image: Ints) -> dict[str, Any]:
        """The labels that each image shows and their areas, the commonest largest."""
        shown = 1 + self.preferences.context_labels_shown(image, self.labels[image])
        part = np.stack([uniform_of(self.seed, image, 8, n) for n in range(5)], 1)
        area = np.array([0.35, 0.2, 0.15, 0.1, 0.05]) * part
        keys, place = np.unique((image[:, None] * (CONTEXT_LABELS + 1) + shown).ravel(), return_inverse=True)
        return {
            "image_id": keys // (CONTEXT_LABELS + 1),
            "label_id": keys % (CONTEXT_LABELS + 1),
            "area": np.bincount(place.ravel(), area.ravel()).clip(1e-6, 1),
        }

    def _context_map(self, image: Ints) -> dict[str, Any]:
        """Maps of _MAP_SIDE places a side, in as many stripes as the image shows labels, and some void."""
        shown = 1 + self.preferences.context_labels_shown(image, self.labels[image])
        stripes = np.concatenate([shown, np.zeros_like(shown[:, :1])], 1).astype(np.uint8)
        maps = np.repeat(np.repeat(stripes, -(-_MAP_SIDE // stripes.shape[1]), 1)[:, :_MAP_SIDE, None], _MAP_SIDE, 2)
        side = np.full(len(image), _MAP_SIDE)
        labels = [zlib.compress(one.tobytes(), 1) for one in maps]
        return {"image_id": image, "height": side, "width": side, "labels": labels}


def _table(name: str, columns: dict[str, Any]) -> pa.Table:
    schema = SHARD_SCHEMAS[name]
    return pa.table({field.name: pa.array(columns[field.name]).cast(field.type) for field in schema}).cast(schema)


def _decompositions(edge: pa.Table, rng: np.random.Generator) -> pa.Table:
    """What edges tell of their decompositions, each with as many positive channels as SqueezeNet has."""
    first = np.flatnonzero(_column(edge, "rank") == 0)
    share = _column(edge, "share")[first].astype(np.float64)
    target = ("decision_id", "target_layer", "target_channel", "target_y", "target_x")
    channels = np.array([0, *(level.channels for level in LEVELS)])[_column(edge, "target_layer")[first]]
    columns = {name: _column(edge, name)[first] for name in target} | {
        "importance": _column(edge, "importance")[first] / share,
        "positive_sum": _column(edge, "contribution")[first] / share,
        "positive_count": np.maximum(rng.binomial(channels, rng.beta(9, 11, len(channels))), TOP_N),
        "overlap_count": pa.nulls(len(first)),
        "evidence_count": np.diff(first, append=edge.num_rows),
    }
    return _table("decomposition", columns)


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    values: NDArray[Any] = table[name].to_numpy()
    return values
