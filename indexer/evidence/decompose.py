"""gAP: one decision split over the channels of the layer below (Sec. 3.1).

1. A = G * F, the activation maps, come from a segment (`record`).
2. alpha_k = A[k].sum() / (H * W), the contribution of channel k (Eq. 4).
3. Of the channels with alpha > 0 the N largest are kept, the lower channel first among equals.
4. The peak of a kept channel is the place of the largest A[k] (Eq. 5), the first in row-major order among equals.
5. share_k = alpha_k / the sum of all positive alpha: what is left out stays visible as the residual.
6. Observers look at the maps before they are gone (`observe`).

Where overlapping channels are merged (`groups`), 3 keeps the N largest of those that represent a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions, Segment
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.observe import Kept, Noted, Observer, Part, joined, observed

_FEW = 8
"""Up to this many channels, repeated argmax is faster than a sort."""


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

    def at(self, rows: Tensor) -> Evidence:
        """These rows of it, in this order."""
        return Evidence(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Decomposed:
    """Some decisions and what supports them.

    Attributes:
        rows: (decisions,) int64, which of the layer's decisions these are.
        evidence: the kept channels.
        positive_sum: (decisions,) float32, the sum of all positive contributions.
        positive_count: (decisions,) int64, how many channels contribute positively.
        noted: by observers.
    """

    rows: Tensor
    evidence: Evidence
    positive_sum: Tensor
    positive_count: Tensor
    noted: Noted = field(default_factory=Noted)


def decompose(
    segment: Segment, features: Tensor, decisions: Decisions, method: Method, observers: Sequence[Observer] = ()
) -> Decomposed:
    """Decompose decisions of one layer over the layer below.

    Args:
        segment: the recorded way between the two layers.
        features: (batch, channels, height, width), F of the lower layer.
        decisions: values of the upper layer, sorted by image.
        method: says which channels are kept.
        observers: of this pair of layers.

    Returns:
        The edges in order of decision and rank, and what is known of every decision.
    """
    every = torch.arange(len(decisions), device=decisions.image.device)
    parts = [
        _decompose_part(maps, features, decisions.at(maps.rows), method, observers)
        for maps in segment.activation_maps(decisions)
    ]
    if not parts:
        none, whole = features.new_zeros(0, dtype=torch.float32), every[:0]
        return Decomposed(every, Evidence(*[whole] * 5, *[none] * 4), none, whole)
    evidence = _joined([part.evidence for part in parts])
    order = torch.argsort(evidence.decision * method.top_n + evidence.rank)
    place = torch.argsort(torch.cat([part.rows for part in parts]))
    positive_sum = torch.cat([part.positive_sum for part in parts]).float()[place]
    positive_count = torch.cat([part.positive_count for part in parts])[place]
    noted = joined([part.noted for part in parts], place, order)
    return Decomposed(every, evidence.at(order), positive_sum, positive_count, noted)


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
    # argmax gives the first of equal maxima; up to `_FEW` of them cost less than a sort.
    rest = alpha.clone()
    picked = []
    for _ in range(count):
        picked.append(rest.argmax(1, keepdim=True))
        rest.scatter_(1, picked[-1], -torch.inf)
    channels = torch.cat(picked, 1)
    return alpha.gather(1, channels), channels


def _joined(parts: Sequence[Evidence]) -> Evidence:
    return Evidence(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Evidence)))


def _decompose_part(
    maps: ActivationMaps, features: Tensor, decisions: Decisions, method: Method, observers: Sequence[Observer]
) -> Decomposed:
    height, width = features.shape[2:]
    alpha = contributions(maps, height * width)
    part = Part(maps, decisions, alpha, method.mask_threshold)
    positive_sum, positive_count = alpha.clamp(min=0).sum(1), (alpha > 0).sum(1)
    candidates = torch.where(part.groups.is_representative, alpha, 0.0) if method.merge_overlaps else alpha
    values, channels = largest(candidates, method.top_n)
    row, rank = torch.nonzero(values > 0, as_tuple=True)
    channel, contribution = channels[row, rank], values[row, rank]
    kept = Kept(row, channel, *maps.of(row, channel))
    activation, place = kept.windows.flatten(1).max(1)
    y = place // kept.windows.shape[2] + kept.top
    x = place % kept.windows.shape[2] + kept.left
    evidence = Evidence(
        decision=maps.rows[row],
        rank=rank,
        channel=channel,
        y=y,
        x=x,
        contribution=contribution,
        share=contribution / positive_sum[row],
        feature=features[decisions.image[row], channel, y, x].float(),
        activation=activation.float(),
    )
    return Decomposed(maps.rows, evidence, positive_sum, positive_count, observed(observers, part, kept))
