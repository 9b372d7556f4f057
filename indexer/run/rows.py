"""From decomposed batches to the rows of a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.indexer.evidence.hierarchy import LevelEdges
from evigraph.indexer.evidence.roots import Decided
from evigraph.indexer.pictures.thumbnails import PictureRows
from evigraph.indexer.shards.files import Columns
from evigraph.indexer.shards.folder import SHARD_SCHEMAS, ShardTables


@dataclass
class ShardRows:
    """Collects the rows of one shard, batch by batch, in order of image."""

    source: DataSource
    image: list[Columns] = field(default_factory=list)
    decision: list[Columns] = field(default_factory=list)
    edge: list[Columns] = field(default_factory=list)
    verification: list[Columns] = field(default_factory=list)
    decomposition: list[Columns] = field(default_factory=list)
    overlap: list[Columns] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    context: list[Columns] = field(default_factory=list)
    pictures: PictureRows = field(default_factory=PictureRows)

    def add(self, decided: Decided, levels: Sequence[LevelEdges], verification: Columns | None = None) -> None:
        """Add a batch; `verification` holds the columns of that table, where evidence was tested."""
        if verification:
            self.verification.append(verification)
        ids, labels, predicted = (c.cpu().numpy() for c in (decided.image_ids, decided.labels, decided.predicted))
        roots = decided.roots.image.cpu().numpy()
        is_label = np.zeros(len(roots), dtype=bool)
        is_label[1:] = roots[1:] == roots[:-1]
        decision_ids = 2 * ids[roots] + is_label
        probability = decided.probability.cpu().numpy()
        self.image.append(
            {
                "image_id": ids,
                "uri": [self.source.samples[i].uri for i in ids],
                "label_id": pa.array(labels, mask=labels < 0),
                "predicted_id": predicted,
                "probability": probability[~is_label],
            }
        )
        self.decision.append(
            {
                "decision_id": decision_ids,
                "image_id": ids[roots],
                "class_id": decided.roots.class_id.cpu().numpy(),
                "role": np.where(is_label, "label", "predicted"),
                "logit": decided.logit.cpu().numpy(),
                "probability": probability,
                "cut_node_count": torch.stack([level.cut.node_count for level in levels]).sum(0).cpu().numpy(),
                "cut_importance": torch.stack([level.cut.importance for level in levels]).sum(0).cpu().numpy(),
            }
        )
        on_host = [_host_level(level) for level in levels]
        self.edge.append(_edge_columns(decision_ids, on_host))
        self.decomposition.append(_in_order(_decomposition_columns(decision_ids, level) for level in on_host))
        if on_host[0].duplicate is not None:
            class_id = self.decision[-1]["class_id"]
            self.overlap.append(_in_order(_overlap_columns(decision_ids, class_id, level) for level in on_host))

    def add_context(self, shown: Columns) -> None:
        """Add the labels that a batch's semantic maps show, as `indexer.evidence.context.shown_labels` gives them."""
        self.context.append({name: column.numpy() for name, column in shown.items()})

    def tables(self) -> ShardTables:
        """All rows as the tables of a shard."""
        uris = [self.source.samples[i].uri for i, _ in self.skipped]
        skipped = {"image_id": [i for i, _ in self.skipped], "uri": uris, "reason": [r for _, r in self.skipped]}
        return ShardTables(
            image=_table("image", self.image),
            skipped_image=_table("skipped_image", [skipped]),
            decision=_table("decision", self.decision),
            edge=_table("edge", self.edge),
            verification=_table("verification", self.verification),
            decomposition=_table("decomposition", self.decomposition),
            overlap=_table("overlap", self.overlap),
            image_tag=_table("image_tag", [self._of_samples("tag", lambda sample: sample.tags)]),
            image_label=_table("image_label", [self._of_samples("class_id", lambda sample: sample.label_ids)]),
            image_context=_table("image_context", self.context),
            **self.pictures.tables(),
        )

    def _of_samples(self, column: str, values_of: Callable[[Sample], Sequence[Any]]) -> Columns:
        """The values that the dataset tells of the images of this shard, a row each."""
        ids = [int(i) for part in self.image for i in part["image_id"]]
        rows = [(i, value) for i in ids for value in values_of(self.source.samples[i])]
        return {"image_id": [i for i, _ in rows], column: [value for _, value in rows]}


@dataclass(frozen=True)
class _HostLevel:
    """A `LevelEdges` as arrays: columns of its nodes, of its edges and, where overlaps are, of its duplicates."""

    source_layer: int
    node: Columns
    edge: Columns
    duplicate: Columns | None


