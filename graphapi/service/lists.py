"""A question for one list of the schema, for clients in Python: its GraphQL text and the columns of its rows.

Everything is read off the SDL: which lists there are, the types of their arguments, and the values of their rows. So a
field that is added to the schema is a column, and none is named here. Columns are named as Python names things:
`meanShare` is `mean_share`, and a value of an object within a row has both names, as in `peak_lift`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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
    is_non_null_type,
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


Way = tuple[str, ...]


class Column(NamedTuple):
    """A column of a list's rows.

    Attributes:
        way: Fields from a node to the value; of a list within a row, to the list.
        kind: GraphQL's name of the value's type: Int, BigInt, Float, Boolean, or another for text.
        is_list: Whether the value is a list.
        inner: Of a list of objects, the columns of these.
    """

    way: Way
    kind: str
    is_list: bool = False
    inner: Mapping[str, Column] | None = None


@dataclass(frozen=True)
class ListQuestion:
    """One list of an object.

    Attributes:
        text: GraphQL. A connection's takes `$first` and `$after`.
        variables: What the arguments are.
        way: Fields from `data` to the list's object.
        columns: By name.
        totals: Plain values of the connection, such as a contrast's `decisionsA`, or of the object that has the list
            where that is an answer itself, such as a comparison's `bothRight`: by name, the way from `data`.
        is_paged: Whether it is a connection; else a plain list.
    """

    text: str
    variables: dict[str, Any]
    way: Way
    columns: dict[str, Column]
    totals: dict[str, Way]
    is_paged: bool


def list_question(
    parents: Sequence[Parent],
    field: str,
    arguments: Mapping[str, Any],
    inside: Mapping[str, Mapping[str, Any]] | None = None,
) -> ListQuestion:
    """The question for a list.

    Args:
        parents: From the query's root down to the object that has the list.
        field: The list's name, in GraphQL's spelling or Python's (`channel_support`).
        arguments: By name, likewise; `cls` or `class_` is `class`. Enum values in any case; input objects as dicts.
        inside: What is wanted of a row besides its values: objects, lists and values of objects that stand there by
            their names alone, with their arguments; `profile`, or `true.evidence` for one further in.

    Raises:
        NotFoundError: The object has no such list, or the list no such argument; it names near ones.
        UsageError: An argument that must be given was not.
    """
    of: Any = _schema().query_type
    asked = _Variables([], {})
    opening: list[str] = []
    for parent in parents:
        step = of.fields[parent.field]
        opening.append(parent.field + asked.passed(step, parent.arguments, parent.field))
        of = get_named_type(step.type)
    name = _list_name(of, field)
    step = of.fields[name]
    passed = asked.passed(step, arguments, paged=(is_paged := _is_connection(step)))
    rows = get_named_type(step.type)
    node = get_named_type(rows.fields["nodes"].type) if is_paged else rows
    columns = _columns(node)
    spelled: dict[Way, str] = {}
    for path, own in (inside or {}).items():
        more, spelling = _inner_columns(node, path, own, asked)
        columns |= more
        spelled |= spelling
    selection = _selected(columns.values(), spelled)
    way = (*(one.field for one in parents), name)
    # An object with an id is a thing of its own, with values that are nobody's totals.
    totals = {} if "id" in of.fields else {_snake(one): (*way[:-1], one) for one in _plain_fields(of)}
    extra = " ".join(totals[one][-1] for one in totals)
    if is_paged:
        own_totals = _plain_fields(rows)
        selection = f"nodes {{ {selection} }} pageInfo {{ hasNextPage endCursor }} {' '.join(own_totals)}"
        totals |= {_snake(one): (*way, one) for one in own_totals}
    lines = [f"query ({', '.join(asked.declared)}) {{" if asked.declared else "{"]
    lines += [f"{'  ' * (depth + 1)}{text} {{" for depth, text in enumerate(opening)]
    lines.append(f"{'  ' * (len(opening) + 1)}{name}{passed} {{ {selection} }}{f' {extra}' if extra else ''}")
    lines += ["  " * depth + "}" for depth in range(len(opening), -1, -1)]
    return ListQuestion("\n".join(lines), asked.values, way, columns, totals, is_paged)


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
        if _is_connection(one) or (_is_list(one) and not is_leaf_type(get_named_type(one.type)))
    ]
    name = _camel(field)
    if name not in lists:
        raise NotFoundError("list", field, lists, f"of {of.name}; there are {', '.join(sorted(lists))}")
    return name


class _Variables(NamedTuple):
    """The variables of a query: how it declares them, and their values."""

    declared: list[str]
    values: dict[str, Any]

    def passed(self, field: GraphQLField, given: Mapping[str, Any], prefix: str = "", *, paged: bool = False) -> str:
        """The arguments of a field as GraphQL writes them, with a variable each, declared and given its value."""
        values = {_argument(name): value for name, value in given.items()}
        known = [name for name in field.args if not (paged and name in _PAGING)]
        for name in values:
            if name not in known:
                raise NotFoundError("argument", name, known, f"; there are {', '.join(known) or 'none'}")
        values = {name: value for name, value in values.items() if value is not None or _tells_null(field.args[name])}
        missing = [name for name, one in field.args.items() if is_required_argument(one) and name not in values]
        if missing:
            raise UsageError(f"{', '.join(missing)} must be given")
        passed = []
        for name, value in values.items():
            argument: GraphQLArgument = field.args[name]
            variable = prefix + name[0].upper() + name[1:] if prefix else name
            self.values[variable] = _converted(get_named_type(argument.type), value)
            self.declared.append(f"${variable}: {argument.type}")
            passed.append(f"{name}: ${variable}")
        if paged:
            self.declared.extend(f"${name}: {field.args[name].type}" for name in _PAGING)
            passed += [f"{name}: ${name}" for name in _PAGING]
        return f"({', '.join(passed)})" if passed else ""


def _tells_null(argument: GraphQLArgument) -> bool:
    """Whether null is something else than leaving the argument out."""
    has_default = argument.ast_node is not None and argument.ast_node.default_value is not None
    return has_default and not is_non_null_type(argument.type)


def _converted(kind: Any, value: Any) -> Any:
    """A value as JSON has it: names of enums in capitals, keys of input objects in GraphQL's spelling."""
    if value is None:
        return None
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


