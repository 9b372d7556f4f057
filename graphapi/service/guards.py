"""What a query may be before it runs: a validation rule that measures its text, made once for each service.

The size of the answer is bounded elsewhere (`Session.spend`), since it depends on variables and on the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationRule,
)
from strawberry.extensions import SchemaExtension

from evigraph.graphapi.store.errors import LimitError
from evigraph.schema.errors import UsageError


def size_rule(max_depth: int, max_fields: int) -> type[ValidationRule]:
    """A rule that refuses operations that are too deep or have too many fields.

    One class must serve all requests: the validation cache is keyed by it.
    """

    class SizeRule(ValidationRule):
        def enter_document(self, node: DocumentNode, *_: Any) -> None:
            measure = _Measure(node)
            for operation in node.definitions:
                if not isinstance(operation, OperationDefinitionNode):
                    continue
                depth, fields = measure.of(operation.selection_set)
                name = operation.name.value if operation.name else "the query"
                if depth > max_depth:
                    self.report_error(_refusal(f"{name} is {depth} levels deep", max_depth, operation))
                if fields > max_fields:
                    self.report_error(_refusal(f"{name} has {fields} fields", max_fields, operation))

    return SizeRule


def _refusal(what: str, limit: int, operation: OperationDefinitionNode) -> GraphQLError:
    return GraphQLError(
        f"{what}, above the limit of {limit}; split it up", operation, extensions={"code": LimitError.code}
    )


class OneOperation(SchemaExtension):
    """Refuses a query of several operations that names none: strawberry would run the first."""

    def on_validate(self) -> Iterator[None]:
        """Check before the operation is validated."""
        document = self.execution_context.graphql_document
        names = [
            node.name.value if node.name else None
            for node in (document.definitions if document else ())
            if isinstance(node, OperationDefinitionNode)
        ]
        if self.execution_context.context.operation_name is None and len(names) > 1:
            if None in names:
                raise UsageError("the query has several operations, and not all are named; send one alone")
            choices = ", ".join(map(str, names))
            raise UsageError(
                "the query has several operations; "
                f"set operationName (on the command line --operation) to one of {choices}"
            )
        yield


class _Measure:
    """Depth and number of fields of selections; each fragment is measured once, however often it is spread."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._known: dict[str, tuple[int, int]] = {}

    def of(self, selections: SelectionSetNode | None) -> tuple[int, int]:
        """(depth, fields); introspection counts as fields but not as depth: its queries are deep and cheap."""
        depth = fields = 0
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                inner_depth, inner_fields = self.of(selection.selection_set)
                introspection = selection.name.value.startswith("__")
                inner_depth, inner_fields = 0 if introspection else inner_depth + 1, inner_fields + 1
            elif isinstance(selection, FragmentSpreadNode):
                inner_depth, inner_fields = self._of_fragment(selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                inner_depth, inner_fields = self.of(selection.selection_set)
            else:
                continue
            depth, fields = max(depth, inner_depth), fields + inner_fields
        return depth, fields

    def _of_fragment(self, name: str) -> tuple[int, int]:
        if name not in self._known:
            # Cycles and unknown fragments measure 0 here; the standard rules refuse them.
            self._known[name] = (0, 0)
            if name in self._fragments:
                self._known[name] = self.of(self._fragments[name].selection_set)
        return self._known[name]
