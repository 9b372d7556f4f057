"""The hierarchy: a root decision decomposed layer by layer, down to S1 (Sec. 3.2).

1. The nodes of the highest layer, `logits`, are the roots: importance 1.
2. All nodes of a layer are decomposed together. Roots of one image that hold the same node share its decomposition.
3. Edges of one root that meet in the same (channel, y, x) meet in one node, whose importance is the sum of theirs.
4. Those nodes are the decisions of the next layer down; with a bound, of each root only the most important ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from evigraph.indexer.evidence.decisions import Decisions, occurrences
from evigraph.indexer.evidence.decompose import Decomposed, Evidence, decompose
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.observe import Noted, Observer
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.evidence.roots import Roots


@dataclass(frozen=True)
class Nodes:
    """Nodes of one layer, unique and sorted by (root, channel, y, x): columns (nodes,) int64, importance float64."""

    root: Tensor
    channel: Tensor
    y: Tensor
    x: Tensor
    importance: Tensor

    def __len__(self) -> int:
        return len(self.root)

    def at(self, rows: Tensor) -> Nodes:
        """These rows of it, in this order."""
        return Nodes(*(column[rows] for column in (self.root, self.channel, self.y, self.x, self.importance)))


@dataclass(frozen=True)
class Cut:
    """The nodes of one layer that a bound leaves undecomposed.

    Attributes:
        node_count: (roots,) int64, how many of each root.
        importance: (roots,) float64, the sum of theirs.
    """

    node_count: Tensor
    importance: Tensor


@dataclass(frozen=True)
class LevelEdges:
    """The edges from one layer's nodes to the layer below: by target node, then rank.

    Attributes:
        source_layer: the lower layer; the target's is one more.
        target: the nodes decomposed.
        cut: the nodes of the target's layer that were not.
        node: (edges,) int64, rows of `target`.
        evidence: the sources, (edges,) columns; its `decision` column numbers decompositions, not nodes.
        importance: (edges,) float64.
        positive_sum: (nodes,) float32, of each node the sum of all positive contributions, kept or not.
        positive_count: (nodes,) int64, and how many they are.
        noted: by observers, of edges and nodes; a row's `target` is the row of a node.
    """

    source_layer: int
    target: Nodes
    cut: Cut
    node: Tensor
    evidence: Evidence
    importance: Tensor
    positive_sum: Tensor
    positive_count: Tensor
    noted: Noted = field(default_factory=Noted)


def explain(
    record: Record, roots: Roots, method: Method, observers: Sequence[Sequence[Observer]] | None = None
) -> list[LevelEdges]:
    """Decompose roots down to the lowest layer.

    Args:
        record: a recorded batch.
        roots: which logits of it.
        method: says which channels are kept and how many nodes are decomposed.
        observers: per layer S1..SL, who looks at the activation maps over it; None for nobody.

    Returns:
        The edges of each pair of layers, the highest first, and what was cut of each upper layer.
    """
    zero = torch.zeros_like(roots.image)
    nodes = Nodes(torch.arange(len(zero), device=zero.device), roots.class_id, zero, zero, zero.double() + 1)
    levels = []
    for layer in reversed(range(len(record.features))):
        upper = record.features[layer + 1] if layer + 1 < len(record.features) else None
        nodes, cut = bounded(nodes, method.max_nodes, len(roots.image))
        decisions, of_node = shared_decisions(nodes, roots, upper)
        looking = observers[layer] if observers else ()
        decomposed = decompose(record.segments[layer], record.features[layer], decisions, method, looking)
        edges = _edges_of_nodes(layer, nodes, cut, of_node, decomposed)
        levels.append(edges)
        nodes = merge(edges, record.features[layer].shape)
    return levels


def bounded(nodes: Nodes, max_nodes: int | None, root_count: int) -> tuple[Nodes, Cut]:
    """Of each root the nodes of largest importance, among equals the lower (channel, y, x) first.

    Args:
        nodes: nodes of one layer.
        max_nodes: how many to keep of each root; None for all.
        root_count: how many roots there are; some may have no node here.

    Returns:
        The nodes kept, in the order they had, and what was left of each root.
    """
    count, importance = nodes.root.new_zeros(root_count), nodes.importance.new_zeros(root_count)
    if max_nodes is None:
        return nodes, Cut(count, importance)
    # Both sorts are stable, so what is equal stays in the order of the nodes.
    order = torch.argsort(nodes.importance, descending=True, stable=True)
    order = order[torch.argsort(nodes.root[order], stable=True)]
    kept = torch.empty_like(nodes.root, dtype=torch.bool)
    kept[order] = occurrences(nodes.root[order]) < max_nodes
    left = nodes.at(~kept)
    count.index_add_(0, left.root, torch.ones_like(left.root))
    importance.index_add_(0, left.root, left.importance)
    return nodes.at(kept), Cut(count, importance)


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


def _edges_of_nodes(layer: int, nodes: Nodes, cut: Cut, of_node: Tensor, decomposed: Decomposed) -> LevelEdges:
    """Repeat what each decision was decomposed into for every node that stands for it."""
    count, noted = len(decomposed.rows), decomposed.noted
    node, rows = _repeated(decomposed.evidence.decision, of_node, count)
    evidence = decomposed.evidence.at(rows)
    tables = {}
    for table, columns in noted.rows.items():
        target, repeats = _repeated(columns["target"], of_node, count)
        tables[table] = {name: column[repeats] for name, column in columns.items()} | {"target": target}
    return LevelEdges(
        source_layer=layer,
        target=nodes,
        cut=cut,
        node=node,
        evidence=evidence,
        importance=nodes.importance[node] * evidence.share.double(),
        positive_sum=decomposed.positive_sum[of_node],
        positive_count=decomposed.positive_count[of_node],
        noted=Noted(
            {name: column[rows] for name, column in noted.edge.items()},
            {name: column[of_node] for name, column in noted.target.items()},
            tables,
        ),
    )


def _repeated(decision: Tensor, of_node: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rows of decisions as rows of the nodes that stand for them.

    Args:
        decision: (rows,) int64, ascending, in 0..count - 1.
        of_node: (nodes,) int64, the decision of each node.
        count: how many decisions there are.

    Returns:
        (repeated rows,) int64, ascending: the node of each, and the row that it repeats.
    """
    rows_of_decision = torch.bincount(decision, minlength=count)
    first = torch.cumsum(rows_of_decision, 0) - rows_of_decision
    repeats = rows_of_decision[of_node]
    node = torch.repeat_interleave(torch.arange(len(of_node), device=of_node.device), repeats)
    begin = torch.cumsum(repeats, 0) - repeats
    offset = torch.arange(len(node), device=node.device) - begin[node]
    return node, first[of_node[node]] + offset
