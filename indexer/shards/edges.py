"""The edges of a shard as rows, and folded into decompositions as the database holds them.

edge.parquet             a row an edge, every number as computed, those of one decomposition together and by rank
decomposition.parquet    a row a decomposed node, in the same order, with how many edges follow
`decomposition`          the same with its edges as a list, encoded (`schema.encoding`)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evigraph.schema.encoding import COARSE, FINE, IOU_STEPS, MASS_STEPS, NO_LABEL, SIGN_OFFSET
from evigraph.schema.errors import InvariantError

_TARGET_FIELDS = (
    pa.field("decision_id", pa.int32(), nullable=False),
    pa.field("target_layer", pa.int16(), nullable=False),
    pa.field("target_channel", pa.int32(), nullable=False),
    pa.field("target_y", pa.int16(), nullable=False),
    pa.field("target_x", pa.int16(), nullable=False),
)
EDGE = pa.schema(
    [
        *_TARGET_FIELDS,
        pa.field("source_layer", pa.int16(), nullable=False),
        pa.field("source_channel", pa.int32(), nullable=False),
        pa.field("source_y", pa.int16(), nullable=False),
        pa.field("source_x", pa.int16(), nullable=False),
        pa.field("contribution", pa.float32(), nullable=False),
        pa.field("share", pa.float32(), nullable=False),
        pa.field("rank", pa.int16(), nullable=False),
        pa.field("feature", pa.float32(), nullable=False),
        pa.field("activation", pa.float32(), nullable=False),
        pa.field("importance", pa.float32(), nullable=False),
        pa.field("context_label_id", pa.int32()),
        pa.field("context_iou", pa.float32()),
        pa.field("context_peak_label_id", pa.int32()),
        pa.field("context_peak_mass", pa.float32()),
    ]
)
DECOMPOSITION = pa.schema(
    [
        *_TARGET_FIELDS,
        pa.field("importance", pa.float32(), nullable=False),
        pa.field("positive_sum", pa.float32(), nullable=False),
        pa.field("positive_count", pa.int32()),
        pa.field("overlap_count", pa.int32()),
        pa.field("evidence_count", pa.int32(), nullable=False),
    ]
)
_TARGET = tuple(field.name for field in _TARGET_FIELDS)


def require_whole(edge: pa.Table, decomposition: pa.Table) -> None:
    """Require that a shard's edges and decompositions tell of the same.

    Args:
        edge: of the schema EDGE.
        decomposition: of the schema DECOMPOSITION.

    Raises:
        InvariantError: the edges of one decomposition do not lie together in the decompositions' order, ranks do not
            count from 0, a source is not one layer below its target, or a number is not finite, or is not positive
            where it must be.
    """
    d = {name: _values(decomposition[name]) for name in (*_TARGET, "importance", "positive_sum", "evidence_count")}
    e = {name: _values(edge[name]) for name in edge.column_names if not name.startswith("context")}
    count = d["evidence_count"]
    _require(edge, count.sum() == edge.num_rows, "their decompositions do not tell of as many")
    row = np.repeat(np.arange(len(count)), count)
    for name in _TARGET:
        _require(edge, e[name] == d[name][row], f"{name} is not that of their decomposition")
    _require(edge, e["rank"] == np.arange(len(row)) - (np.cumsum(count) - count)[row], "ranks do not count from 0")
    _require(edge, e["source_layer"] == e["target_layer"] - 1, "the source is not one layer below the target")
    product = d["importance"][row] * e["share"].astype(np.float64)
    _require(edge, np.abs(e["importance"] - product) <= 1e-4 * product, "importance is not theirs times the share")
    for name in ("contribution", "share", "activation"):
        _require(edge, (e[name] > 0) & np.isfinite(e[name]), f"{name} is not a positive number")
    _require(edge, np.isfinite(e["feature"]), "feature is not a finite number")
    _require(decomposition, (d["importance"] > 0) & np.isfinite(d["importance"]), "importance is not a positive number")
    positive = (d["positive_sum"] > 0) & np.isfinite(d["positive_sum"])
    _require(decomposition, positive | (count == 0), "the sum of positive contributions is not positive")


FOLDED = (
    "source_channel", "source_y", "source_x", "share", "feature", "activation", "context_label_id", "context_iou",
    "context_peak_label_id", "context_peak_mass",
)  # fmt: skip
"""The columns of edges that `fold` reads: the others follow from the decompositions."""


def fold(edge: pa.Table, decomposition: pa.Table, class_of: NDArray[np.int32], scales: NDArray[np.int16]) -> pa.Table:
    """A shard's decompositions with their edges as lists: rows of `decomposition` less run_id.

    Args:
        edge: the columns FOLDED, those of one decomposition together and by rank, as `require_whole` has found.
        decomposition: of the schema DECOMPOSITION, in the same order.
        class_of: (decompositions,) the class of each one's root.
        scales: (layers, 2) source places per target place of each layer, down and across.
    """
    d = {name: _values(decomposition[name]) for name in (*_TARGET, "importance", "positive_sum", "evidence_count")}
    e = {name: _values(edge[name]) for name in FOLDED if not name.startswith("context")}
    count = d["evidence_count"]
    scale = scales[d["target_layer"]]
    evidence = pa.StructArray.from_arrays(
        [
            pa.array(e["source_channel"]),
            pa.array(e["source_y"] - np.repeat(d["target_y"] * scale[:, 0], count)),
            pa.array(e["source_x"] - np.repeat(d["target_x"] * scale[:, 1], count)),
            pa.array(_fine(e["share"])),
            pa.array(_coarse(e["feature"])),
            pa.array(_coarse(e["activation"])),
            edge["context_label_id"].combine_chunks().fill_null(NO_LABEL),
            _steps(edge["context_iou"]),
        ],
        names=["channel", "dy", "dx", "share_log", "feature_log", "activation_log", "context_label_id",
               "context_iou_steps"],
    )  # fmt: skip
    none = d["positive_sum"] <= 0
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    return pa.table(
        {
            "class_id": class_of,
            "decision_id": d["decision_id"],
            "layer_id": d["target_layer"],
            "channel": d["target_channel"],
            "y": d["target_y"],
            "x": d["target_x"],
            "scale_y": scale[:, 0],
            "scale_x": scale[:, 1],
            "importance_log": _fine(d["importance"]),
            "positive_log": pa.array(_fine(np.where(none, 1, d["positive_sum"])), mask=none),
            "positive_count": decomposition["positive_count"],
            "overlap_count": decomposition["overlap_count"],
            "evidence": pa.ListArray.from_arrays(pa.array(offsets), evidence),
            **_at_peaks(edge, offsets),
        }
    )


def _at_peaks(edge: pa.Table, offsets: NDArray[np.int32]) -> dict[str, pa.Array]:
    """Labels at the peaks of each decomposition's edges, as lists; null where none has one, as without maps."""
    names = ("peak_label_ids", "peak_mass_steps")
    if "context_peak_label_id" not in edge.column_names:  # a run folder of before it
        return dict(zip(names, (pa.nulls(len(offsets) - 1, pa.list_(pa.int32())),) * 2, strict=True))
    label = edge["context_peak_label_id"].combine_chunks()
    mass = edge["context_peak_mass"].combine_chunks().fill_null(0).to_numpy()
    steps = np.maximum(np.rint(mass * MASS_STEPS), label.is_valid().to_numpy(zero_copy_only=False)).astype(np.int16)
    labelled = np.concatenate([[0], np.cumsum(np.asarray(label.is_valid()))])
    none = pa.array(labelled[offsets[1:]] == labelled[offsets[:-1]])
    values = (label.fill_null(NO_LABEL), pa.array(steps))
    starts = pa.array(offsets)
    return {
        name: pc.if_else(none, None, pa.ListArray.from_arrays(starts, column))
        for name, column in zip(names, values, strict=True)
    }


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return values


