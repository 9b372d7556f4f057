"""The rollups, each stated once: a SELECT over the edges of a run, `rooted`, or over its base tables.

`publish` fills the tables from these, and `check` computes them again and compares: they must give the same
rows every time. So sums are taken over doubles of few binary places, whose sum is exact and so does not depend on the
order of the threads, and every tie is broken. (Decimals would do, but DuckDB casts a sum of them 40 times slower.)

Most rollups are additive: a part of the edges gives partial rows, and the sum of such rows over all parts is the
rollup. So a run is rolled up some classes at a time (`EDGES_AT_A_TIME`), in memory that does not grow with it. A root
lies in one part, so roots may be counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Numeric

from schema.parts import parts
from schema.tables import ROLLUP_TABLES
from schema.tables.base import Base, columns_of, quoted
from schema.tables.rollups import ALL_CLASSES, ANY_OUTCOME, SUM

ROLES = ("predicted", "label")
OUTCOMES = ("correct", "wrong", "unlabelled")
PEAKS_PER_CHANNEL = 64
"""Rows of channel_peak for one channel, at most."""
DEGREE_RANKS = 3
"""Edges of a rank below this count towards the discriminative degree (Sec. 4.3 takes the top 3)."""
EDGES_AT_A_TIME = 1_500_000
"""About so many edges are rolled up at a time, some 200 MB."""


def exact(column: str) -> str:
    """SQL for a number in steps of 2**-30, as a double: sums of such below 2**23 are exact, in any order."""
    return f"round({column}::DOUBLE * {2**30}) / {2**30}"


def stored(total: str, kind: Numeric[Any] = SUM) -> str:
    """SQL for the column that keeps a sum; 0 where a number was not finite, which no invariant lets pass."""
    return f"coalesce(TRY_CAST({total} AS DECIMAL({kind.precision}, {kind.scale})), 0)"


def enum(column: str, values: tuple[str, ...]) -> str:
    """SQL for a text of a few values as an enumeration: grouping by it takes half as long."""
    return f"{column}::ENUM({', '.join(map(repr, values))})"


SUMMED = """decision_id, class_id, role, outcome, label_id, target_layer, target_channel, source_channel, "rank", share,
            importance, context_label_id, context_iou"""
"""Columns of `edges_of` that additive rollups read. To keep one more costs as much as to compute it."""
PLACED = "image_id, target_y, target_x, source_y, source_x, contribution, feature, activation"
"""Those that a rollup of the best edges reads besides SUMMED."""
_ROOTS = f"""
    SELECT decision_id, image_id, label_id, {enum("role", ROLES)} AS role, {enum("outcome", OUTCOMES)} AS outcome
    FROM root WHERE run_id = $run_id
