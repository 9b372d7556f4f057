"""The roots of a batch: what the network decided, and which of its logits are explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Roots:
    """The logits to explain: image (roots,) int64 rows of the batch, class_id (roots,) int64. Sorted by image."""

    image: Tensor
    class_id: Tensor


@dataclass(frozen=True)
class Decided:
    """What the network decided about a batch.

    Attributes:
        image_ids: (images,) int64.
        labels: (images,) int64, -1 where unlabelled; of several right classes as `settle_labels` has it.
        predicted: (images,) int64, the class of the largest logit, the lower one among equals.
        roots: the logits to explain: of each image the predicted class and, where it differs, the label's.
        logit, probability: (roots,) of each root; probability is the network's own, after softmax or sigmoid.
    """

    image_ids: Tensor
    labels: Tensor
    predicted: Tensor
    roots: Roots
    logit: Tensor
    probability: Tensor


def settle_labels(label_ids: Sequence[tuple[int, ...]], logits: Tensor) -> Tensor:
    """The label of each image: of several right classes the one that the network ranks highest.

    So a prediction is correct where it is any of them, as where several things can be seen it should be. Where it is
    none of them the image still counts as wrong, and its label is the right class that came nearest.

    Args:
        label_ids: the right classes of each image, ascending.
        logits: (images, classes).

    Returns:
        (images,) int64 on the logits' device, -1 where an image has no class label; the lower class among equals.
    """
    labels = torch.tensor([ids[0] if ids else -1 for ids in label_ids], device=logits.device)
    for image, ids in enumerate(label_ids):
        if len(ids) > 1:
            right = torch.tensor(ids, device=logits.device)
            labels[image] = right[logits[image, right].argmax()]
    return labels


def decide(image_ids: Tensor, labels: Tensor, logits: Tensor, probabilities: Tensor | None = None) -> Decided:
    """The roots of a batch.

    Args:
        image_ids: (images,) int64, on the logits' device.
        labels: (images,) int64, -1 where unlabelled, likewise.
        logits: (images, classes).
        probabilities: likewise, the network's; None for the softmax of the logits.
    """
    predicted = logits.argmax(1)
    wrong = (labels >= 0) & (labels != predicted)
    row = torch.arange(len(logits), device=logits.device)
    image = torch.repeat_interleave(row, 1 + wrong.long())
    is_label = torch.zeros_like(image, dtype=torch.bool)
    is_label[1:] = image[1:] == image[:-1]
    class_id = torch.where(is_label, labels[image], predicted[image])
    probability = (logits.softmax(1) if probabilities is None else probabilities)[image, class_id]
    return Decided(image_ids, labels, predicted, Roots(image, class_id), logits[image, class_id], probability)
