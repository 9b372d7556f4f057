"""`localization`: what the evidence of each class lies on, against chance, from the masks and maps of a run folder.

1. Roots whose image has a semantic map are taken class by class, those of the predicted and of the label's class by
   themselves; some classes at a time, so that the masks held are bounded.
2. `publish.chance` sums what their masks lie on, layer by layer. Of these come the rows of each channel, of each layer,
   and of all layers.
3. The rows of all classes together are the sums of those; permuting stays within a class.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection

from evigraph.indexer.publish.cells import Floats, Ints, shown_in
from evigraph.indexer.publish.chance import SUMS, Circles, Laid, Masks, circles, laid, order_of, over, terms
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
MASK_CELLS_AT_A_TIME = 100_000
MAP_CELLS_AT_A_TIME = 4_000_000
"""Of masks and maps, so many cells are laid over each other at a time."""
_KEY = ("class_id", "role", "outcome", "layer_id", "channel", "label_id", "edges")


_ANY = len(OUTCOMES)
"""The place of ANY_OUTCOME, after those of OUTCOMES."""


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
    tables = _tables(folder)
    first = next(tables, None)
    if first is None:
        return
    duck: Any = connection.connection.driver_connection
    batches = (batch for table in _ahead(itertools.chain([first], tables)) for batch in table.to_batches())
    duck.register("terms", pa.RecordBatchReader.from_batches(first.schema, batches))
    connection.exec_driver_sql(f"CREATE OR REPLACE TEMP TABLE localized AS {_OF_TERMS}")
    duck.unregister("terms")
    columns = quoted(name for name in columns_of("localization") if name != "run_id")
    connection.exec_driver_sql(
        f"INSERT INTO localization (run_id, {columns}) SELECT {run_id}, {columns} "
        f"FROM ({_ROWS}) ORDER BY {file_order('localization')}"
    )
    connection.exec_driver_sql("DROP TABLE temp.localized")


def _ahead(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The tables; each is made while DuckDB sums the one before."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, tables, None)
        while (table := coming.result()) is not None:
            coming = thread.submit(next, tables, None)
            yield table


_GROUP = "class_id, role, outcome, layer_id, channel"
_SUMMED = ", ".join(f'sum("{name}") AS "{name}"' for name in SUMS)
_COUNTED = "sum(decisions) AS decisions, sum(edges) AS edges"
_OF_TERMS = f"""
    SELECT {_GROUP}, label_id, count(*) AS decisions, sum(edges) AS edges, {_SUMMED} FROM terms GROUP BY ALL
"""
"""A group's decisions and edges are those of its label 0, which each decision has once."""
_ROWS = f"""
    WITH of_classes AS (
        FROM localized UNION ALL
        SELECT class_id, role, {_ANY}, layer_id, channel, label_id, {_COUNTED}, {_SUMMED}
        FROM localized WHERE channel = {ALL_CHANNELS} GROUP BY ALL
    ), every AS (
        FROM of_classes UNION ALL
        SELECT {ALL_CLASSES}, role, outcome, layer_id, channel, label_id, {_COUNTED}, {_SUMMED}
        FROM of_classes GROUP BY ALL
    )
    SELECT l.* EXCLUDE (role, outcome, decisions, edges), g.decisions, g.edges, {low_sql("peak")} AS peak_low,
        {literal(list(ROLES))}[role + 1] AS role, {literal([*OUTCOMES, ANY_OUTCOME])}[outcome + 1] AS outcome
    FROM every AS l JOIN (SELECT {_GROUP}, decisions, edges FROM every WHERE label_id = 0) AS g USING ({_GROUP})
    WHERE l.label_id > 0 AND l.shown >= CASE WHEN channel >= 0 AND class_id >= 0 THEN {FEWEST} ELSE 1 END
"""


def _tables(folder: RunFolder) -> Iterator[pa.Table]:
    """What each decision gives to the rows, of some roots at a time."""
    if not folder.files("context_mask"):
        return
    roots, (images, shows) = _roots(folder), _shown(folder)
    roots = _those_of(roots, np.isin(roots.image, images))
    maps = _maps(folder)
    grids = {layer.layer_id: (layer.height, layer.width) for layer in folder.description.layers}
    for part in _parts(folder, roots):
        of_part = _those_of(roots, np.concatenate([order_in(roots, group) for group in part]))
        size = np.array([group.stop - group.start for group in part])
        masks = _masks(folder, of_part)
        first, count = np.repeat(np.cumsum(size) - size, size), np.repeat(size, size)
        cells = sum(len(of_layer.root) for of_layer in masks.values())
        step = _roots_at_a_time(len(count), cells, max(height * width for height, width in grids.values()))
        for begin in range(0, len(count), step):
            rows = np.arange(begin, min(begin + step, len(count)))
            laid_over, partners = circles(first[rows], count[rows], rows)
            image, row = np.unique(of_part.image[laid_over], return_inverse=True)
            shows_label = shows[np.searchsorted(images, image)]
            of = Circles.of(row.reshape(laid_over.shape), partners, shows_label)
            some = {layer: _between(of_layer, begin, begin + step) for layer, of_layer in masks.items()}
            some = {layer: of_layer for layer, of_layer in some.items() if len(of_layer.root)}
            if some:
                shown = shown_in(
                    [unpacked(*maps[one]) for one in image.tolist()],
                    shows_label,
                    {layer: grids[layer] for layer in some},
                )
                layers = {layer: laid(of_layer, shown[layer], of) for layer, of_layer in some.items()}
                yield _table(_those_of(of_part, rows), layers, of)