"""


def edges_of(run_id: int, *columns: str, condition: str = "TRUE", able: str = "") -> str:
    """SELECT of a run's edges, each with its root.

    Args:
        run_id: of the run.
        columns: SUMMED, or that and PLACED.
        condition: on the columns of `edge`.
        able: joins and conditions after `edge AS e`, by which edges are left out before they are joined to their roots.
    """
    return f"""
        SELECT {", ".join(columns)}
        FROM (SELECT e.*, root_class_id AS class_id
              FROM (FROM edge WHERE run_id = {run_id} AND {condition}) AS e {able})
        JOIN ({_ROOTS.replace("$run_id", str(run_id))}) USING (decision_id)
    """


def rooted(edges: str, run_id: int) -> str:
    """SQL of what `rooted` stands for below.

    Args:
        edges: table or SELECT in brackets with the columns SUMMED, and those that the rollup reads besides.
        run_id: theirs.
    """
    return f"""
        SELECT {run_id}::INTEGER AS run_id, (target_layer - 1)::SMALLINT AS source_layer,
               {exact("share")} AS exact_share, {exact("importance")} AS exact_importance,
               {exact("context_iou")} AS exact_iou, * EXCLUDE (importance, context_iou)
        FROM {edges}
    """


@dataclass(frozen=True)
class Additive:
    """A rollup that is the sum of its parts.

    Attributes:
        part: SELECT over `rooted` that gives the keys and measures, in the order of the table's columns.
        measures: how many columns at the end are summed.
        classes: whether rows over all classes, ALL_CLASSES, are added.
        total: SELECT over `summed`, the sum of the parts, where that is not yet the rollup.
    """

    part: str
    measures: int
    classes: bool = True
    total: str | None = None


@dataclass(frozen=True)
class Best:
    """A rollup that keeps the best rows of each channel: the best of the best rows of its parts.

    Attributes:
        part: SELECT over `rooted` that gives rows with a contribution, in the order of the table's columns.
        total: SELECT over `summed`, such rows of some parts, that keeps the best, numbered by `position`.
        count: how many it keeps of each channel.
    """

    part: str
    total: str
    count: int


@dataclass(frozen=True)
class Whole:
    """A rollup that is small enough for one SELECT over the base tables, with the parameter `$run_id`."""

    select: str


_SUMS = """count(DISTINCT decision_id) AS decisions, count(*) AS edges, sum(exact_share) AS share_sum,
               sum(exact_importance) AS importance_sum"""

Rollup = Additive | Best | Whole
ROLLUPS: dict[str, Rollup] = {
    "class_roots": Whole(f"""
        SELECT run_id, coalesce(class_id, {ALL_CLASSES})::INTEGER AS class_id, role,
               coalesce(outcome, '{ANY_OUTCOME}') AS outcome, count(*)::INTEGER AS decisions
        FROM root WHERE run_id = $run_id
        GROUP BY GROUPING SETS ((run_id, role, class_id, outcome), (run_id, role, class_id), (run_id, role, outcome),
                                (run_id, role))
        ORDER BY ALL
    """),
    "channel_support": Additive(
        f"""
        SELECT run_id, source_layer AS layer_id, class_id, source_channel AS channel, role, outcome, {_SUMS}
        FROM rooted GROUP BY ALL
        """,
        measures=4,
    ),
    "channel_edge": Additive(
        f"""
        SELECT run_id, target_layer, target_channel, source_layer, source_channel, role, outcome, {_SUMS}
        FROM rooted GROUP BY ALL
        """,
        measures=4,
        classes=False,
    ),
    "channel_context": Additive(
        """
        SELECT run_id, source_layer AS layer_id, class_id, source_channel AS channel, context_label_id AS label_id,
               role, count(*) AS edges, sum(exact_iou) AS iou_sum
        FROM rooted WHERE context_label_id IS NOT NULL GROUP BY ALL
        """,
        measures=2,
    ),
    "class_context": Additive(
        """
        SELECT run_id, source_layer AS layer_id, class_id, context_label_id AS label_id, role, outcome,
               count(DISTINCT decision_id) AS decisions, count(*) AS edges, sum(exact_iou) AS iou_sum
        FROM rooted WHERE context_label_id IS NOT NULL GROUP BY ALL
        """,
        measures=3,
    ),
    "class_label": Whole(f"""
        SELECT run_id, coalesce(class_id, {ALL_CLASSES})::INTEGER AS class_id, label_id, role, outcome,
               count(*)::INTEGER AS decisions, {stored(f"sum({exact('area')})")} AS area_sum
        FROM (SELECT run_id, image_id, class_id, role, outcome FROM root WHERE run_id = $run_id)
        JOIN image_context USING (run_id, image_id)
        GROUP BY GROUPING SETS ((run_id, label_id, role, outcome, class_id), (run_id, label_id, role, outcome))
        ORDER BY ALL
    """),
    "layer_profile": Additive(
        """
        SELECT run_id, target_layer AS layer_id, class_id, role, outcome, "rank", count(*) AS edges,
               sum(exact_share) AS share_sum
        FROM rooted GROUP BY ALL
        """,
        measures=2,
    ),
    "positive_profile": Whole(f"""
        SELECT run_id, layer_id, role, outcome, positive_count, overlap_count, len(evidence)::INTEGER AS evidence,
               count(*)::INTEGER AS decompositions
        FROM decomposition JOIN ({_ROOTS}) USING (decision_id) WHERE run_id = $run_id
        GROUP BY ALL ORDER BY ALL
    """),
    # One row per place: its largest contribution, then the lowest root, then the first target.
    "channel_peak": Best(
        """
        SELECT run_id, source_layer AS layer_id, source_channel AS channel, 0::SMALLINT AS position, image_id,
               decision_id, source_y AS y, source_x AS x, contribution, share, feature, activation
        FROM rooted
        QUALIFY row_number() OVER (
            PARTITION BY source_layer, source_channel, image_id, source_y, source_x
            ORDER BY contribution DESC, decision_id, target_channel, target_y, target_x) = 1
        """,
        # A place is of one image, whose two roots may lie in two parts.
        total=f"""
        SELECT run_id, layer_id, channel, place::SMALLINT AS position, image_id, decision_id, y, x, contribution, share,
               feature, activation
        FROM (
            SELECT *, row_number() OVER (
                PARTITION BY layer_id, channel ORDER BY contribution DESC, image_id, y, x) - 1 AS place
            FROM (FROM summed QUALIFY row_number() OVER (
                PARTITION BY layer_id, channel, image_id, y, x ORDER BY contribution DESC, decision_id) = 1))
        WHERE place < {PEAKS_PER_CHANNEL}
        """,
        count=PEAKS_PER_CHANNEL,
    ),
    "channel_degree": Additive(
        f"""
        SELECT run_id, source_layer AS layer_id, source_channel AS channel, label_id, count(*) AS edges
        FROM rooted WHERE "rank" < {DEGREE_RANKS} AND role = 'predicted' AND label_id IS NOT NULL GROUP BY ALL
        """,
        measures=1,
        classes=False,
        total="""
        SELECT run_id, layer_id, channel, (max(edges) / sum(edges))::REAL AS discriminative_degree,
               sum(edges)::INTEGER AS edges
        FROM summed GROUP BY run_id, layer_id, channel
        """,
    ),
    "channel_verification": Whole(f"""
        SELECT v.run_id, v.source_layer AS layer_id, coalesce(v.class_id, {ALL_CLASSES})::INTEGER AS class_id,
               v.source_channel AS channel, v.method, r.role, r.outcome, count(*)::INTEGER AS tested,
               count(*) FILTER (v.corrected)::INTEGER AS corrected,
               count(*) FILTER (v.predicted_id <> r.predicted_id)::INTEGER AS flipped,
               {stored(f"sum({exact('v.logit_change')})")} AS logit_change_sum,
               count(v.control_predicted_id)::INTEGER AS control_tested,
               count(*) FILTER (v.control_corrected)::INTEGER AS control_corrected,
               count(*) FILTER (v.control_predicted_id <> r.predicted_id)::INTEGER AS control_flipped,
               {stored(f"sum({exact('v.control_logit_change')})")} AS control_logit_change_sum,
               count(*) FILTER (v.corrected AND NOT v.control_corrected)::INTEGER AS only_corrected,
               count(*) FILTER (v.control_corrected AND NOT v.corrected)::INTEGER AS control_only_corrected
        FROM verification AS v JOIN root AS r
             ON r.run_id = v.run_id AND r.decision_id = v.decision_id AND r.class_id = v.class_id
        WHERE v.run_id = $run_id
        GROUP BY GROUPING SETS (
            (v.run_id, v.source_layer, v.source_channel, v.method, r.role, r.outcome, v.class_id),
            (v.run_id, v.source_layer, v.source_channel, v.method, r.role, r.outcome))
        ORDER BY ALL
    """),
    "confusion": Whole("""
        SELECT run_id, label_id, predicted_id, count(*)::INTEGER AS images
        FROM image WHERE run_id = $run_id AND label_id <> predicted_id
        GROUP BY ALL ORDER BY ALL
    """),
    "class_stat": Whole("""
        SELECT c.run_id, c.class_id,
               count(*) FILTER (i.label_id = c.class_id)::INTEGER AS image_count,
               count(*) FILTER (i.label_id = c.class_id AND i.predicted_id = c.class_id)::INTEGER AS correct_count,
               count(*) FILTER (i.predicted_id = c.class_id)::INTEGER AS predicted_count
        FROM class AS c
        LEFT JOIN (
            SELECT label_id AS class_id, label_id, predicted_id FROM image WHERE run_id = $run_id
            UNION ALL
            SELECT predicted_id, label_id, predicted_id FROM image
            WHERE run_id = $run_id AND label_id IS DISTINCT FROM predicted_id
        ) AS i USING (class_id)
        WHERE c.run_id = $run_id
        GROUP BY c.run_id, c.class_id ORDER BY c.class_id
    """),
}
"""Table name to its rollup; the columns come in the order of the table's model."""


