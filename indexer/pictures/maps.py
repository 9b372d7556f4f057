"""The activation maps of the most important edges of a decision, packed into little space.

1. Of each root the edges of largest importance are taken: those that a reader of its evidence looks at first.
2. Their decisions are decomposed once more, and only the maps of their channels are read out. So the decomposition
   itself knows nothing of maps, and a run that keeps none has no work with them.
3. A map is brought to 0..255, 255 being its peak and what is negative 0, and cropped to what is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evigraph.indexer.evidence.hierarchy import LevelEdges, shared_decisions
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.evidence.roots import Roots
from evigraph.schema.pictures import encoded_map


def kept_maps(record: Record, roots: Roots, levels: Sequence[LevelEdges], count: int) -> dict[str, Any]:
    """The rows of `activation_map` of a batch, with the rows of their roots instead of decision ids.

    Args:
        record: the forward pass.
        roots: the logits that were explained.
        levels: their edges, the highest layer first.
        count: how many edges of each root to keep.

    Returns:
        Columns, by root and then as edges lie, the upper layers first.
    """
    rows: list[dict[str, Any]] = []
    for level, kept in zip(levels, _most_important(levels, count), strict=True):
        rows += _level_maps(record, roots, level, kept)
    rows.sort(key=lambda row: row["root"])  # stable, so within a root the order of the levels stays
    return {name: [row[name] for row in rows] for name in _COLUMNS}


_TARGET = ("target_layer", "target_channel", "target_y", "target_x")
_COLUMNS = ("root", *_TARGET, "source_channel", "first_y", "first_x", "height", "width", "content")


def _most_important(levels: Sequence[LevelEdges], count: int) -> list[Tensor]:
    """Per level the rows of its edges that are among the `count` most important ones of their root."""
    root = torch.cat([level.target.root[level.node] for level in levels]).cpu().numpy()
    importance = torch.cat([level.importance for level in levels]).cpu().numpy()
    order = np.lexsort((-importance, root))
    first = np.searchsorted(root[order], root[order])
    kept = np.zeros(len(root), dtype=bool)
    kept[order] = np.arange(len(root)) - first < count
    parts = np.split(kept, np.cumsum([len(level.node) for level in levels])[:-1])
    return [torch.from_numpy(np.flatnonzero(part)) for part in parts]


def _level_maps(record: Record, roots: Roots, level: LevelEdges, kept: Tensor) -> list[dict[str, Any]]:
    """The maps of some edges of a level, a dict each, in the order of the edges."""
    layer = level.source_layer
    upper = record.features[layer + 1] if layer + 1 < len(record.features) else None
    edges = kept.to(level.node.device)
    if not len(edges):
        return []
    used, of_edge = torch.unique(level.node[edges], return_inverse=True)
    nodes = level.target.at(used)
    decisions, of_node = shared_decisions(nodes, roots, upper)
    decision, channel = of_node[of_edge], level.evidence.channel[edges]
    target = torch.stack([nodes.root, nodes.channel, nodes.y, nodes.x], 1)[of_edge].tolist()
    rows: list[dict[str, Any]] = [{} for _ in target]
    for part in record.segments[layer].activation_maps(decisions):
        row = torch.full((len(decisions),), -1, device=decision.device)
        row[part.rows] = torch.arange(len(part.rows), device=decision.device)
        here = torch.nonzero(row[decision] >= 0)[:, 0]
        if not len(here):
            continue
        maps, top, left = part.of(row[decision[here]], channel[here])
        places = zip(here.tolist(), _quantised(maps), top.tolist(), left.tolist(), channel[here].tolist(), strict=True)
        for edge, values, first_y, first_x, source in places:
            root, *node = target[edge]
            rows[edge] = {
                "root": root,
                **dict(zip(_TARGET, (layer + 1, *node), strict=True)),
                "source_channel": source,
                **_cropped(values, first_y, first_x),
            }
    return rows


def _quantised(maps: Tensor) -> NDArray[np.uint8]:
    """(edges, height, width) as bytes: 255 is the largest value of each, 0 what is not positive."""
    positive = maps.float().clamp(min=0)
    largest = positive.amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return (positive * (255 / largest)).round().to(torch.uint8).cpu().numpy()


def _cropped(values: NDArray[np.uint8], first_y: int, first_x: int) -> dict[str, Any]:
    """The part of a window that is above 0, and where it begins in the layer's map."""
    rows, columns = np.flatnonzero(values.any(1)), np.flatnonzero(values.any(0))
    part = values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return {
        "first_y": first_y + int(rows[0]),
        "first_x": first_x + int(columns[0]),
        "height": part.shape[0],
        "width": part.shape[1],
        "content": encoded_map(part),
    }