def _roots_at_a_time(roots: int, cells: int, grid_cells: int) -> int:
    """So many that neither their masks nor their maps take more than some 100 MB."""
    return max(1, min(MASK_CELLS_AT_A_TIME * roots // max(1, cells), MAP_CELLS_AT_A_TIME // grid_cells))


def _between(masks: Masks, first: int, last: int) -> Masks:
    """Those of the roots first to last - 1, by their rows from first on."""
    rows = slice(*np.searchsorted(masks.root, [first, last]))
    return Masks(masks.root[rows] - first, masks.channel[rows], masks.cell[rows], masks.at_peak[rows], masks.mass[rows])


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


def _shown(folder: RunFolder) -> tuple[Ints, NDArray[np.bool_]]:
    """The images whose map shows any label, ascending, and (images, labels) which it shows."""
    tables = [
        folder.read(shard, "image_context", ["image_id", "label_id"])
        for shard in range(folder.shard_count)
        if folder.shard_file(shard, "image_context").exists()
    ]
    image, label = (column.to_numpy().astype(np.int64) for column in pa.concat_tables(tables).columns)
    images, row = np.unique(image, return_inverse=True)
    shows = np.zeros((len(images), 1 + int(label.max(initial=0))), dtype=bool)
    shows[row, label] = True
    return images, shows


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


def _masks(folder: RunFolder, roots: _Roots) -> dict[int, Masks]:
    """The masks of some roots, by layer."""
    by_decision = np.argsort(roots.decision)
    decisions = roots.decision[by_decision]
    tables, found = [], []
    for shard in range(folder.shard_count):
        if folder.shard_file(shard, "context_mask").exists():
            table = folder.read(shard, "context_mask")
            decision = table["decision_id"].to_numpy()
            place = np.searchsorted(decisions, decision).clip(max=len(decisions) - 1)
            wanted = decisions[place] == decision
            tables.append(table.drop_columns("decision_id").filter(pa.array(wanted)))
            found.append(by_decision[place[wanted]])
    every = pa.concat_tables(tables)
    layer, channel, cell, at_peak, mass = (
        every[name].to_numpy() for name in ("layer_id", "channel", "cell", "at_peak", "mass")
    )
    root = np.concatenate(found)
    channels = 1 + int(channel.max(initial=0))
    order = np.argsort((layer.astype(np.int64) * len(decisions) + root) * channels + channel, kind="stable")
    layers, begins = np.unique(layer[order], return_index=True)
    return {
        of_layer: Masks(root[rows], channel[rows].astype(np.int64), cell[rows], at_peak[rows], mass[rows])
        for of_layer, rows in zip(layers.tolist(), np.split(order, begins[1:]), strict=True)
    }


def _table(roots: _Roots, layers: Mapping[int, Laid], of: Circles) -> pa.Table:
    """What decisions give to the rows of channels, of layers, and of all layers."""
    parts = [(layer, part) for layer, one in layers.items() for part in (one, over([one], of))]
    parts.append((ALL_LAYERS, over(list(layers.values()), of)))
    key, sums = (
        np.concatenate(columns)
        for columns in zip(*(_terms(roots, part, of, layer) for layer, part in parts), strict=True)
    )
    return pa.table(dict(zip(_KEY, key.T, strict=True)) | dict(zip(SUMS, sums.T, strict=True)))


def _terms(roots: _Roots, part: Laid, of: Circles, layer: int) -> tuple[Ints, Floats]:
    """(terms, _KEY) of a part, role and outcome by their places in ROLES and OUTCOMES, and (terms, SUMS)."""
    every = len(part.root)
    group = np.concatenate([np.arange(every), part.group])
    root = part.root[group]
    key = np.empty((len(group), len(_KEY)), dtype=np.int64)
    channel = part.channel[group]
    key[:, 0], key[:, 1] = roots.class_id[root], roots.role[root]
    key[:, 2] = np.where(channel == ALL_CHANNELS, roots.outcome[root], _ANY)
    key[:, 3], key[:, 4], key[:every, 5] = layer, channel, 0
    key[every:, 5], key[:, 6] = of.label[part.pair], part.edges[group]
    return key, np.concatenate([np.zeros((every, len(SUMS))), terms(part, of)])
