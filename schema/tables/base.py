"""What the models of all tables share."""

from __future__ import annotations

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
