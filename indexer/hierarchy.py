"""The hierarchy: a root decision decomposed layer by layer, down to S1 (Sec. 3.2).

1. The nodes of the highest layer, `logits`, are the roots: importance 1.
2. All nodes of a layer are decomposed together. Roots of one image that hold the same node share its decomposition.
3. Edges of one root that meet in the same (channel, y, x) meet in one node, whose importance is the sum of theirs.
4. Those nodes are the decisions of the next layer down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from indexer.decisions import Decisions
from indexer.decompose import Evidence, Labeller, decompose
from indexer.record import Record


@dataclass(frozen=True)
class Roots:
    """The logits to explain: image (roots,) int64 rows of the batch, class_id (roots,) int64. Sorted by image."""

    image: Tensor
    class_id: Tensor


@dataclass(frozen=True)
class Nodes:
    """Nodes of one layer, unique and sorted by (root, channel, y, x): columns (nodes,) int64, importance float64."""

    root: Tensor
    channel: Tensor
    y: Tensor
    x: Tensor
    importance: Tensor


@dataclass(frozen=True)
class LevelEdges:
    """The edges from one layer's nodes to the layer below: by target node, then rank.

    Attributes:
        source_layer: the lower layer; the target's is one more.
        target: the nodes decomposed.
        node: (edges,) int64, rows of `target`.
        evidence: the sources, (edges,) columns; its `decision` column numbers decompositions, not nodes.
        importance: (edges,) float64.
    """

    source_layer: int
    target: Nodes
    node: Tensor
    evidence: Evidence
    importance: Tensor


def explain(
    record: Record, roots: Roots, top_n: int, labellers: Sequence[Labeller | None] | None = None
) -> list[LevelEdges]:
    """Decompose roots down to the lowest layer.

    Args:
        record: a recorded batch.
        roots: which logits of it.
        top_n: how many channels each decomposition keeps.
        labellers: per layer, what finds context labels there.

    Returns:
        The edges of each pair of layers, the highest first.
    """
    zero = torch.zeros_like(roots.image)
    nodes = Nodes(torch.arange(len(zero), device=zero.device), roots.class_id, zero, zero, zero.double() + 1)
    levels = []
    for layer in reversed(range(len(record.features))):
        upper = record.features[layer + 1] if layer + 1 < len(record.features) else None
        decisions, of_node = shared_decisions(nodes, roots, upper)
        labeller = labellers[layer] if labellers else None
        evidence = decompose(record.segments[layer], record.features[layer], decisions, top_n, labeller)
        edges = _edges_of_nodes(layer, nodes, of_node, len(decisions), evidence)
        levels.append(edges)
        nodes = merge(edges, record.features[layer].shape)
    return levels


def shared_decisions(nodes: Nodes, roots: Roots, upper: Tensor | None) -> tuple[Decisions, Tensor]:
    """The distinct decisions that nodes stand for: roots of one image share them.

    Args:
        nodes: nodes of one layer.
        roots: their roots.
        upper: (batch, channels, height, width), F of that layer; None for logits, which are taken as they are.

    Returns:
        The decisions, sorted by image, and per node the row of its decision, (nodes,) int64.
    """
    image = roots.image[nodes.root]
    channels, height, width = upper.shape[1:] if upper is not None else (int(nodes.channel.max()) + 1, 1, 1)
    keys = ((image * channels + nodes.channel) * height + nodes.y) * width + nodes.x
    distinct, of_node = torch.unique(keys, return_inverse=True)
    place, x = distinct // width, distinct % width
    place, y = place // height, place % height
    image, channel = place // channels, place % channels
    sign = torch.ones_like(x)
    if upper is not None:
        sign = torch.where(upper[image, channel, y, x] < 0, -1, 1)
    return Decisions(image, channel, y, x, sign), of_node


def merge(edges: LevelEdges, shape: Sequence[int]) -> Nodes:
    """The nodes that edges lead down to, with the importance that flows into each."""
    _, channels, height, width = shape
    e = edges.evidence
    root = edges.target.root[edges.node]
    keys = ((root * channels + e.channel) * height + e.y) * width + e.x
    distinct, of_edge = torch.unique(keys, return_inverse=True)
    importance = torch.zeros(len(distinct), dtype=torch.float64, device=keys.device)
    importance.index_add_(0, of_edge, edges.importance)
    place, x = distinct // width, distinct % width
    place, y = place // height, place % height
    return Nodes(place // channels, place % channels, y, x, importance)


def _edges_of_nodes(layer: int, nodes: Nodes, of_node: Tensor, count: int, evidence: Evidence) -> LevelEdges:
    """Repeat each decision's edges for every node that stands for it."""
    edges_of_decision = torch.bincount(evidence.decision, minlength=count)
    first = torch.cumsum(edges_of_decision, 0) - edges_of_decision
    repeats = edges_of_decision[of_node]
    node = torch.repeat_interleave(torch.arange(len(of_node), device=of_node.device), repeats)
    begin = torch.cumsum(repeats, 0) - repeats
    offset = torch.arange(len(node), device=node.device) - begin[node]
    expanded = evidence.at(first[of_node[node]] + offset)
    importance = nodes.importance[node] * expanded.share.double()
    return LevelEdges(layer, nodes, node, expanded, importance)