def _columns(node: GraphQLObjectType, within: Way = ()) -> dict[str, Column]:
    """The plain values of an object, of those inside it too, by column."""
    columns: dict[str, Column] = {}
    for name, field in node.fields.items():
        kind: Any = get_named_type(field.type)
        is_list = _is_list(field)
        if any(is_required_argument(argument) for argument in field.args.values()) or name == "id":
            continue
        column = "_".join(_snake(part) for part in (*within, name))
        if is_leaf_type(kind):
            columns[column] = Column((*within, name), kind.name, is_list)
        elif is_list or kind.name.endswith("Connection"):
            continue
        elif kind.name in _COMPACT:
            for suffix, way in _COMPACT[kind.name].items():
                value = _kind_at(kind, way)
                columns[column + (f"_{suffix}" if suffix else "")] = Column((*within, name, *way), value)
        elif not within and not field.args:
            columns |= _columns(kind, (name,))
    return columns


def _inner_columns(
    node: GraphQLObjectType, path: str, arguments: Mapping[str, Any], asked: _Variables
) -> tuple[dict[str, Column], dict[Way, str]]:
    """The columns of an object or list within a row, and how GraphQL writes its last field with its arguments."""
    way = tuple(map(_camel, path.split(".")))
    of: Any = node
    for part in way[:-1]:
        of = get_named_type(of.fields[part].type)
    field = of.fields[way[-1]]
    spelled = {way: way[-1] + asked.passed(field, arguments, way[-1])}
    column = "_".join(map(_snake, way))
    inner: Any = get_named_type(field.type)
    if is_leaf_type(inner):
        return {column: Column(way, inner.name, _is_list(field))}, spelled
    own = _columns(inner)
    if _is_list(field):
        return {column: Column(way, inner.name, True, own)}, spelled
    return {f"{column}_{name}": one._replace(way=(*way, *one.way)) for name, one in own.items()}, spelled


def _kind_at(kind: GraphQLObjectType, way: Way) -> str:
    at: Any = kind
    for part in way:
        at = get_named_type(at.fields[part].type)
    return str(at.name)


def _is_list(field: GraphQLField) -> bool:
    return isinstance(get_nullable_type(field.type), GraphQLList)


def _plain_fields(kind: GraphQLObjectType) -> list[str]:
    return [
        name
        for name, field in kind.fields.items()
        if is_leaf_type(get_named_type(field.type))
        and not _is_list(field)
        and not any(is_required_argument(argument) for argument in field.args.values())
    ]


def _selected(columns: Iterable[Column], spelled: Mapping[Way, str]) -> str:
    """A GraphQL selection of columns of a node, where some fields are written otherwise, with arguments."""
    tree: dict[str, Any] = {}
    for column in columns:
        at = tree
        for place, part in enumerate(column.way):
            at = at.setdefault(spelled.get(column.way[: place + 1], part), {})
        if column.inner is not None:
            at[_selected(column.inner.values(), {})] = {}
    return _written(tree)


def _written(tree: Mapping[str, Any]) -> str:
    return " ".join(f"{name} {{ {_written(below)} }}" if below else name for name, below in tree.items())


def _argument(name: str) -> str:
    return "class" if name in ("cls", "class_") else _camel(name)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)