def _fine(values: NDArray[Any]) -> NDArray[np.int32]:
    steps: NDArray[np.int32] = np.rint(np.log(values.astype(np.float64)) * FINE).astype(np.int32)
    return steps


def _coarse(values: NDArray[Any]) -> NDArray[np.int32]:
    # float32 is exact enough: a log below 89 times 256 steps has 4 binary digits after the point.
    zero = values == 0
    steps = np.rint(np.log(np.abs(np.where(zero, 1, values))) * COARSE) + SIGN_OFFSET
    return np.where(zero, 0, np.sign(values) * steps).astype(np.int32)


def _steps(iou: pa.ChunkedArray) -> pa.Array:
    values = iou.combine_chunks()
    # At least one step, as an IoU is positive; 0 is none.
    steps = np.maximum(np.rint(values.fill_null(0).to_numpy() * IOU_STEPS), 1).astype(np.int16)
    if values.null_count:
        steps[np.asarray(values.is_null())] = 0
    return pa.array(steps)


def _require(table: pa.Table, good: Any, broken: str) -> None:
    """Refuse a table whose rows are not all good, naming one that is not."""
    if np.all(good):
        return
    rows = np.flatnonzero(~np.broadcast_to(good, (table.num_rows,)))
    example = table.slice(int(rows[0]), 1).select(list(_TARGET)).to_pylist()[0] if len(rows) else {}
    kind = "edges" if "rank" in table.column_names else "decompositions"
    raise InvariantError(f"{len(rows)} {kind} of a shard are not what they must be: {broken}, such as {example}")
