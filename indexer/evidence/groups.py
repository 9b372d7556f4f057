"""Overlap groups: channels of one decision that say the same by the place of their evidence (Sec. 4.1).

1. The candidates of a decision are all its positive channels, by contribution, the lower channel first among equals.
2. The mask of a candidate is A[k] > threshold * max(A[k]), at the layer's resolution.
3. Non-maximum suppression: candidate by candidate, one whose mask has an IoU above 0.9 with that of a representative
   before it is a duplicate, a member of the first such representative's group; any other is a representative itself.

All channels of a decision share one window, outside of which A is zero, so no mask reaches beyond it (a threshold is at
least 0): IoU over windows is IoU over whole maps. Intersections of all pairs are one product of binary matrices, exact
in float32, some decisions at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from evigraph.indexer.evidence.decisions import ActivationMaps

IOU = (9, 10)
"""Masks overlap where their IoU is above this ratio: in whole numbers, so that 0.9 itself is not above."""
CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 512 << 20}
"""Pairs and masks of so many decisions at a time that they take about this much; of one decision they may take more."""
_PAIR_BYTES, _CELL_BYTES = 20, 32
"""What is held at once of a pair of candidates, and of a cell of a candidate's window."""


@dataclass(frozen=True)
class Groups:
    """The overlap groups of some decisions.

    Attributes:
        representative: (decisions, channels) int64, the channel that stands for each; itself where none of larger
            contribution does, -1 where it is not positive.
        iou: (decisions, channels) float32, of its mask and its representative's; 1 of a representative, 0 where it is
            not positive.
    """

    representative: Tensor
    iou: Tensor

    @property
    def is_representative(self) -> Tensor:
        """(decisions, channels) bool."""
        return self.representative == torch.arange(self.representative.shape[1], device=self.representative.device)

    @property
    def is_duplicate(self) -> Tensor:
        """(decisions, channels) bool."""
        return (self.representative >= 0) & ~self.is_representative


def overlap_groups(part: ActivationMaps, alpha: Tensor, mask_threshold: float) -> Groups:
    """Group the positive channels of some decisions by the overlap of their masks.

    Args:
        part: activation maps of the decisions.
        alpha: (decisions, channels), their contributions.
        mask_threshold: of the largest activation, in 0..1.
    """
    # A stable sort keeps the lower channel first, which topk does not promise.
    order = torch.sort(alpha, dim=1, descending=True, stable=True).indices
    positive = (alpha > 0).sum(1)
    representative = torch.full_like(order, -1)
    iou = torch.zeros(order.shape, device=alpha.device)
    for rows, most in _chunks(part, positive):
        channels = order[rows, :most]
        present = torch.arange(most, device=alpha.device) < positive[rows, None]
        masks = _masks(part, rows, channels, present, mask_threshold)
        place, shared = suppress(masks, present)
        representative[rows[:, None], channels] = torch.where(present, channels.gather(1, place), -1)
        iou[rows[:, None], channels] = torch.where(present, shared, 0.0)
    return Groups(representative, iou)


def suppress(masks: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Non-maximum suppression of the candidates of some decisions, all decisions at once.

    Args:
        masks: (decisions, candidates, cells) float32 of 0 and 1, the largest contribution first.
        present: (decisions, candidates) bool; False behind a decision's last candidate.

    Returns:
        (decisions, candidates) int64, the place of each one's representative, its own where it is one, and float32,
        the IoU of the two, 1 where they are one.
    """
    count = masks.shape[1]
    common = masks @ masks.transpose(1, 2)
    size = masks.sum(2)
    union = size[:, :, None] + size[:, None, :] - common
    upper, lower = IOU
    # overlap[d, i, j]: candidate j overlaps i, which is before it.
    overlap = common.mul(lower).gt(union.mul_(upper)).float().triu_(1)
    undecided, chosen = present.float(), torch.zeros_like(size)
    # One that overlaps none before it which may yet be chosen is chosen; then whatever overlaps it is not. So the same
    # is found as one by one, in as many rounds as duplicates of duplicates make.
    while undecided.any():
        blocked = ((undecided + chosen)[:, None] @ overlap)[:, 0] > 0
        chosen += undecided * ~blocked
        undecided *= blocked
        undecided *= ((chosen[:, None] @ overlap)[:, 0] == 0).float()
    place = torch.arange(count, device=masks.device)
    # Of the chosen ones that it overlaps the first: they count down from `count`, all else is 0.
    nearness = overlap.mul_((chosen * (count - place))[:, :, None]).amax(1)
    chosen_place = torch.where(nearness > 0, count - nearness.long(), place)
    between = common.gather(1, chosen_place[:, None])[:, 0]
    iou = between / (size.gather(1, chosen_place) + size - between)
    return chosen_place, torch.where(nearness > 0, iou, 1.0)


def _chunks(part: ActivationMaps, positive: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Rows of decisions with a positive channel, and the most of those that one of them has.

    Those of alike counts go together, since each is filled up to the largest.
    """
    counts, rows = torch.sort(positive, descending=True)
    sizes: list[int] = counts.tolist()
    bound = CHUNK_BYTES.get(positive.device.type, CHUNK_BYTES["cpu"])
    start = 0
    while start < len(sizes) and sizes[start]:
        if start == 0:
            cells = part.of(rows[:1], torch.zeros_like(rows[:1]))[0].numel()
        most = sizes[start]
        stop = start + max(1, bound // (most * (most * _PAIR_BYTES + cells * _CELL_BYTES)))
        yield rows[start:stop], most
        start = stop


def _masks(part: ActivationMaps, rows: Tensor, channels: Tensor, present: Tensor, threshold: float) -> Tensor:
    """(decisions, candidates, cells) float32: 1 where A is above the threshold; 0 throughout of what is not present."""
    decision, candidate = torch.nonzero(present, as_tuple=True)
    maps = part.of(rows[decision], channels[decision, candidate])[0].flatten(1)
    masks = torch.zeros(*present.shape, maps.shape[1], device=maps.device)
    # Where rounding leaves no activation above 0, the mask is empty and overlaps nothing.
    highest = maps.amax(1, keepdim=True).clamp(min=0)
    masks[decision, candidate] = (maps > threshold * highest).float()
    return masks
