"""Alembic revisions of the base tables and views of a database, and the call that applies them.

    versions/    the revisions; each says why, and a released one does not change
    env.py       how Alembic reaches the database, and that rollups are none of its business

Rollups are derived: a changed declaration needs no revision, `schema.rollups.keeping` makes the table anew.
By hand: `alembic -c migrations/alembic.ini -x db=FILE upgrade head`, then `evigraph migrate --db FILE`.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, which finds the revisions wherever this package is installed."""
    configuration = Config(FOLDER / "alembic.ini")
    configuration.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the database up (or down) to a revision; the caller commits."""
    configuration = config(connection)
    if revision == "base" or revision.startswith("-"):
        command.downgrade(configuration, revision)
    else:
        command.upgrade(configuration, revision)
