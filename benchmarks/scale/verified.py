"""Drawn tests of evidence: of each wrong decision the strongest edge of each layer, removed and hidden, with controls.

One in ten removals corrects, one in fourteen of the controls; areas are those of the layers' receptive fields, so that
the highest layers hide most of the image, as real ones do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.scale.draws import Ints
from benchmarks.scale.levels import LEVELS
from evigraph.indexer.shards.folder import SHARD_SCHEMAS

_SIDE = 224
_CORRECTED, _CONTROL_CORRECTED, _FLIPPED = 0.1, 0.07, 0.3
_GREY_IS = 0
"""The class of a grey picture."""


def tests_drawn(
    edge: pa.Table, decision: Ints, class_id: Ints, label: Ints, classes: int, rng: np.random.Generator
) -> pa.Table:
    """Rows of `verification` of a shard.

    Args:
        edge: The shard's edges.
        decision: (wrong,) wrong decisions for the predicted class, ascending.
        class_id: (wrong,) the class of each.
        label: (wrong,) the label of its image.
        classes: How many classes there are.
        rng: The shard's.
    """
    named = ("decision_id", "source_layer", "importance", "source_channel")
    of, layer, importance, channel = (edge[name].to_numpy() for name in named)
    order = np.lexsort((-importance, layer, of))
    order = order[np.isin(of[order], decision)]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (of[order][1:] != of[order][:-1]) | (layer[order][1:] != layer[order][:-1])
    # Of each edge two tests: hidden, then removed.
    tested = np.repeat(order[first], 2)
    is_removed = np.arange(len(tested)) % 2 == 1
    place = np.searchsorted(decision, of[tested])
    own, right = class_id[place], label[place]
    kept: dict[tuple[int, int], set[int]] = {}
    for row in order.tolist():
        kept.setdefault((int(of[row]), int(layer[row])), set()).add(int(channel[row]))

    def predictions(corrected: float) -> Ints:
        draw = rng.random(len(tested))
        other = rng.integers(0, classes, len(tested))
        return np.where(draw < corrected, right, np.where(draw < corrected + _FLIPPED, other, own))

    field = np.array([min(1.0, (level.receptive_field / _SIDE) ** 2) for level in LEVELS])[layer[tested]]
    has_control = is_removed | (field <= 0.5)
    predicted, by_control = predictions(_CORRECTED), predictions(_CONTROL_CORRECTED)
    of_control = [
        _other_channel(kept[int(of[row]), int(layer[row])], LEVELS[int(layer[row])].channels) for row in tested
    ]
    columns: dict[str, Any] = {name: edge[name].take(pa.array(tested)) for name in edge.column_names}
    columns |= {
        "class_id": own,
        "method": np.where(is_removed, "remove", "occlude"),
        "area": _where(~is_removed, field),
        "predicted_id": predicted,
        "logit": rng.normal(13, 3, len(tested)),
        "logit_change": rng.normal(-1, 1, len(tested)),
        "label_logit_change": rng.normal(-0.7, 1, len(tested)),
        "corrected": predicted == right,
        "disturbance": rng.random(len(tested)),
        "control_top": _where(has_control & ~is_removed, np.zeros(len(tested), np.int64)),
        "control_left": _where(has_control & ~is_removed, np.zeros(len(tested), np.int64)),
        "control_channel": _where(is_removed, np.array(of_control, np.int64)),
        "control_disturbance": _where(has_control, rng.random(len(tested))),
        "control_predicted_id": _where(has_control, by_control),
        "control_logit_change": _where(has_control, rng.normal(-0.3, 1, len(tested))),
        "control_label_logit_change": _where(has_control, rng.normal(-0.2, 1, len(tested))),
        "control_corrected": _where(has_control, by_control == right),
        "fill": _where(~is_removed, np.full(len(tested), "grey")),
        "fill_image_id": _where(np.zeros(len(tested), dtype=bool), own),
        "empty_predicted_id": _where(~is_removed, np.full(len(tested), _GREY_IS)),
        "control_shape": _where(has_control & ~is_removed, np.full(len(tested), "box")),
        "control_area": _where(has_control & ~is_removed, field),
    }
    schema = SHARD_SCHEMAS["verification"]
    return pa.table({field.name: pa.array(columns[field.name]).cast(field.type) for field in schema}, schema)


def _where(is_there: Any, values: Any) -> pa.Array:
    """Values, and null where there are none."""
    return pa.array(values, mask=~is_there)


def _other_channel(kept: set[int], channels: int) -> int:
    """The first channel that is no evidence."""
    return next(channel for channel in range(channels) if channel not in kept)
