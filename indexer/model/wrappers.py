"""Networks in wrappings: those that only call one network, and outputs that hold the logits among other things."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from evigraph.schema.errors import ModelError


def unwrapped(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The network within DataParallel, DistributedDataParallel and torch.compile, and a sentence for each taken off."""
    notes: list[str] = []
    while True:
        kind, within = type(model).__name__, None
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            within = model.module
        elif kind == "OptimizedModule":
            within, kind = getattr(model, "_orig_mod", None), "torch.compile"
        if not isinstance(within, nn.Module):
            return model, tuple(notes)
        model = within
        notes.append(f"The network is taken out of {kind}: it is the {type(model).__name__} within.")


class Answer(nn.Module):
    """A network whose output holds the logits among other things, and gives the logits alone."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)["_logits_of"](super().__call__(*args, **kwargs))


def picked(model: nn.Module, output: Any) -> Any:
    """The logits of what a network's forward gave."""
    return vars(model)["_logits_of"](output) if isinstance(model, Answer) else output


def answering(model: nn.Module, output: Any) -> tuple[nn.Module, tuple[str, ...]]:
    """A network that gives logits, and what was taken for them.

    Args:
        model: any network. The one given back shares all with it.
        output: what it gave for a batch.

    Raises:
        ModelError: the output holds no logits, or what may be them more than once.
    """
    if isinstance(output, Tensor):
        return model, ()
    parts, take = _parts(output)
    found = [key for key, value in parts.items() if isinstance(value, Tensor) and value.ndim == 2]
    if "logits" in found:
        found = ["logits"]
    if len(found) == 2:
        found = [one for one, other in (found, found[::-1]) if _probabilities_of(parts[one], parts[other])] or found
    kind = type(output).__name__
    if len(found) != 1:
        held = ", ".join(f"{key} {_shape(value)}" for key, value in parts.items()) or "nothing"
        raise ModelError(
            f"the network's output is {kind}, which holds {held}; which of these are the logits, of shape "
            "(batch, classes), cannot be told: wrap it in a module that returns them and give that as "
            "package.module:factory"
        )
    (key,) = found
    answer = copy.copy(model)
    answer.__class__ = type(type(model).__name__, (Answer, type(model)), {"__module__": type(model).__module__})
    vars(answer)["_logits_of"] = lambda given: take(given, key)
    where = f"{key!r}" if isinstance(key, str) else f"number {key}"
    return answer, (f"The network's output is {kind}; its {where} is taken for the logits.",)


def _probabilities_of(logits: Tensor, other: Tensor) -> bool:
    """Whether one part of an output is the (logarithm of) probabilities of another."""
    if logits.shape != other.shape or not logits.is_floating_point() or bool(((logits >= 0) & (logits <= 1)).all()):
        return False
    squashed = [logits.softmax(1), logits.log_softmax(1), logits.sigmoid()]
    return any(torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-5) for one in squashed)


def _parts(output: Any) -> tuple[dict[Any, Any], Callable[[Any, Any], Any]]:
    """What an output holds, by key, and how to take one of them."""
    if isinstance(output, Mapping):
        return dict(output), lambda given, key: given[key]
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return {name: getattr(output, name) for name in output._fields}, getattr
    if isinstance(output, (tuple, list)):
        return dict(enumerate(output)), lambda given, key: given[key]
    if dataclasses.is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}, getattr
    if hasattr(output, "__dict__"):
        return dict(vars(output)), getattr
    return {}, getattr


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
