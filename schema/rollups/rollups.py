"""The rollups, each stated once: over the edges of a run, each with its root (`rooted`), or over its base tables.

`publish` fills the tables from these (`filling`), and `check` computes them again and compares: they must give
the same rows every time. So sums are taken over doubles of few binary places, whose sum is exact and so does not depend
on the order of the threads, and every tie is broken. (Decimals would do, but DuckDB casts a sum of them 40 times
slower.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Numeric

from evigraph.schema.tables.base import Base, quoted
from evigraph.schema.tables.rollups import ALL_CLASSES, ANY_OUTCOME, SUM

ROLES = ("predicted", "label")
OUTCOMES = ("correct", "wrong", "unlabelled")
PEAKS_PER_CHANNEL = 64
"""Rows of channel_peak for one channel, at most."""
DEGREE_RANKS = 3
"""Edges of a rank below this count towards the discriminative degree (Sec. 4.3 takes the top 3)."""


def exact(column: str) -> str:
    """SQL for a number in steps of 2**-30, as a double: sums of such below 2**23 are exact, in any order."""
    return f"round({column}::DOUBLE * {2**30}) / {2**30}"


def stored(total: str, kind: Numeric[Any] = SUM) -> str:
    """SQL for the column that keeps a sum; 0 where a number was not finite, which no invariant lets pass."""
    return f"coalesce(TRY_CAST({total} AS DECIMAL({kind.precision}, {kind.scale})), 0)"


def enum(column: str, values: tuple[str, ...]) -> str:
    """SQL for a text of a few values as an enumeration: grouping by it takes half as long."""
    return f"{column}::ENUM({', '.join(map(repr, values))})"


def roots_of(run_id: int | str) -> str:
    """SELECT of a run's roots as `edges_of` joins them to their edges."""
    return f"""
        SELECT decision_id, class_id, image_id, label_id, {enum("role", ROLES)} AS role,
               {enum("outcome", OUTCOMES)} AS outcome
        FROM root WHERE run_id = {run_id}
    """


def edges_of(run_id: int, edges: str = "edge", condition: str = "TRUE", roots: str = "") -> str:
    """SELECT of a run's edges, each with its root.

    Args:
        run_id: of the run.
        edges: `edge`, or a SELECT in brackets with its columns.
        condition: on the columns of `edge`.
        roots: a table with the columns of `roots_of` or more, if not that SELECT itself.
    """
    return f"""
        SELECT *
        FROM (SELECT * FROM {edges} WHERE run_id = {run_id} AND {condition})
        JOIN {roots or f"({roots_of(run_id)})"} USING (decision_id)
    """


def rooted(edges: str) -> str:
    """SELECT of what `rooted` stands for below; the source layer is the one below the target's.

    Args:
        edges: rows that `edges_of` gives, as a table or a SELECT in brackets.
    """
    return f"""
        SELECT * REPLACE ((target_layer - 1)::SMALLINT AS source_layer),
               {exact("share")} AS exact_share, {exact("importance")} AS exact_importance,
               {exact("context_iou")} AS exact_iou
        FROM {edges}
    """


MEASURES = {
    "decisions": "count(DISTINCT decision_id)",
    "edges": "count(*)",
    "share_sum": "sum(exact_share)",
    "importance_sum": "sum(exact_importance)",
    "iou_sum": "sum(exact_iou)",
}
"""What an additive rollup may sum: its column to SQL over `rooted`."""