def _host_level(level: LevelEdges) -> _HostLevel:
    target, e, d = level.target, level.evidence, level.duplicates
    node = {
        "root": target.root,
        "channel": target.channel,
        "y": target.y,
        "x": target.x,
        "importance": target.importance,
        "positive_sum": level.positive_sum,
        "positive_count": level.positive_count,
    }
    if level.overlap_count is not None:
        node["overlap_count"] = level.overlap_count
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
        "context_label_id": e.label,
        "context_iou": e.iou,
    }
    duplicate = None
    if d is not None and level.duplicate_node is not None:
        duplicate = _on_host(
            {
                "node": level.duplicate_node,
                "representative": d.representative,
                "member": d.member,
                "contribution": d.contribution,
                "iou": d.iou,
            }
        )
    return _HostLevel(level.source_layer, _on_host(node), _on_host(edge), duplicate)


def _on_host(columns: dict[str, Tensor]) -> Columns:
    """Columns of one length as arrays; those of one type are moved together, as each move waits for the device."""
    found: Columns = {}
    for kind in {column.dtype for column in columns.values()}:
        names = [name for name, column in columns.items() if column.dtype == kind]
        found.update(zip(names, torch.stack([columns[name] for name in names]).cpu().numpy(), strict=True))
    return found


def _edge_columns(decision_ids: NDArray[Any], levels: Sequence[_HostLevel]) -> Columns:
    """Edge columns of a batch: by decision, the highest layer first, then by target node and rank."""
    columns = _in_order(_level_columns(decision_ids, level) for level in levels)
    label, iou = columns["context_label_id"], columns["context_iou"]
    columns["context_iou"] = pa.array(iou, mask=label < 0)
    columns["context_label_id"] = pa.array(label, mask=label < 0)
    return columns


def _in_order(levels: Iterable[Columns]) -> Columns:
    """The rows of all levels by decision, the highest layer first, and within a layer as they were."""
    parts = list(levels)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    layer = columns["target_layer" if "target_layer" in columns else "layer_id"]
    order = np.lexsort((-layer, columns["decision_id"]))
    return {name: values[order] for name, values in columns.items()}


def _level_columns(decision_ids: NDArray[Any], level: _HostLevel) -> Columns:
    of_target = _target_columns(decision_ids, level)
    node = level.edge["node"]
    source_layer = np.full(len(node), level.source_layer)
    of_edge = {name: values for name, values in level.edge.items() if name != "node"}
    return {name: values[node] for name, values in of_target.items()} | {"source_layer": source_layer} | of_edge


def _target_columns(decision_ids: NDArray[Any], level: _HostLevel) -> Columns:
    node = level.node
    return {
        "decision_id": decision_ids[node["root"]],
        "target_layer": np.full(len(node["root"]), level.source_layer + 1),
        "target_channel": node["channel"],
        "target_y": node["y"],
        "target_x": node["x"],
    }


def _decomposition_columns(decision_ids: NDArray[Any], level: _HostLevel) -> Columns:
    """A row a decomposed node, also where no channel was positive."""
    node = level.node
    evidence_count = np.bincount(level.edge["node"], minlength=len(node["root"]))
    return _target_columns(decision_ids, level) | {
        "importance": node["importance"],
        "positive_sum": np.where(evidence_count > 0, node["positive_sum"], 0),
        "positive_count": node["positive_count"],
        # Nulls where overlaps were not looked for.
        "overlap_count": node.get("overlap_count", np.full(len(evidence_count), None)),
        "evidence_count": evidence_count,
    }


def _overlap_columns(decision_ids: NDArray[Any], class_id: NDArray[Any], level: _HostLevel) -> Columns:
    duplicate = level.duplicate or {}
    node = duplicate["node"]
    return {
        "class_id": class_id[level.node["root"][node]],
        "decision_id": decision_ids[level.node["root"][node]],
        "layer_id": np.full(len(node), level.source_layer + 1),
        **{name: level.node[name][node] for name in ("channel", "y", "x")},
        **{name: values for name, values in duplicate.items() if name != "node"},
    }


def _table(name: str, parts: Sequence[Columns]) -> pa.Table:
    schema = SHARD_SCHEMAS[name]
    if not parts:
        return schema.empty_table()
    tables = [
        pa.table({column: pa.array(part[column]).cast(schema.field(column).type) for column in schema.names})
        for part in parts
    ]
    return pa.concat_tables(tables).cast(schema)
