"""The short way for plain fields answers as graphql-core does: values, nulls and errors with their places."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest
import strawberry
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from evigraph.graphapi.service.executor import Executor, executor_class


@strawberry.enum
class Side(enum.Enum):
    LEFT = "left"


@strawberry.type
class Leaf:
    number: int
    maybe: int | None = None
    side: Side = Side.LEFT
    tags: list[str] = strawberry.field(default_factory=lambda: ["a", "b"])
    fraction: float = 0.5

    @strawberry.field
    async def later(self) -> str:
        return f"later {self.number}"

    @strawberry.field
    def double(self) -> int:
        return 2 * self.number


@strawberry.type
class Branch:
    name: str
    leaves: list[Leaf]
    first: Leaf | None


def _leaves() -> list[Leaf]:
    """Two that are right, then a number that is too large, one that is none, and none at all."""
    numbers: list[Any] = [1, 2, 2**31, 1.5, None]
    return [Leaf(number=number, maybe=place or None) for place, number in enumerate(numbers)]


@strawberry.type
class Query:
    @strawberry.field
    def branch(self) -> Branch:
        return Branch(name="oak", leaves=_leaves()[:2], first=_leaves()[0])

    @strawberry.field
    def leaf(self, place: int) -> Leaf | None:
        return _leaves()[place]


QUERIES = {
    "plain": "{ branch { name } }",
    "order of mixed fields": """{ branch { leaves { later number __typename double maybe fraction } name
        first { side tags maybe } } }""",
    "aliases and fragments": """{ branch { b: name ...F leaves { n: number ... on Leaf { m: maybe number } } } }
        fragment F on Branch { first { number later } name }""",
    "skipped": "{ branch { name @skip(if: true) leaves { number @include(if: false) maybe } } }",
    "too large": "{ leaf(place: 2) { maybe number } }",
    "of another type": "{ leaf(place: 3) { number later } }",
    "null where none may be": "{ a: leaf(place: 4) { number } b: leaf(place: 1) { number } }",
}


@pytest.mark.parametrize("name", QUERIES)
def test_answers_as_graphql_core_does(name: str) -> None:
    ours = strawberry.Schema(Query, execution_context_class=Executor)
    theirs = strawberry.Schema(Query)
    answers = [asyncio.run(schema.execute(QUERIES[name])) for schema in (ours, theirs)]
    one, other = ((answer.data, [error.formatted for error in answer.errors or ()]) for answer in answers)
    assert one == other
    assert repr(one[0]) == repr(other[0])  # the order of fields too
    assert bool(one[1]) == (name in ("too large", "of another type", "null where none may be"))


def test_the_installed_graphql_core_has_the_method_that_is_overridden() -> None:
    """Fails where a new version changed it: adapt `Executor`, or answers take graphql-core's own time."""
    executor_class.cache_clear()
    assert executor_class() is Executor


def test_another_graphql_core_answers_the_long_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    core = StrawberryGraphQLCoreExecutionContext
    original = core.execute_fields

    def another(self: Any, parent: Any, source: Any, path: Any, fields: Any, more: Any) -> Any:
        return original(self, parent, source, path, fields, more)

    monkeypatch.setattr(core, "execute_fields", another)
    executor_class.cache_clear()
    try:
        assert [executor_class(), executor_class()] == [core, core]
    finally:
        executor_class.cache_clear()
    assert caplog.text.count("graphql-core's execute_fields takes") == 1
    schema = strawberry.Schema(Query, execution_context_class=core)
    assert asyncio.run(schema.execute("{ branch { name } }")).data == {"branch": {"name": "oak"}}
