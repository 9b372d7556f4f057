"""What holds in every published database, each rule as SQL that selects the rows which break it.

Here are the rules on runs, images and decisions; those on edges are in `schema.checks.edge_invariants`.
"""

from __future__ import annotations

from sqlalchemy import REAL, Double

from evigraph.schema.checks.edge_invariants import EDGE_INVARIANTS, Invariant
from evigraph.schema.ids import ROLES, decision_id_sql
from evigraph.schema.sql import identifier, literal, quoted
from evigraph.schema.tables import BASE_TABLES, ROLLUP_TABLES
from evigraph.schema.tables.base import Base, key_of
from evigraph.schema.tables.declared import ALL_CLASSES, ANY_OUTCOME
from evigraph.schema.tables.evidence import ALL_CHANNELS, ALL_LAYERS

_ROUNDING = 0.01
"""What the rounding of sums of many classes to 4 places may come to in `localization`."""


def _unique() -> list[Invariant]:
    rules = []
    for table in BASE_TABLES:
        key = quoted(key_of(table))
        rows = f"{{{table}}}" if table in ("decomposition", "overlap") else identifier(table)
        sql = f"SELECT {key} FROM {rows} GROUP BY ALL HAVING count(*) > 1"
        rules.append(Invariant(f"unique-{table}", f"{table} rows of one key", sql))
    return rules


def _of_a_run() -> Invariant:
    tables = [table for table in BASE_TABLES + ROLLUP_TABLES if table != "run"]
    each = [f'SELECT DISTINCT {literal(table)} AS "table", run_id FROM {identifier(table)}' for table in tables]
    sql = f"SELECT * FROM ({' UNION ALL '.join(each)}) WHERE run_id NOT IN (SELECT run_id FROM run)"
    return Invariant("of-a-run", "tables with rows of no run", sql)


def _finite() -> list[Invariant]:
    rules = []
    for table in BASE_TABLES:
        columns = Base.metadata.tables[table].columns
        numbers = [column.name for column in columns if isinstance(column.type, (REAL, Double))]
        if numbers:
            test = " OR ".join(f"NOT isfinite({identifier(name)})" for name in numbers)
            sql = f"SELECT run_id FROM {identifier(table)} WHERE {test}"
            rules.append(Invariant(f"finite-{table}", f"{table} rows with a number that is not finite", sql))
    return rules


