"""`localization`: what the evidence of each class lies on, against chance, from the masks and maps of a run folder.

1. Roots whose image has a semantic map are taken class by class, those of the predicted and of the label's class by
   themselves; some classes at a time, so that the masks held are bounded.
2. `publish.chance` sums what their masks lie on, layer by layer. Of these come the rows of each channel, of each layer,
   and of all layers.
3. The rows of all classes together are the sums of those; permuting stays within a class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection

from evigraph.indexer.publish.chance import SUMS, Floats, Ints, Masks, Summed, joined, order_of, over, summed, terms
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.masks import unpacked
from evigraph.schema.ids import ROLES
from evigraph.schema.interval import FEWEST, low_sql
from evigraph.schema.sql import literal, quoted
from evigraph.schema.tables.base import columns_of
from evigraph.schema.tables.base import order_of as file_order
from evigraph.schema.tables.declared import ALL_CLASSES, ANY_OUTCOME
from evigraph.schema.tables.evidence import ALL_CHANNELS, ALL_LAYERS
from evigraph.schema.tables.selects import OUTCOMES

CELLS_AT_A_TIME = 8_000_000
"""Cells of masks held at a time, some 500 MB; but those of a class at least."""
TERMS_AT_A_TIME = 200_000
"""What decisions give to the rows is handed to DuckDB when it is about so much, 40 MB; but that of a class at once."""
_KEY = ("class_id", "role", "outcome", "layer_id", "channel", "label_id", "edges")
_Terms = tuple[Ints, Floats]
"""(terms, _KEY), role and outcome by their places in ROLES and OUTCOMES, and (terms, SUMS)."""


@dataclass(frozen=True)
class _Roots:
    """The roots with a map, sorted by role, class and image: columns (roots,)."""

    decision: Ints
    image: Ints
    class_id: Ints
    role: Ints
    outcome: Ints

    def groups(self) -> list[slice]:
        """Those of one role and class, in their order."""
        begins = np.flatnonzero((np.diff(self.role, prepend=-1) != 0) | (np.diff(self.class_id, prepend=-1) != 0))
        return [slice(*ends) for ends in zip(begins.tolist(), [*begins[1:].tolist(), len(self.role)], strict=True)]


def add_localization(connection: Connection, folder: RunFolder, run_id: int) -> None:
    """Insert the rows of a run; none where its folder has no masks, as one of before them."""
    duck: Any = connection.connection.driver_connection
    execute = connection.exec_driver_sql
    made = False
    for table in _tables(folder):
        duck.register("terms", table)
        execute(f"{'INSERT INTO localized' if made else 'CREATE OR REPLACE TEMP TABLE localized AS'} {_OF_TERMS}")
        duck.unregister("terms")
        made = True
    if made:
        columns = quoted(name for name in columns_of("localization") if name != "run_id")
        execute(
            f"INSERT INTO localization (run_id, {columns}) SELECT {run_id}, {columns} "
            f"FROM ({_WITH_ALL_CLASSES}) ORDER BY {file_order('localization')}"
        )
        execute("DROP TABLE temp.localized")


_SUMMED = ", ".join(f'sum("{name}") AS "{name}"' for name in SUMS)
_COUNTS = "count(*) AS decisions, sum(edges) AS edges"
_ROLE = f"{literal(list(ROLES))}[role + 1] AS role"
_OF_TERMS = f"""
    SELECT class_id, {_ROLE}, '{ANY_OUTCOME}' AS outcome, layer_id, channel, label_id, {_COUNTS}, {_SUMMED}
    FROM terms GROUP BY ALL
    UNION ALL
    SELECT class_id, {_ROLE}, {literal(list(OUTCOMES))}[outcome + 1], layer_id, channel, label_id, {_COUNTS}, {_SUMMED}
    FROM terms WHERE channel = {ALL_CHANNELS} GROUP BY ALL
