"""gAP: one decision split over the channels of the layer below (Sec. 3.1).

1. A = G * F, the activation maps, come from a segment (`record`).
2. alpha_k = A[k].sum() / (H * W), the contribution of channel k (Eq. 4).
3. Of the channels with alpha > 0 the N largest are kept, the lower channel first among equals.
4. The peak of a kept channel is the place of the largest A[k] (Eq. 5), the first in row-major order among equals.
5. share_k = alpha_k / the sum of all positive alpha: what is left out stays visible as the residual.

Where overlapping channels are merged (`overlaps`), 3 keeps the N largest of those that represent a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions, Segment
from evigraph.indexer.evidence.overlaps import Duplicates, OverlapSettings, kept_duplicates, overlap_groups

Flat = TypeVar("Flat", "Evidence", Duplicates)

_FEW = 8
"""Up to so many channels are found one by one."""


@dataclass(frozen=True)
class Evidence:
    """The kept channels of some decisions, flat: one row an edge, by decision and then by rank.

    Attributes:
        decision: (edges,) int64, which decision the edge belongs to.
        rank: (edges,) int64, 0 = the largest contribution.
        channel, y, x: (edges,) int64, the source channel and its peak.
        contribution: (edges,) alpha, in units of the decision.
        share: (edges,) contribution / all positive contributions of the decision.
        feature: (edges,) F at the peak.
        activation: (edges,) A at the peak.
        label: (edges,) int64, the context label; -1 where there is none.
        iou: (edges,) its IoU with the edge's mask.
    """

    decision: Tensor
    rank: Tensor
    channel: Tensor
    y: Tensor
    x: Tensor
    contribution: Tensor
    share: Tensor
    feature: Tensor
    activation: Tensor
    label: Tensor
    iou: Tensor

    def at(self, rows: Tensor) -> Evidence:
        """These rows of it, in this order."""
        return Evidence(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Decomposed:
    """Some decisions and what supports them.

    Attributes:
        evidence: the kept channels.
        positive_sum: (decisions,) float32, the sum of all positive contributions.
        positive_count: (decisions,) int64, how many channels contribute positively.
        overlap_count: (decisions,) int64, how many of those are duplicates; None where overlaps were not looked for.
        duplicates: those in the groups of kept channels; None likewise.
    """

    evidence: Evidence
    positive_sum: Tensor
    positive_count: Tensor
    overlap_count: Tensor | None = None
    duplicates: Duplicates | None = None


class Labeller(Protocol):
    """Finds the context label of edges."""

    def label(self, image: Tensor, maps: Tensor, top: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Label and IoU of (edges, height, width) activation windows; label -1 where no region overlaps."""
        ...


def decompose(
    segment: Segment,
    features: Tensor,
    decisions: Decisions,
    top_n: int,
    labeller: Labeller | None = None,
    overlaps: OverlapSettings | None = None,
) -> Decomposed:
    """Decompose decisions of one layer over the layer below.

    Args:
        segment: the recorded way between the two layers.
        features: (batch, channels, height, width), F of the lower layer.
        decisions: values of the upper layer, sorted by image.
        top_n: how many channels to keep of each.
        labeller: finds context labels; None where the data has no semantic maps.
        overlaps: how overlapping channels are found; None where they are not.

    Returns:
        The edges in order of decision and rank, and what is known of every decision.
    """
    parts = []
    positive_sum = features.new_zeros(len(decisions), dtype=torch.float32)
    positive_count = torch.zeros_like(decisions.image)
    overlap_count = None if overlaps is None else torch.zeros_like(positive_count)
    for part in segment.activation_maps(decisions):
        found = _decomposed(part, features, decisions.at(part.rows), top_n, labeller, overlaps)
        positive_sum[part.rows] = found.positive_sum
        positive_count[part.rows] = found.positive_count
        if overlap_count is not None and found.overlap_count is not None:
            overlap_count[part.rows] = found.overlap_count
        parts.append(found)
    empty, whole = positive_sum[:0], positive_count[:0]
    evidence = Evidence(whole, whole, whole, whole, whole, empty, empty, empty, empty, whole, empty)
    duplicates = None if overlaps is None else Duplicates(whole, whole, whole, empty, empty)
    if parts:
        evidence = _joined([part.evidence for part in parts])
        evidence = evidence.at(torch.argsort(evidence.decision * top_n + evidence.rank))
    if parts and duplicates is not None:
        duplicates = _joined([part.duplicates for part in parts if part.duplicates is not None])
        duplicates = duplicates.at(torch.argsort(duplicates.decision * features.shape[1] + duplicates.member))
    return Decomposed(evidence, positive_sum, positive_count, overlap_count, duplicates)


