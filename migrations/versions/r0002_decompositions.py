"""Decompositions with their edges as lists, the views `edge` and `root`, and rollups for every interactive question.

Why it is so:
- A row an edge took 36 bytes at 18 million edges, of which half repeat its decomposition and most of the rest are
  float32 digits that nothing can compress. A row a decomposition, ordered by class and layer, with logs on a grid
  (`schema.encoding`) takes a third of that. `edge` stays what it was, as a view.
- The order by class answers what is asked of one class from one place, so channel_edge holds no classes any more.
- Rollups hold single outcomes; sums over them are few rows and are taken by who reads. Sums are decimals, which
  pack, where doubles do not.
- Rollups are made anew after this revision, by `schema.rollups.rollups`; here they are left empty.
- How many channels were positive was not stored before, so it stays null for runs of revision 0001.

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SUM = sa.Numeric(18, 9)

# The encoding of this revision, written out: a later one may change `schema.encoding`.
_COARSE = "CASE WHEN {0} = 0 THEN 0 ELSE (sign({0}) * (round(ln(abs({0}::DOUBLE)) * 256) + 32768))::INTEGER END"
_FROM_COARSE = "(sign({0}) * exp((abs({0}) - 32768) / 256.0))::REAL"
EDGE = f"""
    SELECT run_id, class_id AS root_class_id, decision_id,
           layer_id AS target_layer, channel AS target_channel, y AS target_y, x AS target_x,
           (layer_id - 1)::SMALLINT AS source_layer, e.channel AS source_channel,
           (y * scale_y + e.dy)::SMALLINT AS source_y, (x * scale_x + e.dx)::SMALLINT AS source_x,
           exp((positive_log + e.share_log) / 16384.0)::REAL AS contribution,
           exp(e.share_log / 16384.0)::REAL AS share,
           "rank"::SMALLINT AS "rank",
           {_FROM_COARSE.format("e.feature_log")} AS feature,
           {_FROM_COARSE.format("e.activation_log")} AS activation,
           exp((importance_log + e.share_log) / 16384.0)::REAL AS importance,
           nullif(e.context_label_id, -1) AS context_label_id,
           (nullif(e.context_iou_steps, 0) / 16383.0)::REAL AS context_iou
    FROM (SELECT * EXCLUDE (evidence), unnest(evidence) AS e, unnest(range(len(evidence))) AS "rank"
          FROM decomposition)
"""
_ROOT = """
    SELECT run_id, decision_id, image_id, d.class_id, d.role, i.label_id, i.predicted_id,
           CASE WHEN i.label_id IS NULL THEN 'unlabelled'
                WHEN i.label_id = i.predicted_id THEN 'correct' ELSE 'wrong' END AS outcome
    FROM decision AS d JOIN image AS i USING (run_id, image_id)
"""
_EVIDENCE = (
    "STRUCT(channel INTEGER, dy SMALLINT, dx SMALLINT, share_log INTEGER, feature_log INTEGER, "
    "activation_log INTEGER, context_label_id INTEGER, context_iou_steps SMALLINT)[]"
)
_FOLD = f"""
    INSERT INTO decomposition
    WITH scale AS (
        SELECT t.run_id, t.layer_id,
               CASE WHEN t.height * t.width = 1 THEN 1 ELSE greatest(1, round(s.height / t.height)) END AS down,
               CASE WHEN t.height * t.width = 1 THEN 1 ELSE greatest(1, round(s.width / t.width)) END AS across
        FROM layer AS t JOIN layer AS s ON s.run_id = t.run_id AND s.layer_id = t.layer_id - 1
    )
    SELECT run_id, class_id, decision_id, target_layer, target_channel, target_y, target_x, any_value(down),
           any_value(across),
           round(ln(arg_min(importance, "rank")::DOUBLE / arg_min(share, "rank")) * 16384),
           round(ln(arg_min(contribution, "rank")::DOUBLE / arg_min(share, "rank")) * 16384), NULL, NULL,
           list(ROW(source_channel, source_y - target_y * down, source_x - target_x * across,
                    round(ln(share::DOUBLE) * 16384), {_COARSE.format("feature")},
                    {_COARSE.format("activation")}, coalesce(context_label_id, -1),
                    CASE WHEN context_iou IS NULL THEN 0 ELSE greatest(1, round(context_iou * 16383)) END
                )::{_EVIDENCE[:-2]} ORDER BY "rank")
    FROM edge JOIN decision USING (run_id, decision_id) JOIN scale ON scale.run_id = edge.run_id
         AND scale.layer_id = target_layer
    GROUP BY run_id, class_id, decision_id, target_layer, target_channel, target_y, target_x
    ORDER BY run_id, class_id, target_layer, decision_id, target_channel, target_y, target_x
