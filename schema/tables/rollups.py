"""Rollups, so that no interactive query scans `edge`. Each is defined once, as SQL over the other tables, in
`schema.rollups.rollups`.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Numeric, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from evigraph.schema.tables.base import Base, key

SUM = Numeric(18, 8)
"""A sum that does not depend on the order of its terms, and packs to as many bits as it needs."""
SUM_OF_SHARES = Numeric(18, 7)
"""The same of numbers that are seldom below 0.01."""
ALL_CLASSES = -1
"""class_id of a rollup row that holds the sum over all classes."""
ANY_OUTCOME = "any"
"""outcome of a rollup row that holds the sum over correct, wrong and unlabelled images."""


class ClassRoots(Base):
    """Roots per class, role and outcome: the denominator of every rate.

    class_id may be ALL_CLASSES and outcome ANY_OUTCOME; outcome is else 'correct', 'wrong' or 'unlabelled'.
    """

    __tablename__ = "class_roots"
    __mapper_args__ = key("run_id", "class_id", "role", "outcome")

    run_id: Mapped[int]
    class_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]


class ChannelSupport(Base):
    """Edges into a channel per class, role and outcome of their roots, with the sums that means come from.

    class_id may be ALL_CLASSES; the outcomes are those of `root`, so sums over them are taken by who reads.
    """

    __tablename__ = "channel_support"
    __mapper_args__ = key("run_id", "layer_id", "class_id", "channel", "role", "outcome")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    channel: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    share_sum: Mapped[Decimal] = mapped_column(SUM_OF_SHARES)
    importance_sum: Mapped[Decimal] = mapped_column(SUM)


class ChannelEdge(Base):
    """Edges between two channels per role and outcome of their roots, over all classes.

    Those of one class are summed from `edge`, where they lie together: by class this would be as long as `edge`.
    """

    __tablename__ = "channel_edge"
    __mapper_args__ = key("run_id", "target_layer", "target_channel", "source_channel", "role", "outcome")

    run_id: Mapped[int]
    target_layer: Mapped[int] = mapped_column(SmallInteger)
    target_channel: Mapped[int]
    source_layer: Mapped[int] = mapped_column(SmallInteger)
    source_channel: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    share_sum: Mapped[Decimal] = mapped_column(SUM_OF_SHARES)
    importance_sum: Mapped[Decimal] = mapped_column(SUM)


class ChannelContext(Base):
    """Edges into a channel whose mask best overlaps a context label, per class and role of their roots.

    class_id may be ALL_CLASSES.
    """

    __tablename__ = "channel_context"
    __mapper_args__ = key("run_id", "layer_id", "class_id", "channel", "label_id", "role")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    channel: Mapped[int]
    label_id: Mapped[int]
    role: Mapped[str]
    edges: Mapped[int]
    iou_sum: Mapped[Decimal] = mapped_column(SUM_OF_SHARES)


class ClassContext(Base):
    """Edges into a layer whose mask best overlaps a context label, per class, role and outcome of their roots.

    class_id may be ALL_CLASSES; decisions counts the roots that have such an edge.
    """

    __tablename__ = "class_context"
    __mapper_args__ = key("run_id", "layer_id", "class_id", "label_id", "role", "outcome")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    label_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    iou_sum: Mapped[Decimal] = mapped_column(SUM_OF_SHARES)


class ClassLabel(Base):
    """What the images of a class show, per role and outcome of their roots: the base that context is held against.

    class_id may be ALL_CLASSES. decisions counts the roots whose image shows the label; area_sum is the sum, over those
    roots, of the part of the network's input that it covers. An image with two roots counts for each.
    """

    __tablename__ = "class_label"
    __mapper_args__ = key("run_id", "class_id", "label_id", "role", "outcome")

    run_id: Mapped[int]
    class_id: Mapped[int]
    label_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    area_sum: Mapped[Decimal] = mapped_column(SUM)


class LayerProfile(Base):
    """How the evidence of a layer's decompositions falls off with rank, per class, role and outcome of their roots.

    layer_id is the layer decomposed; class_id may be ALL_CLASSES. The residual is what the shares leave of 1.
    """

    __tablename__ = "layer_profile"
    __mapper_args__ = key("run_id", "layer_id", "class_id", "role", "outcome", "rank")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    rank: Mapped[int] = mapped_column(SmallInteger)
    edges: Mapped[int]
    share_sum: Mapped[Decimal] = mapped_column(SUM_OF_SHARES)


class PositiveProfile(Base):
    """How many channels are positive in a layer's decompositions, and how many of them overlap: a histogram.

    layer_id is the layer decomposed, `evidence` the number of edges kept. Null counts are of runs that did not count.
    """

    __tablename__ = "positive_profile"
    __mapper_args__ = key("run_id", "layer_id", "role", "outcome", "positive_count", "overlap_count", "evidence")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    role: Mapped[str]
    outcome: Mapped[str]
    positive_count: Mapped[int | None]
    overlap_count: Mapped[int | None]
    evidence: Mapped[int]
    decompositions: Mapped[int]


class ChannelPeak(Base):
    """The places where a channel contributes most, one per (image, y, x), largest contribution first."""

    __tablename__ = "channel_peak"
    __mapper_args__ = key("run_id", "layer_id", "channel", "position")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    position: Mapped[int] = mapped_column(SmallInteger)
    image_id: Mapped[int]
    decision_id: Mapped[int]
    y: Mapped[int] = mapped_column(SmallInteger)
    x: Mapped[int] = mapped_column(SmallInteger)
    contribution: Mapped[float]
    share: Mapped[float]
    feature: Mapped[float]
    activation: Mapped[float]


class ChannelDegree(Base):
    """Discriminative degree of a channel (Eq. 13), over edges of rank < 3 of role-predicted roots."""

    __tablename__ = "channel_degree"
    __mapper_args__ = key("run_id", "layer_id", "channel")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    discriminative_degree: Mapped[float]
    edges: Mapped[int]


class ChannelVerification(Base):
    """Tests of a channel's evidence (`Verification`) per method, and class, role and outcome of their roots.

    class_id may be ALL_CLASSES. Each decision is in it once: corrected counts the wrong predictions that became right,
    flipped those that changed at all. The columns control_* count the same of the controls of those tests that have
    one; of these, only_corrected and control_only_corrected are where the test alone, or its control alone, corrected.
    """

    __tablename__ = "channel_verification"
    __mapper_args__ = key("run_id", "layer_id", "class_id", "channel", "method", "role", "outcome")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    channel: Mapped[int]
    method: Mapped[str]
    role: Mapped[str]
    outcome: Mapped[str]
    tested: Mapped[int]
    corrected: Mapped[int]
    flipped: Mapped[int]
    logit_change_sum: Mapped[Decimal] = mapped_column(SUM)
    control_tested: Mapped[int]
    control_corrected: Mapped[int]
    control_flipped: Mapped[int]
    control_logit_change_sum: Mapped[Decimal] = mapped_column(SUM)
    only_corrected: Mapped[int]
    control_only_corrected: Mapped[int]


class Confusion(Base):
    """Wrongly predicted images per (label, predicted class)."""

    __tablename__ = "confusion"
    __mapper_args__ = key("run_id", "label_id", "predicted_id")

    run_id: Mapped[int]
    label_id: Mapped[int]
    predicted_id: Mapped[int]
    images: Mapped[int]


class ClassStat(Base):
    """Images per class: as label, as label and rightly predicted, as prediction."""

    __tablename__ = "class_stat"
    __mapper_args__ = key("run_id", "class_id")

    run_id: Mapped[int]
    class_id: Mapped[int]
    image_count: Mapped[int]
    correct_count: Mapped[int]
    predicted_count: Mapped[int]