def contributions(part: ActivationMaps, area: int) -> Tensor:
    """Contribution of each source channel to its decision (Eq. 4).

    Args:
        part: activation maps of some decisions.
        area: height * width of the whole feature map.

    Returns:
        (decisions, channels), the mean of A over the whole map, in units of the decision.
    """
    return part.sums / area


def largest(alpha: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest contributions of each decision, the lower channel first among equals.

    Args:
        alpha: (decisions, channels).
        count: how many.

    Returns:
        (decisions, count) values in descending order and their channels; fewer where there are fewer channels.
    """
    count = min(count, alpha.shape[1])
    if count > _FEW:
        # A stable sort keeps the lower channel first, which topk does not promise.
        values, channels = torch.sort(alpha, dim=1, descending=True, stable=True)
        return values[:, :count], channels[:, :count]
    # argmax gives the first of equal maxima; a few of them cost less than a sort.
    rest = alpha.clone()
    found = []
    for _ in range(count):
        found.append(rest.argmax(1, keepdim=True))
        rest.scatter_(1, found[-1], -torch.inf)
    channels = torch.cat(found, 1)
    return alpha.gather(1, channels), channels


def _joined(parts: Sequence[Flat]) -> Flat:
    """The rows of all parts, which have the same columns."""
    names = [f.name for f in fields(parts[0])]
    return type(parts[0])(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _decomposed(
    part: ActivationMaps,
    features: Tensor,
    decisions: Decisions,
    top_n: int,
    labeller: Labeller | None,
    overlaps: OverlapSettings | None,
) -> Decomposed:
    height, width = features.shape[2:]
    alpha = contributions(part, height * width)
    positive_sum, positive_count = alpha.clamp(min=0).sum(1), (alpha > 0).sum(1)
    groups = None if overlaps is None else overlap_groups(part, alpha, overlaps.mask_threshold)
    candidates = alpha
    if groups is not None and overlaps is not None and overlaps.merge:
        candidates = torch.where(groups.is_representative, alpha, 0.0)
    values, channels = largest(candidates, top_n)
    row, rank = torch.nonzero(values > 0, as_tuple=True)
    channel, contribution = channels[row, rank], values[row, rank]
    kept, top, left = part.of(row, channel)
    activation, place = kept.flatten(1).max(1)
    y = place // kept.shape[2] + top
    x = place % kept.shape[2] + left
    image = decisions.image[row]
    if labeller is None:
        label, iou = torch.full_like(row, -1), torch.zeros_like(contribution)
    else:
        label, iou = labeller.label(image, kept, top, left)
    evidence = Evidence(
        decision=part.rows[row],
        rank=rank,
        channel=channel,
        y=y,
        x=x,
        contribution=contribution,
        share=contribution / positive_sum[row],
        feature=features[image, channel, y, x].float(),
        activation=activation.float(),
        label=label,
        iou=iou,
    )
    if groups is None:
        return Decomposed(evidence, positive_sum, positive_count)
    duplicates = kept_duplicates(groups, alpha, row, channel)
    duplicates = replace(duplicates, decision=part.rows[duplicates.decision])
    return Decomposed(evidence, positive_sum, positive_count, groups.is_duplicate.sum(1), duplicates)
