"""The tables of an evidence database.

    dataset      what was indexed: runs, layers, classes, images and what is known of them
    evidence     what was found: decisions, decompositions with their edges, tests and overlaps
    pictures     pictures, where a run keeps them
    rollups      what is made of those, so that no interactive query scans `edge`: each declared once
    declared     what a rollup is declared with
    selects      the SQL that a declaration stands for, and its digest
    base         what all models share

A model that stands in one of these modules is a table of every database; none is listed elsewhere. A base table needs
an Alembic revision besides (`migrations`), and `loaded` where shards hold it; a rollup needs nothing.

One file holds any number of runs. A run indexes one dataset with one network; each image has one or two
decisions (roots), each decision a set of decompositions, each of those a few edges. "source" is the lower layer
(the evidence), "target" the upper one (what is explained), as information flows.

Edges are read through the view `edge` (`schema.views`); the table behind it is `decomposition`, which holds the
edges of one decomposed node as a list, in the encoding of `schema.encoding`: 2.5 times smaller than a row an edge.

No foreign keys are declared: DuckDB cannot alter a table that one refers to, and its indexes would double the
fact table. `schema.checks.checks` states the same rules as SQL. SmallInteger is 16 bits wide.
"""

from __future__ import annotations

from evigraph.schema.tables import dataset, evidence, pictures, rollups
from evigraph.schema.tables.base import Base
from evigraph.schema.tables.declared import ROLLUPS

__all__ = ["BASE_TABLES", "ROLLUPS", "ROLLUP_TABLES", "SHARD_TABLES", "dataset", "evidence", "pictures", "rollups"]

ROLLUP_TABLES = tuple(ROLLUPS)
BASE_TABLES = tuple(
    name for name, table in Base.metadata.tables.items() if "run_id" in table.columns and name not in ROLLUPS
)
"""The tables that rollups are made of; `rollup_declaration` is beside them."""
SHARD_TABLES: dict[str, bool] = {
    name: table.info["shard"] == "optional" for name, table in Base.metadata.tables.items() if table.info.get("shard")
}
"""Base tables that shards hold, and whether a shard without rows of one has no file of it. Besides, each shard holds
`decomposition` and `edge`, in the columns of `indexer.shards.edges`."""
