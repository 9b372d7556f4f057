"""The rollups, each stated once: a SELECT over the base tables with the parameter `$run_id`.

`publish` fills the tables from these, and `check` computes them again and compares: they must give the same
rows every time. So sums are taken over decimals, whose sum does not depend on the order of the threads, and
every tie is broken. 12 places lose nothing that a float32 share holds; the cast goes through DOUBLE, as
DuckDB scales a REAL in float32 (measured: 3e-8 off on a sum of 20).
"""

from __future__ import annotations

from sqlalchemy import Connection

from schema.models import ALL_CLASSES, ANY_OUTCOME, ROLLUP_TABLES, Base

PEAKS_PER_CHANNEL = 64
"""Rows of channel_peak for one channel, at most."""
DEGREE_RANKS = 3
"""Edges of a rank below this count towards the discriminative degree (Sec. 4.3 takes the top 3)."""

_ROOT = """
    SELECT run_id, decision_id, d.image_id, d.class_id, d.role, i.label_id,
           CASE WHEN i.label_id IS NULL THEN 'unlabelled'
                WHEN i.label_id = i.predicted_id THEN 'correct' ELSE 'wrong' END AS outcome
    FROM decision AS d JOIN image AS i USING (run_id, image_id)
    WHERE run_id = $run_id
"""


def _sum(column: str) -> str:
    """A sum that is the same in any order; a value that no share or IoU can have gives NULL, not an error."""
    return f"coalesce(sum(TRY_CAST({column}::DOUBLE AS DECIMAL(18, 12))), 0)::DOUBLE"


_CLASS = f"coalesce(class_id, {ALL_CLASSES})::INTEGER AS class_id"
_OUTCOME = f"coalesce(outcome, '{ANY_OUTCOME}') AS outcome"
# Sums over classes and outcomes are rows too. Neither column is ever null, so NULL marks them.
_BY_CLASS_AND_OUTCOME = "GROUPING SETS (({0}class_id, outcome), ({0}class_id), ({0}outcome), ({0}role))"
_BY_CLASS = "GROUPING SETS (({0}class_id), ({0}role))"

