"""The SELECTs that the declaration of a rollup stands for, and its digest.

`publish` fills a rollup part by part (`rollups.filling`), and `check` computes it by `whole` and compares: they must
give the same rows every time. So sums are taken over doubles of few binary places, whose sum is exact and so does not
depend on the order of the threads, and every tie is broken. (Decimals would do, but DuckDB casts a sum of them 40 times
slower.)

`rooted` below stands for edges, each with its root; `part` for the rows that parts of the edges give.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import chain, combinations

from sqlalchemy import Numeric
from sqlalchemy.engine import URL

from evigraph.schema.ids import ROLES
from evigraph.schema.sql import identifier, literal, quoted
from evigraph.schema.tables.declared import ROLLUPS, Derived, Edges, Key, Rollup, Rows, Strongest, Value

OUTCOMES = ("correct", "wrong", "unlabelled")
_DIALECT = URL.create("duckdb").get_dialect()()


def whole(rollup: type[Rollup], edges: str, run_id: int) -> str:
    """One SELECT that gives a rollup of a run at once, as `check` compares it.

    `edges` are those to roll up, as `edges_of` gives them: a table, or a SELECT in brackets.
    """
    if isinstance(rollup.source, Rows):
        return _grouped(rollup, rollup.source).replace("$run_id", str(run_id))
    return f"WITH rooted AS ({rooted(edges)}), part AS ({_of_edges(rollup)}) {of_parts(rollup)}"


def digests() -> dict[str, str]:
    """SHA-256 of all that determines a rollup's rows but for the base tables, by its name."""
    return {name: _digest(rollup) for name, rollup in ROLLUPS.items()}


@cache
def _digest(rollup: type[Rollup]) -> str:
    columns = [(name, column.type.compile(_DIALECT), column.nullable) for name, column in rollup.columns().items()]
    text = f"{columns} {whole(rollup, f'({edges_of(0)})', 0)}"
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def enum(column: str, values: tuple[str, ...]) -> str:
    """SQL for a text of a few values as an enumeration: grouping by it takes half as long."""
    return f"{column}::ENUM{literal(values)}"


def roots_of(run_id: int | str) -> str:
    """SELECT of a run's roots as `edges_of` joins them to their edges."""
    return f"""
        SELECT decision_id, class_id, image_id, label_id, {enum("role", ROLES)} AS role,
               {enum("outcome", OUTCOMES)} AS outcome
        FROM root WHERE run_id = {run_id}
    """


def edges_of(run_id: int, edges: str = "edge", condition: str = "TRUE", roots: str = "") -> str:
    """SELECT of a run's edges, each with its root.

    `edges` may be a SELECT in brackets with the columns of `edge`, which `condition` is on; `roots` a table with the
    columns of `roots_of` or more, instead of that SELECT.
    """
    return f"""
        SELECT *
        FROM (SELECT * FROM {edges} WHERE run_id = {run_id} AND {condition})
        JOIN {roots or f"({roots_of(run_id)})"} USING (decision_id)
    """


def rooted(edges: str) -> str:
    """SELECT of what `rooted` stands for, from what `edges_of` gives; the source layer is next below the target."""
    return f"SELECT * REPLACE ((target_layer - 1)::SMALLINT AS source_layer) FROM {edges}"


def keys_of(rollup: type[Rollup], source: Edges) -> str:
    """SELECT list of what the rows of parts of the edges are grouped by."""
    keys = {name: key.sql for name, key in rollup.having(Key).items()} | {name: name for name in source.each}
    return ", ".join(f"{identifier(sql)} AS {identifier(name)}" for name, sql in keys.items())


def _of_edges(rollup: type[Rollup]) -> str:
    """SELECT over `rooted` of the rows that its edges give; for `Strongest`, the strongest edge of each place."""
    source = rollup.source
    if isinstance(source, Edges):
        measures = ", ".join(f"{of.of_rows()} AS {identifier(name)}" for name, of in rollup.measures().items())
        return f"SELECT {keys_of(rollup, source)}, {measures} FROM rooted WHERE {source.condition} GROUP BY ALL"
    return strongest_edges(rollup)


