"""The evidence trees of a drawn run: for each root the edges from its logit down to the lowest layer.

channels     a class and a target channel each have an order of preference over the source channels, in which a few
popular ones come early, and take them with a long tail: so edges between two channels recur
places       within the receptive window of the target's place; peaks gather at a channel's local maxima, so that
two parents now and then keep one node, which is then decomposed once
numbers      shares as of many positive channels, contributions that belong to the decision's own value,
importance by the contract, features that are the same wherever an image's node recurs
context      at the two highest layers, of the few labels that the image shows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.scale.draws import Floats, Ints, hash_of, long_tail, normal_of, uniform_of
from benchmarks.scale.levels import LEVELS
from benchmarks.scale.preferences import Preferences

TOP_N = 3
_DRAWS = 8
"""Channels drawn per decomposition, of which the first TOP_N distinct ones are kept."""
_CELLS = 6
"""Of a mask: as many as those of MobileNetV2 have on MSRC."""
_OF_MASK = ("decision_id", "source_layer", "source_channel", "source_y", "source_x")


@dataclass(frozen=True)
class Roots:
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


@dataclass(frozen=True)
class Trees:
    """Draws the evidence of roots.

    Attributes:
        preferences: Of the run.
        class_shown: (images,) the class that each image shows.
    """

    preferences: Preferences
    class_shown: Ints

    def edges(self, roots: Roots, logit: Floats, rng: np.random.Generator) -> dict[str, Any]:
        """Level by level from the logits down; sorted by root, then the highest layer, the target and the rank."""
        count = len(roots.image)
        zeros = np.zeros(count, dtype=np.int64)
        nodes = _Nodes(np.arange(count), roots.class_id, zeros, zeros, np.ones(count))
        shown = self.preferences.context_labels_shown(roots.image, self.class_shown[roots.image])
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
            shows = self.class_shown[image[first]]
            decisions = _Decisions(*place, shows, feature.astype(np.float64), shown[nodes.root[first]])
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.lexsort((-joined["target_layer"], joined["root"]))
        edges: dict[str, Any] = {name: column[order] for name, column in joined.items()}
        edges["decision_id"] = roots.decision[edges.pop("root")]
        missing = edges["context_label_id"] < 0
        for name in ("context_label_id", "context_iou"):
            edges[name] = pa.array(edges[name], mask=missing)
        edges["context_peak_label_id"] = edges["context_label_id"]
        edges["context_peak_mass"] = pa.array(rng.beta(8, 1, len(missing)).clip(0.01, 1), mask=missing)
        return edges

    def masks(self, edges: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Masks of the edges at the levels with context labels: the peak and some cells about it."""
        labelled = np.flatnonzero(np.array([bool(level.context_iou) for level in LEVELS])[edges["source_layer"]])
        of, part = {name: edges[name][labelled] for name in _OF_MASK}, rng.dirichlet(np.ones(_CELLS), len(labelled))
        side = np.array([level.side for level in LEVELS])[of["source_layer"]][:, None]
        near = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1)])[:_CELLS]
        y, x = (np.clip(of[f"source_{axis}"][:, None] + near[:, n], 0, side - 1) for n, axis in enumerate("yx"))
        return {
            "decision_id": np.repeat(of["decision_id"], _CELLS),
            "layer_id": np.repeat(of["source_layer"], _CELLS),
            "channel": np.repeat(of["source_channel"], _CELLS),
            "cell": (y * side + x).ravel(),
            "at_peak": np.tile(np.arange(_CELLS) == 0, len(labelled)),
            "mass": part.ravel(),
        }

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
        by_class = self.preferences.of_class[level][of.class_id[:, None], place]
        if level == len(LEVELS) - 1:
            # The second root of an image, its label, takes about half of its channels from the first.
            second = np.flatnonzero(np.diff(of.image, prepend=-1) == 0)
            drawn = by_class
            drawn[second] = np.where(chance[second] < 0.42, by_class[second - 1], by_class[second])
            spare = self.preferences.of_class[level][of.class_id, :TOP_N]
        else:
            by_target = self.preferences.of_target[level][of.channel[:, None], place]
            drawn = np.where(chance < layer.of_class, by_class, by_target)
            spare = self.preferences.of_target[level][of.channel, :TOP_N]
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

    def _context(self, level: int, channel: Ints, shown: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Label ids, -1 where none overlaps, and IoUs."""
        if not LEVELS[level].context_iou:
            return np.full(len(channel), -1), np.zeros(len(channel))
        liking = self.preferences.label_affinity[level][channel[:, None], shown] + rng.gumbel(size=shown.shape)
        label = 1 + np.take_along_axis(shown, liking.argmax(1)[:, None], 1)[:, 0]
        iou = (LEVELS[level].context_iou * rng.lognormal(0, 0.8, len(channel))).clip(1e-6, 1)
        return np.where(rng.random(len(channel)) < 0.07, -1, label), iou


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
