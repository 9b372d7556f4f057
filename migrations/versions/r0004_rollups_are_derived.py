"""Rollups are no revision's concern any more; the digests of the declarations that they were made by are kept.

Why it is so:
- A rollup is made of the base tables, so to migrate one is to drop it and make it anew, which needs no script of its
  own: `schema.rollups.keeping` does so wherever a digest is not the one of the program's declaration.
- The tables of the revisions before are dropped here, as their digests are not known; they are made anew right after.

Revision ID: 0004
Revises: 0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROLLUPS = {
    "class_roots": "run_id, class_id, role, outcome, decisions",
    "channel_support": "run_id, layer_id, class_id, channel, role, outcome, decisions, edges, share_sum, "
    "importance_sum",
    "channel_edge": "run_id, target_layer, target_channel, source_layer, source_channel, role, outcome, decisions, "
    "edges, share_sum, importance_sum",
    "channel_context": "run_id, layer_id, class_id, channel, label_id, role, edges, iou_sum",
    "class_context": "run_id, layer_id, class_id, label_id, role, outcome, decisions, edges, iou_sum",
    "class_label": "run_id, class_id, label_id, role, outcome, decisions, area_sum",
    "layer_profile": "run_id, layer_id, class_id, role, outcome, rank, edges, share_sum",
    "positive_profile": "run_id, layer_id, role, outcome, positive_count, overlap_count, evidence, decompositions",
    "channel_peak": "run_id, layer_id, channel, position, image_id, decision_id, y, x, contribution, share, feature, "
    "activation",
    "channel_degree": "run_id, layer_id, channel, discriminative_degree, edges",
    "channel_verification": "run_id, layer_id, class_id, channel, method, role, outcome, tested, corrected, flipped, "
    "logit_change_sum, control_tested, control_corrected, control_flipped, control_logit_change_sum, only_corrected, "
    "control_only_corrected",
    "confusion": "run_id, label_id, predicted_id, images",
    "class_stat": "run_id, class_id, image_count, correct_count, predicted_count",
}
"""The rollups of revision 0003 and their columns."""
_KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    **dict.fromkeys(("role", "outcome", "method"), sa.String()),
    **dict.fromkeys(("layer_id", "target_layer", "source_layer", "rank", "position", "y", "x"), sa.SmallInteger()),
    **dict.fromkeys(("contribution", "share", "feature", "activation", "discriminative_degree"), sa.REAL()),
    **dict.fromkeys(("share_sum", "iou_sum"), sa.Numeric(18, 7)),
    **dict.fromkeys(("importance_sum", "area_sum", "logit_change_sum", "control_logit_change_sum"), sa.Numeric(18, 8)),
}
"""Types of their columns; of all others it is INTEGER."""


def upgrade() -> None:
    for table in _ROLLUPS:
        op.drop_table(table)
    op.create_table(
        "rollup_declaration",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
    )


def downgrade() -> None:
    """Back to the rollups of revision 0003, empty; whatever rollups there are now are dropped."""
    made = op.get_bind().exec_driver_sql("SELECT name FROM rollup_declaration").scalars().all()
    for table in made:
        op.drop_table(table)
    op.drop_table("rollup_declaration")
    for table, columns in _ROLLUPS.items():
        op.create_table(
            table,
            *(
                sa.Column(name, _KINDS.get(name, sa.Integer()), nullable=name in ("positive_count", "overlap_count"))
                for name in columns.split(", ")
            ),
        )