"""
"""The rows of some classes. A group's decisions and edges are those of its label 0, which each decision has once."""
_GROUP = "class_id, role, outcome, layer_id, channel"
_WITH_ALL_CLASSES = f"""
    WITH every AS (
        FROM localized UNION ALL
        SELECT {ALL_CLASSES}, role, outcome, layer_id, channel, label_id, sum(decisions), sum(edges), {_SUMMED}
        FROM localized GROUP BY ALL)
    SELECT l.* EXCLUDE (decisions, edges), g.decisions, g.edges, {low_sql("peak")} AS peak_low
    FROM every AS l JOIN (SELECT {_GROUP}, decisions, edges FROM every WHERE label_id = 0) AS g USING ({_GROUP})
    WHERE l.label_id > 0 AND l.shown >= CASE WHEN channel >= 0 AND class_id >= 0 THEN {FEWEST} ELSE 1 END
"""


def _tables(folder: RunFolder) -> Iterator[pa.Table]:
    """What each decision gives to the rows, of some classes at a time."""
    if not folder.files("context_mask"):
        return
    roots, shown = _roots(folder), _shown(folder)
    roots = _those_of(roots, np.isin(roots.image, list(shown)))
    maps = _maps(folder)
    grids = {layer.layer_id: (layer.height, layer.width) for layer in folder.description.layers}
    for part in _parts(folder, roots):
        wanted = roots.decision[part[0].start : part[-1].stop]
        masks = _masks(folder, wanted)
        parts: list[_Terms] = []
        for group in part:
            of_class = _those_of(roots, order_in(roots, group))
            labels = np.unique(np.concatenate([shown[image] for image in of_class.image.tolist()]))
            own = [unpacked(*maps[image]) for image in of_class.image.tolist()]
            layers = {
                layer: list(summed(own, _of_class(columns, of_class), grids[layer], labels))
                for layer, columns in masks.items()
            }
            parts += _rows(of_class, labels, {layer: found for layer, found in layers.items() if found})
            if sum(len(key) for key, _ in parts) > TERMS_AT_A_TIME:
                yield _table(parts)
                parts = []
        if parts:
            yield _table(parts)


def order_in(roots: _Roots, group: slice) -> Ints:
    """The rows of a class's roots in the order in which they are partners: by chance, the same for every publish."""
    count = group.stop - group.start
    seed = (int(roots.role[group.start]), int(roots.class_id[group.start]))
    order: Ints = group.start + order_of(count, seed)
    return order


def _those_of(roots: _Roots, rows: NDArray[np.generic]) -> _Roots:
    return _Roots(*(column[rows] for column in vars(roots).values()))


def _roots(folder: RunFolder) -> _Roots:
    decision, image = (
        pa.concat_tables([folder.read(shard, table, columns) for shard in range(folder.shard_count)])
        for table, columns in (
            ("decision", ["decision_id", "image_id", "class_id", "role"]),
            ("image", ["image_id", "label_id", "predicted_id"]),
        )
    )
    image_id = decision["image_id"].to_numpy().astype(np.int64)
    row = np.searchsorted(image["image_id"].to_numpy(), image_id)
    label = image["label_id"].fill_null(-1).to_numpy()[row]
    right = label == image["predicted_id"].to_numpy()[row]
    outcome = np.where(label < 0, OUTCOMES.index("unlabelled"), np.where(right, 0, 1))
    roots = _Roots(
        decision["decision_id"].to_numpy().astype(np.int64),
        image_id,
        decision["class_id"].to_numpy().astype(np.int64),
        np.array([ROLES.index(role) for role in decision["role"].to_pylist()], dtype=np.int64),
        outcome.astype(np.int64),
    )
    return _those_of(roots, np.lexsort((roots.image, roots.class_id, roots.role)))


def _shown(folder: RunFolder) -> dict[int, list[int]]:
    """The labels of each image's map, of those that have any."""
    shown: defaultdict[int, list[int]] = defaultdict(list)
    for shard in range(folder.shard_count):
        if folder.shard_file(shard, "image_context").exists():
            table = folder.read(shard, "image_context", ["image_id", "label_id"])
            for image, label in zip(*(column.to_pylist() for column in table.columns), strict=True):
                shown[image].append(label)
    return shown


