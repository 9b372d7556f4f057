"""Checking a database: the rules on its base tables, then each rollup computed again and compared.

A rule on edges is asked of one part of a run after the other (`schema.parts`). Of a large run the rollups are computed
again for a sample: those by class for some classes, those by source channel for some channels, the others whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Numeric
from sqlalchemy.exc import DBAPIError

from evigraph.schema.checks.invariants import INVARIANTS
from evigraph.schema.database import one_line
from evigraph.schema.errors import DatabaseError
from evigraph.schema.parts import Part, parts
from evigraph.schema.sql import identifier, literal, quoted
from evigraph.schema.tables.declared import ROLLUPS, Key, Rollup, Rows
from evigraph.schema.tables.selects import edges_of, whole

EDGES_PER_PART = 2_000_000
"""About how many edges a rule is asked of at a time; a part of so many takes some 400 MB."""
SAMPLE_EDGES = 4_000_000
"""Of a run of more edges the rollups are compared for a sample of about so many."""

_FEWER_CHANNELS = 8
"""A sample of channels is so much smaller than one of classes: its edges lie scattered, so it costs more."""

Progress = Callable[[int, int], None]
_Violations = tuple[int, str | None]
"""How many rows break a rule, and one of them as text."""


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
    total = len(INVARIANTS) + len(ROLLUPS)
    results = []
    for check in (check_tables, check_rollups):
        for result in check(connection):
            results.append(result)
            if progress is not None:
                progress(len(results), total)
    return results


def check_tables(
    connection: Connection, *, runs: Collection[int] | None = None, sample_edges: int | None = None
) -> Iterator[CheckResult]:
    """The rules on the base tables, one result each.

    Args:
        connection: may be read-only; a temporary table is made and dropped.
        runs: whose edges to check; None for all runs. Rules that are not on edges hold of all runs.
        sample_edges: of a run of more edges, only parts of together about so many are checked; None for all edges.
    """
    counts: dict[str, list[_Violations]] = {rule.name: [] for rule in INVARIANTS}
    for rule in INVARIANTS:
        if not rule.by_parts:
            counts[rule.name].append(_count(connection, rule.name, rule.sql))
    for part in _checked_parts(connection, runs, sample_edges):
        _keep(connection, "part_edge", f"SELECT * FROM edge WHERE {part.condition('root_class_id')}")
        for rule in INVARIANTS:
            if rule.by_parts:
                counts[rule.name].append(_count(connection, rule.name, _of_part(rule.sql, part)))
    _execute(connection, "DROP TABLE IF EXISTS temp.part_edge")
    for rule in INVARIANTS:
        yield _result(rule.name, counts[rule.name], rule.broken)


def _checked_parts(connection: Connection, runs: Collection[int] | None, sample_edges: int | None) -> Iterator[Part]:
    for run_id, edge_count in _runs(connection, runs):
        if sample_edges is None or edge_count <= sample_edges:
            yield from parts(connection, run_id, EDGES_PER_PART)
            continue
        # Parts of a quarter of the sample, spread evenly over the classes.
        every = list(parts(connection, run_id, max(1, sample_edges // 4)))
        yield from every[:: -(-len(every) // 4)]


def _of_part(sql: str, part: Part) -> str:
    for table in ("decomposition", "decision", "overlap"):
        sql = sql.replace(f"{{{table}}}", f"(SELECT * FROM {table} WHERE {part.condition()})")
    return sql.replace("{edge}", "part_edge").replace("$run_id", str(part.run_id))


def check_rollups(
    connection: Connection, *, runs: Collection[int] | None = None, sample_edges: int = SAMPLE_EDGES
) -> Iterator[CheckResult]:
    """Each rollup against its own SELECT, in both directions, one result each; of a sample where a run is larger."""
    counts: dict[str, list[_Violations]] = {table: [] for table in ROLLUPS}
    for run_id, edge_count in _runs(connection, runs):
        every = max(1, -(-edge_count // max(1, sample_edges)))
        for sample, rollups in _samples(connection, run_id, every):
            # The same sample serves every rollup of its kind, so that the edges are read once for each.
            if sample is not None:
                condition = sample.condition({name: name for name in _BY_CHANNEL} | {"class_id": "root_class_id"})
                _keep(connection, "checked_edge", edges_of(run_id, condition=condition))
            for rollup in rollups:
                for sql in _differences(rollup, run_id, sample):
                    name = rollup.__tablename__
                    counts[name].append(_count(connection, f"rollup-{name}", sql))
    _execute(connection, "DROP TABLE IF EXISTS temp.checked_edge")
    for table in ROLLUPS:
        yield _result(f"rollup-{table}", counts[table], f"{table} rows that its SELECT does not give, or the reverse")


@dataclass(frozen=True)
class _Sample:
    """The edges that have one of some values of a key; all edges where there is no key."""

    key: tuple[str, ...] = ()
    values: str = ""

    def condition(self, columns: Mapping[str, str]) -> str:
        """SQL that is true of the sample; `columns` gives the column that holds each part of the key."""
        return f"({', '.join(columns[name] for name in self.key)}) IN ({self.values})" if self.key else "TRUE"


_BY_CLASS, _BY_CHANNEL = ("class_id",), ("source_layer", "source_channel")


def _samples(connection: Connection, run_id: int, every: int) -> Iterator[tuple[_Sample | None, list[type[Rollup]]]]:
    """The rollups, by the edges that they are compared with: of one class or channel in `every`; None if with none."""
    by_key: defaultdict[tuple[str, ...] | None, list[type[Rollup]]] = defaultdict(list)
    for rollup in ROLLUPS.values():
        names = {key.sql for key in rollup.having(Key).values()}
        keys = [key for key in (_BY_CLASS, _BY_CHANNEL) if every > 1 and names.issuperset(key)]
        by_key[None if isinstance(rollup.source, Rows) else next(iter(keys), ())].append(rollup)
    values = {_BY_CLASS: _classes, _BY_CHANNEL: _channels}
    for key, rollups in by_key.items():
        yield None if key is None else _Sample(key, values[key](connection, run_id, every) if key else ""), rollups


def _classes(connection: Connection, run_id: int, every: int) -> str:
    """SQL of one class in `every`, as a list."""
    sql = "SELECT class_id FROM class WHERE run_id = $run_id ORDER BY class_id"
    classes = connection.exec_driver_sql(sql, {"run_id": run_id}).scalars().all()
    return ", ".join(map(literal, classes[::every])) or "NULL"


def _channels(connection: Connection, run_id: int, every: int) -> str:
    """SQL of a sample of (layer, channel), as a list: of a list DuckDB computes nothing for the other edges."""
    sql = "SELECT layer_id, unnest(range(channels)) AS channel FROM layer WHERE run_id = $run_id ORDER BY ALL"
    channels = connection.exec_driver_sql(sql, {"run_id": run_id}).all()
    step = min(_FEWER_CHANNELS * every, len(channels))
    return ", ".join(literal(tuple(channel)) for channel in channels[step // 2 :: step]) or "(NULL, NULL)"


def _differences(rollup: type[Rollup], run_id: int, sample: _Sample | None) -> list[str]:
    """SELECTs of the rows that are only stored or only computed; of a sample, those of its classes or channels."""
    names, keys = list(rollup.columns()), rollup.having(Key)
    stored = f"SELECT {quoted(names)} FROM {identifier(rollup.__tablename__)} WHERE run_id = {run_id}"
    computed = whole(rollup, "checked_edge", run_id)
    if sample is None or not sample.key:
        return [_difference(names, stored, computed)]
    stored += f" AND {sample.condition({key.sql: identifier(name) for name, key in keys.items()})}"
    for name, key in keys.items():
        if key.overall is not None:
            computed = f"SELECT * FROM ({computed}) WHERE {identifier(name)} <> {literal(key.overall)}"
            return [_difference(names, stored, computed), _total_difference(rollup, name, run_id)]
    return [_difference(names, stored, computed)]


def _total_difference(rollup: type[Rollup], name: str, run_id: int) -> str:
    """Rows over all values of a key that are not the sum of the rows by value, each of which is rounded."""
    keys, columns = rollup.having(Key), rollup.columns()
    is_overall = f"{identifier(name)} = {literal(keys[name].overall)}"
    differ = ""
    for measure in rollup.measures():
        kind = columns[measure].type
        step = 10.0 ** -(kind.scale or 0) if isinstance(kind, Numeric) else 0
        difference = f"sum(CASE WHEN {is_overall} THEN {identifier(measure)} ELSE -{identifier(measure)} END)"
        differ += f" OR abs({difference}) > {step} * count(*)"
    return f"""
        SELECT {quoted(other for other in keys if other != name)}
        FROM {identifier(rollup.__tablename__)} WHERE run_id = {run_id} GROUP BY ALL
        HAVING count(*) FILTER ({is_overall}) <> 1 OR count(*) = 1 {differ}
    """


def _difference(names: Sequence[str], stored: str, computed: str) -> str:
    """Rows that one of two SELECTs gives more often than the other; each is carried out once."""
    columns = quoted(names)
    return f"""
        SELECT CASE WHEN sum(side) > 0 THEN 'stored' ELSE 'computed' END AS side, {columns}
        FROM (SELECT 1 AS side, {columns} FROM ({stored}) UNION ALL SELECT -1, {columns} FROM ({computed}))
        GROUP BY {columns} HAVING sum(side) <> 0
    """


def _runs(connection: Connection, runs: Collection[int] | None) -> list[tuple[int, int]]:
    """(run_id, edge_count) of the runs to check."""
    every = connection.exec_driver_sql("SELECT run_id, edge_count FROM run ORDER BY run_id").all()
    return [(run_id, edge_count) for run_id, edge_count in every if runs is None or run_id in runs]


def _keep(connection: Connection, table: str, select: str) -> None:
    """A temporary table, committed: DuckDB has statistics of such rows alone, by which it groups twice as fast."""
    _execute(connection, f"CREATE OR REPLACE TEMP TABLE {table} AS {select}")
    connection.commit()


def _execute(connection: Connection, sql: str) -> None:
    try:
        connection.exec_driver_sql(sql)
    except DBAPIError as error:
        raise DatabaseError(f"the edges could not be read: {one_line(error)}") from error


def _count(connection: Connection, name: str, sql: str) -> _Violations:
    """How many rows a SELECT gives, and the first of them in order, as text."""
    try:
        row = connection.exec_driver_sql(f"SELECT count(*), min(CAST(broken AS VARCHAR)) FROM ({sql}) AS broken").one()
    except DBAPIError as error:
        raise DatabaseError(f"check {name} could not be carried out: {one_line(error)}") from error
    return int(row[0]), row[1]


def _result(name: str, counts: Sequence[_Violations], broken: str) -> CheckResult:
    violations = sum(count for count, _ in counts)
    example = next((example for _, example in counts if example), None)
    return CheckResult(
        name, not violations, violations, f"{violations} {broken}, such as {example}" if violations else ""
    )