"""


def upgrade() -> None:
    op.execute(f"""
        CREATE TABLE decomposition (
            run_id INTEGER NOT NULL, class_id INTEGER NOT NULL, decision_id INTEGER NOT NULL,
            layer_id SMALLINT NOT NULL, channel INTEGER NOT NULL, y SMALLINT NOT NULL, x SMALLINT NOT NULL,
            scale_y SMALLINT NOT NULL, scale_x SMALLINT NOT NULL, importance_log INTEGER NOT NULL,
            positive_log INTEGER, positive_count INTEGER, overlap_count INTEGER, evidence {_EVIDENCE} NOT NULL)
    """)
    op.execute(_FOLD)
    op.drop_table("edge")
    op.execute(f"CREATE VIEW edge AS {EDGE}")
    op.execute(f"CREATE VIEW root AS {_ROOT}")
    op.create_table(
        "image_tag",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
    )
    _create("image_label", ("run_id", "image_id", "class_id"))
    _create("image_context", ("run_id", "image_id", "label_id"))
    op.execute("ALTER TABLE image_context ADD COLUMN area REAL")
    op.execute("ALTER TABLE image_context ALTER COLUMN area SET NOT NULL")
    for table in ("channel_support", "channel_edge", "channel_context"):
        op.drop_table(table)
    support = ("run_id", "layer_id", "class_id", "channel", "role", "outcome", "decisions", "edges")
    _create("channel_support", support, ("share_sum", "importance_sum"))
    ends = ("target_layer", "target_channel", "source_layer", "source_channel")
    _create("channel_edge", ("run_id", *ends, "role", "outcome", "decisions", "edges"), ("share_sum", "importance_sum"))
    _create("channel_context", ("run_id", "layer_id", "class_id", "channel", "label_id", "role", "edges"), ("iou_sum",))
    by_label = ("run_id", "layer_id", "class_id", "label_id", "role", "outcome", "decisions", "edges")
    _create("class_context", by_label, ("iou_sum",))
    _create("class_label", ("run_id", "class_id", "label_id", "role", "outcome", "decisions"), ("area_sum",))
    _create("layer_profile", ("run_id", "layer_id", "class_id", "role", "outcome", "rank", "edges"), ("share_sum",))
    counts = ("positive_count", "overlap_count")
    key = ("run_id", "layer_id", "role", "outcome", *counts, "evidence")
    _create("positive_profile", (*key, "decompositions"), optional=counts)

    place = {name: sa.SmallInteger() for name in ("layer_id", "y", "x")}
    of_node = ("run_id", "class_id", "decision_id", "layer_id", "channel", "y", "x", "representative", "member")
    op.create_table(
        "overlap",
        *(sa.Column(name, place.get(name, sa.Integer()), nullable=False) for name in of_node),
        *(sa.Column(name, sa.REAL(), nullable=False) for name in ("contribution", "iou")),
    )
    _create_pictures()
    _create_verification()


def _create_verification() -> None:
    """Tests of the evidence, and their rollup."""
    ends = [f"{end}_{part}" for end in ("target", "source") for part in ("layer", "channel", "y", "x")]
    small = {name: sa.SmallInteger() for name in ends if not name.endswith("channel")}
    op.create_table(
        "verification",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("run_id", "class_id", "decision_id")),
        *(sa.Column(name, small.get(name, sa.Integer()), nullable=False) for name in ends),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("area", sa.REAL(), nullable=True),
        sa.Column("predicted_id", sa.Integer(), nullable=False),
        sa.Column("logit", sa.REAL(), nullable=False),
        sa.Column("logit_change", sa.REAL(), nullable=False),
        sa.Column("label_logit_change", sa.REAL(), nullable=True),
        sa.Column("corrected", sa.Boolean(), nullable=True),
    )
    key = ("run_id", "layer_id", "class_id", "channel", "method", "role", "outcome")
    _create("channel_verification", (*key, "tested", "corrected", "flipped"), ("logit_change_sum",))


def _create_pictures() -> None:
    """Tables that hold bytes; places and lengths are 16 bits wide."""
    place = ("target_layer", "target_y", "target_x", "first_y", "first_x", "layer_id", "y", "x", "width", "height")
    node = ("target_layer", "target_channel", "target_y", "target_x", "source_channel")
    for table, names in (
        ("thumbnail", ("image_id", "media_type", "width", "height")),
        ("activation_map", ("decision_id", *node, "first_y", "first_x", "height", "width")),
        ("guided_crop", ("layer_id", "channel", "image_id", "y", "x", "media_type", "width", "height")),
    ):
        kinds = {"media_type": sa.String()} | {name: sa.SmallInteger() for name in place}
        op.create_table(
            table,
            *(sa.Column(name, kinds.get(name, sa.Integer()), nullable=False) for name in ("run_id", *names)),
            sa.Column("content", sa.LargeBinary(), nullable=False),
        )


def _create(table: str, columns: tuple[str, ...], sums: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> None:
    """A rollup table; layers and ranks are 16 bits wide, role and outcome text, all else 32 bits."""
    kinds = {name: sa.String() for name in ("role", "outcome", "method")} | {"rank": sa.SmallInteger()}

    def kind(name: str) -> sa.types.TypeEngine[Any]:
        return kinds.get(name) or (sa.SmallInteger() if "layer" in name else sa.Integer())

    op.create_table(
        table,
        *(sa.Column(name, kind(name), nullable=name in optional) for name in columns),
        *(sa.Column(name, _SUM, nullable=False) for name in sums),
    )


def downgrade() -> None:
    """Back to a row an edge; decompositions without evidence, and the counts of positive channels, are lost."""
    op.execute("CREATE TABLE edge_rows AS SELECT * EXCLUDE (root_class_id) FROM edge ORDER BY ALL")
    op.execute("DROP VIEW edge")
    op.execute("DROP VIEW root")
    op.execute("ALTER TABLE edge_rows RENAME TO edge")
    optional = ("context_label_id", "context_iou")
    for (name,) in op.get_bind().exec_driver_sql("SELECT column_name FROM (DESCRIBE edge)").all():
        if name not in optional:
            op.execute(f'ALTER TABLE edge ALTER COLUMN "{name}" SET NOT NULL')
    for table in (
        "decomposition", "channel_support", "channel_edge", "channel_context", "class_context", "layer_profile",
        "class_label", "positive_profile", "image_tag", "image_label", "image_context",
        "thumbnail", "activation_map", "guided_crop", "overlap", "verification", "channel_verification",
    ):  # fmt: skip
        op.drop_table(table)
    sums: tuple[sa.Column[float], ...] = (
        sa.Column("share_sum", sa.Double(), nullable=False),
        sa.Column("importance_sum", sa.Double(), nullable=False),
    )
    for table, columns in (
        ("channel_support", ("run_id", "layer_id", "channel", "class_id", "role", "outcome", "decisions", "edges")),
        (
            "channel_edge",
            ("run_id", "target_layer", "target_channel", "source_layer", "source_channel", "class_id", "role",
             "decisions", "edges"),
        ),
        ("channel_context", ("run_id", "layer_id", "channel", "class_id", "role", "label_id", "edges")),
    ):  # fmt: skip
        _create(table, columns, ())
        for column in sums if table != "channel_context" else (sa.Column("iou_sum", sa.Double(), nullable=False),):
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column.name} DOUBLE")
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column.name} SET NOT NULL")
