"""The two things that are compared on one batch: plain inference, and recording and decomposing it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.index.timing import Clock, TimedSegment
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.evidence.hierarchy import LevelEdges, explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.roots import Roots
from evigraph.indexer.model.graph import frozen

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def plain(model: nn.Module, pixels: Tensor, layout: str) -> Callable[[], Tensor]:
    """Inference on a batch, network and input in one of `LAYOUTS`."""
    memory_format = LAYOUTS[layout]
    laid_out = copy.deepcopy(model).to(memory_format=memory_format)
    batch = pixels.contiguous(memory_format=memory_format)

    def run() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = laid_out(batch)
            return logits

    return run


@dataclass(frozen=True)
class Engine:
    """The engine on one batch, over the default layers.

    Attributes:
        network: with its layers chosen.
        pixels: (batch, 3, height, width).
        method: how decisions are decomposed.
    """

    network: Network
    pixels: Tensor
    method: Method

    @classmethod
    def of(cls, model: nn.Module, pixels: Tensor, top_n: int) -> Engine:
        return cls(prepare(model, pixels.shape[-1]), pixels, Method(top_n))

    def run(self) -> list[LevelEdges]:
        """Record the batch and decompose the predicted class of every image."""
        with frozen(self.network.model):
            record = self.network.recorder.record(self.pixels)
            return explain(record, self._roots(record.logits), self.method)

    def run_timed(self, clock: Clock) -> EngineTimes:
        """The same, with the time of each part; measuring it synchronises a GPU at each layer."""
        with frozen(self.network.model):
            started = clock.now()
            record = self.network.recorder.record(self.pixels)
            recorded = clock.now()
            segments = [TimedSegment(segment, clock) for segment in record.segments]
            explain(replace(record, segments=segments), self._roots(record.logits), self.method)
            marks = [segment.started for segment in segments[::-1]] + [clock.now()]
        seconds = [end - begin for begin, end in itertools.pairwise(marks)][::-1]
        return EngineTimes(recorded - started, seconds, [segment.decisions for segment in segments])

    @staticmethod
    def _roots(logits: Tensor) -> Roots:
        return Roots(torch.arange(len(logits), device=logits.device), logits.argmax(1))


@dataclass(frozen=True)
class EngineTimes:
    """Where the engine's time goes, in seconds, and the decisions of the batch by segment, lowest first.

    A segment's time runs from when its decisions are asked for to when those of the next one are.
    """

    record: float
    segments: list[float]
    decisions: list[int]
