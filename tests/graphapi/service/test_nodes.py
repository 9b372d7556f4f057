"""From rows to GraphQL objects: equal names are copied, and what does not fit is refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import strawberry

from evigraph.graphapi.types.nodes import node_from


class Row(NamedTuple):
    """Three columns."""

    place: int
    share: float
    feature: float | None


@dataclass(frozen=True)
class Answer:
    """The same as a dataclass."""

    place: int
    share: float
    feature: float | None


@strawberry.type
class Kind:
    run: strawberry.Private[str]
    source: int
    place: int | None
    share: float
    feature: float | None

    @strawberry.field
    def twice(self) -> float:
        return 2 * self.share


@pytest.mark.parametrize("source", [Row, Answer])
def test_equal_names_are_copied(source: type[Row]) -> None:
    """Those given are added, or stand in the place of the row's; a resolver needs nothing."""
    node = node_from(Kind, source(1, 0.5, None), run="a", source=7)
    assert node == Kind(run="a", source=7, place=1, share=0.5, feature=None)
    assert node_from(Kind, source(2, 0.25, 3.0), run="b", source=8).twice() == 0.5  # type: ignore[call-arg, comparison-overlap]


def test_a_field_of_the_rows_may_be_replaced() -> None:
    @strawberry.type
    class Named:
        place: str
        share: float

    assert node_from(Named, Row(1, 0.5, None), place="first") == Named(place="first", share=0.5)


def test_a_missing_column_is_named() -> None:
    class Short(NamedTuple):
        place: int
        share: float

    with pytest.raises(TypeError, match=r"Kind\.feature: Short has no such column, only place, share"):
        node_from(Kind, Short(1, 0.5), run="a", source=7)


def test_a_column_that_may_be_null_does_not_fit_a_field_that_may_not() -> None:
    @strawberry.type
    class Strict:
        feature: float

    with pytest.raises(TypeError, match=r"Strict\.feature is .*float.*, and in Row .*None"):
        node_from(Strict, Row(1, 0.5, 0.25))
