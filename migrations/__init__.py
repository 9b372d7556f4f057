"""Alembic revisions of the base tables of the evidence database, and the call that applies them.

By hand: `alembic -c migrations/alembic.ini -x db=FILE upgrade head`. `publish` calls `migrate`.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, which finds the revisions wherever this package is installed."""
    made = Config(FOLDER / "alembic.ini")
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the database up (or down) to a revision; the caller commits."""
    made = config(connection)
    if revision == "base" or revision.startswith("-"):
        command.downgrade(made, revision)
    else:
        command.upgrade(made, revision)