def _maps(folder: RunFolder) -> dict[int, tuple[bytes, int, int]]:
    """The maps by image, as they are stored: about 1 KB each."""
    maps = {}
    for shard in range(folder.shard_count):
        if folder.shard_file(shard, "context_map").exists():
            columns = [column.to_pylist() for column in folder.read(shard, "context_map").columns]
            maps.update({image: (labels, height, width) for image, height, width, labels in zip(*columns, strict=True)})
    return maps


def _parts(folder: RunFolder, roots: _Roots) -> list[list[slice]]:
    """Classes whose masks are read together."""
    entries = ((folder.manifest(shard) or {}).get("files", {}) for shard in range(folder.shard_count))
    cells = sum(entry.get("context_mask", {}).get("rows", 0) for entry in entries)
    most = max(1, CELLS_AT_A_TIME * len(roots.decision) // max(1, cells))
    parts: list[list[slice]] = []
    for group in roots.groups():
        if not parts or group.stop - parts[-1][0].start > most:
            parts.append([])
        parts[-1].append(group)
    return parts


def _masks(folder: RunFolder, wanted: Ints) -> dict[int, dict[str, NDArray[Any]]]:
    """The cells of the masks of some decisions, by layer."""
    tables = []
    for shard in range(folder.shard_count):
        if folder.shard_file(shard, "context_mask").exists():
            table = folder.read(shard, "context_mask")
            tables.append(table.filter(pa.array(np.isin(table["decision_id"].to_numpy(), wanted))))
    columns = {
        name: column.to_numpy() for name, column in zip(tables[0].column_names, pa.concat_tables(tables), strict=True)
    }
    order = np.lexsort((columns["channel"], columns["decision_id"], columns["layer_id"]))
    kinds = {"at_peak": np.bool_, "mass": np.float64}
    columns = {name: values[order].astype(kinds.get(name, np.int64)) for name, values in columns.items()}
    layers, begins = np.unique(columns["layer_id"], return_index=True)
    ends = [*begins[1:].tolist(), len(order)]
    return {
        int(layer): {name: values[begin:end] for name, values in columns.items()}
        for layer, begin, end in zip(layers, begins.tolist(), ends, strict=True)
    }


def _of_class(columns: Mapping[str, NDArray[Any]], roots: _Roots) -> Masks:
    """The masks of one class's roots, by the places of the roots."""
    decision = columns["decision_id"]
    first, last = (np.searchsorted(decision, roots.decision, side) for side in ("left", "right"))
    rows = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)]).astype(np.int64)
    return Masks(
        np.repeat(np.arange(len(first)), last - first),
        *(columns[name][rows] for name in ("channel", "cell", "at_peak", "mass")),
    )


def _rows(roots: _Roots, labels: Ints, layers: Mapping[int, list[Summed]]) -> Iterator[_Terms]:
    """What the decisions of one class give to the rows of channels, of layers, and of all layers."""
    if not layers:
        return
    for layer, parts in layers.items():
        yield _terms(roots, labels, joined(parts), layer)
        yield _terms(roots, labels, over(parts), layer)
    yield _terms(roots, labels, over([part for parts in layers.values() for part in parts]), ALL_LAYERS)


def _terms(roots: _Roots, labels: Ints, part: Summed, layer: int) -> _Terms:
    """The terms of a part by what they are of, and one of label 0 for each group."""
    group, label, sums = terms(part)
    every = len(part.root)
    group = np.concatenate([np.arange(every), group])
    root = part.root[group]
    key = np.empty((len(group), len(_KEY)), dtype=np.int64)
    key[:, 0], key[:, 1], key[:, 2] = roots.class_id[0], roots.role[0], roots.outcome[root]
    key[:, 3], key[:, 4], key[:every, 5] = layer, part.channel[group], 0
    key[every:, 5], key[:, 6] = labels[label], part.edges[group]
    return key, np.concatenate([np.zeros((every, len(SUMS))), sums])


def _table(parts: Sequence[_Terms]) -> pa.Table:
    key, sums = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return pa.table(dict(zip(_KEY, key.T, strict=True)) | dict(zip(SUMS, sums.T, strict=True)))
