"""What a question asked from Python gives: a table in Arrow's memory, drawn in notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evigraph.reading import shown
from evigraph.schema.errors import EvidenceError, NotFoundError, NotInstalledError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SHOWN_ROWS = 20
"""Rows of a table that a notebook draws."""
_ADDRESS = "_url"


@dataclass(frozen=True, eq=False)
class Answer:
    """Rows, with what was asked. pandas, polars and DuckDB take it as the Arrow table that it holds.

    Attributes:
        table: The rows, a `pyarrow.Table`.
        totals: What the answer says besides its rows, such as a contrast's `decisions_a`.
        query: GraphQL that gives the same rows, page by page; None of edges, which are not asked by GraphQL.
        variables: Its variables.
        small_pictures: From addresses of pictures to small ones for a notebook; None where they cannot be had.
    """

    table: pa.Table
    totals: Mapping[str, Any] = field(default_factory=dict)
    query: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    small_pictures: Callable[[Sequence[str]], Mapping[str, shown.Picture]] | None = None

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.table.column_names)

    def select(self, *columns: str) -> Answer:
        """The same rows with some of the columns, in this order.

        Raises:
            NotFoundError: There is no such column; near ones are named.
        """
        for column in columns:
            self._known(column)
        return replace(self, table=self.table.select(list(columns)))

    def to_arrow(self) -> pa.Table:
        """The rows as a `pyarrow.Table`, without a copy."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame.

        Raises:
            NotInstalledError: pandas is not there.
        """
        try:
            return self.table.to_pandas()
        except ModuleNotFoundError as error:
            raise NotInstalledError(
                "to_pandas needs pandas; pip install pandas, or take .table, which is Arrow"
            ) from error

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

    def __getitem__(self, column: str) -> list[Any]:
        """The values of a column.

        Raises:
            NotFoundError: There is no such column; near ones are named.
        """
        self._known(column)
        values: list[Any] = self.table[column].to_pylist()
        return values

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Arrow's C stream interface."""
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        """The first rows in columns, and what is said of all of them."""
        rows = [list(map(shown.text, row.values())) for row in self.table.slice(0, SHOWN_ROWS).to_pylist()]
        lines = shown.aligned(self.columns, rows)
        lines.append("; ".join([*(["..."] if len(self) > len(rows) else []), _rows(len(self)), *self._said()]))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """A table of the first rows, with the pictures of columns of addresses where the database has them."""
        rows = self.table.slice(0, SHOWN_ROWS).to_pylist()
        addresses = [name for name in self.columns if name.endswith(_ADDRESS)]
        pictures = self._pictures([row[name] for row in rows for name in addresses if row[name]])
        said = self._said()
        if len(self) > len(rows):
            said.append(f"{len(rows)} of {_rows(len(self))} are shown")
        heads = [name.removesuffix(_ADDRESS) if name in addresses and pictures else name for name in self.columns]
        cells = [
            [
                pictures[row[name]].tag() if name in addresses and row[name] in pictures else shown.cell(row[name])
                for name in self.columns
            ]
            for row in rows
        ]
        return shown.table(heads, cells, "; ".join(said))

    def _said(self) -> list[str]:
        return [f"{name}: {shown.text(value)}" for name, value in self.totals.items() if value is not None]

    def _known(self, column: str) -> None:
        if column not in self.columns:
            raise NotFoundError("column", column, self.columns, f"(there are {', '.join(self.columns)})")

    def _pictures(self, addresses: Sequence[str]) -> Mapping[str, shown.Picture]:
        if self.small_pictures is None or not addresses:
            return {}
        try:
            return self.small_pictures(addresses)
        except EvidenceError:  # closed, or published anew since: the addresses are shown as they are
            return {}


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
