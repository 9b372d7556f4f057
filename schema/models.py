"""The tables of an evidence database.

One file holds any number of runs. A run indexes one dataset with one network; each image has one or two
decisions (roots), each decision a set of edges. "source" is the lower layer (the evidence), "target" the
upper one (what is explained), as information flows.

No foreign keys are declared: DuckDB cannot alter a table that one refers to, and its indexes would double the
fact table. `schema.checks` states the same rules as SQL. SmallInteger is 16 bits wide.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    REAL,
    TIMESTAMP,
    BigInteger,
    Double,
    MetaData,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ALL_CLASSES = -1
"""class_id of a rollup row that holds the sum over all classes."""
ANY_OUTCOME = "any"
"""outcome of a rollup row that holds the sum over correct, wrong and unlabelled images."""


class Base(DeclarativeBase):
    """Declarative base; the naming convention keeps Alembic's constraint names stable."""

    metadata = MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"})
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        float: REAL,
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSON,
    }


def _key(*columns: str) -> dict[str, Any]:
    """Mapper arguments for a table whose key is logical: SQLAlchemy knows it, DuckDB has no index."""
    return {"primary_key": list(columns)}


class Run(Base):
    """One dataset indexed with one network and one set of settings."""

    __tablename__ = "run"
    __table_args__ = (UniqueConstraint("name"),)
    __mapper_args__ = _key("run_id")

    run_id: Mapped[int]
    name: Mapped[str]
    model: Mapped[str]
    weights_sha256: Mapped[str]
    dataset: Mapped[str]
    dataset_sha256: Mapped[str]
    top_n: Mapped[int]
    mask_threshold: Mapped[float]
    settings: Mapped[dict[str, Any]]
    indexer_version: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    image_count: Mapped[int]
    skipped_count: Mapped[int]
    decision_count: Mapped[int]
    edge_count: Mapped[int] = mapped_column(BigInteger)
    labelled_count: Mapped[int]
    correct_count: Mapped[int]


class Layer(Base):
    """A feature map that was decomposed: 0 is the lowest, the highest id is `logits`.

    stride and receptive_field are in input pixels; null where the network could not be traced.
    """

    __tablename__ = "layer"
    __mapper_args__ = _key("run_id", "layer_id")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str]
    module: Mapped[str]
    channels: Mapped[int]
    height: Mapped[int]
    width: Mapped[int]
    stride: Mapped[int | None]
    receptive_field: Mapped[int | None]


class Class(Base):
    """An output of the network. `key` is what folder names are matched to (wnid, folder name)."""

    __tablename__ = "class"
    __mapper_args__ = _key("run_id", "class_id")

    run_id: Mapped[int]
    class_id: Mapped[int]
    key: Mapped[str]
    name: Mapped[str]


