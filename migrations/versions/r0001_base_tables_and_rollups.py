"""The base tables and their rollups.

Why it is so:
- No foreign keys: DuckDB cannot alter a table that one refers to. `schema.checks.checks` states the same rules as SQL.
- No primary keys: on the fact table one doubles the file and the time to load it, and the rows, being written in
  the order of their key, are found by their block's bounds. The keys are checked before a file is published.
- float32 (REAL) for what the network computed in float32; sums of rollups are doubles.
- Rollups are tables, not views, so that no interactive question reads `edge`.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("weights_sha256", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("dataset_sha256", sa.String(), nullable=False),
        sa.Column("top_n", sa.Integer(), nullable=False),
        sa.Column("mask_threshold", sa.REAL(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("indexer_version", sa.String(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finished_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("skipped_count", sa.Integer(), nullable=False),
        sa.Column("decision_count", sa.Integer(), nullable=False),
        sa.Column("edge_count", sa.BigInteger(), nullable=False),
        sa.Column("labelled_count", sa.Integer(), nullable=False),
        sa.Column("correct_count", sa.Integer(), nullable=False),
        sa.UniqueConstraint("name", name="uq_run_name"),
    )
    op.create_table(
        "layer",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("layer_id", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("module", sa.String(), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("stride", sa.Integer(), nullable=True),
        sa.Column("receptive_field", sa.Integer(), nullable=True),
    )
    op.create_table(
        "class",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
    )
    op.create_table(
        "image",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=True),
        sa.Column("predicted_id", sa.Integer(), nullable=False),
        sa.Column("probability", sa.REAL(), nullable=False),
    )
    op.create_table(
        "skipped_image",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
    )
    op.create_table(
        "decision",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("decision_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("logit", sa.REAL(), nullable=False),
        sa.Column("probability", sa.REAL(), nullable=False),
        sa.Column("cut_node_count", sa.Integer(), nullable=False),
        sa.Column("cut_importance", sa.REAL(), nullable=False),
    )
    op.create_table(
        "edge",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("decision_id", sa.Integer(), nullable=False),
        sa.Column("target_layer", sa.SmallInteger(), nullable=False),
        sa.Column("target_channel", sa.Integer(), nullable=False),
        sa.Column("target_y", sa.SmallInteger(), nullable=False),
        sa.Column("target_x", sa.SmallInteger(), nullable=False),
        sa.Column("source_layer", sa.SmallInteger(), nullable=False),
        sa.Column("source_channel", sa.Integer(), nullable=False),
        sa.Column("source_y", sa.SmallInteger(), nullable=False),
        sa.Column("source_x", sa.SmallInteger(), nullable=False),
        sa.Column("contribution", sa.REAL(), nullable=False),
        sa.Column("share", sa.REAL(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("feature", sa.REAL(), nullable=False),
        sa.Column("activation", sa.REAL(), nullable=False),
        sa.Column("importance", sa.REAL(), nullable=False),
        sa.Column("context_label_id", sa.Integer(), nullable=True),
        sa.Column("context_iou", sa.REAL(), nullable=True),
    )
    op.create_table(
        "context_label",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
    )
    op.create_table(
        "class_roots",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("decisions", sa.Integer(), nullable=False),
    )
    op.create_table(
        "channel_support",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("layer_id", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("decisions", sa.Integer(), nullable=False),
        sa.Column("edges", sa.Integer(), nullable=False),
        sa.Column("share_sum", sa.Double(), nullable=False),
        sa.Column("importance_sum", sa.Double(), nullable=False),
    )
    op.create_table(
        "channel_edge",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("target_layer", sa.SmallInteger(), nullable=False),
        sa.Column("target_channel", sa.Integer(), nullable=False),
        sa.Column("source_layer", sa.SmallInteger(), nullable=False),
        sa.Column("source_channel", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("decisions", sa.Integer(), nullable=False),
        sa.Column("edges", sa.Integer(), nullable=False),
        sa.Column("share_sum", sa.Double(), nullable=False),
        sa.Column("importance_sum", sa.Double(), nullable=False),
    )
    op.create_table(
        "channel_context",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("layer_id", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("edges", sa.Integer(), nullable=False),
        sa.Column("iou_sum", sa.Double(), nullable=False),
    )
    op.create_table(
        "channel_peak",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("layer_id", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("decision_id", sa.Integer(), nullable=False),
        sa.Column("y", sa.SmallInteger(), nullable=False),
        sa.Column("x", sa.SmallInteger(), nullable=False),
        sa.Column("contribution", sa.REAL(), nullable=False),
        sa.Column("share", sa.REAL(), nullable=False),
        sa.Column("feature", sa.REAL(), nullable=False),
        sa.Column("activation", sa.REAL(), nullable=False),
    )
    op.create_table(
        "channel_degree",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("layer_id", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("discriminative_degree", sa.REAL(), nullable=False),
        sa.Column("edges", sa.Integer(), nullable=False),
    )
    op.create_table(
        "confusion",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("predicted_id", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
    )
    op.create_table(
        "class_stat",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("correct_count", sa.Integer(), nullable=False),
        sa.Column("predicted_count", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    for table in (
        "class_stat",
        "confusion",
        "channel_degree",
        "channel_peak",
        "channel_context",
        "channel_edge",
        "channel_support",
        "class_roots",
        "context_label",
        "edge",
        "decision",
        "skipped_image",
        "image",
        "class",
        "layer",
        "run",
    ):
        op.drop_table(table)
