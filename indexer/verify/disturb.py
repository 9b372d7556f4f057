"""Taking something away from images: a region of the input, or a channel of a map, and deciding again without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.record import Record
from evigraph.indexer.verify.fills import Cover
from evigraph.indexer.verify.regions import Region

NO_CHANNEL = -1


@dataclass(frozen=True)
class Outcomes:
    """What the network decides without something, a row for each test; zeros where there was nothing to take away.

    Attributes:
        tested: (tests,) bool, whether there was.
        logits: (tests, classes) float32.
        disturbance: (tests,) float32, the root mean square of the change made, in the image or in the channel's map.
    """

    tested: Tensor
    logits: Tensor
    disturbance: Tensor


class Disturber:
    """Takes things away from the images of one recorded batch at a time."""

    def __init__(self, network: Network, means: Sequence[Tensor]) -> None:
        """Take a network in evaluation mode.

        Args:
            network: of the run.
            means: per layer, (channels,), what a channel without its evidence is set to.
        """
        self._network, self._means = network, means

    def without_regions(
        self, pixels: Tensor, image: Tensor, root: Tensor, regions: Sequence[Region | None], cover: Cover
    ) -> Outcomes:
        """Each test's region hidden in the network's input.

        Args:
            pixels: (images, channels, height, width).
            image: (tests,) int64, rows of them.
            root: (tests,) int64, the root of each test.
            regions: of each test; None for nothing to hide.
            cover: what they are filled with.
        """
        shown = torch.tensor([region is not None for region in regions])
        outcomes = self._no_outcomes(shown & cover.fits[root].cpu(), pixels)
        for rows in some_at_a_time(torch.nonzero(outcomes.tested)[:, 0], len(pixels)):
            before = pixels[image[rows]]
            size = (before.shape[2], before.shape[3])
            masks = torch.stack([region.mask(size) for row in rows.tolist() if (region := regions[row])])
            after = torch.where(masks.to(before.device)[:, None], cover.over(root[rows], before), before)
            outcomes.logits[rows] = self._network.model(after.clone()).float()
            outcomes.disturbance[rows] = root_mean_square(after - before)
        return outcomes

    def without_channels(self, record: Record, pixels: Tensor, image: Tensor, layer: int, channel: Tensor) -> Outcomes:
        """Each test's channel set to its mean, and the network run from there on.

        Args:
            record: of the batch.
            pixels: (images, channels, height, width).
            image: (tests,) int64, rows of them.
            layer: of the channels.
            channel: (tests,) int64; NO_CHANNEL for none to remove.
        """
        features = record.features[layer]
        means = self._means[layer].to(features)
        outcomes = self._no_outcomes(channel != NO_CHANNEL, pixels)
        for rows in some_at_a_time(torch.nonzero(outcomes.tested)[:, 0], len(pixels)):
            place, removed = torch.arange(len(rows), device=rows.device), channel[rows]
            maps, mean = features[image[rows]], means[removed, None, None]
            outcomes.disturbance[rows] = root_mean_square(mean - maps[place, removed])
            maps[place, removed] = mean
            outcomes.logits[rows] = self._network.recorder.logits_from(layer, maps, pixels[image[rows]]).float()
        return outcomes

    def _no_outcomes(self, tested: Tensor, like: Tensor) -> Outcomes:
        logits = torch.zeros(len(tested), self._network.class_count, device=like.device)
        return Outcomes(tested.to(like.device), logits, torch.zeros(len(tested), device=like.device))


def some_at_a_time(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Parts of `rows`, (rows,), of at most `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def root_mean_square(change: Tensor) -> Tensor:
    """(tests, ...) -> (tries,) float32, over all else."""
    return change.float().flatten(1).square().mean(1).sqrt()
