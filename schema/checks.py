"""Checking a database: the rules on its base tables, then each rollup computed again and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from schema.database import one_line
from schema.errors import DatabaseError
from schema.invariants import INVARIANTS, Invariant
from schema.models import ROLLUP_TABLES, Base
from schema.rollups import ROLLUPS

EDGES_PER_RANGE = 4_000_000
"""About how many edges a rule is asked of at a time; a range of so many takes a few hundred MB."""
SAMPLE_ABOVE_EDGES = 20_000_000
"""Above so many edges the rollups of channels are compared for a sample of the channels only."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check; `detail` says what broke it, with an example."""

    name: str
    ok: bool
    violations: int
    detail: str


def run_checks(connection: Connection, progress: Progress | None = None) -> list[CheckResult]:
    """Check everything; the connection may be read-only. `progress` gets (done, total).

    Raises:
        DatabaseError: a check could not be carried out, as on a damaged file.
    """
    total = len(INVARIANTS) + len(ROLLUP_TABLES)
    results = []
    for check in (check_tables, check_rollups):
        for result in check(connection):
            results.append(result)
            if progress is not None:
                progress(len(results), total)
    return results


def check_tables(connection: Connection) -> Iterator[CheckResult]:
    """The rules on the base tables, one result each."""
    ranges = _decision_ranges(connection)
    for rule in INVARIANTS:
        parameters: list[dict[str, int]] = ranges if rule.by_decisions else [{}]
        violations, example = 0, None
        for values in parameters:
            found, first = _count(connection, rule.name, _on_a_range(rule), values)
            violations, example = violations + found, example or first
        yield CheckResult(rule.name, not violations, violations, _detail(violations, rule.broken, example))


def check_rollups(connection: Connection, *, sample_above_edges: int = SAMPLE_ABOVE_EDGES) -> Iterator[CheckResult]:
    """Each rollup against its own SELECT, in both directions, one result each.

    In a run of more edges than `sample_above_edges` one channel in every n is compared.
    """
    runs = connection.exec_driver_sql("SELECT run_id, edge_count FROM run ORDER BY run_id").all()
    for table in ROLLUP_TABLES:
        violations, example = 0, None
        for run_id, edge_count in runs:
            every = -(-edge_count // sample_above_edges) if table.startswith("channel_") else 1
            sql = _difference(table, max(1, every))
            found, first = _count(connection, f"rollup-{table}", sql, {"run_id": run_id})
            violations, example = violations + found, example or first
        broken = f"{table} rows that its SELECT does not give, or the reverse"
        yield CheckResult(f"rollup-{table}", not violations, violations, _detail(violations, broken, example))


def _difference(table: str, every: int) -> str:
    """Rows that are only stored or only computed, of one channel in `every`."""
    names = [column.name for column in Base.metadata.tables[table].columns]
    columns = ", ".join(f'"{name}"' for name in names)
    computed = f"SELECT {columns} FROM ({ROLLUPS[table]})"
    stored = f'SELECT {columns} FROM "{table}" WHERE run_id = $run_id'
    if every > 1:
        # The CTE stands in for the table in the rollup's own SELECT.
        keep = f"hash(source_layer, source_channel) % {every} = 0"
        computed = f"WITH edge AS (SELECT * FROM main.edge WHERE {keep}) {computed}"
        layer, channel = ("source_layer", "source_channel") if "source_layer" in names else ("layer_id", "channel")
        stored += f" AND hash({layer}, {channel}) % {every} = 0"
    return f"""
        (SELECT 'stored' AS side, * FROM (({stored}) EXCEPT ALL ({computed})))
        UNION ALL
        (SELECT 'computed' AS side, * FROM (({computed}) EXCEPT ALL ({stored})))
    """


def _decision_ranges(connection: Connection) -> list[dict[str, int]]:
    """Ranges of decisions, per run, of about EDGES_PER_RANGE edges each."""
    ranges = []
    for run_id, first, last, edges in connection.exec_driver_sql(
        "SELECT run_id, min(decision_id), max(decision_id), count(*) FROM edge GROUP BY run_id ORDER BY run_id"
    ).all():
        parts = -(-edges // EDGES_PER_RANGE)
        step = -(-(last - first + 1) // parts)
        for start in range(first, last + 1, step):
            ranges.append({"run_id": run_id, "first": start, "last": min(start + step - 1, last)})
    return ranges


def _on_a_range(rule: Invariant) -> str:
    rows = "(SELECT * FROM edge WHERE run_id = $run_id AND decision_id BETWEEN $first AND $last)"
    return rule.sql.replace("{edge}", rows)


def _count(connection: Connection, name: str, sql: str, parameters: dict[str, int]) -> tuple[int, str | None]:
    """How many rows a SELECT gives, and the first of them in order, as text."""
    try:
        row = connection.exec_driver_sql(
            f"SELECT count(*), min(CAST(broken AS VARCHAR)) FROM ({sql}) AS broken", parameters
        ).one()
    except DBAPIError as error:
        raise DatabaseError(f"check {name} could not be carried out: {one_line(error)}") from error
    return int(row[0]), row[1]


def _detail(violations: int, broken: str, example: str | None) -> str:
    return f"{violations} {broken}, such as {example}" if violations else ""
