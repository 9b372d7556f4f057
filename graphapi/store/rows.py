"""Rows of tables, where several statements give them: the columns that are read, by name and type."""

from __future__ import annotations

from typing import NamedTuple


class ImageRow(NamedTuple):
    """Of `image`."""

    run_id: int
    image_id: int
    uri: str
    label_id: int | None
    predicted_id: int
    probability: float


class LabelRow(NamedTuple):
    """Of `image_label`."""

    run_id: int
    image_id: int
    class_id: int


class DecisionRow(NamedTuple):
    """Of `decision`."""

    run_id: int
    decision_id: int
    image_id: int
    class_id: int
    role: str
    logit: float
    probability: float
    cut_node_count: int
    cut_importance: float


class MapRow(NamedTuple):
    """Of `activation_map`, but its picture."""

    run_id: int
    decision_id: int
    target_layer: int
    target_channel: int
    target_y: int
    target_x: int
    source_channel: int


class GuidedRow(NamedTuple):
    """Of `guided_crop`, but its picture."""

    run_id: int
    layer_id: int
    channel: int
    image_id: int
    y: int
    x: int
