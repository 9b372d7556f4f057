"""The Parquet files of one shard: their schemas, writing them, and whether they are still as written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from evigraph.indexer.shards import durable, edges, masks
from evigraph.schema.tables import SHARD_TABLES
from evigraph.schema.tables.base import Base

_ARROW_TYPES: tuple[tuple[type[sa.types.TypeEngine[Any]], pa.DataType], ...] = (
    (sa.SmallInteger, pa.int16()),
    (sa.BigInteger, pa.int64()),
    (sa.Integer, pa.int32()),
    (sa.REAL, pa.float32()),
    (sa.Boolean, pa.bool_()),
    (sa.String, pa.string()),
    (sa.LargeBinary, pa.binary()),
)


def arrow_schema(table: str) -> pa.Schema:
    """The columns of a table of `schema.tables`, less run_id."""
    columns = [column for column in Base.metadata.tables[table].columns if column.name != "run_id"]
    return pa.schema(
        [
            pa.field(
                column.name,
                next(arrow for kind, arrow in _ARROW_TYPES if isinstance(column.type, kind)),
                nullable=bool(column.nullable),
            )
            for column in columns
        ]
    )


OPTIONAL = frozenset(table for table, optional in SHARD_TABLES.items() if optional) | masks.SCHEMAS.keys()
"""Tables that a shard without rows of theirs has no file of."""
SHARD_SCHEMAS: dict[str, pa.Schema] = {
    **{table: arrow_schema(table) for table in SHARD_TABLES},
    "decomposition": edges.DECOMPOSITION,
    "edge": edges.EDGE,
    **masks.SCHEMAS,
}
"""Arrow schema of each table of a shard: the columns of `schema.tables` in their order, less run_id; for edges and
decompositions those of `indexer.shards.edges`, for masks those of `indexer.shards.masks`."""


ShardTables = dict[str, pa.Table]
"""The rows of one shard by table, each of its schema in `SHARD_SCHEMAS`, in ascending order of image; one of `OPTIONAL`
may be left out."""


def shard_file(folder: Path, shard: int, table: str) -> Path:
    """Where a shard keeps a table."""
    return folder / f"{shard:05d}.{table}.parquet"


def write_files(folder: Path, shard: int, tables: ShardTables) -> dict[str, dict[str, Any]]:
    """Write a shard's files durably; gives rows, bytes and SHA-256 of each, by table.

    Raises:
        OSError, pyarrow.ArrowException: a file could not be written, or rows are not of its schema.
        InvariantError: edges and decompositions do not tell of the same.
    """
    edges.require_whole(tables["edge"], tables["decomposition"])
    return {
        name: write_table(shard_file(folder, shard, name), schema, tables[name])
        for name, schema in SHARD_SCHEMAS.items()
        if name not in OPTIONAL or (name in tables and tables[name].num_rows)
    }


def write_table(path: Path, schema: pa.Schema, table: pa.Table) -> dict[str, Any]:
    """Write one file durably; gives its rows, bytes and SHA-256.

    Raises:
        OSError, pyarrow.ArrowException: as `write_files`.
    """
    sink = pa.BufferOutputStream()
    # A shard is small enough to be encoded in memory, which gives its digest without reading it back.
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    pq.write_table(
        table.select(schema.names).cast(schema),
        sink,
        compression="lz4",
        # Numbers that hardly repeat pack worse with a dictionary, and take three times as long to write.
        use_dictionary=[name for name in schema.names if name not in floats],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    )
    content = memoryview(sink.getvalue())
    durable.write_bytes(path, content)
    return {"rows": table.num_rows, "bytes": content.nbytes, "sha256": hashlib.sha256(content).hexdigest()}


def fault_in_files(folder: Path, shard: int, stated: dict[str, dict[str, Any]]) -> str | None:
    """How a shard's files differ from what its manifest entry states; None where they do not."""
    for table, expected in stated.items():
        file = shard_file(folder, shard, table)
        if not file.is_file():
            return f"shard file {file.name} is missing"
        size = file.stat().st_size
        if size != expected["bytes"]:
            return f"shard file {file.name} has {size} bytes where its manifest entry says {expected['bytes']}"
        if durable.sha256_of(file) != expected["sha256"]:
            return f"shard file {file.name} does not have the SHA-256 that its manifest entry says"
    return None
