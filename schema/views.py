"""The views of a database: `edge`, the contract's fact table, and `root`, a decision with its image's outcome.

`edge` unfolds `decomposition`. A filter on its run_id, root_class_id, decision_id, target_layer or target_channel
reaches the table, which is ordered by (run_id, root_class_id, target_layer, decision_id): so name the class of the root
where it is known.
"""

from __future__ import annotations

from sqlalchemy import REAL, Integer, SmallInteger, column, table

from evigraph.schema.encoding import IOU_STEPS, MASS_STEPS, NO_LABEL, coarse, fine

# As good as always there are 3 edges. To make a list for each decomposition took as long as all the rest.
_RANKS = "CASE len(evidence) WHEN 3 THEN [0::BIGINT, 1, 2] ELSE range(len(evidence)) END"
UNFOLDED = f"""(SELECT * EXCLUDE (evidence), unnest(evidence) AS e, unnest({_RANKS}) AS "rank"
          FROM decomposition)"""
"""A row for each edge, as it is stored: its decomposition, with the edge itself as `e`."""
CONTRIBUTION = f"{fine('(positive_log + e.share_log)')}::REAL"
"""Of a row of UNFOLDED."""


def edges_from(unfolded: str) -> str:
    """SELECT of the columns of `edge` from UNFOLDED, or from some of its rows."""
    return f"""
    SELECT run_id, class_id AS root_class_id, decision_id,
           layer_id AS target_layer, channel AS target_channel, y AS target_y, x AS target_x,
           (layer_id - 1)::SMALLINT AS source_layer, e.channel AS source_channel,
           (y * scale_y + e.dy)::SMALLINT AS source_y, (x * scale_x + e.dx)::SMALLINT AS source_x,
           {CONTRIBUTION} AS contribution,
           {fine("e.share_log")}::REAL AS share,
           "rank"::SMALLINT AS "rank",
           {coarse("e.feature_log")} AS feature,
           {coarse("e.activation_log")} AS activation,
           {fine("(importance_log + e.share_log)")}::REAL AS importance,
           nullif(e.context_label_id, {NO_LABEL}) AS context_label_id,
           (nullif(e.context_iou_steps, 0) / {IOU_STEPS}.0)::REAL AS context_iou,
           nullif(peak_label_ids["rank" + 1], {NO_LABEL}) AS context_peak_label_id,
           (nullif(peak_mass_steps["rank" + 1], 0) / {MASS_STEPS}.0)::REAL AS context_peak_mass
    FROM {unfolded}
"""


ROOT = """
    SELECT run_id, decision_id, image_id, d.class_id, d.role, i.label_id, i.predicted_id,
           CASE WHEN i.label_id IS NULL THEN 'unlabelled'
                WHEN i.label_id = i.predicted_id THEN 'correct' ELSE 'wrong' END AS outcome
    FROM decision AS d JOIN image AS i USING (run_id, image_id)
"""

VIEWS = {"edge": edges_from(UNFOLDED), "root": ROOT}
"""Name to SELECT."""

edge = table(
    "edge",
    column("run_id", Integer),
    column("root_class_id", Integer),
    column("decision_id", Integer),
    column("target_layer", SmallInteger),
    column("target_channel", Integer),
    column("target_y", SmallInteger),
    column("target_x", SmallInteger),
    column("source_layer", SmallInteger),
    column("source_channel", Integer),
    column("source_y", SmallInteger),
    column("source_x", SmallInteger),
    column("contribution", REAL),
    column("share", REAL),
    column("rank", SmallInteger),
    column("feature", REAL),
    column("activation", REAL),
    column("importance", REAL),
    column("context_label_id", Integer),
    column("context_iou", REAL),
    column("context_peak_label_id", Integer),
    column("context_peak_mass", REAL),
)
"""The view `edge` for SQLAlchemy."""
