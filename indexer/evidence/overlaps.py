"""Which channels overlap, as rows: how many do in each decomposition, and the members of the groups of kept channels.

`groups` finds the groups themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from evigraph.indexer.evidence.measurement import DecomposedBatch, HostLevel, Measurement, RecordedBatch, Rows, in_order
from evigraph.indexer.evidence.observe import Kept, Noted, Observer, Part

_TABLE = "overlap"


class Overlaps(Measurement):
    """The overlap groups of kept channels."""

    tables = (_TABLE,)

    def observers(self, batch: RecordedBatch) -> Sequence[Sequence[Observer]]:
        return [(GroupObserver(),)] * len(batch.record.features)

    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        levels = [_columns(batch, level) for level in batch.host_levels if _TABLE in level.rows]
        return {_TABLE: in_order(levels)} if levels else {}


class GroupObserver:
    """Notes how many positive channels of each decision are duplicates, and those of kept representatives."""

    def observe(self, part: Part, kept: Kept) -> Noted:
        """Columns of `overlap`: representative and member are channels, contribution is alpha of the member, in units
        of the decision, and iou of the two masks is above 0.9.
        """
        groups = part.groups
        is_kept = torch.zeros_like(groups.is_duplicate)
        is_kept[kept.row, kept.channel] = True
        decision, member = torch.nonzero(
            groups.is_duplicate & is_kept.gather(1, groups.representative.clamp(min=0)), as_tuple=True
        )
        duplicates = {
            "target": decision,
            "representative": groups.representative[decision, member],
            "member": member,
            "contribution": part.alpha[decision, member],
            "iou": groups.iou[decision, member],
        }
        return Noted(target={"overlap_count": groups.is_duplicate.sum(1)}, rows={_TABLE: duplicates})


def _columns(batch: DecomposedBatch, level: HostLevel) -> dict[str, np.ndarray]:
    duplicate = level.rows[_TABLE]
    node = duplicate["target"]
    root = level.node["root"][node]
    return {
        "class_id": batch.class_ids[root],
        "decision_id": batch.decision_ids[root],
        "layer_id": np.full(len(node), level.source_layer + 1),
        **{name: level.node[name][node] for name in ("channel", "y", "x")},
        **{name: values for name, values in duplicate.items() if name != "target"},
    }
