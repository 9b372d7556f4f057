"""Rows of tables, where several statements give them: the columns that are read, by name and type."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple


class ImageRow(NamedTuple):
    """Of `image`."""

    run_id: int
    image_id: int
    uri: str
    label_id: int | None
    predicted_id: int
    probability: float


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


class EveryEdgeRow(NamedTuple):
    """Of `channel_support`: a channel's edges, with a context label and without."""

    run_id: int
    layer_id: int
    channel: int
    class_id: int
    role: str
    edges: int


class ShownRow(NamedTuple):
    """Of `class_label`."""

    run_id: int
    class_id: int
    role: str
    label_id: int
    outcome: str
    decisions: int
    area_sum: Decimal


class ChannelDegreeRow(NamedTuple):
    """Of `channel_degree`."""

    run_id: int
    layer_id: int
    channel: int
    discriminative_degree: float


class OverlapRow(NamedTuple):
    """Of `overlap`."""

    run_id: int
    class_id: int
    decision_id: int
    layer_id: int
    channel: int
    y: int
    x: int
    representative: int
    member: int
    contribution: float
    iou: float


class VerificationRow(NamedTuple):
    """Of `verification`."""

    run_id: int
    class_id: int
    decision_id: int
    target_layer: int
    target_channel: int
    target_y: int
    target_x: int
    source_layer: int
    source_channel: int
    source_y: int
    source_x: int
    method: str
    area: float | None
    predicted_id: int
    logit: float
    logit_change: float
    label_logit_change: float | None
    corrected: bool | None
    disturbance: float | None
    control_top: int | None
    control_left: int | None
    control_channel: int | None
    control_disturbance: float | None
    control_predicted_id: int | None
    control_logit_change: float | None
    control_label_logit_change: float | None
    control_corrected: bool | None
