"""Parts of a run's edges: some classes of roots each, as they lie together, so that memory does not grow with a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

LAST = 2**31 - 1


@dataclass(frozen=True)
class Part:
    """The edges of a run whose root is of the classes `low` to `high` and of the ids `first` to `last`."""

    run_id: int
    low: int
    high: int
    first: int = 0
    last: int = LAST

    def condition(self, class_column: str = "class_id", table: str = "") -> str:
        """SQL that is true of the part's rows of a table with run_id, the root's class and decision_id."""
        name = f"{table}." if table else ""
        rows = f"{name}run_id = {self.run_id} AND {name}{class_column} BETWEEN {self.low} AND {self.high}"
        if self.is_of_a_class:
            rows += f" AND {name}decision_id BETWEEN {self.first} AND {self.last}"
        return rows

    @property
    def is_of_a_class(self) -> bool:
        """Whether it holds some decisions of a class rather than whole classes."""
        return (self.first, self.last) != (0, LAST)


def parts(connection: Connection, run_id: int, edge_count: int, first: int | None = None) -> Iterator[Part]:
    """Parts of about `edge_count` edges each that hold every edge of a run: classes, or decisions of a large class.

    The first part may be of another size, about `first` edges.
    """
    limit = edge_count if first is None else first
    sql = """
        SELECT class_id, min(decision_id) AS first, max(decision_id) AS last, sum(len(evidence))::BIGINT AS edges
        FROM decomposition WHERE run_id = $run_id GROUP BY class_id ORDER BY class_id
    """
    low, high, edges = 0, 0, 0
    for row in connection.exec_driver_sql(sql, {"run_id": run_id}).all():
        if edges and edges + row.edges > limit:
            yield Part(run_id, low, high)
            edges, limit = 0, edge_count
        low, high = (row.class_id if not edges else low), row.class_id
        if row.edges > edge_count:
            step = -(-(row.last - row.first + 1) // -(-row.edges // edge_count))
            for first in range(row.first, row.last + 1, step):
                yield Part(run_id, low, high, first, min(first + step - 1, row.last))
        else:
            edges += max(row.edges, 1)
    if edges:
        yield Part(run_id, low, high)
