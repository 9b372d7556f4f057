"""Which run is asked where a query names none: `run.is_default`.

Why it is so:
- Without it the newest run answered, so that publishing another run changed the answer of every saved query.
- No run of a database of before this revision was named: all are null, and the newest answers as it did.

Revision ID: 0007
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("is_default", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("run", "is_default")
