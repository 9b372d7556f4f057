"""Compares stored evidence with the reference: equal up to float32 rounding, ranks and peaks up to ties."""

from __future__ import annotations

from collections import defaultdict

import torch

from evigraph.indexer.evidence.hierarchy import LevelEdges
from evigraph.indexer.evidence.roots import Roots
from tests.indexer.reference import Reference

TOLERANCE = 1e-3
"""Of the largest contribution (or activation) of a decision."""


def assert_agrees(reference: Reference, levels: list[LevelEdges], roots: Roots, image: int, top_n: int) -> int:
    """Assert that every decomposition of one image's roots is the reference's; return how many were compared."""
    compared = 0
    seen: set[tuple[int, int, int, int]] = set()
    for level in levels:
        rows_of_node: dict[int, list[int]] = defaultdict(list)
        for row, node in enumerate(level.node.tolist()):
            rows_of_node[node].append(row)
        for node, root in enumerate(level.target.root.tolist()):
            if int(roots.image[root]) != image:
                continue
            target = (int(level.target.channel[node]), int(level.target.y[node]), int(level.target.x[node]))
            if (level.source_layer, *target) in seen:
                continue
            seen.add((level.source_layer, *target))
            _assert_decision(reference, level, target, rows_of_node[node], top_n)
            compared += 1
    return compared


def _assert_decision(
    reference: Reference, level: LevelEdges, target: tuple[int, int, int], rows: list[int], top_n: int
) -> None:
    maps = reference.activation_maps(level.source_layer, *target)
    feature = reference.features[level.source_layer][0].detach()
    alpha = maps.mean((1, 2))
    expected = reference.edges(level.source_layer, *target, top_n)
    largest = max((e.contribution for e in expected), default=float(alpha.abs().max()))
    slack = TOLERANCE * largest + 1e-12
    stored = level.evidence
    assert stored.rank[rows].tolist() == list(range(len(rows)))
    sure = [e for e in expected if e.contribution > slack]
    assert len(sure) <= len(rows) <= top_n, (target, len(rows), len(expected))
    positive = float(alpha.clamp(min=0).sum())
    for rank, row in enumerate(rows):
        channel, y, x = int(stored.channel[row]), int(stored.y[row]), int(stored.x[row])
        at = (level.source_layer, target, rank)
        assert abs(float(stored.contribution[row]) - float(alpha[channel])) <= slack, at
        # The channel of this rank is the reference's, or one that ties with it.
        if rank < len(expected):
            assert abs(float(alpha[channel]) - expected[rank].contribution) <= slack, at
        assert abs(float(stored.share[row]) - float(alpha[channel]) / positive) <= 2 * TOLERANCE, at
        highest = float(maps[channel].max())
        assert float(maps[channel, y, x]) >= highest - TOLERANCE * highest, at
        assert abs(float(stored.activation[row]) - float(maps[channel, y, x])) <= TOLERANCE * highest, at
        scale = float(feature.abs().max())
        assert abs(float(stored.feature[row]) - float(feature[channel, y, x])) <= TOLERANCE * scale, at


def assert_nodes_are_complete(levels: list[LevelEdges], roots: Roots) -> None:
    """Assert by plain dictionaries that nodes are what edges lead to, once each, with the importance that flows in."""
    importance = {(root, int(c), 0, 0): 1.0 for root, c in enumerate(roots.class_id.tolist())}
    for level in levels:
        t = level.target
        columns = zip(t.root.tolist(), t.channel.tolist(), t.y.tolist(), t.x.tolist(), strict=True)
        nodes = list(columns)
        assert sorted(nodes) == sorted(importance)
        below: dict[tuple[int, int, int, int], float] = defaultdict(float)
        e = level.evidence
        for row, node in enumerate(level.node.tolist()):
            expected = importance[nodes[node]] * float(e.share[row])
            assert abs(float(level.importance[row]) - expected) <= 1e-6
            below[(nodes[node][0], int(e.channel[row]), int(e.y[row]), int(e.x[row]))] += expected
        importance = dict(below)


def roots_of(logits: torch.Tensor) -> Roots:
    """The predicted class and one other of each image."""
    best = logits.argmax(1)
    other = (best + 1) % logits.shape[1]
    image = torch.arange(len(logits)).repeat_interleave(2)
    return Roots(image, torch.stack([best, other], 1).flatten())
