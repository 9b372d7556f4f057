"""Watching the last calls of a network: what does its output come out of?

Calls are seen as they are made, as modules, functions or methods, so that a network need not be traced.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FUNCTIONS: dict[str, tuple[Callable[..., Any], ...]] = {
    "softmax": (F.softmax, torch.softmax, torch.special.softmax, Tensor.softmax),
    "log_softmax": (F.log_softmax, torch.log_softmax, torch.special.log_softmax, Tensor.log_softmax),
    "sigmoid": (F.sigmoid, torch.sigmoid, torch.special.expit, Tensor.sigmoid, torch.sigmoid_, Tensor.sigmoid_),
    "logsigmoid": (F.logsigmoid,),
    "exp": (torch.exp, Tensor.exp, torch.exp_, Tensor.exp_),
    "log": (torch.log, Tensor.log, torch.log_, Tensor.log_),
}
"""What may end a network: a function from logits to (the logarithm of) probabilities; `exp` and `log` behind one."""
BEHIND = {
    ("exp", "log_softmax"): "softmax",
    ("exp", "logsigmoid"): "sigmoid",
    ("log", "softmax"): "log_softmax",
    ("log", "sigmoid"): "logsigmoid",
}
"""What a function of such a function is."""
MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "softmax": (nn.Softmax, nn.Softmax2d),
    "log_softmax": (nn.LogSoftmax,),
    "sigmoid": (nn.Sigmoid,),
    "logsigmoid": (nn.LogSigmoid,),
}
SHAPING = (
    *("flatten", "squeeze", "unsqueeze", "reshape", "view", "contiguous", "clone", "__getitem__"),
    *("to", "float", "double", "half", "bfloat16", "type", "type_as", "cpu", "cuda"),
)
"""Methods that change at most how values lie; those that leave values out are told by the number of values."""

_AFFINE = {F.linear, F.conv2d, torch.conv2d, torch.addmm, torch.matmul, Tensor.matmul, Tensor.addmm}
"""What gives logits as it is: values of any size."""
_NAMES = {function: name for name, functions in FUNCTIONS.items() for function in functions}
_SHAPES = {getattr(Tensor, name) for name in SHAPING} | {
    torch.flatten,
    torch.squeeze,
    torch.unsqueeze,
    torch.reshape,
    torch.clone,
}
_KEPT = 64
"""Calls that a trail remembers: the last ones of a network, and those of what runs beside its head."""


class Trail(TorchFunctionMode):
    """Within the block notes which calls made a tensor from which, of the calls that may end a network."""

    def __init__(self) -> None:
        super().__init__()
        self._made: OrderedDict[int, tuple[str, Tensor, Tensor]] = OrderedDict()
        self._affine: Tensor | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = _NAMES.get(func) or ("" if func in _SHAPES else None)
        source = args[0] if args else (kwargs or {}).get("input")
        if name is None or not isinstance(source, Tensor):
            made = func(*args, **(kwargs or {}))
            self._affine = made if func in _AFFINE else self._affine
            return made
        if getattr(func, "__name__", "").endswith("_") and name:
            source = source.clone()  # which the call writes over
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made is not source and made.numel() == source.numel():
            self._made[id(made)] = (name, source, made)  # the tensor too, so that its id stays its own
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made

    def steps(self, made: Tensor) -> Iterator[tuple[str, Tensor]]:
        """From an output down: the call behind each step ("" for one of shape alone) and what it was given."""
        while id(made) in self._made:
            name, made, _ = self._made[id(made)]
            yield name, made

    def is_affine(self, output: Tensor) -> bool:
        """Whether an output comes out of the last linear layer or convolution, but for changes of shape."""
        for name, source in self.steps(output):
            if name:
                return False
            output = source
        return output is self._affine

    def beneath(self, output: Tensor) -> tuple[str | None, Tensor]:
        """The function that an output comes out of, and what it was given; None and the output where it is none."""
        outer = None
        for name, source in self.steps(output):
            if not name:
                continue
            found = name if outer is None else BEHIND.get((outer, name))
            if found not in ("exp", "log"):
                return (None, output) if found is None else (found, source)
            outer = found
        return None, output
