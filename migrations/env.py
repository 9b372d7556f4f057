"""Runs Alembic on a connection that the caller gives, or on the file named by `-x db=FILE`."""

from __future__ import annotations

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.types import TypeEngine

from evigraph.schema.tables import ROLLUPS
from evigraph.schema.tables.base import Base
from evigraph.schema.tables.evidence import EvidenceList


def _differs(of: MigrationContext, _: object, column: Column[Any], __: object, kind: TypeEngine[Any]) -> bool | None:
    """Whether a list of edges is of another type in the database; None leaves other types to Alembic."""
    if not isinstance(kind, EvidenceList) or of.connection is None:
        return None
    sql = "SELECT data_type FROM duckdb_columns() WHERE table_name = $table AND column_name = $column"
    data_type = of.connection.exec_driver_sql(sql, {"table": column.table.name, "column": column.name}).scalar()
    return str(data_type).replace('"', "") != kind.get_col_spec()


def _is_migrated(_: object, name: str | None, kind: str, *__: object) -> bool:
    """Whether a table is a base table: rollups are derived, and no revision's concern."""
    return kind != "table" or name not in ROLLUPS


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, compare_type=_differs, include_object=_is_migrated
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Alembic executes this file for each command."""
    given = context.config.attributes.get("connection")
    if given is not None:
        _run(given)
        return
    file = context.get_x_argument(as_dictionary=True).get("db")
    if not file:
        raise SystemExit("name the database: alembic -c migrations/alembic.ini -x db=FILE COMMAND")
    engine = create_engine(URL.create("duckdb", database=file))
    with engine.begin() as connection:
        _run(connection)
    engine.dispose()


main()
