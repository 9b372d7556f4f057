"""What all GraphQL types share: the Node interface, connections, arguments and enums.

The interface's Python name is not `Node`: that one is strawberry.relay's.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, NewType, TypeVar

import strawberry

from evigraph.graphapi.store import cursors
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_class
from evigraph.graphapi.store.paging import Builder, Parent
from evigraph.graphapi.store.sql import R
from evigraph.graphapi.types import ids
from evigraph.graphapi.types.loaders import Context, PageKey

T = TypeVar("T")
U = TypeVar("U")
F = TypeVar("F", bound=Callable[..., Any])

Info = strawberry.Info[Context, None]
UNSET: Any = strawberry.UNSET
"""Default of an optional argument: prints none in the SDL, where None would print `= null`."""

BigInt = NewType("BigInt", int)
BIG_INT = strawberry.scalar(
    name="BigInt",
    description=(
        "A whole number up to 2^53 - 1, as a JSON number: GraphQL's Int ends at 2^31 - 1, which the edges of a "
        "large run pass, and a Float would show a count with a fraction."
    ),
    serialize=int,
    parse_value=int,
)

First = Annotated[int | None, strawberry.argument(description="Rows of the page; bounded.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on after.")]
ClassName = Annotated[
    str | None, strawberry.argument(name="class", description="A class by name, key or index; all if null.")
]


@strawberry.enum(description="Whether an image's predicted class is its label; an unlabelled image is neither.")
class Outcome(enum.Enum):
    CORRECT = "correct"
    WRONG = "wrong"


@strawberry.enum(
    description="Which class a decision (root) explains: the predicted one, or the label where it differs."
)
class DecisionRole(enum.Enum):
    PREDICTED = "predicted"
    LABEL = "label"


@strawberry.enum(description="What channel supports are sorted by, largest first.")
class SupportOrder(enum.Enum):
    DECISIONS = "decisions"
    RATE = "rate"
    EDGES = "edges"
    SHARE = strawberry.enum_value("mean_share", description="By meanShare.")
    IMPORTANCE = strawberry.enum_value("mean_importance", description="By meanImportance.")


Role = Annotated[DecisionRole | None, strawberry.argument(description="Which roots count; null is PREDICTED.")]


def described(description: str, *, name: str | None = None) -> Callable[[F], F]:
    """`strawberry.field` for a resolver with a description: that one is untyped with arguments."""
    decorator: Callable[[F], F] = strawberry.field(description=description, name=name)
    return decorator


def given(value: T | None) -> T | None:
    """The value of an optional argument; None where it was left out."""
    return None if value is UNSET else value


def role_of(role: DecisionRole | None) -> str:
    """The role as stored, PREDICTED where none is given."""
    return (given(role) or DecisionRole.PREDICTED).value


def outcome_of(outcome: Outcome | None) -> str | None:
    """The outcome as stored; None for any."""
    outcome = given(outcome)
    return None if outcome is None else outcome.value


def class_id_of(run: RunInfo, name: str | None) -> int | None:
    """The id of a class by name, key or index; None where none is named."""
    name = given(name)
    return None if name is None else find_class(run, name).class_id


@strawberry.interface(name="Node", description="An object with a global id, which `node(id)` finds again.")
class NodeInterface:
    def id_parts(self) -> tuple[str | int, ...]:
        """What the id is made of, the run's name first."""
        raise NotImplementedError

    @strawberry.field
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(type(self).__name__, *self.id_parts()))


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class Edge(Generic[T]):
    node: T
    cursor: str


@strawberry.type
class Connection(Generic[T]):
    items: strawberry.Private[list[T]]
    keys: strawberry.Private[list[str]]
    has_more: strawberry.Private[bool]
    is_first: strawberry.Private[bool]
    count: strawberry.Private[Any]

    @strawberry.field
    def edges(self) -> list[Edge[T]]:
        return [Edge(node=item, cursor=key) for item, key in zip(self.items, self.keys, strict=True)]

    @described("The nodes of the edges, for those who need no cursors.")
    def nodes(self) -> list[T]:
        return self.items

    @strawberry.field
    def page_info(self) -> PageInfo:
        keys = self.keys
        return PageInfo(
            has_next_page=self.has_more,
            has_previous_page=not self.is_first,
            start_cursor=keys[0] if keys else None,
            end_cursor=keys[-1] if keys else None,
        )

    @described("How many there are on all pages together.")
    async def total_count(self) -> int:
        total: int = await self.count()
        return total

    def of(self, items: list[U]) -> Connection[U]:
        """The same page with other items in place of its own, one for each."""
        return Connection(items=items, keys=self.keys, has_more=self.has_more, is_first=self.is_first, count=self.count)


def page_size(context: Context, first: int | None) -> int:
    """The number of rows asked for; UsageError outside 0 to the largest page."""
    settings = context.session.settings
    hint = "page on with `after`"
    return bounded("first", given(first), 0, settings.max_page_size, settings.page_size, hint)


async def page_of_rows(
    context: Context,
    build: Builder[R],
    arguments: tuple[Any, ...],
    parent: Parent,
    first: int | None,
    after: str | None,
) -> Connection[R]:
    """One page of a listing, through the dataloaders; `listed` without its last argument."""
    size = page_size(context, first)
    listing = build(*arguments)
    after = given(after)
    start = None if after is None else cursors.decode(after, listing.tag, listing.types)
    # One row more than the page tells whether there is a next one.
    rows: list[R] = await context.pages.load(PageKey(build, arguments, start, size + 1, parent))
    page = rows[:size]

    async def count() -> int:
        return await context.counts.load(PageKey(build, arguments, None, 0, parent))

    return Connection(
        items=page,
        keys=[cursors.encode(listing.tag, listing.key(row)) for row in page],
        has_more=len(rows) > size,
        is_first=start is None,
        count=count,
    )


async def listed(
    context: Context,
    build: Builder[R],
    arguments: tuple[Any, ...],
    parent: Parent,
    first: int | None,
    after: str | None,
    to_node: Callable[[R], T],
) -> Connection[T]:
    """One page of a listing, as GraphQL objects.

    Args:
        context: The request's.
        build: Makes the listing from `arguments`.
        arguments: Hashable; requests with equal ones share a statement.
        parent: Whose rows.
        first: As the client gave it.
        after: As the client gave it.
        to_node: From a row to its GraphQL object.
    """
    page = await page_of_rows(context, build, arguments, parent, first, after)
    return page.of([to_node(row) for row in page.items])


def listed_here(
    context: Context,
    tag: str,
    items: Sequence[T],
    key: Callable[[T], tuple[int, ...]],
    first: int | None,
    after: str | None,
) -> Connection[T]:
    """One page of what is in memory already, in ascending order of a key of integers."""
    size = page_size(context, first)
    after = given(after)
    rest = list(items)
    if after is not None:
        start = cursors.decode(after, tag, (int,) * len(key(items[0])) if items else ())
        rest = [item for item in items if key(item) > start]
    page = rest[:size]

    async def count() -> int:
        return len(items)

    return Connection(
        items=page,
        keys=[cursors.encode(tag, key(item)) for item in page],
        has_more=len(rest) > size,
        is_first=after is None,
        count=count,
    )
