"""Adversarial images (Fig. 11): the dataset's own, moved within a small box so that the network errs.

1. The image is taken back from the network's input to pixels in 0..1, where `eps` is measured.
2. `fgsm` takes one step along the sign of the loss's gradient; `pgd` takes many smaller ones from a random start in the
   box, and after each goes back into it; `noise` is the random start alone: what a change of this size does by itself.
3. The loss is the cross entropy of the class label, which grows; of an unlabelled image, that of the class predicted
   for it clean. With a target it is the target class's, which falls. Where each class has a probability of its own (a
   sigmoid's), it is the negative logarithm of that probability.

The random start depends on the seed and the image's id alone, so that any shard can be made again. What the network
is then given is not rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.run.settings import AttackSettings
from evigraph.schema.errors import UsageError

_SPREAD = 0x9E3779B1
"""Odd, so that no two seeds below 2**32 give an image the same start; large, so that near ones swap no near images."""


class Attacker:
    """Attacks batches of network inputs."""

    def __init__(
        self,
        model: nn.Module,
        settings: AttackSettings,
        preprocessing: Preprocessing,
        classes: int,
        *,
        sigmoid: bool = False,
    ) -> None:
        """Take a network in evaluation mode.

        Args:
            model: (images, channels, height, width) -> logits (images, classes).
            settings: of the attack.
            preprocessing: that the inputs went through.
            classes: number of the network's classes.
            sigmoid: whether a class's probability is the sigmoid of its logit, not a softmax over all.

        Raises:
            UsageError: the target is not one of the classes, or what a pixel is in an input is not known.
        """
        if settings.target is not None and not 0 <= settings.target < classes:
            raise UsageError(f"--attack-target {settings.target} is no class; the network has 0 to {classes - 1}")
        if not preprocessing.gives_pixels:
            raise UsageError(
                f"--attack {settings.kind}: how large --eps is in an input of --transform is not known; give --mean "
                "and --std that it normalises by, and --pixel-scale 255 where its pixels are 0 to 255"
            )
        self.model, self.settings, self._sigmoid = model, settings, sigmoid
        self._mean, self._std = preprocessing.per_channel()
        self._scale = preprocessing.pixel_scale

    def attack(self, inputs: Tensor, image_ids: Sequence[int], labels: Tensor, dtype: torch.dtype) -> Tensor:
        """Attacked inputs in the place of clean ones.

        Args:
            inputs: (images, channels, height, width) float32, preprocessed, on the network's device.
            image_ids: (images,), which the random starts depend on.
            labels: (images,) int64 class ids, -1 where unlabelled.
            dtype: that the network computes in.

        Returns:
            A tensor of the shape, type and device of `inputs`.
        """
        s = self.settings
        clean = self._to_pixels(inputs).clamp(0, 1)
        low, high = (clean - s.eps).clamp_(min=0), (clean + s.eps).clamp_(max=1)
        pixels = clean
        if s.kind in ("pgd", "noise"):
            start = torch.stack([self._noise(image_id, inputs.shape[1:]) for image_id in image_ids])
            pixels = torch.clamp(clean + start.to(inputs.device), low, high)
        wanted, sign = self._wanted(inputs, labels, dtype)
        steps, step = {"pgd": (s.steps, s.step), "fgsm": (1, s.eps), "noise": (0, 0.0)}[s.kind]
        for _ in range(steps):
            gradient = self._gradient(pixels, wanted, dtype)
            pixels = torch.clamp(pixels + sign * step * gradient.sign(), low, high)
        return self._to_inputs(pixels)

    def _wanted(self, inputs: Tensor, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, int]:
        """The classes whose loss is moved, and which way."""
        if self.settings.target is not None:
            return torch.full_like(labels, self.settings.target), -1
        if bool((labels >= 0).all()):
            return labels, 1
        with torch.no_grad():
            predicted = self.model(inputs.to(dtype, copy=True)).argmax(1)
        return torch.where(labels >= 0, labels, predicted), 1

    def _gradient(self, pixels: Tensor, wanted: Tensor, dtype: torch.dtype) -> Tensor:
        with torch.enable_grad():
            leaf = pixels.detach().requires_grad_()
            logits = self.model(self._to_inputs(leaf).to(dtype)).float()
            (gradient,) = torch.autograd.grad(self._loss(logits, wanted), leaf)
        return gradient

    def _loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """A sum, so that an image's gradient does not depend on how many others there are."""
        if self._sigmoid:
            return -F.logsigmoid(logits.gather(1, wanted[:, None])).sum()
        return F.cross_entropy(logits, wanted, reduction="sum")

    def _noise(self, image_id: int, shape: Sequence[int]) -> Tensor:
        # torch's generator heeds 32 bits of its seed. Of one seed each image has its own; seed 0 is the id itself.
        seed = (image_id ^ self.settings.seed * _SPREAD) % 2**32
        generator = torch.Generator().manual_seed(seed)
        return (torch.rand(tuple(shape), generator=generator) * 2 - 1) * self.settings.eps

    def _to_pixels(self, inputs: Tensor) -> Tensor:
        return (inputs * self._std.to(inputs) + self._mean.to(inputs)) / self._scale

    def _to_inputs(self, pixels: Tensor) -> Tensor:
        return (pixels * self._scale - self._mean.to(pixels)) / self._std.to(pixels)
