"""What holds in every published database, each rule as SQL that selects the rows which break it.

A rule on edges holds within one root, so it is asked of a range of decisions at a time: `{edge}` stands for the
edges of such a range. That keeps memory bounded however large the database is.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import REAL, Double

from schema.models import BASE_TABLES, ROLLUP_TABLES, Base


@dataclass(frozen=True)
class Invariant:
    """A rule: its name, what a breaking row is, and the SELECT that finds such rows."""

    name: str
    broken: str
    sql: str

    @property
    def by_decisions(self) -> bool:
        """Whether the rule is asked of a range of decisions at a time."""
        return "{edge}" in self.sql


_DECOMPOSITION = "run_id, decision_id, target_layer, target_channel, target_y, target_x"
_TARGET_IS_SOURCE = """
    n.run_id = e.run_id AND n.decision_id = e.decision_id AND n.source_layer = e.target_layer
    AND n.source_channel = e.target_channel AND n.source_y = e.target_y AND n.source_x = e.target_x
"""


def _unique() -> list[Invariant]:
    found = []
    for table in BASE_TABLES:
        mapper = next(m for m in Base.registry.mappers if m.local_table.name == table)  # type: ignore[attr-defined]
        key = ", ".join(f'"{column.name}"' for column in mapper.primary_key)
        rows = "{edge}" if table == "edge" else f'"{table}"'
        sql = f"SELECT {key} FROM {rows} GROUP BY ALL HAVING count(*) > 1"
        found.append(Invariant(f"unique-{table}", f"{table} rows of one key", sql))
    return found


def _of_a_run() -> Invariant:
    tables = [table for table in BASE_TABLES + ROLLUP_TABLES if table != "run"]
    each = [f'SELECT DISTINCT \'{table}\' AS "table", run_id FROM "{table}"' for table in tables]
    sql = f"SELECT * FROM ({' UNION ALL '.join(each)}) WHERE run_id NOT IN (SELECT run_id FROM run)"
    return Invariant("of-a-run", "tables with rows of no run", sql)


def _finite() -> list[Invariant]:
    found = []
    for table in BASE_TABLES:
        columns = Base.metadata.tables[table].columns
        numbers = [column.name for column in columns if isinstance(column.type, (REAL, Double))]
        if numbers:
            test = " OR ".join(f"NOT isfinite({name})" for name in numbers)
            sql = f'SELECT run_id FROM "{table}" WHERE {test}'
            found.append(Invariant(f"finite-{table}", f"{table} rows with a number that is not finite", sql))
    return found


INVARIANTS: tuple[Invariant, ...] = (
    *_unique(),
    _of_a_run(),
    *_finite(),
    Invariant(
        "layer-order",
        "runs whose layers are not 0 to L with `logits`, one channel a class, last",
        """
        SELECT run_id FROM run LEFT JOIN (
            SELECT run_id, count(DISTINCT layer_id) AS layers, min(layer_id) AS lowest, max(layer_id) AS highest,
                   arg_max(name, layer_id) AS last, arg_max(channels, layer_id) AS outputs,
                   arg_max(height * width, layer_id) AS places
            FROM layer GROUP BY run_id) USING (run_id)
        LEFT JOIN (SELECT run_id, count(*) AS classes FROM class GROUP BY run_id) USING (run_id)
        WHERE (lowest = 0 AND highest = layers - 1 AND last = 'logits' AND outputs = classes AND places = 1)
              IS NOT TRUE
        """,
    ),
    Invariant(
        "image-class",
        "images whose label or prediction is no class",
        """
        SELECT run_id, image_id FROM image AS i
        WHERE NOT EXISTS (FROM class AS c WHERE c.run_id = i.run_id AND c.class_id = i.predicted_id)
           OR label_id IS NOT NULL
              AND NOT EXISTS (FROM class AS c WHERE c.run_id = i.run_id AND c.class_id = i.label_id)
        """,
    ),
    Invariant(
        "image-or-skipped",
        "images that are both indexed and skipped",
        "SELECT run_id, image_id FROM image JOIN skipped_image USING (run_id, image_id)",
    ),
    Invariant(
        "probability",
        "probabilities outside 0 to 1",
        """
        SELECT 'image' AS "table", run_id, image_id AS id FROM image
        WHERE isfinite(probability) AND probability NOT BETWEEN 0 AND 1 + 1e-6
        UNION ALL
        SELECT 'decision', run_id, decision_id FROM decision
        WHERE isfinite(probability) AND probability NOT BETWEEN 0 AND 1 + 1e-6
        """,
    ),
    Invariant(
        "decision-image",
        "decisions of no image",
        "SELECT run_id, decision_id FROM decision ANTI JOIN image USING (run_id, image_id)",
    ),
    Invariant(
        "decision-id",
        "decisions whose id is not 2 * image_id, + 1 for the label",
        """
        SELECT run_id, decision_id FROM decision
        WHERE decision_id <> 2 * image_id + CASE role WHEN 'predicted' THEN 0 WHEN 'label' THEN 1 ELSE NULL END
           OR role NOT IN ('predicted', 'label')
        """,
    ),
    Invariant(
        "decision-role",
        "decisions whose class is not the one of their role, or for a label that was predicted",
        """
        SELECT run_id, decision_id FROM decision AS d JOIN image AS i USING (run_id, image_id)
        WHERE role = 'predicted' AND class_id <> predicted_id
           OR role = 'label' AND (class_id IS DISTINCT FROM label_id OR label_id = predicted_id)
        """,
    ),
    Invariant(
        "decision-complete",
        "images that lack the decision of their prediction, or of a label that differs from it",
        """
        SELECT run_id, image_id FROM image
        ANTI JOIN (SELECT run_id, image_id FROM decision WHERE role = 'predicted') USING (run_id, image_id)
        UNION ALL
        SELECT run_id, image_id FROM (FROM image WHERE label_id <> predicted_id)
        ANTI JOIN (SELECT run_id, image_id FROM decision WHERE role = 'label') USING (run_id, image_id)
        """,
    ),
    Invariant(
        "edge-decision",
        "edges of no decision",
        "SELECT run_id, decision_id FROM {edge} ANTI JOIN decision USING (run_id, decision_id)",
    ),
    Invariant(
        "edge-layers",
        "edges whose source is not the layer next below their target's",
        """
        SELECT run_id, decision_id, target_layer, source_layer FROM {edge} AS e
        WHERE source_layer <> target_layer - 1
           OR NOT EXISTS (FROM layer AS l WHERE l.run_id = e.run_id AND l.layer_id = e.target_layer)
           OR NOT EXISTS (FROM layer AS l WHERE l.run_id = e.run_id AND l.layer_id = e.source_layer)
        """,
    ),
    Invariant(
        "edge-bounds",
        "edges whose channel or place lies outside its layer",
        """
        SELECT e.run_id, decision_id FROM {edge} AS e
        JOIN layer AS t ON t.run_id = e.run_id AND t.layer_id = target_layer
        JOIN layer AS s ON s.run_id = e.run_id AND s.layer_id = source_layer
        WHERE target_channel NOT BETWEEN 0 AND t.channels - 1 OR source_channel NOT BETWEEN 0 AND s.channels - 1
           OR target_y NOT BETWEEN 0 AND t.height - 1 OR source_y NOT BETWEEN 0 AND s.height - 1
           OR target_x NOT BETWEEN 0 AND t.width - 1 OR source_x NOT BETWEEN 0 AND s.width - 1
        """,
    ),
    Invariant(
        "root-target",
        "edges into the logits that do not explain their decision's class",
        """
        SELECT run_id, decision_id, target_channel FROM {edge} JOIN decision USING (run_id, decision_id)
        WHERE target_layer = (SELECT max(layer_id) FROM layer WHERE run_id = $run_id)
          AND (target_channel <> class_id OR target_y <> 0 OR target_x <> 0)
        """,
    ),
    Invariant(
        "target-is-source",
        "decomposed nodes below the root that are no evidence in their decision",
        f"""
        SELECT DISTINCT {_DECOMPOSITION} FROM {{edge}} AS e ANTI JOIN {{edge}} AS n ON {_TARGET_IS_SOURCE}
        WHERE target_layer <> (SELECT max(layer_id) FROM layer WHERE run_id = $run_id)
        """,
    ),
    Invariant(
        "rank",
        "decompositions whose ranks are not 0, 1, 2 ... below top_n",
        f"""
        SELECT {_DECOMPOSITION} FROM {{edge}} GROUP BY ALL
        HAVING min("rank") <> 0 OR max("rank") <> count(DISTINCT "rank") - 1
            OR max("rank") >= (SELECT max(top_n) FROM run WHERE run_id = $run_id)
        """,
    ),
    Invariant(
        "source-once",
        "decompositions that keep one channel twice",
        f"""
        SELECT {_DECOMPOSITION}, source_channel FROM {{edge}}
        GROUP BY ALL HAVING count(DISTINCT "rank") > 1
        """,
    ),
    Invariant(
        "contribution",
        "contributions that are not positive, or larger than one of a lower rank",
        f"""
        SELECT {_DECOMPOSITION}, "rank" FROM {{edge}}
        QUALIFY contribution <= 0
             OR contribution > lag(contribution) OVER (PARTITION BY {_DECOMPOSITION} ORDER BY "rank")
        """,
    ),
    Invariant(
        "share",
        "shares outside 0 to 1, or that sum to more than 1 in one decomposition",
        f"""
        SELECT {_DECOMPOSITION} FROM {{edge}} GROUP BY ALL
        HAVING min(share) <= 0 OR max(share) > 1 OR sum(share) > 1 + 1e-4
        """,
    ),
    Invariant(
        "share-ratio",
        "decompositions whose shares are not in the ratio of their contributions",
        f"""
        SELECT {_DECOMPOSITION} FROM {{edge}} WHERE contribution > 0 AND share > 0 GROUP BY ALL
        HAVING max(share::DOUBLE / contribution) > 1.001 * min(share::DOUBLE / contribution)
        """,
    ),
    Invariant(
        "importance",
        "edges whose importance is not their share of the importance of their target",
        f"""
        WITH node AS (
            SELECT run_id, decision_id, source_layer, source_channel, source_y, source_x,
                   sum(importance::DOUBLE) AS importance
            FROM {{edge}} GROUP BY ALL
        )
        SELECT e.run_id, e.decision_id, e.target_layer, e.target_channel, e."rank"
        FROM {{edge}} AS e LEFT JOIN node AS n ON {_TARGET_IS_SOURCE}
        WHERE (n.run_id IS NOT NULL OR target_layer = (SELECT max(layer_id) FROM layer WHERE run_id = $run_id))
          AND abs(e.importance - share * coalesce(n.importance, 1))
              > 1e-4 * share * coalesce(n.importance, 1) + 1e-12
        """,
    ),
    Invariant(
        "activation",
        "edges whose activation at the peak is not positive",
        "SELECT run_id, decision_id FROM {edge} WHERE activation <= 0",
    ),
    Invariant(
        "context-label",
        "edges with a context label that the run does not have",
        """
        SELECT run_id, decision_id, context_label_id FROM {edge} AS e
        WHERE context_label_id IS NOT NULL AND NOT EXISTS (
            FROM context_label AS l WHERE l.run_id = e.run_id AND l.label_id = e.context_label_id)
        """,
    ),
    Invariant(
        "context-iou",
        "edges whose context IoU is outside 0 to 1, or there without a label",
        """
        SELECT run_id, decision_id FROM {edge}
        WHERE (context_iou IS NULL) <> (context_label_id IS NULL) OR context_iou <= 0 OR context_iou > 1
        """,
    ),
    Invariant(
        "run-counts",
        "runs whose counts are not those of their rows",
        """
        SELECT run_id, name FROM run AS r
        WHERE image_count <> (SELECT count(*) FROM image AS i WHERE i.run_id = r.run_id)
           OR skipped_count <> (SELECT count(*) FROM skipped_image AS s WHERE s.run_id = r.run_id)
           OR decision_count <> (SELECT count(*) FROM decision AS d WHERE d.run_id = r.run_id)
           OR edge_count <> (SELECT count(*) FROM edge AS e WHERE e.run_id = r.run_id)
           OR labelled_count <> (SELECT count(label_id) FROM image AS i WHERE i.run_id = r.run_id)
           OR correct_count <> (
               SELECT count(*) FROM image AS i WHERE i.run_id = r.run_id AND label_id = predicted_id)
        """,
    ),
)
"""Every rule on the base tables, in the order in which they are checked."""
