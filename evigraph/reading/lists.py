"""Any list of the schema as a table: asked page after page, of one version of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evigraph.reading.answers import Answer
from evigraph.reading.words import Class, Fill, Method, Outcome, Role
from evigraph.schema.errors import DatabaseError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from evigraph.graphapi.service.lists import Column, ListQuestion, Parent
    from evigraph.reading.database import Database

PAGE = 1000
"""Rows that are asked at once."""
_ATTEMPTS = 3
_TOO_LARGE = "LIMIT_EXCEEDED"


class Lists:
    """An object of the schema whose lists can be asked."""

    def __init__(self, database: Database, parents: tuple[Parent, ...]) -> None:
        self.database = database
        self._parents = parents

    def table(
        self,
        name: str,
        /,
        *,
        limit: int | None = None,
        inside: Mapping[str, Mapping[str, Any]] | None = None,
        **arguments: Any,
    ) -> Answer:
        """Any list of this object, as GraphQL has it: all its pages, of one version of the database.

        Args:
            name: The list, as `channelSupport` or `channel_support`.
            limit: The most rows; all if None.
            inside: Objects and lists within a row that are wanted too, with their arguments, as {"profile": {}}.
            arguments: The list's, in either spelling; `cls` is GraphQL's `class`.

        Raises:
            NotFoundError: There is no such list, argument, layer or class; near names are told.
            UsageError: An argument is missing, or the service refuses what is asked.
            DatabaseError: The database was published again and again meanwhile.
        """
        return self._of(name, limit, arguments, inside)

    def _of(
        self,
        name: str,
        limit: int | None,
        arguments: Mapping[str, Any],
        inside: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        within: Sequence[Parent] = (),
    ) -> Answer:
        """A list of this object, or of one within it."""
        from evigraph.graphapi.service.lists import list_question

        question = list_question((*self._parents, *within), name, arguments, inside)
        for _ in range(_ATTEMPTS):
            found = self._asked(question, limit)
            if found is not None:
                nodes, totals = found
                table = _arrow(question.columns, nodes)
                return Answer(table, totals, question.text, question.variables, self.database.small_pictures)
        raise DatabaseError(
            f"{self.database.path} was published {_ATTEMPTS} times while {name} was read; ask again, or for fewer rows"
        )

    def _asked(self, question: ListQuestion, limit: int | None) -> tuple[list[Any], dict[str, Any]] | None:
        """The nodes of all pages, and the totals; None where a newer version came between two of them."""
        nodes: list[Any] = []
        after, before, page = None, self.database.state, PAGE
        while True:
            size = page if limit is None else min(page, limit - len(nodes))
            paging = {"first": size, "after": after} if question.is_paged else {}
            try:
                data = self.database.query(question.text, {**question.variables, **paging})
            except UsageError as error:
                if error.code != _TOO_LARGE or not question.is_paged or size <= 1:
                    raise
                page = size // 2  # rows of lists: fewer fit into one answer
                continue
            if self.database.state != before:
                return None
            totals = {name: _at(data, way) for name, way in question.totals.items()}
            found = _at(data, question.way)
            if not question.is_paged:
                return found[:limit], totals
            nodes += found["nodes"]
            after = found["pageInfo"]["endCursor"]
            if not found["pageInfo"]["hasNextPage"] or len(nodes) == limit:
                return nodes, totals


def tests_given(
    method: Method | None,
    fill: Fill | None,
    role: Role,
    outcome: Outcome | None,
    label: Class | None,
    predicted: Class | None,
    max_area: float | None,
) -> dict[str, Any]:
    """Which tests of evidence count, as arguments of the lists of verification."""
    of_tests = {"method": method, "fill": fill, "maxArea": max_area}
    return of_tests | {"role": role, "outcome": outcome, "label": label, "predicted": predicted}


def _arrow(columns: Mapping[str, Column], nodes: Sequence[Any]) -> pa.Table:
    """Nodes as a table whose types are the schema's, whatever the values are."""
    import pyarrow as pa

    names, types = zip(*((name, _type(column)) for name, column in columns.items()), strict=True)
    values = [[_value(column, node) for node in nodes] for column in columns.values()]
    arrays = [pa.array(own, kind) for own, kind in zip(values, types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(zip(names, types, strict=True))))


def _type(column: Column) -> pa.DataType:
    import pyarrow as pa

    if column.inner is not None:
        return pa.list_(pa.struct([(name, _type(one)) for name, one in column.inner.items()]))
    plain = {"Int": pa.int64(), "BigInt": pa.int64(), "Float": pa.float64(), "Boolean": pa.bool_()}
    own = plain.get(column.kind, pa.string())
    return pa.list_(own) if column.is_list else own


def _value(column: Column, node: Any) -> Any:
    value = _at(node, column.way)
    if column.inner is None or value is None:
        return value
    return [{name: _value(one, item) for name, one in column.inner.items()} for item in value]


def _at(node: Any, way: Sequence[str]) -> Any:
    """The value at the end of a way into a node; None where the way ends before."""
    for part in way:
        if node is None:
            return None
        node = node[part]
    return node
