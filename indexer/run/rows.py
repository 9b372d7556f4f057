"""From decomposed batches to the rows of a shard: those that every run has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.indexer.evidence.measurement import (
    Columns,
    DecomposedBatch,
    HostLevel,
    Measurement,
    Rows,
    in_order,
)
from evigraph.indexer.shards.files import SHARD_SCHEMAS
from evigraph.schema.ids import ROLES, image_id_of


class ShardRows:
    """Collects the rows of one shard by table, batch by batch, in order of image."""

    def __init__(self) -> None:
        self._parts: defaultdict[str, list[Rows]] = defaultdict(list)

    def add(self, rows: Mapping[str, Rows]) -> None:
        """Add rows of some tables."""
        for table, columns in rows.items():
            self._parts[table].append(columns)

    def tables(self) -> dict[str, pa.Table]:
        """All rows, those that are made late too: a table each, also where it has no rows."""
        return {table: _table(schema, self._parts[table]) for table, schema in SHARD_SCHEMAS.items()}


class DecisionRows(Measurement):
    """The images, their decisions, and the decomposed nodes with their edges."""

    tables = ("image", "decision", "decomposition", "edge")

    def __init__(self, source: DataSource) -> None:
        self._source = source

    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        edges = in_order([_edges(batch, level) for level in batch.host_levels])
        nodes = in_order([_decompositions(batch, level) for level in batch.host_levels])
        noted = [level.noted for level in batch.levels]
        return {
            "image": self._images(batch),
            "decision": _decisions(batch),
            "edge": edges | _with_nulls(edges, {name for of in noted for name in of.edge}),
            "decomposition": nodes | _with_nulls(nodes, {name for of in noted for name in of.target}),
        }

    def _images(self, batch: DecomposedBatch) -> Columns:
        ids, labels = batch.image_ids.numpy(), batch.decided.labels.cpu().numpy()
        return {
            "image_id": ids,
            "uri": [self._source.samples[i].uri for i in ids],
            "label_id": np.ma.masked_less(labels, 0),
            "predicted_id": batch.decided.predicted.cpu().numpy(),
            "probability": batch.decided.probability.cpu().numpy()[~batch.is_label],
        }


class ListingRows(Measurement):
    """What the data set itself tells of its images."""

    tables = ("image_tag", "image_label")

    def __init__(self, source: DataSource) -> None:
        self._source = source

    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        ids: list[int] = batch.image_ids.tolist()
        return {
            "image_tag": self._told(ids, "tag", lambda sample: sample.tags),
            "image_label": self._told(ids, "class_id", lambda sample: sample.label_ids),
        }

    def _told(self, ids: Sequence[int], column: str, values_of: Callable[[Sample], Sequence[Any]]) -> Columns:
        rows = [(i, value) for i in ids for value in values_of(self._source.samples[i])]
        return {"image_id": [i for i, _ in rows], column: [value for _, value in rows]}


def skipped_rows(source: DataSource, skipped: Sequence[tuple[int, str]]) -> Mapping[str, Rows]:
    """Rows of images that could not be used, with the reason of each."""
    return {
        "skipped_image": {
            "image_id": [i for i, _ in skipped],
            "uri": [source.samples[i].uri for i, _ in skipped],
            "reason": [reason for _, reason in skipped],
        }
    }


def _decisions(batch: DecomposedBatch) -> Columns:
    decided, cuts = batch.decided, [level.cut for level in batch.levels]
    return {
        "decision_id": batch.decision_ids,
        "image_id": image_id_of(batch.decision_ids),
        "class_id": batch.class_ids,
        "role": np.array(ROLES)[batch.is_label.astype(int)],
        "logit": decided.logit.cpu().numpy(),
        "probability": decided.probability.cpu().numpy(),
        "cut_node_count": torch.stack([cut.node_count for cut in cuts]).sum(0).cpu().numpy(),
        "cut_importance": torch.stack([cut.importance for cut in cuts]).sum(0).cpu().numpy(),
    }


def _edges(batch: DecomposedBatch, level: HostLevel) -> Columns:
    """By target node and rank."""
    node = level.edge["node"]
    of_target = {name: values[node] for name, values in batch.target_columns(level).items()}
    of_edge = {name: values for name, values in level.edge.items() if name != "node"}
    return of_target | {"source_layer": np.full(len(node), level.source_layer)} | of_edge


def _decompositions(batch: DecomposedBatch, level: HostLevel) -> Columns:
    """A row a decomposed node, also where no channel was positive."""
    evidence_count = np.bincount(level.edge["node"], minlength=len(level.node["root"]))
    noted = {name: values for name, values in level.node.items() if name not in ("root", "channel", "y", "x")}
    return (
        batch.target_columns(level)
        | noted
        | {
            "positive_sum": np.where(evidence_count > 0, level.node["positive_sum"], 0),
            "evidence_count": evidence_count,
        }
    )


def _with_nulls(columns: Columns, noted: Iterable[str]) -> Columns:
    """Columns that observers noted, masked where they stand for null (`observe.Noted`)."""
    values = {name: columns[name] for name in noted}
    return {name: np.ma.array(v, mask=np.isnan(v) if v.dtype.kind == "f" else v == -1) for name, v in values.items()}


def _table(schema: pa.Schema, parts: Sequence[Rows]) -> pa.Table:
    if not parts:
        return schema.empty_table()
    made = [part() if callable(part) else part for part in parts]
    return pa.concat_tables([_cast(schema, columns) for columns in made]).cast(schema)


def _cast(schema: pa.Schema, columns: Columns) -> pa.Table:
    """Columns of a table; one that no measurement gives is null throughout."""
    count = len(columns[schema.names[0]])
    return pa.table(
        {
            field.name: pa.array(columns[field.name]).cast(field.type)
            if field.name in columns
            else pa.nulls(count, field.type)
            for field in schema
        }
    )
