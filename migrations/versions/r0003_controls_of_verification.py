"""Controls beside the tests of evidence: what became of the decision when the same was done to something else.

Besides, sums of rollups keep seven or eight places, and the view `edge` is read twice as fast.

Why it is so:
- Any disturbance turns some predictions, so how many failures a test corrected says little without its control.
- A test and its control are one row, since they are compared in pairs: of the same decision, layer and method. A row of
  its own for each would count twice for whoever counts the rows of `verification`.
- A share is stored to 3e-5 of itself (decision 0009), so the ninth place of a sum kept noise, the eighth too of
  numbers that are seldom below 0.01: together 0.1 bytes an edge.
- Most decompositions have 3 edges (N = 3). To make a list of numbers for each took as long as all else of the view.
- Tests of before this revision have no control: null, and 0 of the rollup's counts.

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from evigraph.migrations.versions.r0002_decompositions import EDGE

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF_A_TEST: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("disturbance", sa.REAL()),
    ("control_top", sa.SmallInteger()),
    ("control_left", sa.SmallInteger()),
    ("control_channel", sa.Integer()),
    ("control_disturbance", sa.REAL()),
    ("control_predicted_id", sa.Integer()),
    ("control_logit_change", sa.REAL()),
    ("control_label_logit_change", sa.REAL()),
    ("control_corrected", sa.Boolean()),
)
_OF_A_CHANNEL: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("control_tested", sa.Integer()),
    ("control_corrected", sa.Integer()),
    ("control_flipped", sa.Integer()),
    ("control_logit_change_sum", sa.Numeric(18, 8)),
    ("only_corrected", sa.Integer()),
    ("control_only_corrected", sa.Integer()),
)

_PLACES = {
    "channel_support": {"share_sum": 7, "importance_sum": 8},
    "channel_edge": {"share_sum": 7, "importance_sum": 8},
    "channel_context": {"iou_sum": 7},
    "class_context": {"iou_sum": 7},
    "class_label": {"area_sum": 8},
    "layer_profile": {"share_sum": 7},
    "channel_verification": {"logit_change_sum": 8},
}
_RANKS = "unnest(range(len(evidence)))"
_FAST_RANKS = "unnest(CASE len(evidence) WHEN 3 THEN [0::BIGINT, 1, 2] ELSE range(len(evidence)) END)"


def upgrade() -> None:
    for table, places_of in _PLACES.items():
        for column, places in places_of.items():
            op.alter_column(table, column, type_=sa.Numeric(18, places))
    op.execute(f"CREATE OR REPLACE VIEW edge AS {EDGE.replace(_RANKS, _FAST_RANKS)}")
    for name, kind in _OF_A_TEST:
        op.add_column("verification", sa.Column(name, kind, nullable=True))
    for name, kind in _OF_A_CHANNEL:
        op.add_column("channel_verification", sa.Column(name, kind, server_default="0"))
        op.alter_column("channel_verification", name, nullable=False)
        op.alter_column("channel_verification", name, server_default=None)


def downgrade() -> None:
    for table, places_of in _PLACES.items():
        for column in places_of:
            op.alter_column(table, column, type_=sa.Numeric(18, 9))
    op.execute(f"CREATE OR REPLACE VIEW edge AS {EDGE}")
    for table, columns in (("verification", _OF_A_TEST), ("channel_verification", _OF_A_CHANNEL)):
        for name, _ in columns:
            op.drop_column(table, name)
