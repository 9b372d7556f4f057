"""What to do about weights that do not fit a network, by the names that differ."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

_HEADS = re.compile(r"(head|cls|cls_head|classifier|linear|last_linear|logits)\b")
"""Beginnings of names of a classifier."""
_SPLIT = re.compile(r"(_orig|_mask|_g|_v|_u|\.original\d?)$")
"""Ends of names under which pruning, weight norm and parametrizations keep parts of a weight."""


def advice(model: nn.Module, missing: Sequence[str], unknown: Sequence[str], outputs: int | None) -> str:
    """What to do about weights that are not a network's, as the end of a message.

    Args:
        model: the network.
        missing: names of the network that the weights lack.
        unknown: names of the weights that the network lacks.
        outputs: of the weights, where these are the network's but for the number of outputs.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    head = layers[-1] + "." if layers else " "
    if missing and all(name.startswith(head) for name in missing):
        called = next((name for name in unknown if _HEADS.match(name)), None)
        if called:
            return f"its classifier seems to be called {called}: save them under the network's names"
        parts = next((name for name in unknown if _SPLIT.search(name)), None)
        if parts:
            return (
                f"{parts} is of a weight kept in parts, as pruning and weight norm do: make that permanent "
                "(torch.nn.utils.prune.remove, parametrize.remove_parametrizations) and save them again, or build the "
                "network with --model package.module:factory"
            )
        within = next((name for name in unknown if name.startswith(head)), None)
        if within:
            return (
                f"its classifier {head.rstrip('.')} is not there, as in weights of self-supervised training, or is "
                f"another, of {within} and others: build the network as it was trained to classify with --model "
                "package.module:factory"
            )
        if len(missing) == 1:
            return "its classifier is another: build the network as it was trained with --model package.module:factory"
        return (
            f"its classifier {head.rstrip('.')} is not there, as in weights of self-supervised training; give weights "
            "that were trained to classify"
        )
    if outputs is not None:
        return f"they have {outputs} outputs: let the factory take num_classes, or make the network with as many"
    return "check that --model and --weights belong together"
