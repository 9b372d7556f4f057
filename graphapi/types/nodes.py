"""From rows to GraphQL objects: what a row holds under the name of a field is that field.

For each pair of a type and a class of rows it is looked up once which fields these are, and a function is written that
copies them, as `collections.namedtuple` writes its own: a loop over the names took three times as long as by hand.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from types import NoneType
from typing import Any, TypeVar

T = TypeVar("T")

_makers: dict[tuple[type, type], Callable[..., Any]] = {}


def node_from(kind: type[T], row: object, /, **own: Any) -> T:
    """The GraphQL object of a row.

    Args:
        kind: A strawberry type.
        row: A NamedTuple or dataclass.
        own: Fields that the row does not hold, or holds as something else; the same ones for all rows of its class.

    Raises:
        TypeError: Another field is missing in the row, or of a type that the GraphQL type does not take.
    """
    make = _makers.get((kind, row.__class__))
    if make is None:
        make = _makers[kind, row.__class__] = _maker(kind, row.__class__, tuple(own))
    node: T = make(row, **own)
    return node


def _maker(kind: type, source: type, own: tuple[str, ...]) -> Callable[..., Any]:
    wanted, held = typing.get_type_hints(kind), typing.get_type_hints(source)
    shared = [field.name for field in dataclasses.fields(kind) if field.init and field.name not in own]
    for name in shared:
        if name not in held:
            raise TypeError(f"{kind.__name__}.{name}: {source.__name__} has no such column, only {', '.join(held)}")
        if not _choices(held[name]) <= _choices(wanted[name]):
            raise TypeError(f"{kind.__name__}.{name} is {wanted[name]}, and in {source.__name__} {held[name]}")
    values = [*(f"{name}=_row.{name}" for name in shared), *(f"{name}={name}" for name in own)]
    make: Callable[..., Any] = eval(f"lambda _row, {', '.join(own)}: _kind({', '.join(values)})", {"_kind": kind})
    return make


def _choices(hint: Any) -> set[Any]:
    """The types that a value may have: those of a union, or the one itself."""
    return set(typing.get_args(hint)) if NoneType in typing.get_args(hint) else {hint}
