"""One batch: images -> recorded pass -> roots -> hierarchy -> rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from indexer.context import ContextMaps
from indexer.data.loader import Batch
from indexer.data.samples import DataSource
from indexer.hierarchy import explain
from indexer.memory import automatic_batch_size, is_out_of_memory
from indexer.network import Network
from indexer.record import Record
from indexer.rows import ShardRows, decide, settle_labels
from schema.errors import ModelError, UsageError

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
        record = self._record(batch.pixels)
        finite = record.logits.isfinite().all(1).cpu()
        if not finite.all():
            # The record holds values that are not finite; the others are recorded again without them.
            self._add_usable(_part(batch, finite), rows)
            rows.skipped.extend((i, "the network's output is not finite") for i in batch.image_ids[~finite].tolist())
            return
        ids = batch.image_ids.to(self.device)
        logits = record.logits.float()
        labels = settle_labels([self.source.samples[i].label_ids for i in batch.image_ids.tolist()], logits)
        decided = decide(ids, labels, logits)
        levels = explain(record, decided.roots, self.top_n, self._labellers(record, batch), self.max_nodes)
        rows.add(decided, levels)
        for level in levels:
            nodes = len(level.target.root)
            self.node_count += nodes
            self.barren_count += nodes - len(torch.unique(level.node))

    def automatic_batch_size(self, size: int) -> int:
        """The batch size for an input of (size, size), by the memory that is free."""
        pixels = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))

        def run(record: Record) -> None:
            labels = torch.full((len(record.logits),), -1, device=self.device)
            explain(record, decide(labels, labels, record.logits.float()).roots, self.top_n, None, self.max_nodes)

        return automatic_batch_size(self.network, self._input(pixels), run)

    def _record(self, pixels: Tensor) -> Record:
        return self.network.recorder.record(self._input(pixels))

    def _input(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device, non_blocking=True).to(PRECISIONS[self.precision])

    def _labellers(self, record: Record, batch: Batch) -> list[ContextMaps | None] | None:
        if batch.maps is None:
            return None
        maps = batch.maps.to(self.device, non_blocking=True)
        count = max(self.source.context_labels) + 1
        grids = [(features.shape[2], features.shape[3]) for features in record.features]
        chosen = range(len(grids)) if self.context_layers is None else self.context_layers
        return [
            ContextMaps(maps, grid, self.mask_threshold, count) if layer in chosen else None
            for layer, grid in enumerate(grids)
        ]


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Within the block float32 products are exact (fp32) or of 10 bits (tf32, on CUDA only); afterwards as before.

    Raises:
        UsageError: no such precision, or not on this device.
    """
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}; give one of {', '.join(PRECISIONS)}")
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
