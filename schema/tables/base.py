"""What the models of all tables share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, REAL, TIMESTAMP, MetaData
from sqlalchemy.orm import DeclarativeBase


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


def columns_of(table: str) -> list[str]:
    """Names of the columns of a table, in its order."""
    return [column.name for column in Base.metadata.tables[table].columns]


def quoted(names: Iterable[str]) -> str:
    """SQL for a list of columns."""
    return ", ".join(f'"{name}"' for name in names)
