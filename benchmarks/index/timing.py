"""Time on the CPU or a GPU, and the time of each segment of an explanation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions, Segment


@dataclass(frozen=True)
class Clock:
    """Wall time in seconds at which all work given to a device is done."""

    device: torch.device

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def time(self, work: Callable[[], object]) -> float:
        """Seconds that a call takes."""
        started = self.now()
        work()
        return self.now() - started


class TimedSegment:
    """A segment that notes when its decisions are asked for, and how many they are."""

    def __init__(self, segment: Segment, clock: Clock) -> None:
        self.segment, self.clock = segment, clock
        self.started = 0.0
        self.decisions = 0

    def activation_maps(self, decisions: Decisions) -> Iterator[ActivationMaps]:
        self.started = self.clock.now()
        self.decisions = len(decisions)
        return self.segment.activation_maps(decisions)

    def held(self) -> Iterable[Tensor]:
        return self.segment.held()
