"""Runs Alembic on a connection that the caller gives, or on the file named by `-x db=FILE`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL

from schema.models import Base


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
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
