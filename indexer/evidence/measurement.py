"""Measurements: whatever else a run keeps of its decisions, as rows of the database.

1. Before a batch is decomposed a measurement may send observers, which see the activation maps (`observe`).
2. Afterwards it is given the whole batch, and gives columns of its tables.

Each is a class of its own in the room that it belongs to: context labels and overlaps here, verification in `verify`,
pictures in `pictures`. The rows that every run has are in `run.rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evigraph.indexer.evidence.hierarchy import LevelEdges
from evigraph.indexer.evidence.observe import Observer, TensorColumns
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.evidence.roots import Decided
from evigraph.schema.ids import decision_id

Columns = dict[str, Any]
"""Columns of one length by name: arrays, masked ones (null where masked) or lists."""
Rows = Columns | Callable[[], Columns]
"""Columns, or what makes them on the thread that writes shards."""


@dataclass(frozen=True)
class RecordedBatch:
    """A batch that the network has run on.

    Attributes:
        image_ids: (images,) int64, on the host.
        pixels: (images, channels, height, width) float32, what the network saw, before it took the type of the weights.
        inputs: the same on the network's device and of its type.
        maps: (images, height, width) context label ids, 0 is void; None where the data has no semantic maps.
        right_classes: of each image: none, one or several.
        record: the forward pass.
        decided: what the network said of the images.
    """

    image_ids: Tensor
    pixels: Tensor
    inputs: Tensor
    maps: Tensor | None
    right_classes: Sequence[tuple[int, ...]]
    record: Record
    decided: Decided


@dataclass(frozen=True)
class DecomposedBatch(RecordedBatch):
    """A batch whose decisions were decomposed; `levels` are the edges of each pair of layers, the highest first."""

    levels: Sequence[LevelEdges]

    @classmethod
    def of(cls, batch: RecordedBatch, levels: Sequence[LevelEdges]) -> DecomposedBatch:
        """A recorded batch with its edges."""
        return cls(**vars(batch), levels=levels)

    @cached_property
    def _root_image(self) -> NDArray[np.int64]:
        """(roots,) the image of each root, by its place in the batch."""
        images: NDArray[np.int64] = self.decided.roots.image.cpu().numpy()
        return images

    @cached_property
    def is_label(self) -> NDArray[np.bool_]:
        """(roots,) whether a root is of the label's class."""
        later: NDArray[np.bool_] = np.diff(self._root_image, prepend=-1) == 0
        return later

    @cached_property
    def decision_ids(self) -> NDArray[np.int64]:
        """(roots,) ids."""
        ids: NDArray[np.int64] = decision_id(self.image_ids.numpy()[self._root_image], self.is_label)
        return ids

    @cached_property
    def class_ids(self) -> NDArray[np.int64]:
        """(roots,) the class of each root."""
        classes: NDArray[np.int64] = self.decided.roots.class_id.cpu().numpy()
        return classes

    @cached_property
    def host_levels(self) -> list[HostLevel]:
        """The edges as arrays, moved once for all measurements."""
        return [_host_level(level) for level in self.levels]

    def target_columns(self, level: HostLevel) -> Columns:
        """(nodes,) which value each node of a level is."""
        node = level.node
        return {
            "decision_id": self.decision_ids[node["root"]],
            "target_layer": np.full(len(node["root"]), level.source_layer + 1),
            "target_channel": node["channel"],
            "target_y": node["y"],
            "target_x": node["x"],
        }


class Measurement:
    """One more thing that a run keeps; a subclass overrides either method or both."""

    tables: ClassVar[tuple[str, ...]] = ()
    """Those that `columns` fills."""

    def observers(self, batch: RecordedBatch) -> Sequence[Sequence[Observer]]:
        """Per layer S1..SL who looks at its activation maps; empty for nobody throughout."""
        del batch
        return ()

    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        """Rows of the measurement's tables, by table; of one without rows it may be left out."""
        del batch
        return {}


@dataclass(frozen=True)
class HostLevel:
    """A `LevelEdges` as arrays.

    Attributes:
        source_layer: the lower layer.
        node: (nodes,) columns of the decomposed nodes, what was noted of them too.
        edge: (edges,) columns, with what was noted of them; `node` is the row of the target.
        rows: by table, what was noted; `target` is the row of a node.
    """

    source_layer: int
    node: Columns
    edge: Columns
    rows: Mapping[str, Columns]


def in_order(levels: Sequence[Columns]) -> Columns:
    """The rows of all levels by decision, the highest layer first, and within a layer as they were.

    A column that only some levels have, such as context labels of some layers, is null in the others: -1 or nan.
    """
    kinds = {name: values.dtype for level in levels for name, values in level.items()}
    columns = {name: np.concatenate([_values(level, name, kind) for level in levels]) for name, kind in kinds.items()}
    layer = columns["target_layer" if "target_layer" in columns else "layer_id"]
    order = np.lexsort((-layer, columns["decision_id"]))
    return {name: values[order] for name, values in columns.items()}


def _values(level: Columns, name: str, kind: np.dtype[Any]) -> NDArray[Any]:
    if name in level:
        values: NDArray[Any] = level[name]
        return values
    return np.full(len(level["decision_id"]), np.nan if kind.kind == "f" else -1, dtype=kind)


def _host_level(level: LevelEdges) -> HostLevel:
    target, e = level.target, level.evidence
    node = {
        "root": target.root,
        "channel": target.channel,
        "y": target.y,
        "x": target.x,
        "importance": target.importance,
        "positive_sum": level.positive_sum,
        "positive_count": level.positive_count,
    }
    edge = {
        "node": level.node,
        "source_channel": e.channel,
        "source_y": e.y,
        "source_x": e.x,
        "contribution": e.contribution,
        "share": e.share,
        "rank": e.rank,
        "feature": e.feature,
        "activation": e.activation,
        "importance": level.importance,
    }
    rows = {table: _on_host(columns) for table, columns in level.noted.rows.items()}
    return HostLevel(level.source_layer, _on_host(node | level.noted.target), _on_host(edge | level.noted.edge), rows)


def _on_host(columns: TensorColumns) -> Columns:
    """Columns as arrays; those of one type are moved together, as each move waits for the device."""
    arrays: Columns = {}
    for kind in {column.dtype for column in columns.values()}:
        names = [name for name, column in columns.items() if column.dtype == kind]
        arrays.update(zip(names, torch.stack([columns[name] for name in names]).cpu().numpy(), strict=True))
    return arrays
