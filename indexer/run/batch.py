"""One batch: images -> recorded pass -> roots -> hierarchy -> rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from evigraph.indexer.data.loader import Batch
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.context import ContextMaps, shown_labels
from evigraph.indexer.evidence.hierarchy import LevelEdges, explain
from evigraph.indexer.evidence.overlaps import OverlapSettings
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.evidence.roots import Decided, decide, settle_labels
from evigraph.indexer.pictures.thumbnails import Pictures
from evigraph.indexer.run.attack import Attacker
from evigraph.indexer.run.memory import automatic_batch_size, is_out_of_memory
from evigraph.indexer.run.rows import ShardRows
from evigraph.indexer.shards.files import Columns
from evigraph.indexer.verify.verifier import Verifier
from evigraph.schema.errors import ModelError, UsageError

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class BatchIndexer:
    """Decomposes batches of one run.

    Attributes:
        network: to be recorded, on `device` and of `precision`.
        source: the listing, for labels and context labels.
        top_n, mask_threshold, max_nodes: settings of the run.
        device: where the network is.
        precision: one of `PRECISIONS`.
        context_layers: the layers where edges get context labels; None for all.
        overlaps: how overlapping channels are found; None where they are not.
        attacker: changes the images first; None for none.
        verifier: tests the evidence; None for none.
        pictures: makes thumbnails and maps; None for none.
        node_count: nodes decomposed so far, roots included.
        barren_count: those of them that had no positive contribution.
    """

    network: Network
    source: DataSource
    top_n: int
    mask_threshold: float
    max_nodes: int | None
    device: torch.device
    precision: str
    context_layers: frozenset[int] | None = None
    overlaps: OverlapSettings | None = None
    attacker: Attacker | None = None
    verifier: Verifier | None = None
    pictures: Pictures | None = None
    node_count: int = 0
    barren_count: int = 0

    def add(self, batch: Batch, rows: ShardRows) -> None:
        """Decompose a batch and add its rows. One that does not fit in memory is halved.

        Raises:
            ModelError: not even one image fits in memory.
        """
        rows.skipped.extend(batch.skipped)
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
                    f"one image alone does not fit in the memory of {self.device}: {str(error).splitlines()[0][:200]}; "
                    "give a smaller --crop, fewer --layers, or --max-nodes"
                ) from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        for half in (slice(0, count // 2), slice(count // 2, count)):
            self._add_usable(_part(batch, half), rows)

    def _decompose(self, batch: Batch, rows: ShardRows) -> None:
        pixels = self._attacked(batch)
        record = self._record(pixels)
        finite = record.logits.isfinite().all(1).cpu()
        if not finite.all():
            # The record holds values that are not finite; the others are recorded again without them.
            self._add_usable(_part(batch, finite), rows)
            rows.skipped.extend((i, "the network's output is not finite") for i in batch.image_ids[~finite].tolist())
            return
        ids = batch.image_ids.to(self.device)
        logits = record.logits.float()
        labels = settle_labels(self._right_classes(batch), logits)
        decided = decide(ids, labels, logits)
        labellers = self._labellers(record, batch)
        levels = explain(record, decided.roots, self.top_n, labellers, self.max_nodes, self.overlaps)
        tested = self._tested(batch, pixels, record, decided, levels)
        if self.pictures is not None:
            # Before any row is added: it may run out of memory, and then the batch is begun again.
            self.pictures.add(rows.pictures, batch.image_ids, pixels, record, decided.roots, levels)
        rows.add(decided, levels, tested)
        if batch.maps is not None:
            rows.add_context(shown_labels(batch.image_ids, batch.maps, self._label_count))
        for level in levels:
            self.node_count += len(level.target)
            self.barren_count += int((level.positive_count == 0).sum())

    @property
    def _label_count(self) -> int:
        """Ids of context labels are below it."""
        return max(self.source.context_labels) + 1

    def inputs(self, batch: Batch) -> Tensor:
        """What the network sees of a batch."""
        return self._input(self._attacked(batch))

    def _attacked(self, batch: Batch) -> Tensor:
        """The batch's pixels, attacked where that is asked for."""
        if self.attacker is None:
            return batch.pixels
        pixels, dtype = batch.pixels.to(self.device), PRECISIONS[self.precision]
        ids: list[int] = batch.image_ids.tolist()
        right = self._right_classes(batch)
        logits = torch.zeros(len(ids), self.network.class_count, device=self.device)
        if any(len(classes) > 1 for classes in right):
            with torch.no_grad():
                logits = self.network.model(pixels.to(dtype)).float()
        return self.attacker.attack(pixels, ids, settle_labels(right, logits), dtype)

    def _tested(
        self, batch: Batch, pixels: Tensor, record: Record, decided: Decided, levels: Sequence[LevelEdges]
    ) -> Columns | None:
        """The rows of `verification`, where evidence is tested."""
        if self.verifier is None:
            return None
        right = self._right_classes(batch)
        return self.verifier.columns(self._input(pixels), record, decided, levels, right)

    def _right_classes(self, batch: Batch) -> list[tuple[int, ...]]:
        """The right classes of each image of a batch: none, one or several."""
        return [self.source.samples[i].label_ids for i in batch.image_ids.tolist()]

    def automatic_batch_size(self, size: int) -> int:
        """The batch size for an input of (size, size), by the memory that is free."""
        pixels = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))

        def run(record: Record) -> None:
            labels = torch.full((len(record.logits),), -1, device=self.device)
            roots = decide(labels, labels, record.logits.float()).roots
            explain(record, roots, self.top_n, None, self.max_nodes, self.overlaps)

        return automatic_batch_size(self.network, self._input(pixels), run)

    def _record(self, pixels: Tensor) -> Record:
        return self.network.recorder.record(self._input(pixels))

    def _input(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device, non_blocking=True).to(PRECISIONS[self.precision])

    def _labellers(self, record: Record, batch: Batch) -> list[ContextMaps | None] | None:
        if batch.maps is None:
            return None
        maps = batch.maps.to(self.device, non_blocking=True)
        grids = [(features.shape[2], features.shape[3]) for features in record.features]
        chosen = range(len(grids)) if self.context_layers is None else self.context_layers
        return [
            ContextMaps(maps, grid, self.mask_threshold, self._label_count) if layer in chosen else None
            for layer, grid in enumerate(grids)
        ]


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
