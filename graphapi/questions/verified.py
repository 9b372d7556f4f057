"""What is asked of tested evidence, and the rows that answer it."""

from __future__ import annotations

from typing import NamedTuple

from evigraph.schema.tables.rollups import LARGE_AREA


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
    fill: str | None
    fill_image_id: int | None
    empty_predicted_id: int | None
    control_shape: str | None
    control_area: float | None


class Tests(NamedTuple):
    """Which tests are counted; None for all.

    Attributes:
        class_id: of the decision's class.
        label_id, predicted_id: of the image's label and predicted class.
        method, fill, role, outcome: as stored.
        max_area: tests that hid more of the input are left out, and counted as too large.
    """

    class_id: int | None = None
    label_id: int | None = None
    predicted_id: int | None = None
    method: str | None = None
    fill: str | None = None
    role: str = "predicted"
    outcome: str | None = None
    max_area: float | None = LARGE_AREA

    @property
    def is_rolled_up(self) -> bool:
        """Whether the rollup has their counts."""
        return self.max_area == LARGE_AREA and self.label_id is None and self.predicted_id is None


class CountsRow(NamedTuple):
    """What became of the decisions whose evidence at a channel, or at a layer, was taken away by a method.

    Too large tests are in `too_large` alone. control_tested counts those whose tests have a control; means are None
    where there is nothing to take them of. fill is "" for `remove`, and where it is not known; label_id and
    predicted_id are ALL_CLASSES but where counts are by them.
    """

    run_id: int
    layer_id: int
    label_id: int
    predicted_id: int
    channel: int
    method: str
    fill: str
    tested: int
    too_large: int
    corrected: int
    flipped: int
    control_tested: int
    control_corrected: int
    control_flipped: int
    only_corrected: int
    control_only_corrected: int
    empty_known: int
    empty_corrected: int
    control_empty_corrected: int
    mean_logit_change: float | None
    mean_control_logit_change: float | None
