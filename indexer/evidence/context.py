"""Context labels: which region of an image's semantic map an edge's mask overlaps most (Sec. 4.3).

1. The mask of an edge is A[k] > threshold * max(A[k]), at the layer's resolution.
2. It is brought to the semantic map's resolution by nearest neighbour. Every pixel of the map then lies in one cell of
   the layer's grid, so it is enough to count, once an image, the pixels of each label in each cell. Only an image's own
   labels are counted: a handful even where a data set has hundreds.
3. The region of a label is all its pixels; void is not a region. The label with the largest IoU is the edge's, the
   lower id among equals.
4. Beside it, since an IoU favours regions of the mask's size: the label at the edge's peak, which is the one that most
   pixels of the peak's cell have, and the part of the mask's activation that lies on it: A summed over the mask, each
   cell split by the labels of its pixels.
5. The masks themselves are kept, cell by cell, and the semantic maps, so that `publish` can tell what the masks of a
   class would lie on if they were laid over the maps of its other images.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from evigraph.indexer.evidence.measurement import (
    Columns,
    DecomposedBatch,
    HostLevel,
    Measurement,
    RecordedBatch,
    Rows,
    in_order,
)
from evigraph.indexer.evidence.observe import Kept, Noted, Observer, Part, TensorColumns

VOID = 0
_MASKS = "context_mask"


class ContextLabels(Measurement):
    """The context label of every edge, and what each image's semantic map shows."""

    tables = ("image_context", "context_map", _MASKS)

    def __init__(self, mask_threshold: float, label_count: int, layers: frozenset[int] | None = None) -> None:
        """Say what is labelled.

        Args:
            mask_threshold: of the largest activation, in 0..1.
            label_count: ids of context labels are below it.
            layers: the lower layers whose edges get labels; None for all.
        """
        self.mask_threshold, self.label_count, self.layers = mask_threshold, label_count, layers

    def observers(self, batch: RecordedBatch) -> Sequence[Sequence[Observer]]:
        if batch.maps is None:
            return ()
        maps = batch.maps.to(batch.inputs.device, non_blocking=True)
        grids = [(features.shape[2], features.shape[3]) for features in batch.record.features]
        return [
            (ContextMaps(maps, grid, self.mask_threshold, self.label_count),)
            if self.layers is None or layer in self.layers
            else ()
            for layer, grid in enumerate(grids)
        ]

    def columns(self, batch: DecomposedBatch) -> Mapping[str, Rows]:
        if batch.maps is None:
            return {}
        shown = shown_labels(batch.image_ids, batch.maps, self.label_count)
        maps, image_ids = batch.maps.numpy(), batch.image_ids.numpy()

        def stored_maps() -> Columns:
            return {
                "image_id": image_ids,
                "height": np.full(len(maps), maps.shape[1]),
                "width": np.full(len(maps), maps.shape[2]),
                "labels": [zlib.compress(one.tobytes(), 1) for one in maps],
            }

        levels = [_mask_rows(batch, level) for level in batch.host_levels if _MASKS in level.rows]
        return {
            "image_context": {name: column.numpy() for name, column in shown.items()},
            "context_map": stored_maps,
            _MASKS: in_order(levels) if levels else {},
        }


