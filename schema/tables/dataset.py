"""What was indexed: runs, their layers and classes, and images with what is known of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from evigraph.schema.tables.base import Base, key, loaded


class Run(Base):
    """One dataset indexed with one network and one set of settings.

    is_default: whether it is asked where a query names no run; at most one run of a file is. Null as long as nobody
    published to a file of before revision 0005.
    """

    __tablename__ = "run"
    __table_args__ = (UniqueConstraint("name"),)
    __mapper_args__ = key("run_id")

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
    is_default: Mapped[bool | None]


class Layer(Base):
    """A feature map that was decomposed: 0 is the lowest, the highest id is `logits`.

    stride and receptive_field are in input pixels; null where the network could not be traced. Where values depend on
    all of the input the field is that, and the stride null if nothing says where a place lies.
    """

    __tablename__ = "layer"
    __mapper_args__ = key("run_id", "layer_id")

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
    __mapper_args__ = key("run_id", "class_id")

    run_id: Mapped[int]
    class_id: Mapped[int]
    key: Mapped[str]
    name: Mapped[str]


class Image(Base):
    """An indexed image; image_id is its position in the sorted listing of the data."""

    __tablename__ = "image"
    __table_args__ = loaded(shard="always")
    __mapper_args__ = key("run_id", "image_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    uri: Mapped[str]
    label_id: Mapped[int | None]
    predicted_id: Mapped[int]
    probability: Mapped[float]


class ImageTag(Base):
    """One of the dataset's own names for what an image shows, which need not be a class of the network."""

    __tablename__ = "image_tag"
    __table_args__ = loaded(shard="optional")
    __mapper_args__ = key("run_id", "image_id", "tag")

    run_id: Mapped[int]
    image_id: Mapped[int]
    tag: Mapped[str]


class ImageLabel(Base):
    """A right class of an image; image.label_id is the one of them that a decision is held to."""

    __tablename__ = "image_label"
    __table_args__ = loaded(shard="optional")
    __mapper_args__ = key("run_id", "image_id", "class_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    class_id: Mapped[int]


class ImageContext(Base):
    """A context label of an image's semantic map, and the part of the network's input that it covers."""

    __tablename__ = "image_context"
    __table_args__ = loaded(shard="optional")
    __mapper_args__ = key("run_id", "image_id", "label_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    label_id: Mapped[int]
    area: Mapped[float]


class SkippedImage(Base):
    """An image of the listing that could not be used, and why."""

    __tablename__ = "skipped_image"
    __table_args__ = loaded(shard="always")
    __mapper_args__ = key("run_id", "image_id")

    run_id: Mapped[int]
    image_id: Mapped[int]
    uri: Mapped[str]
    reason: Mapped[str]


class ContextLabel(Base):
    """A context label: a name that the semantic maps give to regions. Void is none."""

    __tablename__ = "context_label"
    __mapper_args__ = key("run_id", "label_id")

    run_id: Mapped[int]
    label_id: Mapped[int]
    name: Mapped[str]


class RollupDeclaration(Base):
    """What a rollup was made by: the digest of its declaration, `schema.tables.selects.digests`."""

    __tablename__ = "rollup_declaration"
    __mapper_args__ = key("name")

    name: Mapped[str]
    sha256: Mapped[str]
