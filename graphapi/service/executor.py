"""Execution of a query, with a short way for plain fields.

Most fields of an answer are scalars that an object holds as an attribute: an evidence graph has 10,000. graphql-core
makes a path and an info for each, asks three times whether it is awaitable, and looks at its type; an attribute and
its type's own conversion are all that such a field needs. Whatever is not as expected goes the long way, so that errors
and nulls are graphql-core's. The method that is overridden is private to graphql-core: where the installed version has
another, `executor_class` gives graphql-core's own executor. Decision 0024 has the figures.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, NamedTuple

from graphql import GraphQLObjectType, Undefined, get_nullable_type, is_leaf_type
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

logger = logging.getLogger("evigraph.graphapi")


class _Plain(NamedTuple):
    """A field that is an attribute of its object, and how its value is shown."""

    response_name: str
    attribute: str
    shown: Callable[[Any], Any]
    nullable: bool


class _Selection(NamedTuple):
    """What is selected of one type: every name in its place, the plain fields, and the others as they were grouped."""

    answer: dict[str, Any]
    plain: list[_Plain]
    others: dict[str, Any]
    grouped: Any
    """Kept, so that its id stays its own."""


class Executor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._selections: dict[tuple[GraphQLObjectType, int], _Selection] = {}

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        """The selected fields of one object: those that are plain here, the others as graphql-core does it."""
        # The executor keeps grouped fields for each type, by id as here, so that objects of a list share them.
        key = (parent_type, id(grouped_field_set))
        selection = self._selections.get(key)
        if selection is None:
            selection = self._selections[key] = self._selection(parent_type, grouped_field_set)
        results = selection.answer.copy()
        try:
            for name, attribute, shown, nullable in selection.plain:
                value = getattr(source_value, attribute)
                if value is None and nullable:
                    continue
                results[name] = value = shown(value)
                if value is None or value is Undefined:
                    raise TypeError
        except Exception:  # graphql-core meets it again, and says where
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        if not selection.others:
            return results
        rest: Any = super().execute_fields(parent_type, source_value, path, selection.others, position_context)
        return _completed(results, rest) if self.is_awaitable(rest) else results | rest

    def _selection(self, parent_type: GraphQLObjectType, grouped_field_set: Any) -> _Selection:
        plain, others = [], {}
        for name, details in grouped_field_set.items():
            definition = self.schema.get_field(parent_type, details[0].node.name.value)
            field = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF) if definition else None
            kind = get_nullable_type(definition.type) if definition else None
            if isinstance(field, StrawberryField) and field.is_basic_field and is_leaf_type(kind):
                nullable = definition is not None and kind is definition.type
                plain.append(_Plain(name, field.python_name, kind.coerce_output_value, nullable))
            else:
                others[name] = details
        return _Selection(dict.fromkeys(grouped_field_set), plain, others, grouped_field_set)


@cache
def executor_class() -> type[StrawberryGraphQLCoreExecutionContext]:
    """`Executor` where it fits the installed graphql-core, else strawberry's own; the latter is logged, once."""
    ours, theirs = (
        list(inspect.signature(kind.execute_fields).parameters)
        for kind in (Executor, StrawberryGraphQLCoreExecutionContext)
    )
    if ours == theirs:
        return Executor
    logger.warning(
        "graphql-core's execute_fields takes %s here, not %s: large answers take twice the time; install a version "
        "that evigraph names", theirs, ours,
    )  # fmt: skip
    return StrawberryGraphQLCoreExecutionContext


async def _completed(results: dict[str, Any], rest: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return results | await rest