def whole(table: str, edges: str, run_id: int) -> str:
    """One SELECT that gives a rollup of a run at once, as `check` compares it.

    Args:
        table: the rollup's.
        edges: table of the edges to roll up, as `edges_of` gives them.
        run_id: of the run.
    """
    rollup = ROLLUPS[table]
    if isinstance(rollup, Whole):
        return rollup.select.replace("$run_id", str(run_id))
    return f"WITH rooted AS ({rooted(edges, run_id)}), part AS ({rollup.part}) {_total(table, False)}"


def build_rollups(connection: Connection, run_id: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Fill every rollup of one run from its base tables, replacing what was there.

    Args:
        connection: may write; temporary tables are made and dropped.
        run_id: of the run.
        progress: gets (parts done, parts).
    """
    connection.exec_driver_sql("SET preserve_insertion_order = false")  # every order that matters is asked for
    parted = {table: rollup for table, rollup in ROLLUPS.items() if not isinstance(rollup, Whole)}
    # A small part first: it takes a sixteenth of the time to find strong edges, next to which most others are not kept.
    each = list(parts(connection, run_id, EDGES_AT_A_TIME, first=EDGES_AT_A_TIME // 16))
    connection.commit()
    for done, part in enumerate(each):
        if progress is not None:
            progress(done, len(each))
        condition = part.condition("root_class_id")
        connection.exec_driver_sql(
            f"CREATE OR REPLACE TEMP TABLE kept_edge AS {edges_of(run_id, SUMMED, condition=condition)}"
        )
        # DuckDB has statistics of committed rows, by which grouping takes half as long, and frees what they replaced.
        connection.commit()
        for table, rollup in parted.items():
            edges = "kept_edge"
            if isinstance(rollup, Best):
                if done.bit_count() == 1:  # before parts 1, 2, 4, 8, ...: fewer and fewer edges raise the bounds
                    _keep_best(connection, table, rollup)
                able = _able(table, rollup) if done else ""
                edges = f"({edges_of(run_id, SUMMED, PLACED, condition=condition, able=able)})"
            verb = f"INSERT INTO part_{table}" if done else f"CREATE OR REPLACE TEMP TABLE part_{table} AS"
            connection.exec_driver_sql(f"{verb} WITH rooted AS ({rooted(edges, run_id)}) {rollup.part}")
    for table in ROLLUP_TABLES:
        columns = quoted(columns_of(table))
        connection.exec_driver_sql(f'DELETE FROM "{table}" WHERE run_id = {run_id}')
        if table not in parted:
            connection.exec_driver_sql(f'INSERT INTO "{table}" ({columns}) {whole(table, "", run_id)}')
        elif each:
            select = f"WITH part AS (FROM part_{table}) {_total(table, any(part.is_of_a_class for part in each))}"
            connection.exec_driver_sql(
                f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM ({select}) ORDER BY ALL'
            )
    connection.exec_driver_sql("RESET preserve_insertion_order")
    for table in ("kept_edge", *(f"part_{table}" for table in parted)):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS temp.{table}")


def _keep_best(connection: Connection, table: str, rollup: Best) -> None:
    best = f"WITH summed AS (FROM part_{table}) {rollup.total}"
    connection.exec_driver_sql(f"CREATE OR REPLACE TEMP TABLE part_{table} AS {best}")


def _able(table: str, rollup: Best) -> str:
    """What `edges_of` takes to leave out edges that cannot be among the best, as the parts so far have better ones."""
    return f"""
        LEFT JOIN (FROM part_{table} WHERE position = {rollup.count - 1}) AS b
             ON b.layer_id = e.source_layer AND b.channel = e.source_channel
        WHERE coalesce(e.contribution >= b.contribution, TRUE)
    """


def _total(table: str, split: bool) -> str:
    """From `part`, the rows of all parts, to those of the table; `split` says whether a class lies in several parts."""
    rollup = ROLLUPS[table]
    if isinstance(rollup, Best):
        return f", summed AS (FROM part) {rollup.total}"
    if isinstance(rollup, Whole):
        raise TypeError(f"{table} has no parts")
    names = _part_columns(table, rollup)
    keys, measures = names[: -rollup.measures], names[-rollup.measures :]
    others = ", ".join(f'"{key}"' for key in keys if key != "class_id")
    sums = ", ".join(f"{_measure(table, name, f'sum({name})')} AS {name}" for name in measures)
    if not rollup.classes:
        select = f"SELECT {quoted(keys)}, {sums} FROM part GROUP BY {others}"
        return f", summed AS ({select}) {rollup.total}" if rollup.total else select
    # Rows of a class that lies in one part need no sum, which is most of the work.
    as_is = ", ".join(f"{_measure(table, name, name)} AS {name}" for name in measures)
    by_class = f"SELECT {quoted(keys)}, {sums} FROM part GROUP BY {quoted(keys)}"
    all_classes = quoted(keys).replace('"class_id"', f"{ALL_CLASSES}::INTEGER AS class_id")
    return f"""
        {by_class if split else f"SELECT {quoted(keys)}, {as_is} FROM part"}
        UNION ALL SELECT {all_classes}, {sums} FROM part GROUP BY {others}
    """


def _measure(table: str, name: str, total: str) -> str:
    kind = Base.metadata.tables[table].columns[name].type
    return stored(total, kind) if isinstance(kind, Numeric) else f"{total}::INTEGER"


def _part_columns(table: str, rollup: Additive) -> list[str]:
    """The columns of a part: those of the table, unless it is made from their sums."""
    if rollup.total:
        return ["run_id", "layer_id", "channel", "label_id", "edges"]
    return columns_of(table)