__all__ = ["INVARIANTS", "Invariant"]

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
        "image-context",
        "labels of semantic maps without their image or label, or whose areas are not within 0 to 1 together",
        """
        SELECT run_id, image_id, label_id FROM image_context ANTI JOIN image USING (run_id, image_id)
        UNION ALL
        SELECT run_id, image_id, label_id FROM image_context ANTI JOIN context_label USING (run_id, label_id)
        UNION ALL
        SELECT run_id, image_id, NULL FROM image_context WHERE isfinite(area)
        GROUP BY run_id, image_id HAVING min(area) <= 0 OR sum(area::DOUBLE) > 1 + 1e-6
        """,
    ),
    Invariant(
        "localization",
        "rows of localization of no label, layer or class, of more than all evidence of their group, or that are not "
        "the sum of their outcomes",
        f"""
        SELECT run_id, class_id, layer_id, label_id, channel FROM localization AS r
        WHERE NOT EXISTS (FROM context_label AS l WHERE l.run_id = r.run_id AND l.label_id = r.label_id)
           OR layer_id <> {ALL_LAYERS} AND NOT EXISTS (
              FROM layer AS l WHERE l.run_id = r.run_id AND l.layer_id = r.layer_id AND r.channel < l.channels)
           OR class_id <> {ALL_CLASSES} AND NOT EXISTS (
              FROM class AS c WHERE c.run_id = r.run_id AND c.class_id = r.class_id)
           OR decisions < 1 OR edges < decisions OR shown NOT BETWEEN 1 AND decisions
           OR least(peak_chance_variance, mass_chance_variance) < 0
           OR least(area_sum, peak_sum, mass_sum) < 0 OR greatest(area_sum, peak_sum, mass_sum) > edges + {_ROUNDING}
           OR peak_compared > peak_sum + {_ROUNDING} OR mass_compared > mass_sum + {_ROUNDING}
        UNION ALL
        SELECT run_id, class_id, layer_id, label_id, channel FROM localization
        WHERE channel = {ALL_CHANNELS} GROUP BY run_id, class_id, layer_id, label_id, channel, role
        HAVING abs(sum(CASE WHEN outcome = '{ANY_OUTCOME}' THEN peak_sum ELSE -peak_sum END)) > {_ROUNDING}
        """,
    ),
    Invariant(
        "pictures",
        "pictures of no image or decision",
        """
        SELECT 'thumbnail' AS "table", run_id, image_id AS id FROM thumbnail ANTI JOIN image USING (run_id, image_id)
        UNION ALL
        SELECT 'activation_map', run_id, decision_id FROM activation_map ANTI JOIN decision USING (run_id, decision_id)
        UNION ALL
        SELECT 'guided_crop', run_id, image_id FROM guided_crop ANTI JOIN image USING (run_id, image_id)
        """,
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
        f"""
        SELECT run_id, decision_id FROM decision
        WHERE decision_id <> {decision_id_sql("image_id", "role")} OR role NOT IN {literal(ROLES)}
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
        "cut",
        "decisions whose cut nodes are fewer than 0, or whose cut importance is not theirs or outside 0 to 1",
        """
        SELECT run_id, decision_id FROM decision
        WHERE cut_node_count < 0
           OR isfinite(cut_importance)
              AND (cut_importance NOT BETWEEN 0 AND 1 + 1e-4 OR cut_importance > 0 AND cut_node_count = 0)
        """,
    ),
    Invariant(
        "cut-unbounded",
        "decisions with cut nodes in a run without max_nodes",
        """
        SELECT run_id, decision_id FROM decision JOIN run USING (run_id)
        WHERE (settings->>'max_nodes') IS NULL AND cut_node_count > 0
        """,
    ),
    Invariant(
        "verification-edge",
        "tests of evidence that no decomposition of their decision holds",
        """
        SELECT run_id, decision_id, source_layer, source_channel FROM verification AS v
        WHERE source_layer <> target_layer - 1 OR NOT EXISTS (
            FROM decomposition AS d
            WHERE d.run_id = v.run_id AND d.class_id = v.class_id AND d.decision_id = v.decision_id
              AND d.layer_id = v.target_layer AND d.channel = v.target_channel AND d.y = v.target_y AND d.x = v.target_x
              AND list_contains(d.evidence.list_transform(lambda e: e.channel), v.source_channel))
        """,
    ),
    Invariant(
        "verification-outcome",
        "tests of an unknown method, whose area is outside 0 to 1, or whose outcome is not that of their image",
        """
        SELECT run_id, decision_id, source_layer, source_channel, method
        FROM verification AS v JOIN root AS r USING (run_id, decision_id)
        WHERE method NOT IN ('occlude', 'remove') OR (area IS NULL) <> (method = 'remove')
           OR isfinite(area) AND NOT (area > 0 AND area <= 1)
           OR (label_id IS NULL) <> (corrected IS NULL) OR (label_id IS NULL) <> (label_logit_change IS NULL)
           OR corrected AND (outcome <> 'wrong' OR v.predicted_id = r.predicted_id)
           OR NOT EXISTS (FROM class AS c WHERE c.run_id = v.run_id AND c.class_id = v.predicted_id)
        """,
    ),
    Invariant(
        "verification-fill",
        "tests whose filling is unknown or its own image, or controls of another area than their test",
        """
        SELECT run_id, decision_id, source_layer, source_channel, method, fill
        FROM verification AS v JOIN root AS r USING (run_id, decision_id)
        WHERE fill NOT IN ('grey', 'blur', 'image') OR (fill_image_id IS NULL) <> (fill IS DISTINCT FROM 'image')
           OR method = 'remove' AND (fill, control_shape, empty_predicted_id, control_area) IS DISTINCT FROM
               (NULL, NULL, NULL, NULL)
           OR fill_image_id = r.image_id
           OR empty_predicted_id IS NOT NULL AND NOT EXISTS (
               FROM class AS c WHERE c.run_id = v.run_id AND c.class_id = empty_predicted_id)
           OR method = 'occlude' AND (control_predicted_id IS NULL) <> (control_area IS NULL)
           OR (control_shape IS NULL) <> (control_area IS NULL) OR control_area <> area
           OR control_shape NOT IN ('box', 'rows')
        """,
    ),
    Invariant(
        "verification-control",
        "controls that are evidence of their decision, are told of in part, or whose outcome is not their image's",
        """
        SELECT run_id, decision_id, source_layer, source_channel, method
        FROM verification AS v JOIN root AS r USING (run_id, decision_id)
        WHERE (control_predicted_id IS NULL) <> (control_disturbance IS NULL)
           OR (control_predicted_id IS NULL) <> (control_logit_change IS NULL)
           OR (control_predicted_id IS NULL OR method <> 'occlude') <> (control_top IS NULL)
           OR (control_predicted_id IS NULL OR method <> 'occlude') <> (control_left IS NULL)
           OR (control_predicted_id IS NULL OR method <> 'remove') <> (control_channel IS NULL)
           OR (control_predicted_id IS NULL OR label_id IS NULL) <> (control_corrected IS NULL)
           OR (control_predicted_id IS NULL OR label_id IS NULL) <> (control_label_logit_change IS NULL)
           OR control_corrected AND (outcome <> 'wrong' OR control_predicted_id = r.predicted_id)
           OR control_predicted_id IS NOT NULL AND (disturbance IS NULL OR NOT EXISTS (
               FROM class AS c WHERE c.run_id = v.run_id AND c.class_id = control_predicted_id))
           OR least(disturbance, control_disturbance, control_top, control_left) < 0
           OR control_channel IS NOT NULL AND NOT EXISTS (
               FROM layer AS l WHERE l.run_id = v.run_id AND l.layer_id = source_layer
                 AND control_channel BETWEEN 0 AND channels - 1)
           OR control_channel IS NOT NULL AND EXISTS (
               FROM decomposition AS d
               WHERE d.run_id = v.run_id AND d.class_id = v.class_id AND d.decision_id = v.decision_id
                 AND d.layer_id = v.target_layer
                 AND list_contains(d.evidence.list_transform(lambda e: e.channel), v.control_channel))
        """,
    ),
    *EDGE_INVARIANTS,
    Invariant(
        "run-counts",
        "runs whose counts are not those of their rows",
        """
        SELECT run_id, name FROM run AS r
        WHERE image_count <> (SELECT count(*) FROM image AS i WHERE i.run_id = r.run_id)
           OR skipped_count <> (SELECT count(*) FROM skipped_image AS s WHERE s.run_id = r.run_id)
           OR decision_count <> (SELECT count(*) FROM decision AS d WHERE d.run_id = r.run_id)
           OR edge_count <> (SELECT coalesce(sum(len(evidence)), 0) FROM decomposition AS e WHERE e.run_id = r.run_id)
           OR labelled_count <> (SELECT count(label_id) FROM image AS i WHERE i.run_id = r.run_id)
           OR correct_count <> (
               SELECT count(*) FROM image AS i WHERE i.run_id = r.run_id AND label_id = predicted_id)
        """,
    ),
)
"""Every rule on the base tables, in the order in which they are checked."""
