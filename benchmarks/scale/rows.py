"""The rows of a run of dataset scale, drawn rather than computed: what VGG-16 on ImageNet's validation set looks like.

    image        in order of class; three in four right, the others confused with a few similar classes
    channels     a class and a target channel each have an order of preference over the source channels, in which a few
                 popular ones come early, and take them with a long tail: so edges between two channels recur
    places       within the receptive window of the target's place; peaks gather at a channel's local maxima, so that
                 two parents now and then keep one node, which is then decomposed once
    numbers      shares as of many positive channels, contributions that belong to the decision's own value,
                 importance by the contract, features that are the same wherever an image's node recurs
    context      at the two highest layers, of the few labels that the image shows

The sizes and the spreads are those of `benchmarks.scale.levels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.scale.draws import Floats, Ints, hash_of, long_tail, normal_of, uniform_of
from benchmarks.scale.levels import LEVELS
from evigraph.indexer.shards.folder import SHARD_SCHEMAS, ShardTables
from evigraph.schema.ids import decision_id

CLASSES = 1000
CONTEXT_LABELS = 59
TOP_N = 3
ACCURACY = 0.75

_DRAWS = 8
"""Channels drawn per decomposition, of which the first TOP_N distinct ones are kept."""
_SEED = 0x5CA1E


@dataclass(frozen=True)
class Scale:
    """A run of `images` images; everything in it follows from this and the seed.

    What a class or channel prefers follows from the seed alone, so that runs of two sizes are alike.
    """

    images: int
    seed: int

    def shard(self, shard: int, image_ids: range) -> ShardTables:
        """The rows of a shard."""
        rng = np.random.default_rng((_SEED, self.seed, self.images, shard))
        ids = np.arange(image_ids.start, image_ids.stop)
        label = self.labels[ids]
        predicted = self._predicted(label, rng)
        wrong = predicted != label
        probability = np.where(wrong, rng.beta(3, 4, len(ids)), rng.beta(5, 1.3, len(ids))).clip(1e-3, 1 - 1e-6)
        of_label = np.minimum(probability, 1 - probability) * rng.uniform(1e-3, 1, len(ids))
        logit = rng.normal(16, 3, len(ids)).clip(4, None)
        # Each image's predicted class, followed by its label where that differs.
        image = np.repeat(np.arange(len(ids)), 1 + wrong)
        is_label = np.zeros(len(image), dtype=bool)
        is_label[1:] = image[1:] == image[:-1]
        root_logit = np.where(is_label, logit[image] + np.log(of_label / probability)[image], logit[image])
        roots = _Roots(
            ids[image], decision_id(ids[image], is_label), np.where(is_label, label[image], predicted[image])
        )
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
        edge = _table("edge", self._edges(roots, root_logit, rng))
        return ShardTables(
            image=_table("image", images),
            skipped_image=SHARD_SCHEMAS["skipped_image"].empty_table(),
            decision=_table("decision", decisions),
            edge=edge,
            decomposition=_decompositions(edge, rng),
            image_context=_table("image_context", self._image_context(ids)),
        )

    @cached_property
    def labels(self) -> Ints:
        """(images,) class of each image, ascending: the listing is sorted by class folder."""
        labels: Ints = np.arange(self.images) * CLASSES // self.images
        return labels

    @cached_property
    def keys(self) -> list[str]:
        """Names of the class folders, as WordNet ids ascending."""
        steps = self._rng("keys").integers(1, 27_000, CLASSES)
        return [f"n{number:08d}" for number in 1_440_764 + np.cumsum(steps) - steps[0]]

    @cached_property
    def uris(self) -> list[str]:
        """(images,) path of each image, ascending."""
        numbers = np.random.default_rng((_SEED, self.seed, self.images)).permutation(self.images) + 1
        numbers = numbers[np.lexsort((numbers, self.labels))]
        return [
            f"{self.keys[label]}/ILSVRC2012_val_{number:08d}.JPEG"
            for label, number in zip(self.labels, numbers, strict=True)
        ]

    @cached_property
    def _similar(self) -> Ints:
        """(classes, 5) classes that each is confused with, the likeliest first: neighbours, as ImageNet's are."""
        offsets = np.array([-4, -3, -2, -1, 1, 2, 3, 4])
        order = self._rng("similar").random((CLASSES, len(offsets))).argsort(1)[:, :5]
        similar: Ints = (np.arange(CLASSES)[:, None] + offsets[order]) % CLASSES
        return similar

    @cached_property
    def _of_target(self) -> list[NDArray[np.int16]]:
        """Per level (target channels, source channels): each target's order of preference; empty at the top."""
        sizes = [*(level.channels for level in LEVELS[1:]), 0]
        return [self._preferences("target", level, size) for level, size in enumerate(sizes)]

    @cached_property
    def _of_class(self) -> list[NDArray[np.int16]]:
        """Per level (classes, source channels): each class's order of preference."""
        return [self._preferences("class", level, CLASSES) for level in range(len(LEVELS))]

    @cached_property
    def _labels_of_class(self) -> NDArray[np.int16]:
        """(classes, context labels) in order of preference; the first labels are common everywhere."""
        common = -1.2 * np.log1p(np.arange(CONTEXT_LABELS))
        return (-(common + self._rng("labels").gumbel(size=(CLASSES, CONTEXT_LABELS)))).argsort(1).astype(np.int16)

    @cached_property
    def _label_affinity(self) -> NDArray[np.float32]:
        """(levels, channels, context labels): how well a channel goes with a label."""
        shape = (len(LEVELS), max(level.channels for level in LEVELS), CONTEXT_LABELS)
        return self._rng("affinity").normal(0, 2, shape).astype(np.float32)

    def _rng(self, what: str) -> np.random.Generator:
        return np.random.default_rng((_SEED, self.seed, *what.encode()))

    def _preferences(self, whose: str, level: int, size: int) -> NDArray[np.int16]:
        channels = LEVELS[level].channels
        popular = self._rng(f"popular {level}").permutation(channels)
        common = -LEVELS[level].popularity * np.log1p(popular)
        own = self._rng(f"{whose} {level}").gumbel(size=(size, channels))
        order: NDArray[np.int16] = (-(common + own)).argsort(1).astype(np.int16)
        return order

    def _predicted(self, label: Ints, rng: np.random.Generator) -> Ints:
        place = long_tail(5, 1.5, rng.random(len(label)))
        confused = np.where(
            rng.random(len(label)) < 0.85,
            self._similar[label, place],
            (label + rng.integers(1, CLASSES, len(label))) % CLASSES,
        )
        return np.where(rng.random(len(label)) < ACCURACY, label, confused)

    def _edges(self, roots: _Roots, logit: Floats, rng: np.random.Generator) -> dict[str, Any]:
        """Level by level from the logits down; sorted by root, then the highest layer, the target and the rank."""
        count = len(roots.image)
        zeros = np.zeros(count, dtype=np.int64)
        nodes = _Nodes(np.arange(count), roots.class_id, zeros, zeros, np.ones(count))
        shown = self._labels_shown(roots.image)
        decisions = _Decisions(roots.image, roots.class_id, zeros, zeros, roots.class_id, np.abs(logit) + 1, shown)
        of_node = np.arange(count)
        parts = []
        for level in reversed(range(len(LEVELS))):
            evidence = self._decompose(level, decisions, rng)
            columns, nodes = _expanded(level, nodes, of_node, evidence)
            parts.append(columns)
            # Roots of one image share the decompositions of the nodes that both hold (`evidence.hierarchy`).
            image = roots.image[nodes.root]
            key = ((image * 1024 + nodes.channel) * 256 + nodes.y) * 256 + nodes.x
            _, first, of_node = np.unique(key, return_index=True, return_inverse=True)
            place = (image[first], nodes.channel[first], nodes.y[first], nodes.x[first])
            feature = _feature(level, *place)
            shows = self.labels[image[first]]
            decisions = _Decisions(*place, shows, feature.astype(np.float64), shown[nodes.root[first]])
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.lexsort((-joined["target_layer"], joined["root"]))
        edges: dict[str, Any] = {name: column[order] for name, column in joined.items()}
        edges["decision_id"] = roots.decision[edges.pop("root")]
        missing = edges["context_label_id"] < 0
        for name in ("context_label_id", "context_iou"):
            edges[name] = pa.array(edges[name], mask=missing)
        return edges

    def _decompose(self, level: int, of: _Decisions, rng: np.random.Generator) -> dict[str, Any]:
        """The kept channels of each decision: columns (decisions * TOP_N,), by decision and rank."""
        layer, count = LEVELS[level], len(of.image)
        channel = self._channels(level, of, rng)
        image = np.repeat(of.image, TOP_N)
        y, x = self._places(level, of, image, channel, rng)
        kept = (layer.share * rng.lognormal(0, 0.28, count)).clip(0.01, 0.9)
        falling = np.cumprod(np.stack([np.ones(count), rng.uniform(0.55, 1, count), rng.uniform(0.65, 1, count)]), 0)
        positive = (of.value * rng.lognormal(np.log(3), 0.35, count) / layer.side**2).astype(np.float32)
        contribution = (positive * kept * falling / falling.sum(0)).T.astype(np.float32).ravel()
        peak = layer.side**2 * layer.focus * rng.lognormal(0, 0.5, len(contribution))
        label, iou = self._context(level, channel, np.repeat(of.labels_shown, TOP_N, axis=0), rng)
        return {
            "source_channel": channel,
            "source_y": y,
            "source_x": x,
            "contribution": contribution,
            "share": contribution / np.repeat(positive, TOP_N),
            "rank": np.tile(np.arange(TOP_N), count),
            "feature": _feature(level, image, channel, y, x),
            "activation": (contribution * peak).astype(np.float32),
            "context_label_id": label,
            "context_iou": iou,
        }

    def _channels(self, level: int, of: _Decisions, rng: np.random.Generator) -> Ints:
        """(decisions * TOP_N,) distinct channels of each decision."""
        layer = LEVELS[level]
        place = long_tail(layer.channels, layer.tail, rng.random((len(of.image), _DRAWS)))
        chance = rng.random(place.shape)
        by_class = self._of_class[level][of.class_id[:, None], place]
        if level == len(LEVELS) - 1:
            # The second root of an image, its label, has about half of its channels from what the first one found.
            second = np.flatnonzero(np.diff(of.image, prepend=-1) == 0)
            drawn = by_class
            drawn[second] = np.where(chance[second] < 0.42, by_class[second - 1], by_class[second])
            spare = self._of_class[level][of.class_id, :TOP_N]
        else:
            by_target = self._of_target[level][of.channel[:, None], place]
            drawn = np.where(chance < layer.of_class, by_class, by_target)
            spare = self._of_target[level][of.channel, :TOP_N]
        drawn = np.concatenate([drawn, spare], 1)  # so many are distinct in any case
        repeated = np.zeros(drawn.shape, dtype=bool)
        for column in range(1, drawn.shape[1]):
            repeated[:, column] = (drawn[:, :column] == drawn[:, column : column + 1]).any(1)
        first = repeated.argsort(1, kind="stable")[:, :TOP_N]
        return np.take_along_axis(drawn, first, 1).ravel().astype(np.int64)

    def _places(
        self, level: int, of: _Decisions, image: Ints, channel: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Ints]:
        """Where the peaks of the kept channels lie: in the window of their decision, and in the map."""
        layer = LEVELS[level]
        if layer.window == 0:
            # About the middle of what the image shows, and the same for both of its roots.
            middle = [(0.2 + 0.6 * uniform_of(image, axis)) * layer.side for axis in (0, 1)]
            return tuple(  # type: ignore[return-value]
                np.rint(middle[axis] + 2.5 * normal_of(image, channel, axis)).astype(np.int64).clip(0, layer.side - 1)
                for axis in (0, 1)
            )
        places = []
        for axis, of_target in enumerate((of.y, of.x)):
            start = np.repeat(2 * of_target, TOP_N) + 1 - layer.window // 2
            low, high = np.maximum(start, 0), np.minimum(start + layer.window - 1, layer.side - 1)
            drawn = np.rint(rng.normal(start + (layer.window - 1) / 2, layer.window / 8)).astype(np.int64)
            # Of each square of the map an image's channel has one place where peaks gather: its local maximum.
            side = layer.window // 2
            square = drawn.clip(low, high) // side
            gathered = square * side + (hash_of(image, level, channel, square, axis) % side).astype(np.int64)
            places.append(gathered.clip(low, high))
        return places[0], places[1]

    def _labels_shown(self, image: Ints) -> Ints:
        """(roots, 5) context labels of each root's image, repeats among them."""
        uniform = np.stack([uniform_of(self.seed, image, 7, n) for n in range(5)], 1)
        place = long_tail(CONTEXT_LABELS, 1.5, uniform)
        return self._labels_of_class[self.labels[image][:, None], place].astype(np.int64)

    def _image_context(self, image: Ints) -> dict[str, Any]:
        """The labels that each image shows and their areas, the commonest largest."""
        shown = 1 + self._labels_shown(image)
        part = np.stack([uniform_of(self.seed, image, 8, n) for n in range(5)], 1)
        area = np.array([0.35, 0.2, 0.15, 0.1, 0.05]) * part
        keys, place = np.unique((image[:, None] * (CONTEXT_LABELS + 1) + shown).ravel(), return_inverse=True)
        return {
            "image_id": keys // (CONTEXT_LABELS + 1),
            "label_id": keys % (CONTEXT_LABELS + 1),
            "area": np.bincount(place.ravel(), area.ravel()).clip(1e-6, 1),
        }

    def _context(self, level: int, channel: Ints, shown: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Label ids, -1 where none overlaps, and IoUs."""
        if not LEVELS[level].context_iou:
            return np.full(len(channel), -1), np.zeros(len(channel))
        liking = self._label_affinity[level][channel[:, None], shown] + rng.gumbel(size=shown.shape)
        label = 1 + np.take_along_axis(shown, liking.argmax(1)[:, None], 1)[:, 0]
        iou = (LEVELS[level].context_iou * rng.lognormal(0, 0.8, len(channel))).clip(1e-6, 1)
        return np.where(rng.random(len(channel)) < 0.07, -1, label), iou


@dataclass(frozen=True)
class _Roots:
    """(roots,) int64 each, ascending by decision."""

    image: Ints
    decision: Ints
    class_id: Ints


@dataclass(frozen=True)
class _Nodes:
    """Distinct nodes of one layer, ascending by (root, channel, y, x)."""

    root: Ints
    channel: Ints
    y: Ints
    x: Ints
    importance: Floats


@dataclass(frozen=True)
class _Decisions:
    """What is decomposed of one layer; class_id is what the image shows, `value` what is explained."""

    image: Ints
    channel: Ints
    y: Ints
    x: Ints
    class_id: Ints
    value: Floats
    labels_shown: Ints


def _expanded(level: int, target: _Nodes, of_node: Ints, evidence: dict[str, Any]) -> tuple[dict[str, Any], _Nodes]:
    """The edges of each root, from the evidence of the decisions that its nodes stand for, and the nodes below."""
    taken = (of_node[:, None] * TOP_N + np.arange(TOP_N)).ravel()
    columns = {name: values[taken] for name, values in evidence.items()}
    root = np.repeat(target.root, TOP_N)
    importance = np.repeat(target.importance, TOP_N) * columns["share"]
    channel, y, x = columns["source_channel"], columns["source_y"], columns["source_x"]
    columns |= {
        "root": root,
        "target_layer": np.full(len(root), level + 1),
        "target_channel": np.repeat(target.channel, TOP_N),
        "target_y": np.repeat(target.y, TOP_N),
        "target_x": np.repeat(target.x, TOP_N),
        "source_layer": np.full(len(root), level),
        "importance": importance.astype(np.float32),
    }
    key = ((root * 1024 + channel) * 256 + y) * 256 + x
    _, first, of_edge = np.unique(key, return_index=True, return_inverse=True)
    flow = np.bincount(of_edge, weights=importance).astype(np.float64)
    return columns, _Nodes(root[first], channel[first], y[first], x[first], flow)


def _feature(level: int, image: Ints, channel: Ints, y: Ints, x: Ints) -> NDArray[np.float32]:
    """The map at a place, float32: the same for all that meet there."""
    return (LEVELS[level].feature * np.exp(0.5 * normal_of(image, level, channel, y, x))).astype(np.float32)


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