@dataclass(frozen=True)
class Additive:
    """A rollup that is the sum of its parts: some edges give partial rows, whose sum over all edges is the rollup.

    Attributes:
        keys: of the columns of `rooted`, those that it groups by, in the order of the table's columns.
        measures: of MEASURES, those that follow them.
        condition: on the columns of `rooted`, which edges count.
        classes: whether rows over all classes, ALL_CLASSES, are added.
        total: SELECT over `summed`, such rows, where that is not yet the rollup.
    """

    keys: tuple[str, ...]
    measures: tuple[str, ...]
    condition: str = "TRUE"
    classes: bool = True
    total: str | None = None

    @property
    def names(self) -> list[str]:
        """The columns that the keys give."""
        return [key.rpartition(" ")[2] for key in self.keys]


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
        ("run_id", "source_layer AS layer_id", "class_id", "source_channel AS channel", "role", "outcome"),
        ("decisions", "edges", "share_sum", "importance_sum"),
    ),
    "channel_edge": Additive(
        ("run_id", "target_layer", "target_channel", "source_layer", "source_channel", "role", "outcome"),
        ("decisions", "edges", "share_sum", "importance_sum"),
        classes=False,
    ),
    "channel_context": Additive(
        (
            "run_id",
            "source_layer AS layer_id",
            "class_id",
            "source_channel AS channel",
            "context_label_id AS label_id",
            "role",
        ),
        ("edges", "iou_sum"),
        condition="context_label_id IS NOT NULL",
    ),
    "class_context": Additive(
        ("run_id", "source_layer AS layer_id", "class_id", "context_label_id AS label_id", "role", "outcome"),
        ("decisions", "edges", "iou_sum"),
        condition="context_label_id IS NOT NULL",
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
        ("run_id", "target_layer AS layer_id", "class_id", "role", "outcome", "rank"),
        ("edges", "share_sum"),
    ),
    "positive_profile": Whole(f"""
        SELECT run_id, layer_id, role, outcome, positive_count, overlap_count, len(evidence)::INTEGER AS evidence,
               count(*)::INTEGER AS decompositions
        FROM decomposition JOIN ({roots_of("$run_id")}) USING (decision_id) WHERE run_id = $run_id
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
        ("run_id", "source_layer AS layer_id", "source_channel AS channel", "label_id"),
        ("edges",),
        condition=f"""\"rank\" < {DEGREE_RANKS} AND role = 'predicted' AND label_id IS NOT NULL""",
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
    part = rollup.part if isinstance(rollup, Best) else of_edges(rollup)
    return f"WITH rooted AS ({rooted(edges)}), part AS ({part}) {total(table)}"


def of_edges(rollup: Additive) -> str:
    """SELECT over `rooted` of the partial rows that its edges give."""
    measures = ", ".join(f"{MEASURES[name]} AS {name}" for name in rollup.measures)
    return f"SELECT {', '.join(rollup.keys)}, {measures} FROM rooted WHERE {rollup.condition} GROUP BY ALL"


def total(table: str, split: bool = False) -> str:
    """What follows `WITH part AS (rows of all parts)` to make the rows of the table.

    Args:
        table: of a rollup that has parts.
        split: whether a class lies in several parts.
    """
    rollup = ROLLUPS[table]
    if isinstance(rollup, Best):
        return f", summed AS (FROM part) {rollup.total}"
    if isinstance(rollup, Whole):
        raise TypeError(f"{table} has no parts")
    keys = quoted(rollup.names)
    others = quoted(name for name in rollup.names if name != "class_id")
    sums = ", ".join(f"{_as_kept(table, name, f'sum({name})')} AS {name}" for name in rollup.measures)
    if not rollup.classes:
        select = f"SELECT {keys}, {sums} FROM part GROUP BY {others}"
        return f", summed AS ({select}) {rollup.total}" if rollup.total else select
    # Rows of a class that lies in one part need no sum, which is most of the work.
    as_is = ", ".join(f"{_as_kept(table, name, name)} AS {name}" for name in rollup.measures)
    all_classes = keys.replace('"class_id"', f"{ALL_CLASSES}::INTEGER AS class_id")
    return f"""
        {f"SELECT {keys}, {sums} FROM part GROUP BY {keys}" if split else f"SELECT {keys}, {as_is} FROM part"}
        UNION ALL SELECT {all_classes}, {sums} FROM part GROUP BY {others}
    """


def _as_kept(table: str, name: str, value: str) -> str:
    """SQL of a measure in the type of its column."""
    kind = Base.metadata.tables[table].columns[name].type
    return stored(value, kind) if isinstance(kind, Numeric) else f"{value}::INTEGER"
