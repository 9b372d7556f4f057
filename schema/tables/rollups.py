"""The rollups, so that no interactive query scans `edge`: each is declared here, once, and made from that everywhere.

Most are of the edges; those of few rows are of other tables. `schema.tables.declared` says what a declaration means.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import SmallInteger
from sqlalchemy.orm import Mapped

from evigraph.schema.tables.declared import (
    ALL_CLASSES,
    ANY_OUTCOME,
    SUM,
    SUM_OF_SHARES,
    Edges,
    Rollup,
    Rows,
    Strongest,
    by,
    count,
    derived,
    roots,
    total,
    value,
)
from evigraph.schema.tables.selects import roots_of

__all__ = ["ALL_CLASSES", "ANY_OUTCOME", "SUM_OF_SHARES"]  # for readers of rollups, beside the classes below

DEGREE_RANKS = 3
"""Edges of a rank below this count towards the discriminative degree (Sec. 4.3 takes the top 3)."""
LARGE_AREA = 0.5
"""Tests that hid more than this part of the input are counted apart."""
PEAKS_PER_CHANNEL = 64
"""Rows of channel_peak for one channel, at most."""


class ClassRoots(Rollup):
    """Roots per class, role and outcome: the denominator of every rate.

    class_id may be ALL_CLASSES and outcome ANY_OUTCOME; outcome is else 'correct', 'wrong' or 'unlabelled'.
    """

    __tablename__ = "class_roots"
    source = Rows("root WHERE run_id = $run_id")

    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    role: Mapped[str] = by()
    outcome: Mapped[str] = by(overall=ANY_OUTCOME)
    decisions: Mapped[int] = count()


class ChannelSupport(Rollup):
    """Edges into a channel per class, role and outcome of their roots, with the sums that means come from.

    class_id may be ALL_CLASSES; the outcomes are those of `root`, so sums over them are taken by who reads.
    """

    __tablename__ = "channel_support"
    source = Edges()

    layer_id: Mapped[int] = by("source_layer", SmallInteger)
    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    channel: Mapped[int] = by("source_channel")
    role: Mapped[str] = by()
    outcome: Mapped[str] = by()
    decisions: Mapped[int] = roots()
    edges: Mapped[int] = count()
    share_sum: Mapped[Decimal] = total("share", SUM_OF_SHARES)
    importance_sum: Mapped[Decimal] = total("importance", SUM)


class ChannelEdge(Rollup):
    """Edges between two channels per role and outcome of their roots, over all classes.

    Those of one class are summed from `edge`, where they lie together: by class this would be as long as `edge`.
    """

    __tablename__ = "channel_edge"
    source = Edges()

    target_layer: Mapped[int] = by(kind=SmallInteger)
    target_channel: Mapped[int] = by()
    source_layer: Mapped[int] = by(kind=SmallInteger)
    source_channel: Mapped[int] = by()
    role: Mapped[str] = by()
    outcome: Mapped[str] = by()
    decisions: Mapped[int] = roots()
    edges: Mapped[int] = count()
    share_sum: Mapped[Decimal] = total("share", SUM_OF_SHARES)
    importance_sum: Mapped[Decimal] = total("importance", SUM)


class ChannelContext(Rollup):
    """Edges into a channel whose mask best overlaps a context label, per class and role of their roots.

    class_id may be ALL_CLASSES.
    """

    __tablename__ = "channel_context"
    source = Edges("context_label_id IS NOT NULL")

    layer_id: Mapped[int] = by("source_layer", SmallInteger)
    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    channel: Mapped[int] = by("source_channel")
    label_id: Mapped[int] = by("context_label_id")
    role: Mapped[str] = by()
    edges: Mapped[int] = count()
    iou_sum: Mapped[Decimal] = total("context_iou", SUM_OF_SHARES)


class ClassContext(Rollup):
    """Edges into a layer whose mask best overlaps a context label, per class, role and outcome of their roots.

    class_id may be ALL_CLASSES; decisions counts the roots that have such an edge.
    """

    __tablename__ = "class_context"
    source = Edges("context_label_id IS NOT NULL")

    layer_id: Mapped[int] = by("source_layer", SmallInteger)
    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    label_id: Mapped[int] = by("context_label_id")
    role: Mapped[str] = by()
    outcome: Mapped[str] = by()
    decisions: Mapped[int] = roots()
    edges: Mapped[int] = count()
    iou_sum: Mapped[Decimal] = total("context_iou", SUM_OF_SHARES)


class ClassLabel(Rollup):
    """What the images of a class show, per role and outcome of their roots: the base that context is held against.

    class_id may be ALL_CLASSES. decisions counts the roots whose image shows the context label; area_sum is the sum,
    over those roots, of the part of the network's input that it covers. An image with two roots counts for each.
    """

    __tablename__ = "class_label"
    source = Rows("""
        (SELECT run_id, image_id, class_id, role, outcome FROM root WHERE run_id = $run_id)
        JOIN image_context USING (run_id, image_id)
    """)

    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    label_id: Mapped[int] = by()
    role: Mapped[str] = by()
    outcome: Mapped[str] = by()
    decisions: Mapped[int] = count()
    area_sum: Mapped[Decimal] = total("area", SUM)


class LayerProfile(Rollup):
    """How the evidence of a layer's decompositions falls off with rank, per class, role and outcome of their roots.

    layer_id is the layer decomposed; class_id may be ALL_CLASSES. The residual is what the shares leave of 1.
    """

    __tablename__ = "layer_profile"
    source = Edges()

    layer_id: Mapped[int] = by("target_layer", SmallInteger)
    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    role: Mapped[str] = by()
    outcome: Mapped[str] = by()
    rank: Mapped[int] = by(kind=SmallInteger)
    edges: Mapped[int] = count()
    share_sum: Mapped[Decimal] = total("share", SUM_OF_SHARES)


class PositiveProfile(Rollup):
    """How many channels are positive in a layer's decompositions, and how many of them overlap: a histogram.

    layer_id is the layer decomposed, `evidence` the number of edges kept. Null counts are of runs that did not count.
    """

    __tablename__ = "positive_profile"
    source = Rows(f"decomposition JOIN ({roots_of('$run_id')}) USING (decision_id) WHERE run_id = $run_id")

    layer_id: Mapped[int] = by(kind=SmallInteger)
    role: Mapped[str] = by()
    outcome: Mapped[str] = by()
    positive_count: Mapped[int | None] = by()
    overlap_count: Mapped[int | None] = by()
    evidence: Mapped[int] = by("len(evidence)")
    decompositions: Mapped[int] = count()


class ChannelPeak(Rollup):
    """The places where a channel contributes most, one per (image, y, x), largest contribution first.

    Of the edges at a place the strongest is kept, then the one of the lowest root, then of the first target.
    """

    __tablename__ = "channel_peak"
    source = Strongest(PEAKS_PER_CHANNEL)

    layer_id: Mapped[int] = by("source_layer", SmallInteger)
    channel: Mapped[int] = by("source_channel")
    position: Mapped[int] = by(kind=SmallInteger)
    image_id: Mapped[int] = value()
    decision_id: Mapped[int] = value()
    y: Mapped[int] = value("source_y", SmallInteger)
    x: Mapped[int] = value("source_x", SmallInteger)
    contribution: Mapped[float] = value()
    share: Mapped[float] = value()
    feature: Mapped[float] = value()
    activation: Mapped[float] = value()


class ChannelOverlap(Rollup):
    """How often the mask of one channel overlaps that of another which a decomposition keeps, by role of their roots.

    layer_id is the layer of both channels: the representative is kept, the member a duplicate of it (`Overlap`), which
    may be kept as well.
    """

    __tablename__ = "channel_overlap"
    source = Rows("overlap JOIN decision USING (run_id, decision_id) WHERE run_id = $run_id")

    layer_id: Mapped[int] = by("layer_id - 1", SmallInteger)
    representative: Mapped[int] = by()
    member: Mapped[int] = by()
    role: Mapped[str] = by()
    decompositions: Mapped[int] = count()


class ChannelDegree(Rollup):
    """Discriminative degree of a channel (Eq. 13), over edges of rank < 3 of role-predicted roots."""

    __tablename__ = "channel_degree"
    source = Edges(
        f"\"rank\" < {DEGREE_RANKS} AND role = 'predicted' AND label_id IS NOT NULL",
        each=("label_id",),
    )

    layer_id: Mapped[int] = by("source_layer", SmallInteger)
    channel: Mapped[int] = by("source_channel")
    discriminative_degree: Mapped[float] = derived("max(edges) / sum(edges)")
    edges: Mapped[int] = count()


class ChannelVerification(Rollup):
    """Tests of a channel's evidence (`Verification`) per method, and class, role and outcome of their roots.

    class_id may be ALL_CLASSES. Each decision is in it once: corrected counts the wrong predictions that became right,
    flipped those that changed at all. The columns control_* count the same of the controls of those tests that have
    one; of these, only_corrected and control_only_corrected are where the test alone, or its control alone, corrected.
    is_large tells tests that hid more than LARGE_AREA of the input. empty_known counts the tests that know the class of
    their filling alone, and empty_corrected those that became right by becoming that class, as control_empty_corrected
    does the controls.
    """

    __tablename__ = "channel_verification"
    source = Rows("verification AS v JOIN root AS r USING (run_id, decision_id, class_id) WHERE run_id = $run_id")

    layer_id: Mapped[int] = by("source_layer", SmallInteger)
    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    channel: Mapped[int] = by("source_channel")
    method: Mapped[str] = by()
    fill: Mapped[str] = by("coalesce(fill, '')")
    is_large: Mapped[bool] = by(f"coalesce(area > {LARGE_AREA}::REAL, FALSE)")
    role: Mapped[str] = by()
    outcome: Mapped[str] = by()
    tested: Mapped[int] = count()
    corrected: Mapped[int] = count("v.corrected")
    flipped: Mapped[int] = count("v.predicted_id <> r.predicted_id")
    logit_change_sum: Mapped[Decimal] = total("logit_change", SUM)
    control_tested: Mapped[int] = count("v.control_predicted_id IS NOT NULL")
    control_corrected: Mapped[int] = count("v.control_corrected")
    control_flipped: Mapped[int] = count("v.control_predicted_id <> r.predicted_id")
    control_logit_change_sum: Mapped[Decimal] = total("control_logit_change", SUM)
    only_corrected: Mapped[int] = count("v.corrected AND NOT v.control_corrected")
    control_only_corrected: Mapped[int] = count("v.control_corrected AND NOT v.corrected")
    empty_known: Mapped[int] = count("v.empty_predicted_id IS NOT NULL")
    empty_corrected: Mapped[int] = count("v.corrected AND v.predicted_id = v.empty_predicted_id")
    control_empty_corrected: Mapped[int] = count(
        "v.control_corrected AND v.control_predicted_id = v.empty_predicted_id"
    )


class Confusion(Rollup):
    """Wrongly predicted images per (label, predicted class)."""

    __tablename__ = "confusion"
    source = Rows("image WHERE run_id = $run_id AND label_id <> predicted_id")

    label_id: Mapped[int] = by()
    predicted_id: Mapped[int] = by()
    images: Mapped[int] = count()


class ClassStat(Rollup):
    """Images per class: as label, as label and rightly predicted, as prediction."""

    __tablename__ = "class_stat"
    source = Rows("""
        class AS c LEFT JOIN (
            SELECT label_id AS class_id, label_id, predicted_id FROM image WHERE run_id = $run_id
            UNION ALL
            SELECT predicted_id, label_id, predicted_id FROM image
            WHERE run_id = $run_id AND label_id IS DISTINCT FROM predicted_id
        ) AS i USING (class_id)
        WHERE c.run_id = $run_id
    """)

    class_id: Mapped[int] = by()
    image_count: Mapped[int] = count("i.label_id = c.class_id")
    correct_count: Mapped[int] = count("i.label_id = c.class_id AND i.predicted_id = c.class_id")
    predicted_count: Mapped[int] = count("i.predicted_id = c.class_id")
