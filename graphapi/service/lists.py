"""A question for one list of the schema, for clients in Python: its GraphQL text and the columns of its rows.

Everything is read off the SDL: which lists there are, the types of their arguments, and the values of their rows. So a
field that is added to the schema is a column, and none is named here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_required_argument,
)

from evigraph.graphapi.service.schema import sdl
from evigraph.schema.errors import NotFoundError, UsageError

_COMPACT: dict[str, dict[str, tuple[str, ...]]] = {
    "Channel": {"": ("index",), "layer": ("layer", "name")},
    "Class": {"": ("name",)},
    "Layer": {"": ("name",)},
    "Image": {"": ("uri",)},
    "Run": {"": ("name",)},
    "Decision": {"image": ("image", "uri"), "class": ("class", "name"), "role": ("role",)},
}
"""What stands for an object that has fields of its own to ask: column by its suffix, and the way to it."""
_PAGING = ("first", "after")


class Parent(NamedTuple):
    """A field on the way from the query to a list, with its arguments."""

    field: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ListQuestion:
    """One list of an object.

    Attributes:
        text: GraphQL. A connection's takes `$first` and `$after`.
        variables: What the arguments are.
        way: Fields from `data` to the list's object.
        columns: The way to the value of each column, in a node.
        totals: Names of the connection's own plain values, such as a contrast's `decisionsA`.
        is_paged: Whether it is a connection; else a plain list.
    """

    text: str
    variables: dict[str, Any]
    way: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    totals: tuple[str, ...]
    is_paged: bool


def list_question(parents: Sequence[Parent], field: str, arguments: Mapping[str, Any]) -> ListQuestion:
    """The question for a list.

    Args:
        parents: From the query's root down to the object that has the list.
        field: The list's name, in GraphQL's spelling or Python's (`channel_support`).
        arguments: By name, likewise; `cls` or `class_` is `class`. Enum values in any case; input objects as dicts.

    Raises:
        NotFoundError: The object has no such list, or the list no such argument; it names near ones.
        UsageError: An argument that must be given was not.
    """
    of: Any = _schema().query_type
    variables: dict[str, Any] = {}
    declared: list[str] = []
    opening: list[str] = []
    for parent in parents:
        step = of.fields[parent.field]
        opening.append(parent.field + _passed(step, parent.arguments, parent.field, declared, variables))
        of = get_named_type(step.type)
    name = _list_name(of, field)
    step = of.fields[name]
    passed = _passed(step, arguments, "", declared, variables, paged=(is_paged := _is_connection(step)))
    rows = get_named_type(step.type)
    node = get_named_type(rows.fields["nodes"].type) if is_paged else rows
    columns = _columns(node)
    selection = _selected(columns)
    totals = tuple(_plain_fields(rows)) if is_paged else ()
    if is_paged:
        selection = f"nodes {{ {selection} }} pageInfo {{ hasNextPage endCursor }} {' '.join(totals)}"
    lines = [f"query ({', '.join(declared)}) {{" if declared else "{"]
    lines += [f"{'  ' * (depth + 1)}{text} {{" for depth, text in enumerate(opening)]
    lines.append(f"{'  ' * (len(opening) + 1)}{name}{passed} {{ {selection} }}")
    lines += ["  " * depth + "}" for depth in range(len(opening), -1, -1)]
    return ListQuestion("\n".join(lines), variables, (*(one.field for one in parents), name), columns, totals, is_paged)


@cache
def _schema() -> GraphQLSchema:
    return build_schema(sdl())


def _is_connection(field: GraphQLField) -> bool:
    return get_named_type(field.type).name.endswith("Connection")


def _list_name(of: GraphQLObjectType, field: str) -> str:
    """GraphQL's name of a list of an object that was named in either spelling."""
    lists = [
        name
        for name, one in of.fields.items()
        if _is_connection(one)
        or (isinstance(get_nullable_type(one.type), GraphQLList) and not is_leaf_type(get_named_type(one.type)))
    ]
    name = _camel(field)
    if name not in lists:
        raise NotFoundError("list", field, lists, f"of {of.name}; there are {', '.join(sorted(lists))}")
    return name


