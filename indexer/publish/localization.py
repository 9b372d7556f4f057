"""`localization`: what the evidence of each class lies on, against chance, from the masks and maps of a run folder.

1. Roots whose image has a semantic map are taken class by class, those of the predicted and of the label's class by
   themselves; some classes at a time, so that the masks held are bounded.
2. `publish.chance` sums what their masks lie on, layer by layer. Of these come the rows of each channel, of each layer,
   and of all layers.
3. The rows of all classes together are the sums of those; permuting stays within a class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection

from evigraph.indexer.publish.chance import SUMS, Floats, Ints, Masks, Summed, grouped, order_of, over, summed
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.masks import unpacked
from evigraph.schema.ids import ROLES
from evigraph.schema.sql import quoted
from evigraph.schema.tables.base import columns_of
from evigraph.schema.tables.base import order_of as file_order
from evigraph.schema.tables.declared import ALL_CLASSES, ANY_OUTCOME
from evigraph.schema.tables.evidence import ALL_CHANNELS, ALL_LAYERS, FEWEST_DECISIONS
from evigraph.schema.tables.selects import OUTCOMES

CELLS_AT_A_TIME = 8_000_000
"""Cells of masks held at a time, some 300 MB; but those of a class at least."""


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
    duck = connection.connection.driver_connection
    columns = [name for name in columns_of("localization") if name != "run_id"]
    made = False
    for table in _tables(folder):
        duck.register("localized_part", table)  # type: ignore[union-attr]
        into = "INSERT INTO localized" if made else "CREATE OR REPLACE TEMP TABLE localized AS"
        connection.exec_driver_sql(f"{into} SELECT {quoted(columns)} FROM localized_part")
        duck.unregister("localized_part")  # type: ignore[union-attr]
        made = True
    if made:
        connection.exec_driver_sql(
            f"INSERT INTO localization ({quoted(['run_id', *columns])}) SELECT {run_id}, {quoted(columns)} "
            f"FROM ({_WITH_ALL_CLASSES}) WHERE label_id > 0 AND {_KEPT} ORDER BY {file_order('localization')}"
        )
        connection.exec_driver_sql("DROP TABLE temp.localized")


_KEPT = f"(channel = {ALL_CHANNELS} OR class_id = {ALL_CLASSES} OR decisions >= {FEWEST_DECISIONS})"
_OTHERS = "role, outcome, layer_id, channel"
_WITH_ALL_CLASSES = f"""
    FROM localized UNION ALL BY NAME
    SELECT {ALL_CLASSES} AS class_id, {_OTHERS}, label_id, decisions, edges, {quoted(SUMS)}
    FROM (SELECT {_OTHERS}, label_id, {", ".join(f'sum("{name}") AS "{name}"' for name in SUMS)}
          FROM localized GROUP BY ALL)
    JOIN (SELECT {_OTHERS}, sum(decisions) AS decisions, sum(edges) AS edges
          FROM localized WHERE label_id = 0 GROUP BY ALL) USING ({_OTHERS})
"""
"""Rows of label 0, which every group has, tell how many decisions and edges there are without the label too."""


def _tables(folder: RunFolder) -> Iterator[pa.Table]:
    """The rows of some classes at a time, and those of label 0, less run_id."""
    if not folder.files("context_mask"):
        return
    roots, shown = _roots(folder), _shown(folder)
    roots = _those_of(roots, np.isin(roots.image, list(shown)))
    maps = _maps(folder)
    grids = {layer.layer_id: (layer.height, layer.width) for layer in folder.description.layers}
    for part in _parts(folder, roots):
        wanted = roots.decision[part[0].start : part[-1].stop]
        masks, tables = _masks(folder, wanted), []
        for group in part:
            of_class = _those_of(roots, order_in(roots, group))
            labels = np.unique(np.concatenate([shown[image] for image in of_class.image.tolist()]))
            own = [unpacked(*maps[image]) for image in of_class.image.tolist()]
            layers = {
                layer: list(summed(own, _of_class(columns, of_class), grids[layer], labels))
                for layer, columns in masks.items()
            }
            tables += _rows(of_class, labels, {layer: parts for layer, parts in layers.items() if parts})
        yield pa.concat_tables(tables)


def order_in(roots: _Roots, group: slice) -> Ints:
    """The rows of a class's roots in the order in which they are partners: by chance, the same for every publish."""
    count = group.stop - group.start
    seed = (int(roots.role[group.start]), int(roots.class_id[group.start]))
    return group.start + order_of(count, seed)


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


