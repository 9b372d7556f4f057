"""What was found: decisions, the evidence of their decompositions, and what became of them without it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import Numeric, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from evigraph.schema.tables.base import Base, key, loaded

_SUM = Numeric(18, 4)
"""Packs to as many bits as it needs; 4 places are finer than what the sums of a few decisions tell."""


class Decision(Base):
    """A root; `schema.ids` states its decision_id.

    cut_node_count: the nodes, over all layers, that the run's max_nodes left undecomposed; cut_importance: the sum of
    their importance.
    """

    __tablename__ = "decision"
    __table_args__ = loaded(shard="always")
    __mapper_args__ = key("run_id", "decision_id")

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


class ValueList(UserDefinedType[list[int]]):
    """DuckDB's list of numbers, one an edge of a decomposition, by rank."""

    cache_ok = True

    def __init__(self, kind: str) -> None:
        """Of numbers of a type of DuckDB's."""
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        """The type in DuckDB's SQL."""
        return f"{self.kind}[]"


class Decomposition(Base):
    """One decomposed node and its evidence: the fact table, ordered by run, class, layer and decision.

    So what is asked of one class lies together, and within it by layer. `importance_log` and `positive_log` are logs
    (`schema.encoding`) of the node's importance and of the sum of all its positive contributions, 0 being no value of
    either: null where no channel is positive. positive_count is how many channels are positive and overlap_count how
    many of those overlap one of larger contribution; null where the run did not count them.
    scale_y and scale_x are how many source places there are to a target place. peak_label_ids and peak_mass_steps are
    lists beside `evidence`, of the label at each edge's peak and of the part of the mask's activation on it
    (`schema.encoding`); null where no edge has such a label, and in runs from before there were any.
    """

    __tablename__ = "decomposition"
    __table_args__ = loaded(order="class_id, layer_id, decision_id, channel, y, x")
    __mapper_args__ = key("run_id", "decision_id", "layer_id", "channel", "y", "x")

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
    peak_label_ids: Mapped[list[int] | None] = mapped_column(ValueList("INTEGER"))
    peak_mass_steps: Mapped[list[int] | None] = mapped_column(ValueList("SMALLINT"))


ALL_CHANNELS = -1
"""channel of a row of `localization` that holds all edges of a layer."""
ALL_LAYERS = -1
"""layer_id of a row of `localization` that holds all layers whose edges have context labels."""


class Localization(Base):
    """How much of the evidence of a class lies on a context label, and how much would lie on it by chance.

    Made by `publish` from the masks and maps of the run folder, of the roots whose image has a semantic map. class_id
    may be ALL_CLASSES; outcome is ANY_OUTCOME in rows of a channel, and may be so where channel is ALL_CHANNELS;
    layer_id may be ALL_LAYERS there. decisions and edges count what there is of the row's group, on the label or
    not, and shown the decisions whose image shows the label. Where these are too few for an interval
    (`schema.interval`) a channel has no row of a class. peak_low is the interval's lower end of the lift under peaks.

    Each sum is over the decisions of the group, which are its independent units: x is the sum of a decision's edges of
    what lies on the label, `peak` of the peak's cell, `mass` of the mask's activation; a is what it would be if
    evidence lay anywhere alike, edges times area. *_squares is of x * x, *_area of x * a, area_squares of a * a.
    *_chance is the sum of the mean of x with the maps of other images of the class in place of the decision's own, less
    what these have more of the label by area, and *_chance_variance that of its variance; *_compared is the sum of x of
    the decisions that they were made of: those of classes of enough images.
    """

    __tablename__ = "localization"
    __table_args__ = loaded(order="class_id, role, outcome, layer_id, label_id, channel")
    __mapper_args__ = key("run_id", "class_id", "role", "outcome", "layer_id", "label_id", "channel")

    run_id: Mapped[int]
    class_id: Mapped[int]
    role: Mapped[str]
    outcome: Mapped[str]
    layer_id: Mapped[int] = mapped_column(SmallInteger)
    label_id: Mapped[int]
    channel: Mapped[int]
    decisions: Mapped[int]
    edges: Mapped[int]
    shown: Mapped[int]
    peak_low: Mapped[float | None]
    area_sum: Mapped[Decimal] = mapped_column(_SUM)
    area_squares: Mapped[Decimal] = mapped_column(_SUM)
    peak_sum: Mapped[Decimal] = mapped_column(_SUM)
    peak_squares: Mapped[Decimal] = mapped_column(_SUM)
    peak_area: Mapped[Decimal] = mapped_column(_SUM)
    peak_compared: Mapped[Decimal] = mapped_column(_SUM)
    peak_chance: Mapped[Decimal] = mapped_column(_SUM)
    peak_chance_variance: Mapped[Decimal] = mapped_column(_SUM)
    mass_sum: Mapped[Decimal] = mapped_column(_SUM)
    mass_squares: Mapped[Decimal] = mapped_column(_SUM)
    mass_area: Mapped[Decimal] = mapped_column(_SUM)
    mass_compared: Mapped[Decimal] = mapped_column(_SUM)
    mass_chance: Mapped[Decimal] = mapped_column(_SUM)
    mass_chance_variance: Mapped[Decimal] = mapped_column(_SUM)


class Overlap(Base):
    """A duplicate in the overlap group of a decomposition's evidence, where the run looked for overlaps.

    layer_id, channel, y and x are those of the decomposed node; representative is a source channel that it keeps as
    evidence, member one of smaller contribution whose mask overlaps that one's by `iou`. The groups of channels that
    are not kept are counted in decomposition.overlap_count alone.
    """

    __tablename__ = "overlap"
    __table_args__ = loaded(
        shard="optional", order="class_id, layer_id, decision_id, channel, y, x, representative, member"
    )
    __mapper_args__ = key("run_id", "decision_id", "layer_id", "channel", "y", "x", "member")

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
    wrong prediction became right; null where the image has no label, as label_logit_change. disturbance is by how much
    that changed what it was done to: the root mean square over the image, or over the channel's map.

    The columns control_* tell of the test's control, the same done to what is no evidence of the decision: to the
    region of the same shape whose corner is at (control_top, control_left), or to the channel control_channel. All are
    null where none could be had, and in runs from before there were controls, as disturbance is.

    Of 'occlude', fill is what the region was filled with: 'grey', 'blur' or 'image', the same region of the image
    fill_image_id; empty_predicted_id is the class that the network gives to that filling alone, null in runs of before
    it was kept. control_area is as `area`, and equal to it; control_shape is 'box', of the shape of the region tested,
    or 'rows': from the corner on in reading order, around the end, and less the region tested.
    """

    __tablename__ = "verification"
    __table_args__ = loaded(
        shard="optional", order="class_id, decision_id, source_layer DESC, method, source_channel, fill"
    )
    __mapper_args__ = key("run_id", "decision_id", "source_layer", "source_channel", "method", "fill")

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
    disturbance: Mapped[float | None]
    control_top: Mapped[int | None] = mapped_column(SmallInteger)
    control_left: Mapped[int | None] = mapped_column(SmallInteger)
    control_channel: Mapped[int | None]
    control_disturbance: Mapped[float | None]
    control_predicted_id: Mapped[int | None]
    control_logit_change: Mapped[float | None]
    control_label_logit_change: Mapped[float | None]
    control_corrected: Mapped[bool | None]
    fill: Mapped[str | None]
    fill_image_id: Mapped[int | None]
    empty_predicted_id: Mapped[int | None]
    control_shape: Mapped[str | None]
    control_area: Mapped[float | None]
