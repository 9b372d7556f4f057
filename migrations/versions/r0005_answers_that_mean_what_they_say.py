"""Answers that mean what they say: what evidence lies on without bias, what hid it, and which run answers unnamed.

Why it is so:
- The context label of the largest IoU favours regions of the mask's size. What lies under peaks, and under the masks'
  activation, does not (decision 0036).
- The two lists lie beside `evidence`, as DuckDB cannot add a field to a struct within a list; null costs nothing.
- `localization` is a base table though it holds sums: what it is made of, masks and maps, stays in the run folder.
- `run.is_default` names the run that is asked where a query names none: without it the newest answered, so that
  publishing another run changed the answer of every saved query (decision 0038).
- A run may hide a region of evidence in several ways, so the way, `fill`, is part of a test's key. The class of the
  filling alone tells which corrections come of that. A control may be of another shape than its test, so its area is
  stored (decision 0037).
- Runs of before this revision have none of it: null, and the newest answers as it did. Their regions were hidden as
  their settings say, and their controls were boxes of the tests' own shape.

Revision ID: 0005
Revises: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from evigraph.migrations.versions.r0002_decompositions import EDGE
from evigraph.migrations.versions.r0003_controls_of_verification import _FAST_RANKS, _RANKS

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


_LISTS = {"peak_label_ids": "INTEGER", "peak_mass_steps": "SMALLINT"}
_IDS = ("run_id", "class_id", "role", "outcome", "layer_id", "label_id", "channel", "decisions", "edges", "shown")
_KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    "role": sa.String(),
    "outcome": sa.String(),
    "layer_id": sa.SmallInteger(),
}
_SUMS = (
    "area_sum", "area_squares",
    "peak_sum", "peak_squares", "peak_area", "peak_compared", "peak_chance", "peak_chance_variance",
    "mass_sum", "mass_squares", "mass_area", "mass_compared", "mass_chance", "mass_chance_variance",
)  # fmt: skip
_BEFORE = EDGE.replace(_RANKS, _FAST_RANKS)
_IOU = "(nullif(e.context_iou_steps, 0) / 16383.0)::REAL AS context_iou"
_AFTER = _BEFORE.replace(
    _IOU,
    f"""{_IOU},
           nullif(peak_label_ids["rank" + 1], -1) AS context_peak_label_id,
           (nullif(peak_mass_steps["rank" + 1], 0) / 255.0)::REAL AS context_peak_mass""",
)

_OF_TESTS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("fill", sa.String()),
    ("fill_image_id", sa.Integer()),
    ("empty_predicted_id", sa.Integer()),
    ("control_shape", sa.String()),
    ("control_area", sa.REAL()),
)
_FROM_SETTINGS = """
    UPDATE verification SET fill = run.settings->'verify'->>'occlude' FROM run
    WHERE run.run_id = verification.run_id AND method = 'occlude'
      AND (run.settings->'verify'->>'occlude') IN ('grey', 'blur')
"""
_SAME_SHAPE = "UPDATE verification SET control_shape = 'box', control_area = area WHERE control_top IS NOT NULL"


def upgrade() -> None:
    for name, kind in _OF_TESTS:
        op.add_column("verification", sa.Column(name, kind, nullable=True))
    op.execute(_FROM_SETTINGS)
    op.execute(_SAME_SHAPE)
    op.add_column("run", sa.Column("is_default", sa.Boolean(), nullable=True))
    for name, element in _LISTS.items():
        op.execute(f"ALTER TABLE decomposition ADD COLUMN {name} {element}[]")
    op.execute(f"CREATE OR REPLACE VIEW edge AS {_AFTER}")
    op.create_table(
        "localization",
        *(sa.Column(name, _KINDS.get(name, sa.Integer()), nullable=False) for name in _IDS),
        sa.Column("peak_low", sa.REAL(), nullable=True),
        *(sa.Column(name, sa.Numeric(18, 4), nullable=False) for name in _SUMS),
    )


def downgrade() -> None:
    """Back to tests by one filling: of the others the rows would bear one key."""
    op.execute("""
        DELETE FROM verification USING (
            SELECT run_id, min_by(fill, list_position(['grey', 'blur', 'image'], fill)) AS kept
            FROM verification WHERE method = 'occlude' GROUP BY run_id) AS first
        WHERE first.run_id = verification.run_id AND fill <> kept
    """)
    for name, _ in _OF_TESTS:
        op.drop_column("verification", name)
    op.drop_table("localization")
    op.execute(f"CREATE OR REPLACE VIEW edge AS {_BEFORE}")
    for name in _LISTS:
        op.drop_column("decomposition", name)
    op.drop_column("run", "is_default")
