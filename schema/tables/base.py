"""What the models of all tables share."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal, cast

from sqlalchemy import JSON, REAL, TIMESTAMP, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from evigraph.schema.sql import quoted


class Base(DeclarativeBase):
    """Declarative base; the naming convention keeps Alembic's constraint names stable."""

    metadata = MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"})
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        float: REAL,
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSON,
    }


def key(*columns: str) -> dict[str, Any]:
    """Mapper arguments for a table whose key is logical: SQLAlchemy knows it, DuckDB has no index."""
    return {"primary_key": list(columns)}


def loaded(*, shard: Literal["always", "optional"] | None = None, order: str = "") -> dict[str, Any]:
    """Table arguments that say how the rows of a run folder come into a table.

    Args:
        shard: whether every shard has a file of it, with its columns less run_id, or only one with rows of it.
        order: of a run's rows in the database file, if not that of the key.
    """
    return {"info": {"shard": shard, "order": order}}


def key_of(table: str) -> list[str]:
    """Names of the columns of a base table's key."""
    mapper = next(m for m in Base.registry.mappers if cast(Table, m.local_table).name == table)
    return [column.name for column in mapper.primary_key]


def order_of(table: str) -> str:
    """SQL of the order of a run's rows in a table."""
    stated: str = Base.metadata.tables[table].info.get("order", "")
    return stated or quoted(name for name in key_of(table) if name != "run_id")


def columns_of(table: str) -> list[str]:
    """Names of the columns of a table, in its order."""
    return [column.name for column in Base.metadata.tables[table].columns]
