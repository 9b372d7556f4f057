"""Pictures, where a run keeps them."""

from __future__ import annotations

from sqlalchemy import LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from evigraph.schema.tables.base import Base, key, loaded


class Thumbnail(Base):
    """The network's input of an image as a picture, where the run keeps them."""

    __tablename__ = "thumbnail"
    __table_args__ = loaded(shard="optional")
    __mapper_args__ = key("run_id", "image_id")

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
    __table_args__ = loaded(shard="optional")
    __mapper_args__ = key(
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
    __mapper_args__ = key("run_id", "layer_id", "channel", "image_id", "y", "x")

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
