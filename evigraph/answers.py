"""What a question asked from Python gives: a table in Arrow's memory, drawn in notebooks."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SHOWN_ROWS = 20
"""Rows of a table that a notebook draws."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Rows, with what was asked. pandas, polars and DuckDB take it as the Arrow table that it holds.

    Attributes:
        table: The rows.
        totals: What the answer says besides its rows, such as a contrast's `decisionsA`.
        query: GraphQL that gives the same rows, page by page; None of edges, which are not asked by GraphQL.
        variables: Its variables.
    """

    table: pa.Table
    totals: Mapping[str, Any] = field(default_factory=dict)
    query: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame; pandas must be installed."""
        return self.table.to_pandas()

    def to_pylist(self) -> list[dict[str, Any]]:
        """The rows as dicts."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def __len__(self) -> int:
        """Rows."""
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows as dicts, a batch at a time."""
        for batch in self.table.to_batches():
            yield from batch.to_pylist()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Arrow's C stream interface."""
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """The columns, and the first rows as JSON."""
        lines = [f"{len(self)} rows of {', '.join(self.table.column_names)}"]
        lines += [f"{name}: {value}" for name, value in self.totals.items()]
        lines += [json.dumps(row, default=str, ensure_ascii=False) for row in self.table.slice(0, 5).to_pylist()]
        return "\n".join([*lines, *(["..."] if len(self) > 5 else [])])

    def _repr_html_(self) -> str:
        shown = self.table.slice(0, SHOWN_ROWS).to_pylist()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.table.column_names)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_text(value))}</td>" for value in row.values()) + "</tr>"
            for row in shown
        )
        said = [f"{name}: {_text(value)}" for name, value in self.totals.items()]
        if len(self) > len(shown):
            said.append(f"{len(shown)} of {len(self)} rows are shown")
        caption = f"<caption>{html.escape('; '.join(said))}</caption>" if said else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    """A value as a person reads it: four significant digits of a fraction, nothing of a null."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
