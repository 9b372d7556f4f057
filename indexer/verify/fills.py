"""What a hidden region is filled with, and what the network says of a picture that is hidden as a whole.

- `grey`: zeros, which are the preprocessing's mean.
- `blur`: the image itself under a Gaussian, which leaves its colours and no shapes.
- `image`: the same region of another image, one for all tests of a decision. It is drawn from FILL_IMAGES images spread
  over the run's listing: of those that have another label, as far as there are any, then of those that are not
  predicted as it, then of those without the decision's class, which would bring back what was taken away.

What the network says of the filling alone is kept beside each test: where a grey picture is called cat, a decision that
turns to cat when nearly all is grey says nothing of what was hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from evigraph.indexer.data.loader import Batch
from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.measurement import DecomposedBatch
from evigraph.indexer.verify.regions import drawn
from evigraph.indexer.verify.settings import BLUR, GREY

FILL_IMAGES = 32
BLUR_RADII = 6
"""Radii of the blur in a side of the image: at 224 pixels a standard deviation of 37, which leaves no shapes."""
NO_IMAGE = -1


@dataclass(frozen=True)
class Pool:
    """Images that regions may be filled from.

    Attributes:
        image_ids: (images,) int64.
        pixels: (images, channels, height, width), the network's input.
        predicted: (images,) int64, their predicted classes.
        right: the right classes of each image.
    """

    image_ids: Tensor
    pixels: Tensor
    predicted: Tensor
    right: Sequence[tuple[int, ...]]

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        network: Network,
        batches: Iterable[Batch],
        right_classes: Callable[[int], tuple[int, ...]],
        device: torch.device,
        dtype: torch.dtype,
    ) -> Pool:
        """The images of some batches, less those that the network makes no finite number of."""
        ids, pixels, predicted = [torch.zeros(0, dtype=torch.int64)], list[Tensor](), list[Tensor]()
        for batch in batches:
            if len(batch.image_ids):
                inputs = batch.pixels.to(device).to(dtype)
                logits = network.model(inputs.clone()).float()
                sound = logits.isfinite().all(1)
                ids.append(batch.image_ids[sound.cpu()])
                pixels.append(inputs[sound])
                predicted.append(logits.argmax(1)[sound])
        image_ids = torch.cat(ids)
        right = [right_classes(i) for i in image_ids.tolist()]
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(image_ids, torch.cat(pixels) if pixels else none, torch.cat([none, *predicted]), right)

    def choice(self, image_id: int, decision_id: int, class_id: int, right: tuple[int, ...]) -> int:
        """The place in the pool of what fills regions of an image; NO_IMAGE where the pool has no other image.

        Args:
            image_id: of the image.
            decision_id: of the decision tested.
            class_id: its class.
            right: the image's right classes.
        """
        ranked: dict[tuple[bool, bool, bool], list[int]] = {}
        for place, other in enumerate(self.image_ids.tolist()):
            if other != image_id:
                predicted, labels = int(self.predicted[place]), self.right[place]
                rank = (not set(labels).isdisjoint(right), predicted in right, class_id in (predicted, *labels))
                ranked.setdefault(rank, []).append(place)
        if not ranked:
            return NO_IMAGE
        fit = ranked[min(ranked)]
        return fit[drawn(decision_id) % len(fit)]


@dataclass(frozen=True)
class Cover:
    """What hides regions of one batch, by the rows of its roots.

    Attributes:
        fill: its name.
        predicted: (roots,) int64, what the network says of the filling alone.
        image_id: (roots,) int64, the image that it is of; NO_IMAGE for none.
        fits: (roots,) bool, whether there is one.
        over: takes roots, (tests,) int64, and their images, (tests, channels, height, width), and gives fillings.
    """

    fill: str
    predicted: Tensor
    image_id: Tensor
    fits: Tensor
    over: Callable[[Tensor, Tensor], Tensor]


class Covers:
    """Makes the covers of batches."""

    def __init__(self, network: Network, fills: Sequence[str], pool: Callable[[], Pool]) -> None:
        """Take a network in evaluation mode; `pool` is asked once, where a fill needs it."""
        self._network, self._fills, self._make_pool = network, fills, pool

    @cached_property
    def _pool(self) -> Pool:
        return self._make_pool()

    @torch.no_grad()
    def of(self, batch: DecomposedBatch, wanted: Tensor) -> list[Cover]:
        """A cover for each fill.

        Args:
            batch: whose images are covered.
            wanted: (roots,) bool, those whose evidence is tested.
        """
        makers = {GREY: self._grey, BLUR: self._blur}
        return [makers.get(fill, self._image)(batch, wanted) for fill in self._fills]

    @cached_property
    def _grey_class(self) -> dict[torch.Size, int]:
        return {}

    def _grey(self, batch: DecomposedBatch, wanted: Tensor) -> Cover:
        grey = torch.zeros_like(batch.inputs[:1])
        if grey.shape not in self._grey_class:
            self._grey_class[grey.shape] = int(self._network.model(grey.clone()).float().argmax(1))
        predicted = torch.full_like(batch.decided.roots.image, self._grey_class[grey.shape])
        return self._of_no_image(GREY, predicted, wanted, lambda _root, before: torch.zeros_like(before))

    def _blur(self, batch: DecomposedBatch, wanted: Tensor) -> Cover:
        image = batch.decided.roots.image
        predicted = torch.zeros_like(image)
        if bool(wanted.any()):
            tested, of_tested = torch.unique(image[wanted], return_inverse=True)
            logits = self._network.model(blurred(batch.inputs[tested])).float()
            predicted[wanted] = logits.argmax(1)[of_tested]
        return self._of_no_image(BLUR, predicted, wanted, lambda _root, before: blurred(before))

    def _of_no_image(
        self, fill: str, predicted: Tensor, wanted: Tensor, over: Callable[[Tensor, Tensor], Tensor]
    ) -> Cover:
        return Cover(fill, predicted, torch.full_like(predicted, NO_IMAGE), torch.ones_like(wanted), over)

    def _image(self, batch: DecomposedBatch, wanted: Tensor) -> Cover:
        pool, roots = self._pool, batch.decided.roots
        places = torch.full_like(roots.image, NO_IMAGE)
        ids, image = batch.image_ids.tolist(), roots.image.tolist()
        for root in torch.nonzero(wanted)[:, 0].tolist():
            decision, class_id = int(batch.decision_ids[root]), int(roots.class_id[root])
            places[root] = pool.choice(ids[image[root]], decision, class_id, batch.right_classes[image[root]])
        fits = places != NO_IMAGE
        predicted, image_id = torch.zeros_like(places), torch.full_like(places, NO_IMAGE)
        if bool(fits.any()):
            predicted[fits] = pool.predicted[places[fits]]
            image_id[fits] = pool.image_ids.to(places.device)[places[fits]]
        return Cover("image", predicted, image_id, fits, lambda root, _before: pool.pixels[places[root]])


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
