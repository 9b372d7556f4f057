"""Pages of a listing by keyset, for one parent or for many at once, in one statement each way.

A `Listing` is a SELECT with a sort key that tells all its rows apart under one parent. A page is what follows
a key; nothing is skipped or repeated when rows tie, and no row before the page is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Subquery, and_, false, func, or_, select, tuple_

from graphapi.cursors import Key


@dataclass(frozen=True)
class Order:
    """One part of a sort key: a column of the listing, its type and direction."""

    column: str
    type: type
    descending: bool = False


@dataclass(frozen=True)
class Listing:
    """Rows under parents, in an order.

    tag names the listing and order in its cursors; parent and order name columns of `rows`.
    """

    tag: str
    rows: Select[*tuple[Any, ...]]
    parent: tuple[str, ...]
    order: tuple[Order, ...]

    def key(self, row: Row[Any]) -> Key:
        """The sort key of a row, as a cursor holds it."""
        return tuple(row._mapping[part.column] for part in self.order)

    @cached_property
    def subquery(self) -> Subquery:
        """`rows` as a subquery."""
        return self.rows.subquery("listing")

    @property
    def types(self) -> tuple[type, ...]:
        """The types of the sort key's parts."""
        return tuple(part.type for part in self.order)


Builder = Callable[..., Listing]
Parent = tuple[int, ...]


def page_statement(listing: Listing, parents: Sequence[Parent], after: Key | None, limit: int) -> Select[Any]:
    """The first `limit` rows after a key under each parent, in order.

    Args:
        listing: What is listed.
        parents: At least one; each has a value for every parent column.
        after: A sort key, the same for all parents, or None for the first page.
        limit: Rows for each parent.
    """
    rows = listing.subquery
    order = [rows.c[part.column].desc() if part.descending else rows.c[part.column] for part in listing.order]
    parent = [rows.c[name] for name in listing.parent]
    wanted = matches(parent, parents)
    if after is not None:
        wanted = and_(wanted, _follows(rows, listing.order, after))
    if len(parents) == 1:
        return select(rows).where(wanted).order_by(*order).limit(limit)
    position = func.row_number().over(partition_by=parent, order_by=order).label("position_in_parent")
    placed = select(rows, position).where(wanted).subquery("placed")
    return select(placed).where(placed.c.position_in_parent <= limit).order_by(placed.c.position_in_parent)


def count_statement(listing: Listing, parents: Sequence[Parent]) -> Select[Any]:
    """Parent columns and number of rows of each parent that has any."""
    rows = listing.subquery
    parent = [rows.c[name] for name in listing.parent]
    return select(*parent, func.count().label("total")).where(matches(parent, parents)).group_by(*parent)


def matches(columns: Sequence[ColumnElement[Any]], keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Whether the columns hold one of the keys.

    Each column is compared by itself: DuckDB skips blocks by that, which it cannot by a tuple, and planning 20
    tuples of 3 took it ten times as long as the rest of the query. Tuples are compared only where two columns vary.
    """
    if not keys:
        return false()
    conditions: list[ColumnElement[bool]] = []
    varying = 0
    for column, values in zip(columns, zip(*keys, strict=True), strict=True):
        distinct = sorted(set(values))
        conditions.append(column == distinct[0] if len(distinct) == 1 else column.in_(distinct))
        varying += len(distinct) > 1
    if varying > 1:
        conditions.append(tuple_(*columns).in_(keys))
    return and_(*conditions)


def _follows(rows: Subquery, order: Sequence[Order], after: Key) -> ColumnElement[bool]:
    """Whether a row comes after the key: later in some part and equal in all before it."""
    later: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for part, value in zip(order, after, strict=True):
        column = rows.c[part.column]
        later.append(and_(*equal, column < value if part.descending else column > value))
        equal.append(column == value)
    return or_(*later)
