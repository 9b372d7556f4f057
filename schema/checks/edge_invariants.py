"""What holds of the edges of every decision.

Each rule holds within one root, so it is asked of a part of the run at a time (`schema.parts`): `{edge}` stands for
the edges of such a part, `{decomposition}` and `{decision}` for its other rows. That keeps memory bounded however large
the database is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Invariant:
    """A rule: its name, what a breaking row is, and the SELECT that finds such rows."""

    name: str
    broken: str
    sql: str

    @property
    def by_parts(self) -> bool:
        """Whether the rule is asked of a part of the run at a time."""
        return any(table in self.sql for table in ("{edge}", "{decomposition}", "{overlap}"))


_DECOMPOSITION = "run_id, decision_id, target_layer, target_channel, target_y, target_x"
_TARGET_IS_SOURCE = """
    n.run_id = e.run_id AND n.decision_id = e.decision_id AND n.source_layer = e.target_layer
    AND n.source_channel = e.target_channel AND n.source_y = e.target_y AND n.source_x = e.target_x
"""

EDGE_INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "decomposition-class",
        "decompositions of no decision, or filed under another class than their decision's",
        """
        SELECT run_id, decision_id, d.class_id
        FROM {decomposition} AS d LEFT JOIN decision AS r USING (run_id, decision_id)
        WHERE r.class_id IS DISTINCT FROM d.class_id
        """,
    ),
    Invariant(
        "positive-count",
        "decompositions with fewer positive channels than evidence, or more that overlap than are positive",
        """
        SELECT run_id, decision_id, layer_id, channel, y, x FROM {decomposition}
        WHERE positive_count < len(evidence) OR overlap_count NOT BETWEEN 0 AND positive_count
           OR (positive_log IS NULL) <> (len(evidence) = 0)
        """,
    ),
    Invariant(
        "overlap",
        "overlap rows whose representative their decomposition does not keep, whose contribution is larger than that "
        "one's or not positive, or whose IoU is not above 0.9",
        """
        SELECT run_id, decision_id, layer_id, channel, y, x, member FROM {overlap} AS o
        WHERE isfinite(contribution) AND isfinite(iou)
          AND (member = representative OR contribution <= 0 OR iou <= 0.9 OR iou > 1 OR NOT EXISTS (
            FROM {edge} AS e
            WHERE e.run_id = o.run_id AND e.root_class_id = o.class_id AND e.decision_id = o.decision_id
              AND e.target_layer = o.layer_id AND e.target_channel = o.channel AND e.target_y = o.y
              AND e.target_x = o.x AND e.source_channel = o.representative
              AND o.contribution <= 1.0001 * e.contribution))
        """,
    ),
    Invariant(
        "overlap-count",
        "decompositions with more overlap rows than channels that overlap",
        """
        SELECT o.run_id, o.decision_id, o.layer_id, o.channel, o.y, o.x
        FROM (SELECT run_id, decision_id, layer_id, channel, y, x, count(*) AS members FROM {overlap} GROUP BY ALL) AS o
        LEFT JOIN {decomposition} AS d USING (run_id, decision_id, layer_id, channel, y, x)
        WHERE members > coalesce(overlap_count, 0)
        """,
    ),
    Invariant(
        "finite-edge",
        "edge rows with a number that is not finite",
        """
        SELECT run_id, decision_id FROM {edge}
        WHERE NOT (isfinite(contribution) AND isfinite(share) AND isfinite(feature) AND isfinite(activation)
                   AND isfinite(importance) AND isfinite(coalesce(context_iou, 0)))
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
        "max-nodes",
        "layers of a decision with more decomposed nodes than the run's max_nodes",
        f"""
        SELECT run_id, decision_id, target_layer FROM (SELECT DISTINCT {_DECOMPOSITION} FROM {{edge}}) GROUP BY ALL
        HAVING count(*) > (SELECT max((settings->>'max_nodes')::INTEGER) FROM run WHERE run_id = $run_id)
        """,
    ),
    Invariant(
        "cut-evidence",
        "decisions with more cut nodes, or of more importance, than their evidence holds undecomposed",
        f"""
        WITH leaf AS (
            SELECT run_id, decision_id, sum(importance::DOUBLE) AS importance FROM {{edge}} AS n
            ANTI JOIN {{edge}} AS e ON {_TARGET_IS_SOURCE}
            WHERE source_layer > 0
            GROUP BY run_id, decision_id, source_layer, source_channel, source_y, source_x
        ), per_decision AS (
            SELECT run_id, decision_id, count(*) AS nodes, sum(importance) AS importance FROM leaf GROUP BY ALL
        )
        SELECT d.run_id, d.decision_id FROM {{decision}} AS d JOIN run AS r USING (run_id)
        LEFT JOIN per_decision AS p USING (run_id, decision_id)
        WHERE (r.settings->>'max_nodes') IS NOT NULL
          AND (cut_node_count > coalesce(nodes, 0)
               OR isfinite(cut_importance) AND cut_importance > 1.0001 * coalesce(importance, 0) + 1e-12)
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
        "context-peak",
        "edges with a label at their peak that the run does not have, or whose part of the mask's activation on it is "
        "outside 0 to 1, or there without a label; or decompositions with more or fewer of these than edges",
        """
        SELECT run_id, decision_id FROM {edge} AS e
        WHERE (context_peak_mass IS NULL) <> (context_peak_label_id IS NULL)
           OR context_peak_mass <= 0 OR context_peak_mass > 1
           OR context_peak_label_id IS NOT NULL AND NOT EXISTS (
              FROM context_label AS l WHERE l.run_id = e.run_id AND l.label_id = e.context_peak_label_id)
        UNION ALL
        SELECT run_id, decision_id FROM {decomposition}
        WHERE coalesce(len(peak_label_ids), len(evidence)) <> len(evidence)
           OR len(peak_label_ids) IS DISTINCT FROM len(peak_mass_steps)
        """,
    ),
)
"""The rules on edges, but for the uniqueness of their keys, in the order in which they are checked."""
