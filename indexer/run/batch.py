"""One batch: images -> recorded pass -> roots -> hierarchy -> rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from evigraph.indexer.data.loader import Batch
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.engine.network import Network
from evigraph.indexer.engine.sameness import SampleCheck
from evigraph.indexer.evidence.hierarchy import explain
from evigraph.indexer.evidence.measurement import DecomposedBatch, Measurement, RecordedBatch
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.observe import Observer
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.evidence.roots import decide, settle_labels
from evigraph.indexer.run.attack import Attacker
from evigraph.indexer.run.memory import automatic_batch_size, is_out_of_memory
from evigraph.indexer.run.rows import ShardRows, skipped_rows
from evigraph.schema.errors import ModelError, UsageError, first_line

NOT_FINITE = "the network's output is not finite"
"""Why an image is skipped whose logits overflow."""
PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Arithmetic:
    """Where the network is and what it computes in: `dtype` is of its weights and inputs."""

    device: torch.device
    dtype: torch.dtype


@dataclass
class BatchIndexer:
    """Decomposes batches of one run.

    Attributes:
        network: to be recorded, on the device and of the type of `arithmetic`.
        source: the listing, for class labels.
        method: how decisions are decomposed.
        measurements: what is kept of them.
        arithmetic: of the network.
        attacker: changes the images first; None for none.
        node_count: nodes decomposed so far, roots included.
        barren_count: those of them that had no positive contribution.
    """

    network: Network
    source: DataSource
    method: Method
    measurements: Sequence[Measurement]
    arithmetic: Arithmetic
    attacker: Attacker | None = None
    node_count: int = 0
    barren_count: int = 0

    @cached_property
    def _same(self) -> SampleCheck:
        return SampleCheck(self.network.model, self.network.recorder)

    def add(self, batch: Batch, rows: ShardRows) -> None:
        """Decompose a batch and add its rows. One that does not fit in memory is halved.

        Raises:
            ModelError: not even one image fits in memory, or what is recorded is not the network.
        """
        rows.add(skipped_rows(self.source, batch.skipped))
        self._add_usable(batch, rows)

    def _add_usable(self, batch: Batch, rows: ShardRows) -> None:
        count = len(batch.image_ids)
        if not count:
            return
        try:
            self._decompose(batch, rows)
            return
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if count == 1:
                raise ModelError(
                    f"one image alone does not fit in the memory of {self.arithmetic.device}: "
                    f"{first_line(error)}; give a smaller --crop, fewer --layers, or --max-nodes"
                ) from error
        if self.arithmetic.device.type == "cuda":
            torch.cuda.empty_cache()
        for half in (slice(0, count // 2), slice(count // 2, count)):
            self._add_usable(_part(batch, half), rows)

    def _decompose(self, batch: Batch, rows: ShardRows) -> None:
        pixels = self.seen(batch)
        inputs = self._input(pixels)
        record = self.network.recorder.record(inputs)
        finite = record.logits.isfinite().all(1).cpu()
        if not finite.all():
            # The record holds values that are not finite; the others are recorded again without them.
            self._add_usable(_part(batch, finite), rows)
            rows.add(skipped_rows(self.source, [(i, NOT_FINITE) for i in batch.image_ids[~finite].tolist()]))
            return
        self._same.compare(inputs, record)
        recorded = self._recorded(batch, pixels, inputs, record)
        levels = explain(record, recorded.decided.roots, self.method, self._observers(recorded))
        decomposed = DecomposedBatch.of(recorded, levels)
        # All before any row is added: it may run out of memory, and then the batch is begun again.
        measured = [measurement.columns(decomposed) for measurement in self.measurements]
        for tables in measured:
            rows.add(tables)
        for level in levels:
            self.node_count += len(level.target)
            self.barren_count += int((level.positive_count == 0).sum())

    def _recorded(self, batch: Batch, pixels: Tensor, inputs: Tensor, record: Record) -> RecordedBatch:
        logits, right = record.logits.float(), self._right_classes(batch)
        ids, labels = batch.image_ids.to(inputs.device), settle_labels(right, logits)
        decided = decide(ids, labels, logits, self.network.head.probabilities(logits))
        return RecordedBatch(batch.image_ids, pixels, inputs, batch.maps, right, record, decided)

    def _observers(self, batch: RecordedBatch) -> list[list[Observer]]:
        """Per layer those of all measurements."""
        observers: list[list[Observer]] = [[] for _ in batch.record.features]
        for measurement in self.measurements:
            for layer, sent in enumerate(measurement.observers(batch)):
                observers[layer].extend(sent)
        return observers

    def clean_inputs(self, batch: Batch) -> Tensor:
        """What the network would see of a batch that is not attacked."""
        return self._input(batch.pixels)

    def inputs(self, batch: Batch) -> Tensor:
        """What the network sees of a batch."""
        return self._input(self.seen(batch))

    def seen(self, batch: Batch) -> Tensor:
        """The batch's pixels, attacked where that is asked for."""
        if self.attacker is None:
            return batch.pixels
        pixels = batch.pixels.to(self.arithmetic.device)
        ids: list[int] = batch.image_ids.tolist()
        right = self._right_classes(batch)
        logits = torch.zeros(len(ids), self.network.class_count, device=pixels.device)
        if any(len(classes) > 1 for classes in right):
            with torch.no_grad():
                logits = self.network.model(pixels.to(self.arithmetic.dtype, copy=True)).float()
        return self.attacker.attack(pixels, ids, settle_labels(right, logits), self.arithmetic.dtype)

    def _right_classes(self, batch: Batch) -> list[tuple[int, ...]]:
        """The right classes of each image of a batch: none, one or several."""
        return [self.source.samples[i].label_ids for i in batch.image_ids.tolist()]

    def automatic_batch_size(self, channels: int, size: tuple[int, int]) -> int:
        """The batch size for an input of so many channels and (height, width), by the memory that is free."""
        pixels = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))

        def run(record: Record) -> None:
            labels = torch.full((len(record.logits),), -1, device=record.logits.device)
            decided = decide(labels, labels, record.logits.float())
            recorded = RecordedBatch(labels.cpu(), pixels, pixels, None, [()] * len(labels), record, decided)
            explain(record, decided.roots, self.method, self._observers(recorded))

        return automatic_batch_size(self.network, self._input(pixels), run)

    def _input(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.arithmetic.device, non_blocking=True).to(self.arithmetic.dtype)


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Within the block float32 products are exact (fp32) or of 10 bits (tf32, on CUDA only); afterwards as before.

    Raises:
        UsageError: it is not of this device.
    """
    if name == "tf32" and device.type != "cuda":
        raise UsageError("precision 'tf32' is of CUDA devices; give --device cuda, or --precision fp32")
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _part(batch: Batch, rows: slice | Tensor) -> Batch:
    """Some images of a batch, without those that were skipped."""
    maps = None if batch.maps is None else batch.maps[rows]
    return Batch(batch.image_ids[rows], batch.pixels[rows], maps, ())