ROLLUPS: dict[str, str] = {
    "class_roots": f"""
        SELECT run_id, {_CLASS}, role, {_OUTCOME}, count(*)::INTEGER AS decisions
        FROM ({_ROOT})
        GROUP BY {_BY_CLASS_AND_OUTCOME.format("run_id, role, ")}
        ORDER BY ALL
    """,
    # Edges are summed per root first, so that a root counts once however often it uses the channel.
    "channel_support": f"""
        WITH used AS (
            SELECT run_id, decision_id, source_layer, source_channel, count(*) AS edges,
                   sum(TRY_CAST(share::DOUBLE AS DECIMAL(18, 12))) AS share,
                   sum(TRY_CAST(importance::DOUBLE AS DECIMAL(18, 12))) AS importance
            FROM edge WHERE run_id = $run_id GROUP BY ALL
        )
        SELECT run_id, source_layer AS layer_id, source_channel AS channel, {_CLASS}, role, {_OUTCOME},
               count(*)::INTEGER AS decisions, sum(edges)::INTEGER AS edges,
               coalesce(sum(share), 0)::DOUBLE AS share_sum, coalesce(sum(importance), 0)::DOUBLE AS importance_sum
        FROM used JOIN ({_ROOT}) USING (run_id, decision_id)
        GROUP BY {_BY_CLASS_AND_OUTCOME.format("run_id, source_layer, source_channel, role, ")}
        ORDER BY run_id, layer_id, channel, 4, role, 6
    """,
    "channel_edge": f"""
        WITH used AS (
            SELECT run_id, decision_id, target_layer, target_channel, source_layer, source_channel,
                   count(*) AS edges,
                   sum(TRY_CAST(share::DOUBLE AS DECIMAL(18, 12))) AS share,
                   sum(TRY_CAST(importance::DOUBLE AS DECIMAL(18, 12))) AS importance
            FROM edge WHERE run_id = $run_id GROUP BY ALL
        )
        SELECT run_id, target_layer, target_channel, source_layer, source_channel, {_CLASS}, role,
               count(*)::INTEGER AS decisions, sum(edges)::INTEGER AS edges,
               coalesce(sum(share), 0)::DOUBLE AS share_sum, coalesce(sum(importance), 0)::DOUBLE AS importance_sum
        FROM used JOIN ({_ROOT}) USING (run_id, decision_id)
        GROUP BY {_BY_CLASS.format("run_id, target_layer, target_channel, source_layer, source_channel, role, ")}
        ORDER BY run_id, target_layer, target_channel, source_layer, source_channel, 6, role
    """,
    "channel_context": f"""
        SELECT run_id, source_layer AS layer_id, source_channel AS channel, {_CLASS}, role,
               context_label_id AS label_id, count(*)::INTEGER AS edges, {_sum("context_iou")} AS iou_sum
        FROM edge JOIN ({_ROOT}) USING (run_id, decision_id)
        WHERE context_label_id IS NOT NULL
        GROUP BY {_BY_CLASS.format("run_id, source_layer, source_channel, role, context_label_id, ")}
        ORDER BY run_id, layer_id, channel, 4, role, label_id
    """,
    # One row per place: its largest contribution, then the lowest root, then the first target.
    "channel_peak": f"""
        WITH used AS (
            SELECT run_id, source_layer, source_channel, image_id, source_y, source_x,
                   max(ROW(contribution, -decision_id, -target_channel, -target_y, -target_x,
                           share, feature, activation)) AS best
            FROM edge JOIN decision USING (run_id, decision_id)
            WHERE run_id = $run_id GROUP BY ALL
        ), placed AS (
            SELECT *, row_number() OVER (
                PARTITION BY source_layer, source_channel
                ORDER BY best[1] DESC, image_id, source_y, source_x) - 1 AS position
            FROM used
        )
        SELECT run_id, source_layer AS layer_id, source_channel AS channel, position::SMALLINT AS position,
               image_id, (-best[2])::INTEGER AS decision_id, source_y AS y, source_x AS x,
               best[1] AS contribution, best[6] AS share, best[7] AS feature, best[8] AS activation
        FROM placed WHERE position < {PEAKS_PER_CHANNEL}
        ORDER BY run_id, layer_id, channel, position
    """,
    "channel_degree": f"""
        WITH used AS (
            SELECT run_id, source_layer, source_channel, label_id, count(*) AS edges
            FROM edge JOIN ({_ROOT}) USING (run_id, decision_id)
            WHERE "rank" < {DEGREE_RANKS} AND role = 'predicted' AND label_id IS NOT NULL
            GROUP BY ALL
        )
        SELECT run_id, source_layer AS layer_id, source_channel AS channel,
               (max(edges) / sum(edges))::REAL AS discriminative_degree, sum(edges)::INTEGER AS edges
        FROM used GROUP BY run_id, source_layer, source_channel
        ORDER BY run_id, layer_id, channel
    """,
    "confusion": """
        SELECT run_id, label_id, predicted_id, count(*)::INTEGER AS images
        FROM image WHERE run_id = $run_id AND label_id <> predicted_id
        GROUP BY ALL ORDER BY ALL
    """,
    "class_stat": """
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
    """,
}
"""Table name to SELECT; the columns come in the order of the table's model."""


def build_rollups(connection: Connection, run_id: int) -> None:
    """Fill every rollup of one run from its base tables, replacing what was there."""
    for table in ROLLUP_TABLES:
        columns = ", ".join(f'"{column.name}"' for column in Base.metadata.tables[table].columns)
        connection.exec_driver_sql(f'DELETE FROM "{table}" WHERE run_id = $run_id', {"run_id": run_id})
        connection.exec_driver_sql(f'INSERT INTO "{table}" ({columns}) {ROLLUPS[table]}', {"run_id": run_id})