def _passed(
    field: GraphQLField,
    given: Mapping[str, Any],
    prefix: str,
    declared: list[str],
    variables: dict[str, Any],
    *,
    paged: bool = False,
) -> str:
    """The arguments of a field as GraphQL writes them, with a variable each, which is declared and given its value."""
    values = {_argument(name): value for name, value in given.items() if value is not None}
    known = [name for name in field.args if not (paged and name in _PAGING)]
    for name in values:
        if name not in known:
            raise NotFoundError("argument", name, known, f"; there are {', '.join(known) or 'none'}")
    missing = [name for name, one in field.args.items() if is_required_argument(one) and name not in values]
    if missing:
        raise UsageError(f"{', '.join(missing)} must be given")
    passed = []
    for name, value in values.items():
        argument: GraphQLArgument = field.args[name]
        variable = prefix + name[0].upper() + name[1:] if prefix else name
        variables[variable] = _converted(get_named_type(argument.type), value)
        declared.append(f"${variable}: {argument.type}")
        passed.append(f"{name}: ${variable}")
    if paged:
        declared += [f"${name}: {field.args[name].type}" for name in _PAGING]
        passed += [f"{name}: ${name}" for name in _PAGING]
    return f"({', '.join(passed)})" if passed else ""


def _converted(kind: Any, value: Any) -> Any:
    """A value as JSON has it: names of enums in capitals, keys of input objects in GraphQL's spelling."""
    if isinstance(value, (list, tuple)):
        return [_converted(kind, one) for one in value]
    if isinstance(kind, GraphQLEnumType) and isinstance(value, str):
        return value.upper().replace(" ", "_")
    if isinstance(kind, GraphQLInputObjectType) and isinstance(value, Mapping):
        named = {_argument(name): one for name, one in value.items()}
        for name in named:
            if name not in kind.fields:
                raise NotFoundError("field", name, kind.fields, f"of {kind.name}")
        return {name: _converted(get_named_type(kind.fields[name].type), one) for name, one in named.items()}
    # A class may be named by its index, which the schema takes as text.
    return str(value) if isinstance(value, int) and getattr(kind, "name", "") == "String" else value


def _columns(node: GraphQLObjectType, within: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """The plain values of an object, of those inside it too, by column."""
    columns: dict[str, tuple[str, ...]] = {}
    for name, field in node.fields.items():
        kind: Any = get_named_type(field.type)
        is_list = isinstance(get_nullable_type(field.type), GraphQLList)
        if any(is_required_argument(argument) for argument in field.args.values()) or name == "id":
            continue
        column = "_".join(_snake(part) for part in (*within, name))
        if is_leaf_type(kind):
            columns[column] = (*within, name)
        elif is_list or kind.name.endswith("Connection"):
            continue
        elif kind.name in _COMPACT:
            for suffix, way in _COMPACT[kind.name].items():
                columns[column + (f"_{suffix}" if suffix else "")] = (*within, name, *way)
        elif not within and not field.args:
            columns |= _columns(kind, (name,))
    return columns


def _plain_fields(kind: GraphQLObjectType) -> list[str]:
    return [
        name
        for name, field in kind.fields.items()
        if is_leaf_type(get_named_type(field.type))
        and not isinstance(get_nullable_type(field.type), GraphQLList)
        and not any(is_required_argument(argument) for argument in field.args.values())
    ]


def _selected(columns: Mapping[str, tuple[str, ...]]) -> str:
    """A GraphQL selection of ways into a node."""
    tree: dict[str, Any] = {}
    for way in columns.values():
        at = tree
        for part in way:
            at = at.setdefault(part, {})
    return _written(tree)


def _written(tree: Mapping[str, Any]) -> str:
    return " ".join(f"{name} {{ {_written(below)} }}" if below else name for name, below in tree.items())


def _argument(name: str) -> str:
    return "class" if name in ("cls", "class_") else _camel(name)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)