def strongest_edges(rollup: type[Rollup]) -> str:
    """SELECT over `rooted` of the strongest edge of each place, then the one of the lowest root and first target."""
    columns = {name: of.sql for name, of in (rollup.having(Key) | rollup.having(Value)).items()}
    return f"""
        SELECT {_listed(rollup, columns | {"position": "0::SMALLINT"})} FROM rooted
        QUALIFY row_number() OVER (
            PARTITION BY source_layer, source_channel, image_id, source_y, source_x
            ORDER BY contribution DESC, decision_id, target_channel, target_y, target_x) = 1
    """


def strongest_places(rollup: type[Rollup], source: Strongest, part: str) -> str:
    """SELECT of the strongest places of each channel; a place is of one image, whose two roots may lie in two parts."""
    return f"""
        SELECT {_listed(rollup, {"position": "place::SMALLINT"})}
        FROM (
            SELECT *, row_number() OVER (
                PARTITION BY layer_id, channel ORDER BY contribution DESC, image_id, y, x) - 1 AS place
            FROM (FROM {part} QUALIFY row_number() OVER (
                PARTITION BY layer_id, channel, image_id, y, x ORDER BY contribution DESC, decision_id) = 1))
        WHERE place < {source.count}
    """


def of_parts(rollup: type[Rollup], split: bool = False) -> str:
    """SELECT of the rows of the table of a rollup of edges, over `part`; `split` if a class lies in several parts."""
    source, keys = rollup.source, rollup.having(Key)
    if isinstance(source, Strongest):
        return strongest_places(rollup, source, "part")
    sums = {name: f"sum({identifier(name)})" for name in rollup.measures()}
    if isinstance(source, Edges) and source.each:
        groups = quoted([*keys, *source.each])
        listed = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in sums.items())
        part = f"(SELECT {groups}, {listed} FROM part GROUP BY {groups})"
        return f"SELECT {_kept(rollup, sums | _derived(rollup))} FROM {part} GROUP BY {quoted(keys)}"
    by_key = f"SELECT {_kept(rollup, sums)} FROM part GROUP BY {quoted(keys)}"
    overall = {name: f"{literal(key.overall)}::INTEGER" for name, key in keys.items() if key.overall is not None}
    if not overall:
        return by_key
    # Rows of a class that lies in one part need no sum, which is most of the work.
    as_is = f"SELECT {_kept(rollup, {name: identifier(name) for name in sums})} FROM part"
    others = quoted(name for name in keys if name not in overall)
    return f"""
        {by_key if split else as_is}
        UNION ALL SELECT {_kept(rollup, sums, overall)} FROM part GROUP BY {others}
    """


def _derived(rollup: type[Rollup]) -> dict[str, str]:
    return {name: of.sql for name, of in rollup.having(Derived).items()}


def _grouped(rollup: type[Rollup], source: Rows) -> str:
    """SELECT of a rollup of other tables, with the parameter `$run_id`."""
    keys = rollup.having(Key)
    summed_over = [name for name, key in keys.items() if key.overall is not None]
    sets = [
        ", ".join(key.sql for name, key in keys.items() if name not in left_out)
        for left_out in chain.from_iterable(combinations(summed_over, n) for n in range(len(summed_over) + 1))
    ]
    columns = {name: of.of_rows() for name, of in rollup.measures().items()}
    selected = {
        name: key.sql if key.overall is None else f"coalesce({key.sql}, {literal(key.overall)})"
        for name, key in keys.items()
    }
    return f"""
        SELECT {_kept(rollup, columns, selected)} FROM {source.sql}
        GROUP BY GROUPING SETS ({", ".join(f"({names})" for names in sets)}) ORDER BY ALL
    """


def _listed(rollup: type[Rollup], columns: dict[str, str]) -> str:
    """SELECT list of a rollup's columns, in their order; those without SQL as they are."""
    return ", ".join(f"{columns.get(name, identifier(name))} AS {identifier(name)}" for name in rollup.columns())


def _kept(rollup: type[Rollup], sums: dict[str, str], others: dict[str, str] | None = None) -> str:
    """The same, with sums in the type of their column; 0 where one is null or not finite, which no invariant allows."""
    columns = dict(others or {})
    for name, sql in sums.items():
        kind = rollup.columns()[name].type
        cast_sql = "coalesce(TRY_CAST({} AS {}), 0)" if isinstance(kind, Numeric) else "CAST({} AS {})"
        columns[name] = cast_sql.format(sql, kind.compile(_DIALECT))
    return _listed(rollup, columns)