class Image(Base):
    """An indexed image; image_id is its position in the sorted listing of the data."""

    __tablename__ = "image"
    __mapper_args__ = _key("run_id", "image_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    uri: Mapped[str]
    label_id: Mapped[int | None]
    predicted_id: Mapped[int]
    probability: Mapped[float]


class SkippedImage(Base):
    """An image of the listing that could not be used, and why."""

    __tablename__ = "skipped_image"
    __mapper_args__ = _key("run_id", "image_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    uri: Mapped[str]
    reason: Mapped[str]


class Decision(Base):
    """A root: decision_id = 2 * image_id for the predicted class, + 1 for the label's.

    cut_node_count: the nodes, over all layers, that the run's max_nodes left undecomposed; cut_importance: the sum of
    their importance.
    """

    __tablename__ = "decision"
    __mapper_args__ = _key("run_id", "decision_id")

    run_id: Mapped[int]
    decision_id: Mapped[int]
    image_id: Mapped[int]
    class_id: Mapped[int]
    role: Mapped[str]
    logit: Mapped[float]
    probability: Mapped[float]
    cut_node_count: Mapped[int]
    cut_importance: Mapped[float]


class Edge(Base):
    """A kept channel of one decomposition: the fact table, ordered by run and decision."""

    __tablename__ = "edge"
    __mapper_args__ = _key("run_id", "decision_id", "target_layer", "target_channel", "target_y", "target_x", "rank")

    run_id: Mapped[int]
    decision_id: Mapped[int]
    target_layer: Mapped[int] = mapped_column(SmallInteger)
    target_channel: Mapped[int]
    target_y: Mapped[int] = mapped_column(SmallInteger)
    target_x: Mapped[int] = mapped_column(SmallInteger)
    source_layer: Mapped[int] = mapped_column(SmallInteger)
    source_channel: Mapped[int]
    source_y: Mapped[int] = mapped_column(SmallInteger)
    source_x: Mapped[int] = mapped_column(SmallInteger)
    contribution: Mapped[float]
    share: Mapped[float]
    rank: Mapped[int] = mapped_column(SmallInteger)
    feature: Mapped[float]
    activation: Mapped[float]
    importance: Mapped[float]
    context_label_id: Mapped[int | None]
    context_iou: Mapped[float | None]


class ContextLabel(Base):
    """A label of the semantic maps. Void is no label."""

    __tablename__ = "context_label"
    __mapper_args__ = _key("run_id", "label_id")

    run_id: Mapped[int]
    label_id: Mapped[int]
    name: Mapped[str]


# Rollups. Each is defined once, as SQL over the tables above, in schema/rollups.py.


class ClassRoots(Base):
    """Roots per class, role and outcome: the denominator of every rate.

    class_id may be ALL_CLASSES and outcome ANY_OUTCOME; outcome is else 'correct', 'wrong' or 'unlabelled'.
    """

    __tablename__ = "class_roots"
    __mapper_args__ = _key("run_id", "class_id", "role", "outcome")

    run_id: Mapped[int]
    class_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]


class ChannelSupport(Base):
    """Edges into a channel per class, role and outcome of their roots, with the sums that means come from."""

    __tablename__ = "channel_support"
    __mapper_args__ = _key("run_id", "layer_id", "channel", "class_id", "role", "outcome")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    class_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    share_sum: Mapped[float] = mapped_column(Double)
    importance_sum: Mapped[float] = mapped_column(Double)


class ChannelEdge(Base):
    """Edges between two channels per class and role of their roots; class_id may be ALL_CLASSES."""

    __tablename__ = "channel_edge"
    __mapper_args__ = _key(
        "run_id", "target_layer", "target_channel", "source_layer", "source_channel", "class_id", "role"
    )

    run_id: Mapped[int]
    target_layer: Mapped[int] = mapped_column(SmallInteger)
    target_channel: Mapped[int]
    source_layer: Mapped[int] = mapped_column(SmallInteger)
    source_channel: Mapped[int]
    class_id: Mapped[int]
    role: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    share_sum: Mapped[float] = mapped_column(Double)
    importance_sum: Mapped[float] = mapped_column(Double)


class ChannelContext(Base):
    """Edges into a channel whose mask best overlaps a context label, per class and role of their roots."""

    __tablename__ = "channel_context"
    __mapper_args__ = _key("run_id", "layer_id", "channel", "class_id", "role", "label_id")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    class_id: Mapped[int]
    role: Mapped[str]
    label_id: Mapped[int]
    edges: Mapped[int]
    iou_sum: Mapped[float] = mapped_column(Double)


class ChannelPeak(Base):
    """The places where a channel contributes most, one per (image, y, x), largest contribution first."""

    __tablename__ = "channel_peak"
    __mapper_args__ = _key("run_id", "layer_id", "channel", "position")

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
    __mapper_args__ = _key("run_id", "layer_id", "channel")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    discriminative_degree: Mapped[float]
    edges: Mapped[int]


class Confusion(Base):
    """Wrongly predicted images per (label, predicted class)."""

    __tablename__ = "confusion"
    __mapper_args__ = _key("run_id", "label_id", "predicted_id")

    run_id: Mapped[int]
    label_id: Mapped[int]
    predicted_id: Mapped[int]
    images: Mapped[int]


class ClassStat(Base):
    """Images per class: as label, as label and rightly predicted, as prediction."""

    __tablename__ = "class_stat"
    __mapper_args__ = _key("run_id", "class_id")

    run_id: Mapped[int]
    class_id: Mapped[int]
    image_count: Mapped[int]
    correct_count: Mapped[int]
    predicted_count: Mapped[int]


BASE_TABLES = ("run", "layer", "class", "image", "skipped_image", "decision", "edge", "context_label")
ROLLUP_TABLES = (
    "class_roots",
    "channel_support",
    "channel_edge",
    "channel_context",
    "channel_peak",
    "channel_degree",
    "confusion",
    "class_stat",
)