def _masks(folder: RunFolder, wanted: Ints) -> dict[int, dict[str, NDArray[np.generic]]]:
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
    columns = {name: values[order] for name, values in columns.items()}
    layers, begins = np.unique(columns["layer_id"], return_index=True)
    ends = [*begins[1:].tolist(), len(order)]
    return {
        int(layer): {name: values[begin:end] for name, values in columns.items()}
        for layer, begin, end in zip(layers, begins.tolist(), ends, strict=True)
    }


def _of_class(columns: Mapping[str, NDArray[np.generic]], roots: _Roots) -> Masks:
    """The masks of one class's roots, by the places of the roots."""
    decision = columns["decision_id"]
    first, last = (np.searchsorted(decision, roots.decision, side) for side in ("left", "right"))  # type: ignore[call-overload]
    rows = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)]).astype(np.int64)
    return Masks(
        np.repeat(np.arange(len(first)), last - first),
        columns["channel"][rows].astype(np.int64),
        columns["cell"][rows].astype(np.int64),
        columns["at_peak"][rows].astype(np.bool_),
        columns["mass"][rows].astype(np.float64),
    )


def _rows(roots: _Roots, labels: Ints, layers: Mapping[int, list[Summed]]) -> Iterator[pa.Table]:
    """The rows of one class: of each channel, of each layer and of all layers, the latter two by outcome too."""
    class_id, role = int(roots.class_id[0]), ROLES[int(roots.role[0])]

    def rows(part: Summed, layer: int, of: str) -> pa.Table:
        by = {"channel": part.channel} if of == "channel" else {"outcome": roots.outcome[part.root]}
        by = {"any": np.zeros_like(part.root)} if of == "any" else by
        values, sums = grouped(part, by)
        of_row, of_label = np.nonzero(np.concatenate([np.ones((len(sums), 1)), sums[:, :, 0] > 0], 1))
        sums = np.concatenate([np.zeros_like(sums[:, :1]), sums], 1)[of_row, of_label]
        count = len(of_row)
        outcome = np.array(OUTCOMES)[values["outcome"][of_row]] if "outcome" in values else [ANY_OUTCOME] * count
        return pa.table(
            {
                "class_id": np.full(count, class_id),
                "role": [role] * count,
                "outcome": outcome,
                "layer_id": np.full(count, layer),
                "channel": values["channel"][of_row] if "channel" in values else np.full(count, ALL_CHANNELS),
                "label_id": np.concatenate([[0], labels])[of_label],
                "decisions": values["decisions"][of_row],
                "edges": values["edges"][of_row],
                **dict(zip(SUMS, _rounded(sums).T, strict=True)),
            }
        )

    for layer, parts in layers.items():
        # A channel's groups of several parts are of different roots.
        joined = Summed(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("root", "channel", "edges", "area")),
            np.concatenate([part.on for part in parts], 2),
        )
        yield rows(joined, layer, "channel")
        whole = over(parts)
        yield from (rows(whole, layer, of) for of in ("any", "outcome"))
    if layers:
        whole = over([part for parts in layers.values() for part in parts])
        yield from (rows(whole, ALL_LAYERS, of) for of in ("any", "outcome"))


def _rounded(sums: Floats) -> Floats:
    """To the places of the columns, so that sums over classes are those of what is stored."""
    rounded: Floats = np.round(sums, 4)
    return rounded
