"""Filling the rollups of a run, some classes of its edges at a time, in memory that does not grow with the run.

1. The edges of a part are grouped by all that any additive rollup groups by: there are about a third as many groups.
2. Each such rollup sums the groups to partial rows; those that keep the best edges find them among the part's.
3. The partial rows of all parts are summed.

How many distinct roots some edges have is the one measure that does not add up. So the roots of a class are numbered,
and a group holds the set of its roots as the bits of a number, a block of 64 roots at a time. Each root lies in one
part and in one block, so the counts of blocks and of parts may be added.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from evigraph.schema.parts import Part, parts
from evigraph.schema.rollups.rollups import (
    MEASURES,
    ROLLUPS,
    Additive,
    Best,
    Whole,
    edges_of,
    rooted,
    roots_of,
    total,
    whole,
)
from evigraph.schema.tables import ROLLUP_TABLES
from evigraph.schema.tables.base import columns_of, quoted
from evigraph.schema.views import CONTRIBUTION, UNFOLDED, edges_from

EDGES_AT_A_TIME = 3_000_000
"""About so many edges are rolled up at a time, some 300 MB."""
ROOTS_IN_A_BLOCK = 64
"""So many have a bit each in one number."""
_KEYS = """class_id, block, label_id, role, outcome, target_layer, target_channel, source_channel, "rank",
           context_label_id"""
"""What the groups of a part have in common: all that an additive rollup groups by, or has a condition on."""


def build_rollups(connection: Connection, run_id: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Fill every rollup of one run from its base tables, replacing what was there.

    Args:
        connection: may write; temporary tables are made and dropped.
        run_id: of the run.
        progress: gets (parts done, parts).
    """
    execute = connection.exec_driver_sql
    execute("SET preserve_insertion_order = false")  # every order that matters is asked for
    # A small part first: it takes little time to find strong edges, next to which most others need not be kept.
    each = list(parts(connection, run_id, EDGES_AT_A_TIME, first=EDGES_AT_A_TIME // 32))
    execute(f"CREATE OR REPLACE TEMP TABLE numbered_root AS {_numbered_roots(run_id)}")
    for done, part in enumerate(each):
        if progress is not None:
            progress(done, len(each))
        execute(f"CREATE OR REPLACE TEMP TABLE edge_group AS {_groups(part)}")
        # DuckDB has statistics of committed rows, by which grouping takes half as long, and frees what they replaced.
        connection.commit()
        for table, rollup in _PARTED.items():
            if isinstance(rollup, Best) and done.bit_count() == 1:
                # Before parts 1, 2, 4, 8, ...: fewer and fewer edges raise the bounds.
                best = f"WITH summed AS (FROM part_{table}) {rollup.total}"
                execute(f"CREATE OR REPLACE TEMP TABLE part_{table} AS {best}")
            into = f"INSERT INTO part_{table}" if done else f"CREATE OR REPLACE TEMP TABLE part_{table} AS"
            execute(f"{into} {_part_rows(table, part, bounded=done > 0)}")
    split = any(part.is_of_a_class for part in each)
    for table in ROLLUP_TABLES:
        columns = quoted(columns_of(table))
        execute(f'DELETE FROM "{table}" WHERE run_id = {run_id}')
        if table not in _PARTED:
            execute(f'INSERT INTO "{table}" ({columns}) {whole(table, "", run_id)}')
        elif each:
            rows = f"WITH part AS (FROM part_{table}) {total(table, split)}"
            execute(f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM ({rows}) ORDER BY ALL')
    execute("RESET preserve_insertion_order")
    for temporary in ("numbered_root", "edge_group", *(f"part_{table}" for table in _PARTED)):
        execute(f"DROP TABLE IF EXISTS temp.{temporary}")


_PARTED: dict[str, Additive | Best] = {
    table: rollup for table, rollup in ROLLUPS.items() if not isinstance(rollup, Whole)
}


def _numbered_roots(run_id: int) -> str:
    """The roots of a run, each with its block and its bit in it; roots of one outcome share blocks, as they do keys."""
    block, bit = f"(number // {ROOTS_IN_A_BLOCK})::INTEGER", f"1::UBIGINT << (number % {ROOTS_IN_A_BLOCK})"
    return f"""
        SELECT * EXCLUDE (number), {block} AS block, {bit} AS root_bit
        FROM (SELECT *, dense_rank() OVER (PARTITION BY class_id ORDER BY role, outcome, decision_id) - 1 AS number
              FROM ({roots_of(run_id)}))
    """


def _groups(part: Part) -> str:
    """The edges of a part summed by _KEYS, each group with the set of its roots."""
    condition = part.condition("root_class_id")
    edges = edges_of(part.run_id, condition=condition, roots="numbered_root")
    sums = {name: sql for name, sql in MEASURES.items() if name != "decisions"}
    return f"""
        SELECT {_KEYS}, bit_or(root_bit) AS roots, {_measures(sums)}
        FROM ({rooted(f"({edges})")}) GROUP BY {_KEYS}
    """


def _part_rows(table: str, part: Part, *, bounded: bool) -> str:
    """The partial rows that a part gives a rollup; `bounded` says whether there are bounds of the best yet."""
    rollup = _PARTED[table]
    if isinstance(rollup, Additive):
        return _summed_groups(rollup, part.run_id)
    edges = _strong_edges(table, rollup, part) if bounded else "edge"
    edges = edges_of(part.run_id, edges, part.condition("root_class_id"), roots="numbered_root")
    return f"WITH rooted AS ({rooted(f'({edges})')}) {rollup.part}"


def _summed_groups(rollup: Additive, run_id: int) -> str:
    """The same rows as those of `of_edges`, from the groups of the edges."""
    groups = f"""(SELECT {run_id}::INTEGER AS run_id, (target_layer - 1)::SMALLINT AS source_layer, *
                  FROM edge_group WHERE {rollup.condition})"""
    sums = {name: f"sum({name})" for name in rollup.measures}
    if "decisions" not in sums:
        return f"SELECT {', '.join(rollup.keys)}, {_measures(sums)} FROM {groups} GROUP BY ALL"
    by_block = sums | {"decisions": "bit_count(bit_or(roots))"}
    names = quoted(rollup.names)
    return f"""
        SELECT {names}, {_measures(sums)}
        FROM (SELECT class_id AS of_class, block, {", ".join(rollup.keys)}, {_measures(by_block)} FROM {groups}
              GROUP BY ALL)
        GROUP BY {names}
    """


def _measures(sums: dict[str, str]) -> str:
    """SQL of the columns that partial rows have: a sum of integers would be of 16 bytes."""
    return ", ".join(f"{sql}{'' if name.endswith('_sum') else '::INTEGER'} AS {name}" for name, sql in sums.items())


def _strong_edges(table: str, rollup: Best, part: Part) -> str:
    """The edges of a part but for those that cannot be among the best, as the parts before have better ones.

    An edge is weighed before the rest of its columns is computed, which takes longer.
    """
    strong = f"""
        SELECT u.* FROM (FROM {UNFOLDED} WHERE {part.condition()}) AS u
        LEFT JOIN (FROM part_{table} WHERE position = {rollup.count - 1}) AS b
             ON b.layer_id = u.layer_id - 1 AND b.channel = e.channel
        WHERE coalesce({CONTRIBUTION} >= b.contribution, TRUE)
    """
    return f"({edges_from(f'({strong})')})"
