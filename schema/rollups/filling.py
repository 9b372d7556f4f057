"""Filling the rollups of a run, some classes of its edges at a time, in memory that does not grow with the run.

1. The edges of a part are grouped by all that any rollup of edges groups by: there are about a third as many groups.
2. Each such rollup sums the groups to partial rows; those that keep the strongest edges find them among the part's.
3. The partial rows of all parts are summed.

How many distinct roots some edges have is the one measure that does not add up. So the roots of a class are numbered,
and a group holds the set of its roots as the bits of a number, a block of 64 roots at a time. Each root lies in one
part and in one block, so the counts of blocks and of parts may be added.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from sqlalchemy import Connection

from evigraph.schema.parts import Part, parts
from evigraph.schema.sql import identifier, quoted
from evigraph.schema.tables.declared import (
    EDGE_KEYS,
    ROLLUPS,
    Edges,
    Key,
    Measure,
    Rollup,
    Roots,
    Rows,
    Strongest,
    Total,
)
from evigraph.schema.tables.selects import (
    edges_of,
    keys_of,
    of_parts,
    rooted,
    roots_of,
    strongest_edges,
    strongest_places,
    whole,
)
from evigraph.schema.views import CONTRIBUTION, UNFOLDED, edges_from

EDGES_AT_A_TIME = 3_000_000
"""About so many edges are rolled up at a time, some 300 MB."""
ROOTS_IN_A_BLOCK = 64
"""So many have a bit each in one number."""


def build_rollups(
    connection: Connection,
    run_id: int,
    progress: Callable[[int, int], None] | None = None,
    names: Collection[str] | None = None,
) -> None:
    """Fill rollups of one run from its base tables, replacing what was there: those of `names`, or all.

    Temporary tables are made and dropped; `progress` gets (parts done, parts).
    """
    execute = connection.exec_driver_sql
    rollups = [rollup for name, rollup in ROLLUPS.items() if names is None or name in names]
    parted = [rollup for rollup in rollups if not isinstance(rollup.source, Rows)]
    execute("SET preserve_insertion_order = false")  # every order that matters is asked for
    # A small part first: it takes little time to find strong edges, next to which most others need not be kept.
    each = list(parts(connection, run_id, EDGES_AT_A_TIME, first=EDGES_AT_A_TIME // 32)) if parted else []
    if parted:
        execute(f"CREATE OR REPLACE TEMP TABLE numbered_root AS {_numbered_roots(run_id)}")
    for done, part in enumerate(each):
        if progress is not None:
            progress(done, len(each))
        _add_part(connection, parted, part, done)
    split = any(part.is_of_a_class for part in each)
    for rollup in rollups:
        table, columns = identifier(rollup.__tablename__), quoted(rollup.columns())
        execute(f"DELETE FROM {table} WHERE run_id = {run_id}")
        if rollup not in parted:
            execute(f"INSERT INTO {table} ({columns}) {whole(rollup, '', run_id)}")
        elif each:
            rows = f"WITH part AS (FROM {_part_table(rollup)}) {of_parts(rollup, split)}"
            execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ({rows}) ORDER BY ALL")
    execute("RESET preserve_insertion_order")
    for temporary in ("numbered_root", "edge_group", *map(_part_table, parted)):
        execute(f"DROP TABLE IF EXISTS temp.{temporary}")


def _add_part(connection: Connection, rollups: Iterable[type[Rollup]], part: Part, done: int) -> None:
    """Add the rows that a part gives each rollup to those of the `done` parts before it."""
    execute = connection.exec_driver_sql
    execute(f"CREATE OR REPLACE TEMP TABLE edge_group AS {_groups(part, _totals(rollups))}")
    # DuckDB has statistics of committed rows, by which grouping takes half as long, and frees what they replaced.
    connection.commit()
    for rollup in rollups:
        table, source = _part_table(rollup), rollup.source
        if isinstance(source, Strongest) and done.bit_count() == 1:
            # Before parts 1, 2, 4, 8, ...: fewer and fewer edges raise the bounds.
            execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {strongest_places(rollup, source, table)}")
        into = f"INSERT INTO {table}" if done else f"CREATE OR REPLACE TEMP TABLE {table} AS"
        if isinstance(source, Edges):
            execute(f"{into} {_summed_groups(rollup, source, part.run_id)}")
        elif isinstance(source, Strongest):
            edges = _strong_edges(table, source, part) if done else "edge"
            edges = edges_of(part.run_id, edges, part.condition("root_class_id"), roots="numbered_root")
            execute(f"{into} WITH rooted AS ({rooted(f'({edges})')}) {strongest_edges(rollup)}")


def _part_table(rollup: type[Rollup]) -> str:
    """Name of the temporary table of the rows that parts give a rollup."""
    return identifier(f"part_{rollup.__tablename__}")


def _numbered_roots(run_id: int) -> str:
    """The roots of a run, each with its block and its bit in it; roots of one outcome share blocks, as they do keys."""
    block, bit = f"(number // {ROOTS_IN_A_BLOCK})::INTEGER", f"1::UBIGINT << (number % {ROOTS_IN_A_BLOCK})"
    return f"""
        SELECT * EXCLUDE (number), {block} AS block, {bit} AS root_bit
        FROM (SELECT *, dense_rank() OVER (PARTITION BY class_id ORDER BY role, outcome, decision_id) - 1 AS number
              FROM ({roots_of(run_id)}))
    """


def _totals(rollups: Iterable[type[Rollup]]) -> list[Total]:
    """What the rollups sum, each once."""
    return list(dict.fromkeys(total for rollup in rollups for total in rollup.having(Total).values()))


def _groups(part: Part, totals: Iterable[Total]) -> str:
    """The edges of a part summed by EDGE_KEYS, each group with the set of its roots."""
    condition = part.condition("root_class_id")
    edges = edges_of(part.run_id, condition=condition, roots="numbered_root")
    keys = quoted(["block", *(name for name in EDGE_KEYS if name != "source_layer")])  # the one below target_layer
    sums = "".join(f", {total.of_rows()} AS {total.name}" for total in totals)
    return f"""
        SELECT {keys}, bit_or(root_bit) AS roots, count(*)::INTEGER AS edges{sums}
        FROM ({rooted(f"({edges})")}) GROUP BY {keys}
    """


def _summed_groups(rollup: type[Rollup], source: Edges, run_id: int) -> str:
    """The rows that the groups of a part give a rollup: those that its edges give in `selects.whole`."""
    groups = f"""(SELECT {run_id}::INTEGER AS run_id, (target_layer - 1)::SMALLINT AS source_layer, *
                  FROM edge_group WHERE {source.condition})"""
    keys, measures = keys_of(rollup, source), rollup.measures()
    sums = _listed({name: (measure, measure.of_groups()) for name, measure in measures.items()})
    if not rollup.having(Roots):
        return f"SELECT {keys}, {sums} FROM {groups} GROUP BY ALL"
    names = quoted([*rollup.having(Key), *source.each])
    of_blocks = _listed({name: (measure, f"sum({identifier(name)})") for name, measure in measures.items()})
    return f"""
        SELECT {names}, {of_blocks}
        FROM (SELECT class_id AS of_class, block, {keys}, {sums} FROM {groups} GROUP BY ALL) GROUP BY {names}
    """


def _listed(measures: dict[str, tuple[Measure, str]]) -> str:
    """SELECT list of measures of partial rows: a sum of integers would be of 16 bytes."""
    return ", ".join(
        f"{sql}{'' if isinstance(measure, Total) else '::INTEGER'} AS {identifier(name)}"
        for name, (measure, sql) in measures.items()
    )


def _strong_edges(table: str, source: Strongest, part: Part) -> str:
    """The edges of a part but for those that cannot be among the strongest, as the parts before have stronger ones.

    An edge is weighed before the rest of its columns is computed, which takes longer.
    """
    strong = f"""
        SELECT u.* FROM (FROM {UNFOLDED} WHERE {part.condition()}) AS u
        LEFT JOIN (FROM {table} WHERE position = {source.count - 1}) AS b
             ON b.layer_id = u.layer_id - 1 AND b.channel = e.channel
        WHERE coalesce({CONTRIBUTION} >= b.contribution, TRUE)
    """
    return f"({edges_from(f'({strong})')})"
