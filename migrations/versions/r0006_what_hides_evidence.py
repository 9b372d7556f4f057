"""What hid a region of evidence, the area of its control, and what the network says of the filling alone.

Why it is so:
- A run may hide a region in several ways, so the way is part of a test's key, and its counts are apart.
- Where a region takes most of the image, its filling decides: the class of the filling alone tells which corrections
  come of that.
- A control may be of another shape than its test, so its area is stored.
- Runs of before this revision were hidden as their settings say, and their controls were boxes of the tests' own shape;
  what the network says of the filling alone is not known: null.

Revision ID: 0006
Revises: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
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
    for name, kind in _COLUMNS:
        op.add_column("verification", sa.Column(name, kind, nullable=True))
    op.execute(_FROM_SETTINGS)
    op.execute(_SAME_SHAPE)


def downgrade() -> None:
    """Back to tests by one filling: of the others the rows would bear one key."""
    op.execute("""
        DELETE FROM verification USING (
            SELECT run_id, min_by(fill, list_position(['grey', 'blur', 'image'], fill)) AS kept
            FROM verification WHERE method = 'occlude' GROUP BY run_id) AS first
        WHERE first.run_id = verification.run_id AND fill <> kept
    """)
    for name, _ in _COLUMNS:
        op.drop_column("verification", name)