class ContextMaps:
    """The semantic maps of a batch, counted over one layer's grid."""

    def __init__(self, maps: Tensor, grid: tuple[int, int], mask_threshold: float, label_count: int) -> None:
        """Count labels by cell.

        Args:
            maps: (batch, height, width) integers, label ids; 0 is void.
            grid: height and width of the layer's maps.
            mask_threshold: of the largest activation, in 0..1.
            label_count: label ids are below it.
        """
        self.grid, self.mask_threshold = grid, mask_threshold
        batch, height, width = maps.shape
        cells = grid[0] * grid[1]
        row, column = _nearest(grid[0], height), _nearest(grid[1], width)
        cell = (row[:, None] * grid[1] + column[None, :]).to(maps.device)
        image = torch.arange(batch, device=maps.device)[:, None, None]
        slot, self.ids = _own_labels(maps, label_count)
        slots = self.ids.shape[1]
        keys = (image * cells + cell) * slots + slot
        counts = torch.bincount(keys.flatten(), minlength=batch * cells * slots)
        self.pixels = counts.view(batch, cells, slots).float()
        """(batch, cells, slots) pixels of each of the image's labels in each cell."""
        self.region = self.pixels.sum(1)
        """(batch, slots) pixels of each label's region."""
        self.shares = self.pixels / self.pixels.sum(2, keepdim=True).clamp(min=1)
        """(batch, cells, slots) the part of each cell's pixels that each label has."""

    def observe(self, part: Part, kept: Kept) -> Noted:
        """The context labels of edges by IoU and at their peaks, and their masks."""
        image = part.decisions.image[kept.row]
        label, iou = self.label(image, kept.windows, kept.top, kept.left)
        edge, cell, mass, at_peak = self.masks(kept.windows, kept.top, kept.left)
        peak_label, peak_mass = self.peak_label(image, edge, cell, mass, at_peak)
        return Noted(
            edge={
                "context_label_id": label,
                "context_iou": torch.where(label < 0, torch.nan, iou),
                "context_peak_label_id": peak_label,
                "context_peak_mass": torch.where(peak_label < 0, torch.nan, peak_mass),
            },
            rows={
                _MASKS: {
                    "target": kept.row[edge],
                    "channel": kept.channel[edge],
                    "cell": cell,
                    "at_peak": at_peak.long(),
                    "mass": mass,
                }
            },
        )

    def masks(self, maps: Tensor, top: Tensor, left: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The masks of edges, cell by cell; the peak is always in its mask.

        Args:
            maps: (edges, height, width) activation windows.
            top: (edges,) int64, the row of the layer's grid where each window begins.
            left: (edges,) int64, its column.

        Returns:
            (mask cells,) each: the edge, ascending, and the cell, int64; the part of the mask's activation that is in
            the cell, float32, 1 over a mask; and whether it is the peak.
        """
        flat = maps.flatten(1)
        peak = flat.argmax(1, keepdim=True)
        masks = (flat > self.mask_threshold * flat.gather(1, peak)).scatter_(1, peak, True)
        edge, place = torch.nonzero(masks, as_tuple=True)
        width = maps.shape[2]
        cell = (place // width + top[edge]) * self.grid[1] + place % width + left[edge]
        mass = flat[edge, place].float()
        total = torch.zeros(len(maps), device=maps.device).index_add_(0, edge, mass)
        return edge, cell, mass / total[edge], place == peak[edge, 0]

    def peak_label(
        self, image: Tensor, edge: Tensor, cell: Tensor, mass: Tensor, at_peak: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The label at the peak of edges, and the part of the mask's activation that lies on it.

        Args:
            image: (edges,) int64, the image of each in the batch.
            edge: of `masks`, as the others.
            cell: of `masks`.
            mass: of `masks`.
            at_peak: of `masks`.

        Returns:
            (edges,) int64 label ids, -1 where most of the cell is void, and (edges,) the part, in 0..1.
        """
        at = self.shares[image, cell[at_peak]]
        slot = (at == at.amax(1, keepdim=True)).int().argmax(1)  # the lower label among equals
        own = self.shares[image[edge], cell, slot[edge]]
        share = torch.zeros(len(image), device=mass.device).index_add_(0, edge, mass * own)
        label = self.ids[image, slot]
        return torch.where(label == VOID, -1, label), share

    def label(self, image: Tensor, maps: Tensor, top: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Context labels of edges.

        Args:
            image: (edges,) int64, the image of each in the batch.
            maps: (edges, height, width) activation windows.
            top: (edges,) int64, the row of the layer's grid where each window begins.
            left: (edges,) int64, its column.

        Returns:
            (edges,) int64 label ids, -1 where no region overlaps the mask, and (edges,) IoU, 0 there.
        """
        label = torch.full_like(image, -1)
        iou = torch.zeros(len(image), device=maps.device)
        masks = maps > self.mask_threshold * maps.amax((1, 2), keepdim=True)
        whole = maps.shape[1:] == self.grid
        for current in torch.unique(image).tolist():
            rows = torch.nonzero(image == current)[:, 0]
            if whole:
                overlap = masks[rows].flatten(1).float() @ self.pixels[current]
            else:
                overlap = self._window_overlap(current, masks[rows], top[rows], left[rows])
            union = overlap.sum(1, keepdim=True) + self.region[current] - overlap
            ious = torch.where(overlap > 0, overlap / union, 0.0)
            ious[:, 0] = 0.0  # the slot of void
            best = ious.max(1).values
            first = (ious == best[:, None]).int().argmax(1)
            label[rows] = torch.where(best > 0, self.ids[current][first], -1)
            iou[rows] = best
        return label, iou

    def _window_overlap(self, image: int, masks: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """(edges, slots) pixels of each of the image's labels under masks that cover part of the grid."""
        edge, y, x = torch.nonzero(masks, as_tuple=True)
        y, x = y + top[edge], x + left[edge]
        overlap = torch.zeros(len(masks), self.pixels.shape[2], device=masks.device)
        return overlap.index_add_(0, edge, self.pixels[image, y * self.grid[1] + x])


def _mask_rows(batch: DecomposedBatch, level: HostLevel) -> Columns:
    """Rows of `context_mask`: (decision, layer, channel) name the edge's source."""
    rows = level.rows[_MASKS]
    root = level.node["root"][rows["target"]]
    return {
        "decision_id": batch.decision_ids[root],
        "layer_id": np.full(len(root), level.source_layer),
        **{name: values for name, values in rows.items() if name != "target"},
    }


def shown_labels(image_ids: Tensor, maps: Tensor, label_count: int) -> TensorColumns:
    """The labels of each image's map and the part of the network's input that each covers: rows of `image_context`.

    Args:
        image_ids: (batch,) int64.
        maps: (batch, height, width) integers, label ids, as they went through the image's own resize and crop; 0 is
            void, which is part of the input but no label.
        label_count: label ids are below it.

    Returns:
        Columns by name, in the order of images and labels; area in 0..1, float32.
    """
    row = torch.arange(len(maps), device=maps.device)[:, None] * label_count
    counts = torch.bincount((row + maps.flatten(1).long()).flatten(), minlength=len(maps) * label_count)
    counts = counts.view(len(maps), label_count)
    counts[:, VOID] = 0
    image, label = torch.nonzero(counts, as_tuple=True)
    area = counts[image, label].double() / maps[0].numel() if len(maps) else counts.new_empty(0)
    return {"image_id": image_ids[image], "label_id": label, "area": area.float()}


def _own_labels(maps: Tensor, label_count: int) -> tuple[Tensor, Tensor]:
    """The labels that each image has, numbered from 0 in ascending order; void is always the first.

    Args:
        maps: (batch, height, width) integers, label ids.
        label_count: label ids are below it.

    Returns:
        (batch, height, width) int64, the slot of each pixel's label, and (batch, slots) int64, the label of each
        slot; images with fewer labels than others have void in the slots left over.
    """
    labels = maps.flatten(1).long()
    row = torch.arange(len(labels), device=maps.device)[:, None] * label_count
    present = torch.bincount((row + labels).flatten(), minlength=len(labels) * label_count) > 0
    present = present.view(len(labels), label_count)
    present[:, VOID] = True
    slot = present.cumsum(1) - 1
    ids = torch.zeros(len(labels), int(present.sum(1).max()) if len(labels) else 1, dtype=torch.int64)
    ids = ids.to(maps.device)
    image, label = torch.nonzero(present, as_tuple=True)
    ids[image, slot[image, label]] = label
    return slot.gather(1, labels).view(maps.shape), ids


def _nearest(cells: int, pixels: int) -> Tensor:
    """The cell of each pixel, as torch's nearest interpolation of a grid of cells to that many pixels has it."""
    index = torch.arange(cells, dtype=torch.float32)
    return F.interpolate(index[None, None], size=pixels, mode="nearest")[0, 0].long()
