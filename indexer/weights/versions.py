"""Weights of earlier versions of torchvision's architectures."""

from __future__ import annotations

import re
import warnings
from collections.abc import Container, Mapping

from torch import Tensor, nn
from torchvision import models as zoo

_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
_FIRST_MNASNET = ("layers.0.weight", 32)
"""A tensor of MNASNet's, and its length in the first version, whatever the width of the rest."""


def with_present_names(tensors: Mapping[str, Tensor], known: Container[str]) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under the names that DenseNet has since torchvision 0.2.1, and in words what was renamed.

    Args:
        tensors: by name.
        known: the network's names; what is one of them keeps it.
    """
    new = {name: name if name in known else _OLD_DENSENET.sub(r"\1\2", name) for name in tensors}
    count = sum(name != other for name, other in new.items())
    said = [f"renamed {count} tensors from DenseNet's old names (norm.1 to norm1)"] if count else []
    return {new[name]: value for name, value in tensors.items()}, said


def adapt(model: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """Make a MNASNet the first version of itself where the weights are of that; says so in a sentence.

    torchvision would tell it by a number that a state dict carries beside its tensors and that few files keep, and make
    the first version of any without.
    """
    name, width = _FIRST_MNASNET
    if not isinstance(model, zoo.MNASNet) or name not in tensors:
        return None
    if len(tensors[name]) != width or len(model.state_dict()[name]) == width:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is what it does
        model._load_from_state_dict({}, "", {"version": 1}, False, [], [], [])
    return "the network is the first version of MNASNet, as the weights' stem of 32 channels is"
