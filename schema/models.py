"""The tables of an evidence database.

One file holds any number of runs. A run indexes one dataset with one network; each image has one or two
decisions (roots), each decision a set of decompositions, each of those a few edges. "source" is the lower layer
(the evidence), "target" the upper one (what is explained), as information flows.

Edges are read through the view `edge` (`schema.views`); the table behind it is `decomposition`, which holds the
edges of one decomposed node as a list, in the encoding of `schema.encoding`: 2.5 times smaller than a row an edge.

No foreign keys are declared: DuckDB cannot alter a table that one refers to, and its indexes would double the
fact table. `schema.checks` states the same rules as SQL. SmallInteger is 16 bits wide.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    REAL,
    TIMESTAMP,
    BigInteger,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

_SUM = Numeric(18, 9)
"""A sum that does not depend on the order of its terms, and packs to as many bits as it needs."""
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


class ImageTag(Base):
    """One of the dataset's own labels of an image, which need not be a class of the network."""

    __tablename__ = "image_tag"
    __mapper_args__ = _key("run_id", "image_id", "tag")

    run_id: Mapped[int]
    image_id: Mapped[int]
    tag: Mapped[str]


class ImageLabel(Base):
    """A right class of an image; image.label_id is the one of them that a decision is held to."""

    __tablename__ = "image_label"
    __mapper_args__ = _key("run_id", "image_id", "class_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    class_id: Mapped[int]


class ImageContext(Base):
    """A label of an image's semantic map, and the part of the network's input that it covers."""

    __tablename__ = "image_context"
    __mapper_args__ = _key("run_id", "image_id", "label_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    label_id: Mapped[int]
    area: Mapped[float]


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


class EvidenceList(UserDefinedType[list[dict[str, Any]]]):
    """DuckDB's list of structs that holds the edges of one decomposition, by rank; see `schema.encoding`."""

    cache_ok = True
    FIELDS: ClassVar[dict[str, str]] = {
        "channel": "INTEGER",
        "dy": "SMALLINT",
        "dx": "SMALLINT",
        "share_log": "INTEGER",
        "feature_log": "INTEGER",
        "activation_log": "INTEGER",
        "context_label_id": "INTEGER",
        "context_iou_steps": "SMALLINT",
    }

    def get_col_spec(self, **_: object) -> str:
        """The type in DuckDB's SQL."""
        return f"STRUCT({', '.join(f'{name} {kind}' for name, kind in self.FIELDS.items())})[]"


class Decomposition(Base):
    """One decomposed node and its evidence: the fact table, ordered by run, class, layer and decision.

    So all edges of a class lie together, and within it those of a layer. `importance_log` and `positive_log` are logs
    (`schema.encoding`) of the node's importance and of the sum of all its positive contributions, 0 being no value of
    either: null where no channel is positive. positive_count is how many channels are positive and overlap_count how
    many of those overlap one of larger contribution; null where the run did not count them.
    scale_y and scale_x are how many source places there are to a target place.
    """

    __tablename__ = "decomposition"
    __mapper_args__ = _key("run_id", "decision_id", "layer_id", "channel", "y", "x")

    run_id: Mapped[int]
    class_id: Mapped[int]
    decision_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    y: Mapped[int] = mapped_column(SmallInteger)
    x: Mapped[int] = mapped_column(SmallInteger)
    scale_y: Mapped[int] = mapped_column(SmallInteger)
    scale_x: Mapped[int] = mapped_column(SmallInteger)
    importance_log: Mapped[int]
    positive_log: Mapped[int | None]
    positive_count: Mapped[int | None]
    overlap_count: Mapped[int | None]
    evidence: Mapped[list[dict[str, Any]]] = mapped_column(EvidenceList)


class Overlap(Base):
    """A duplicate in the overlap group of a decomposition's evidence, where the run looked for overlaps.

    layer_id, channel, y and x are those of the decomposed node; representative is a source channel that it keeps as
    evidence, member one of smaller contribution whose mask overlaps that one's by `iou`. The groups of channels that
    are not kept are counted in decomposition.overlap_count alone.
    """

    __tablename__ = "overlap"
    __mapper_args__ = _key("run_id", "decision_id", "layer_id", "channel", "y", "x", "member")

    run_id: Mapped[int]
    class_id: Mapped[int]
    decision_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    y: Mapped[int] = mapped_column(SmallInteger)
    x: Mapped[int] = mapped_column(SmallInteger)
    representative: Mapped[int]
    member: Mapped[int]
    contribution: Mapped[float]
    iou: Mapped[float]


class Verification(Base):
    """What the network decided when a piece of a decision's evidence was taken away, where the run tested that.

    The columns up to source_x name the edge; class_id is the class of its root. method is 'occlude' (the receptive
    field of the source at its peak was hidden; `area` is the part of the input that it takes) or 'remove' (the source
    channel's map was set to the channel's mean). logit is the new one of the decision's class. corrected says whether a
    wrong prediction became right; null where the image has no label, as label_logit_change.
    """

    __tablename__ = "verification"
    __mapper_args__ = _key("run_id", "decision_id", "source_layer", "source_channel", "method")

    run_id: Mapped[int]
    class_id: Mapped[int]
    decision_id: Mapped[int]
    target_layer: Mapped[int] = mapped_column(SmallInteger)
    target_channel: Mapped[int]
    target_y: Mapped[int] = mapped_column(SmallInteger)
    target_x: Mapped[int] = mapped_column(SmallInteger)
    source_layer: Mapped[int] = mapped_column(SmallInteger)
    source_channel: Mapped[int]
    source_y: Mapped[int] = mapped_column(SmallInteger)
    source_x: Mapped[int] = mapped_column(SmallInteger)
    method: Mapped[str]
    area: Mapped[float | None]
    predicted_id: Mapped[int]
    logit: Mapped[float]
    logit_change: Mapped[float]
    label_logit_change: Mapped[float | None]
    corrected: Mapped[bool | None]


class ContextLabel(Base):
    """A label of the semantic maps. Void is no label."""

    __tablename__ = "context_label"
    __mapper_args__ = _key("run_id", "label_id")

    run_id: Mapped[int]
    label_id: Mapped[int]
    name: Mapped[str]


class Thumbnail(Base):
    """The network's input of an image as a picture, where the run keeps them."""

    __tablename__ = "thumbnail"
    __mapper_args__ = _key("run_id", "image_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    media_type: Mapped[str]
    width: Mapped[int] = mapped_column(SmallInteger)
    height: Mapped[int] = mapped_column(SmallInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class ActivationMap(Base):
    """The activation map A of an edge, where the run keeps them: of the most important edges of a decision.

    The source channel's map, cropped to what is above 0: (height, width) from (first_y, first_x) on. `content` is
    zlib's of those bytes, row by row, 255 being the edge's activation and what is below 0 being 0.
    """

    __tablename__ = "activation_map"
    __mapper_args__ = _key(
        "run_id", "decision_id", "target_layer", "target_channel", "target_y", "target_x", "source_channel"
    )

    run_id: Mapped[int]
    decision_id: Mapped[int]
    target_layer: Mapped[int] = mapped_column(SmallInteger)
    target_channel: Mapped[int]
    target_y: Mapped[int] = mapped_column(SmallInteger)
    target_x: Mapped[int] = mapped_column(SmallInteger)
    source_channel: Mapped[int]
    first_y: Mapped[int] = mapped_column(SmallInteger)
    first_x: Mapped[int] = mapped_column(SmallInteger)
    height: Mapped[int] = mapped_column(SmallInteger)
    width: Mapped[int] = mapped_column(SmallInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class GuidedCrop(Base):
    """What guided backpropagation sees at a peak of a channel, where the run keeps them: a picture of its field."""

    __tablename__ = "guided_crop"
    __mapper_args__ = _key("run_id", "layer_id", "channel", "image_id", "y", "x")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int]
    image_id: Mapped[int]
    y: Mapped[int] = mapped_column(SmallInteger)
    x: Mapped[int] = mapped_column(SmallInteger)
    media_type: Mapped[str]
    width: Mapped[int] = mapped_column(SmallInteger)
    height: Mapped[int] = mapped_column(SmallInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)


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
    """Edges into a channel per class, role and outcome of their roots, with the sums that means come from.

    class_id may be ALL_CLASSES; the outcomes are those of `root`, so sums over them are taken by who reads.
    """

    __tablename__ = "channel_support"
    __mapper_args__ = _key("run_id", "layer_id", "class_id", "channel", "role", "outcome")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    channel: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    share_sum: Mapped[Decimal] = mapped_column(_SUM)
    importance_sum: Mapped[Decimal] = mapped_column(_SUM)


class ChannelEdge(Base):
    """Edges between two channels per role and outcome of their roots, over all classes.

    Those of one class are summed from `edge`, where they lie together: by class this would be as long as `edge`.
    """

    __tablename__ = "channel_edge"
    __mapper_args__ = _key("run_id", "target_layer", "target_channel", "source_channel", "role", "outcome")

    run_id: Mapped[int]
    target_layer: Mapped[int] = mapped_column(SmallInteger)
    target_channel: Mapped[int]
    source_layer: Mapped[int] = mapped_column(SmallInteger)
    source_channel: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    share_sum: Mapped[Decimal] = mapped_column(_SUM)
    importance_sum: Mapped[Decimal] = mapped_column(_SUM)


class ChannelContext(Base):
    """Edges into a channel whose mask best overlaps a context label, per class and role of their roots.

    class_id may be ALL_CLASSES.
    """

    __tablename__ = "channel_context"
    __mapper_args__ = _key("run_id", "layer_id", "class_id", "channel", "label_id", "role")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    channel: Mapped[int]
    label_id: Mapped[int]
    role: Mapped[str]
    edges: Mapped[int]
    iou_sum: Mapped[Decimal] = mapped_column(_SUM)


class ClassContext(Base):
    """Edges into a layer whose mask best overlaps a context label, per class, role and outcome of their roots.

    class_id may be ALL_CLASSES; decisions counts the roots that have such an edge.
    """

    __tablename__ = "class_context"
    __mapper_args__ = _key("run_id", "layer_id", "class_id", "label_id", "role", "outcome")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    label_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    edges: Mapped[int]
    iou_sum: Mapped[Decimal] = mapped_column(_SUM)


class ClassLabel(Base):
    """What the images of a class show, per role and outcome of their roots: the base that context is held against.

    class_id may be ALL_CLASSES. decisions counts the roots whose image shows the label; area_sum is the sum, over those
    roots, of the part of the network's input that it covers. An image with two roots counts for each.
    """

    __tablename__ = "class_label"
    __mapper_args__ = _key("run_id", "class_id", "label_id", "role", "outcome")

    run_id: Mapped[int]
    class_id: Mapped[int]
    label_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    decisions: Mapped[int]
    area_sum: Mapped[Decimal] = mapped_column(_SUM)


class LayerProfile(Base):
    """How the evidence of a layer's decompositions falls off with rank, per class, role and outcome of their roots.

    layer_id is the layer decomposed; class_id may be ALL_CLASSES. The residual is what the shares leave of 1.
    """

    __tablename__ = "layer_profile"
    __mapper_args__ = _key("run_id", "layer_id", "class_id", "role", "outcome", "rank")

    run_id: Mapped[int]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    class_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    rank: Mapped[int] = mapped_column(SmallInteger)
    edges: Mapped[int]
    share_sum: Mapped[Decimal] = mapped_column(_SUM)


class PositiveProfile(Base):
    """How many channels are positive in a layer's decompositions, and how many of them overlap: a histogram.

    layer_id is the layer decomposed, `evidence` the number of edges kept. Null counts are of runs that did not count.
    """

    __tablename__ = "positive_profile"
    __mapper_args__ = _key("run_id", "layer_id", "role", "outcome", "positive_count", "overlap_count", "evidence")

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


class ChannelVerification(Base):
    """Tests of a channel's evidence (`Verification`) per method, and class, role and outcome of their roots.

    class_id may be ALL_CLASSES. Each decision is in it once: corrected counts the wrong predictions that became right,
    flipped those that changed at all.
    """

    __tablename__ = "channel_verification"
    __mapper_args__ = _key("run_id", "layer_id", "class_id", "channel", "method", "role", "outcome")

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
    logit_change_sum: Mapped[Decimal] = mapped_column(_SUM)


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


BASE_TABLES = (
    "run",
    "layer",
    "class",
    "image",
    "skipped_image",
    "image_tag",
    "image_label",
    "image_context",
    "decision",
    "decomposition",
    "verification",
    "overlap",
    "context_label",
    "thumbnail",
    "activation_map",
    "guided_crop",
)
ROLLUP_TABLES = (
    "class_roots",
    "channel_support",
    "channel_edge",
    "channel_context",
    "class_context",
    "class_label",
    "layer_profile",
    "positive_profile",
    "channel_peak",
    "channel_degree",
    "channel_verification",
    "confusion",
    "class_stat",
)
