"""Pages of a listing by keyset, for one parent or for many at once, in one statement each way.

A `Listing` is a SELECT with a sort key that tells all its rows apart under one parent. A page is what follows
a key; nothing is skipped or repeated when rows tie, and no row before the page is read. Statements are compiled once
for each listing and shape of what is asked; conditions on the parent stand innermost, as planning what DuckDB would
have to push down took longer than reading a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple

from sqlalchemy import ColumnElement, Label, Select, Subquery, and_, func, or_, select

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.cursors import Key
from evigraph.graphapi.store.sql import KEPT, R, Statement, Template, columns_of, hole


@dataclass(frozen=True)
class Order:
    """One part of a sort key: a column of the listing, its type and direction."""

    column: str
    type: type
    descending: bool = False


@dataclass(frozen=True, eq=False)
class Listing(Generic[R]):
    """Rows under parents, in an order.

    tag names the listing and order in its cursors, and kind is the class of its rows; parent and order name columns of
    `rows`. Those of the parent are columns of what `rows` is selected from, not aggregates.
    """

    tag: str
    kind: type[R]
    rows: Select[*tuple[Any, ...]]
    parent: tuple[str, ...]
    order: tuple[Order, ...]

    def key(self, row: R) -> Key:
        """The sort key of a row, as a cursor holds it."""
        return tuple(getattr(row, part.column) for part in self.order)

    def under(self, shape: matching.Shape) -> Select[Any]:
        """`rows` of parents of a shape."""
        named = self.rows.selected_columns
        columns = [named[name].element if isinstance(named[name], Label) else named[name] for name in self.parent]
        return self.rows.where(matching.condition(columns, shape))

    @property
    def types(self) -> tuple[type, ...]:
        """The types of the sort key's parts."""
        return tuple(part.type for part in self.order)


Builder = Callable[..., Listing[R]]
Parent = tuple[int, ...]


class Total(NamedTuple):
    """How many rows there are under one parent, given as a list: the columns of parents differ among listings."""

    parent: list[int]
    total: int


def page_statement(listing: Listing[R], parents: Sequence[Parent], after: Key | None, limit: int) -> Statement[R]:
    """The first `limit` rows after a key under each parent, in order.

    Args:
        listing: What is listed.
        parents: At least one; each has a value for every parent column.
        after: A sort key, the same for all parents, or None for the first page.
        limit: Rows for each parent.
    """
    following = {f"after_{place}": value for place, value in enumerate(after or ())}
    template = _page_template(listing, matching.shape_of(parents), after is not None)
    return template.filled(limit=limit, **matching.values(parents), **following)


def count_statement(listing: Listing[Any], parents: Sequence[Parent]) -> Statement[Total]:
    """The number of rows of each parent that has any."""
    return _count_template(listing, matching.shape_of(parents)).filled(**matching.values(parents))


@lru_cache(maxsize=KEPT)
def _page_template(listing: Listing[Any], shape: matching.Shape, follows: bool) -> Template[Any]:
    page = listing.under(shape)
    if not follows and not any(shape):
        ordered = page.order_by(*_directed(page.selected_columns, listing.order))
        return Template(listing.kind, ordered.limit(hole("limit")))
    rows = page.subquery("listing")
    wanted = select(rows).where(_follows(rows, listing.order)) if follows else select(rows)
    order = _directed(rows.c, listing.order)
    if not any(shape):
        return Template(listing.kind, wanted.order_by(*order).limit(hole("limit")))
    parent = [rows.c[name] for name in listing.parent]
    position = func.row_number().over(partition_by=parent, order_by=order).label("position_in_parent")
    placed = wanted.add_columns(position).subquery("placed")
    place = placed.c.position_in_parent
    page = select(*columns_of(listing.kind, placed)).where(place <= hole("limit"))
    return Template(listing.kind, page.order_by(place))


@lru_cache(maxsize=KEPT)
def _count_template(listing: Listing[Any], shape: matching.Shape) -> Template[Total]:
    rows = listing.under(shape).subquery("listing")
    parent = [rows.c[name] for name in listing.parent]
    counted = select(func.list_value(*parent).label("parent"), func.count().label("total"))
    return Template(Total, counted.group_by(*parent))


def _directed(columns: Any, order: Sequence[Order]) -> list[ColumnElement[Any]]:
    return [columns[part.column].desc() if part.descending else columns[part.column] for part in order]


def _follows(rows: Subquery, order: Sequence[Order]) -> ColumnElement[bool]:
    """Whether a row comes after a key: later in some part and equal in all before it."""
    later: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for place, part in enumerate(order):
        column, value = rows.c[part.column], hole(f"after_{place}")
        later.append(and_(*equal, column < value if part.descending else column > value))
        equal.append(column == value)
    return or_(*later)
