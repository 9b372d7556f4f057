"""Taking something away from images: a region of the input, or a channel of a map, and deciding again without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.record import Box, Record

NO_CHANNEL = -1
BLUR_RADII = 6
"""Radii of the blur in a side of the image: at 224 pixels a standard deviation of 37, which leaves no shapes."""


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

    def __init__(self, network: Network, means: Sequence[Tensor], occlude: str) -> None:
        """Take a network in evaluation mode.

        Args:
            network: of the run.
            means: per layer, (channels,), what a channel without its evidence is set to.
            occlude: what hides a region: "grey", zeros, which are the preprocessing's mean, or "blur".
        """
        self._network, self._means, self._occlude = network, means, occlude

    def without_regions(self, pixels: Tensor, image: Tensor, boxes: Sequence[Box | None]) -> Outcomes:
        """Each test's region hidden in the network's input.

        Args:
            pixels: (images, channels, height, width).
            image: (tests,) int64, rows of them.
            boxes: of each test; None for nothing to hide.
        """
        outcomes = self._no_outcomes(torch.tensor([box is not None for box in boxes]), pixels)
        for rows in some_at_a_time(torch.nonzero(outcomes.tested)[:, 0], len(pixels)):
            before = pixels[image[rows]]
            cover = blurred(before) if self._occlude == "blur" else torch.zeros_like(before)
            after = before.clone()
            for place, row in enumerate(rows.tolist()):
                top, bottom, left, right = boxes[row] or (0, 0, 0, 0)
                after[place, :, top:bottom, left:right] = cover[place, :, top:bottom, left:right]
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


def blurred(pixels: Tensor) -> Tensor:
    """Images (images, channels, height, width) under a Gaussian, of a sixth of the height down and of a sixth of the
    width across, with their borders mirrored.
    """
    channels, height, width = pixels.shape[1:]
    down, across = _kernel(height, pixels), _kernel(width, pixels)
    reach = (len(across) // 2,) * 2 + (len(down) // 2,) * 2
    padded = F.pad(pixels, reach, mode="reflect")
    padded = F.conv2d(padded, down.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(padded, across.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def _kernel(length: int, like: Tensor) -> Tensor:
    """The weights of a blur along one side, of the device and type of `like`."""
    sigma = length / BLUR_RADII
    reach = min(round(2 * sigma), length - 1)
    place = torch.arange(-reach, reach + 1, device=like.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    return (kernel / kernel.sum()).to(like.dtype)
