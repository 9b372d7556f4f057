"""Whether a network can be looked into: its modules, and its own values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from evigraph.schema.errors import ModelError


def check_module(model: object) -> None:
    """See that a factory's result is a network whose operations and gradients can be followed.

    Raises:
        ModelError: it is none, or is scripted, quantized, or of sizes that it does not know yet.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"{model.original_name} is a TorchScript network, whose modules cannot be looked into; "
            "give the network that it was made from"
        )
    if not isinstance(model, nn.Module):
        raise ModelError(f"the factory returned {type(model).__name__}; it must return a torch nn.Module")
    for path, module in model.named_modules():
        name = f"module {path or type(model).__name__} ({type(module).__name__})"
        if any(nn.parameter.is_lazy(value) for value in (*module.parameters(False), *module.buffers(False))):
            raise ModelError(
                f"{name} does not know its size yet: let the factory run the network once, as in "
                "model(torch.zeros(1, 3, 224, 224)), before it returns it"
            )
        if any(value.is_meta for value in (*module.parameters(False), *module.buffers(False))):
            raise ModelError(
                f"{name} has no values, as it was made on the device 'meta'; let the factory make it on the CPU, or "
                "load its weights with assign=True"
            )
        kind = type(module).__module__
        if (
            "quantized" in kind.split(".")
            and kind.startswith("torch.")
            and "FloatFunctional" not in type(module).__name__
        ):
            raise ModelError(f"{name} is quantized, and no gradient goes through it; give the float network")


def check_finite(model: nn.Module, tensors: Mapping[str, Tensor], whose: str) -> None:
    """See that a network's own values are numbers: no image would be to blame for its answers.

    Args:
        model: the network.
        tensors: by the network's names.
        whose: the tensors are, for the message.

    Raises:
        ModelError: one holds values that are not finite.
    """
    buffers = {name for name, _ in model.named_buffers()}
    broken = {}
    for name, value in tensors.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            mask = name in buffers and "running_" not in name  # may hold infinity on purpose
            broken[name] = int((value.isnan() if mask else ~value.isfinite()).sum())
    _check_variances(model, tensors, whose)
    named = [(name, count) for name, count in broken.items() if count]
    if named:
        name, count = named[0]
        values = "1 value that is" if count == 1 else f"{count} values that are"
        more = f", as do {len(named) - 1} other tensors" if len(named) > 1 else ""
        raise ModelError(
            f"{whose}: {name} holds {values} not finite{more}: its training diverged, or the file is damaged; give "
            "an earlier checkpoint"
        )


def _check_variances(model: nn.Module, tensors: Mapping[str, Tensor], whose: str) -> None:
    """See that no normalisation takes the root of a number below 0."""
    for path, module in model.named_modules():
        name = f"{path}.running_var".lstrip(".")
        value = tensors.get(name)
        if value is None or not isinstance(getattr(module, "eps", None), float):
            continue
        count = int((value + module.eps <= 0).sum())
        if count:
            raise ModelError(
                f"{whose}: {name} holds {count} value{'s' if count > 1 else ''} below 0, which no variance has; the "
                "file is damaged, or was averaged or converted wrongly: give another checkpoint"
            )
