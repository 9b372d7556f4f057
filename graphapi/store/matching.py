"""Conditions on keys of several columns, with holes for the keys: one compiled statement serves all of a shape.

Each column is compared by itself: DuckDB skips blocks by that, which it cannot by a tuple, and planning 20 tuples of 3
took it ten times as long as the rest of the query. Tuples are compared only where two columns vary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, tuple_

from evigraph.graphapi.store.sql import hole

Shape = tuple[bool, ...]
"""Of each part of some keys, whether it differs among them."""


def shape_of(keys: Sequence[tuple[Any, ...]]) -> Shape:
    """The shape of keys, of which there is at least one."""
    return tuple(len(set(part)) > 1 for part in zip(*keys, strict=True))


def condition(columns: Sequence[ColumnElement[Any]], shape: Shape) -> ColumnElement[bool]:
    """Whether the columns hold one of the keys that `values` puts into the holes."""
    conditions = [
        column.op("IN")(hole(f"key_{place}")) if varies else column == hole(f"key_{place}")
        for place, (column, varies) in enumerate(zip(columns, shape, strict=True))
    ]
    if sum(shape) > 1:
        conditions.append(tuple_(*columns).op("IN")(hole("keys")))
    return and_(*conditions)


def values(keys: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """What goes into the holes of `condition`."""
    shape = shape_of(keys)
    parts: dict[str, Any] = {
        f"key_{place}": tuple(sorted(set(part))) if varies else part[0]
        for place, (part, varies) in enumerate(zip(zip(*keys, strict=True), shape, strict=True))
    }
    return parts | {"keys": tuple(keys)} if sum(shape) > 1 else parts
