"""A network of one output as one of two classes: the logit of class 1 is z and that of class 0 is -z.

Its recorder records z. A decision for class 0 is decomposed as one of z with the other sign: what is evidence for class
0 is what lowers z.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from evigraph.indexer.engine.heads import two_classes
from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions, Segment
from evigraph.indexer.evidence.record import Box, Change, Record, Recorder


class TwoClassRecorder:
    """Gives the two logits of what records one."""

    def __init__(self, recorder: Recorder) -> None:
        self._one = recorder

    def record(self, pixels: Tensor, change: Change | None = None) -> Record:
        one = self._one.record(pixels, change)
        return Record(one.features, two_classes(one.logits), [*one.segments[:-1], TwoClassSegment(one.segments[-1])])

    def features_at(self, level: int, pixels: Tensor) -> Tensor:
        return self._one.features_at(level, pixels)

    def logits_from(self, level: int, maps: Tensor, pixels: Tensor) -> Tensor:
        return two_classes(self._one.logits_from(level, maps, pixels))

    def receptive_fields(
        self, level: int, pixels: Tensor, image: Tensor, channel: Tensor, y: Tensor, x: Tensor
    ) -> list[Box]:
        return self._one.receptive_fields(level, pixels, image, channel, y, x)


class TwoClassSegment:
    """Decomposes the logits of two classes as those of one output, with its sign."""

    def __init__(self, segment: Segment) -> None:
        self._one = segment

    def activation_maps(self, decisions: Decisions) -> Iterator[ActivationMaps]:
        sign = torch.where(decisions.channel == 1, decisions.sign, -decisions.sign)
        return self._one.activation_maps(replace(decisions, channel=torch.zeros_like(decisions.channel), sign=sign))

    def held(self) -> Iterable[Tensor]:
        return self._one.held()
