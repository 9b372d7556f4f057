"""Keeping the rollup tables of a database those that the program declares.

A rollup is derived, so no Alembic revision tells of it: the table whose digest of its declaration
(`rollup_declaration`) is not the program's is dropped, created and filled anew.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert

from evigraph.schema.database import stale_rollups
from evigraph.schema.rollups.filling import build_rollups
from evigraph.schema.sql import identifier
from evigraph.schema.tables.dataset import RollupDeclaration
from evigraph.schema.tables.declared import ROLLUPS
from evigraph.schema.tables.selects import digests


def remake_rollups(
    connection: Connection, progress: Callable[[int, int], None] | None = None, *, every: bool = False
) -> None:
    """Make the tables of rollups that are stale, and fill them for all runs; drop those that are declared no more.

    Args:
        connection: to a database of the newest revision; what is done is committed.
        progress: gets (parts done, parts), of one run after the other.
        every: whether to make all anew, as after a revision, which may have changed what they are made of.
    """
    stale = tuple(ROLLUPS) if every else stale_rollups(connection)
    for name in stale:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {identifier(name)}")
        if name in ROLLUPS:
            ROLLUPS[name].table().create(connection)
    if stale:
        for run_id in connection.exec_driver_sql("SELECT run_id FROM run ORDER BY run_id").scalars().all():
            build_rollups(connection, run_id, progress, stale)
            connection.commit()
        connection.execute(delete(RollupDeclaration))
        connection.execute(insert(RollupDeclaration), [{"name": n, "sha256": d} for n, d in digests().items()])
    connection.commit()
