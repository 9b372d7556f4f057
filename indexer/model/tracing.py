"""Traces a network: its forward runs once with stand-ins for tensors (`model.standins`), and what is called is noted.

What a graph of operations cannot hold ends the trace, by name: a backward pass of the user's own, a gradient that is
switched off or changed, another precision in a part of the network. Such a network is recorded as it runs
(`engine.hooked`).
"""

from __future__ import annotations

import copy
import math
import operator
import re
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torchvision.models.feature_extraction import NodePathTracer

from evigraph.indexer.model.plain import own_backward
from evigraph.indexer.model.registry import OUT_OF_PLACE
from evigraph.indexer.model.standins import StandIn, UntraceableError, settled
from evigraph.indexer.model.wrappers import Answer, picked

_OF_SHAPE = frozenset(
    {
        *("size", "dim", "ndimension", "numel", "nelement", "stride", "is_contiguous", "element_size", "get_device"),
        *("is_floating_point", "is_complex", "is_signed", "type", "shape", "ndim", "dtype", "device", "layout"),
        *("is_cuda", "is_cpu", "is_mps", "is_sparse", "is_quantized", "requires_grad", "is_leaf", "names", "itemsize"),
        *("nbytes", "is_nested", "is_meta", "is_xla", "is_xpu", "is_mkldnn", "result_type", "storage_offset"),
    }
)
"""Questions to a tensor, by method, attribute or function, that do not depend on its values."""
_OF_GRADIENT = frozenset({"register_hook", "register_post_accumulate_grad_hook", "backward", "set_", "swap_tensors"})
_NEW_FORM = frozenset({"t_", "transpose_", "squeeze_", "unsqueeze_", "swapaxes_", "swapdims_", "detach_"})
"""Methods that change how a tensor reads its memory, and write nothing."""
_WRITING_OPERATORS = {
    getattr(operator, "i" + name.strip("_")): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor")
}


def written(value: Tensor, method: str, *args: Any, **kwargs: Any) -> Tensor:
    """A copy of a tensor that a method, which writes into its tensor, has written into."""
    result: Tensor = getattr(value.clone(), method)(*args, **kwargs)
    return result


def assigned(value: Tensor, index: Any, part: Any) -> Tensor:
    """A copy of a tensor of which a part has been set."""
    result = value.clone()
    result[index] = part
    return result


class Tracer(NodePathTracer):  # type: ignore[misc]  # torchvision has no types
    """torchvision's tracer, which also notes whose module's output each node is.

    Attributes:
        outputs: node -> paths of the modules whose output it is, the innermost first.
        calls: how often each module was called.
        shapes: node -> the shape of its tensor for each batch that was run; without those of other values.
        guards: questions about values that only decided whether an error was to be raised.
    """

    def __init__(self, inputs: tuple[Tensor, ...] = ()) -> None:
        """Make a tracer.

        Args:
            inputs: batches of one image and of several; none to trace for inputs of any size.
        """
        super().__init__(autowrap_modules=(math, torchvision.ops), leaf_modules=[torchvision.ops.StochasticDepth])
        self.inputs = inputs
        self.outputs: dict[fx.Node, list[str]] = {}
        self.calls: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self.shapes: dict[fx.Node, tuple[tuple[int, ...], ...]] = {}
        self.guards = 0
        self.leaves: dict[nn.Module, nn.Module] = {}
        """Modules that write into their input -> copies that do not."""
        self._running = False
        self._alive: list[weakref.ref[StandIn]] = []
        self._autocast = _autocast()

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """The network called with its input alone: all other arguments are left to their defaults."""

        def call(model: nn.Module, pixels: Any) -> Any:
            return picked(model, model._call_impl(pixels))  # type: ignore[no-untyped-call]

        return call, [self.root, self.create_proxy("placeholder", "x", (), {})]

    def proxy(self, node: fx.Node) -> StandIn:
        return StandIn(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualname: str) -> bool:
        kind = parametrize.type_before_parametrizations(m)
        if "forward" in vars(m) or isinstance(m, (nn.DataParallel, nn.parallel.DistributedDataParallel, Answer)):
            return False
        if isinstance(m, nn.Sequential) or (kind is not type(m) and not kind.__module__.startswith("torch.nn")):
            return False
        return bool(super().is_leaf_module(m, module_qualname))

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self._running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self._running:
            return forward(*args, **kwargs)
        inner = getattr(m, "_orig_mod", None) if type(m).__name__ == "OptimizedModule" else None
        if isinstance(m, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = m.module
        if inner is not None:
            return inner(*args, **kwargs)
        if getattr(m, "_compiled_call_impl", None) is not None:
            forward = m._call_impl
        path = self.path_of_module(m)
        self.calls[path] += 1
        out = super().call_module(m, forward, args, kwargs)
        if isinstance(out, fx.Proxy):
            self.outputs.setdefault(out.node, []).append(path)
        return out

    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, name: str | None = None, type_expr: Any = None, *_: Any
    ) -> Any:
        self._refuse(kind, target)
        if kind == "call_method" and target in {"requires_grad_", "retain_grad"}:
            return args[0]
        reads = target not in _NEW_FORM
        kind, target, args, kwargs, overwritten = self._out_of_place(kind, target, args, kwargs)
        if kind == "call_function":
            args, kwargs = _by_place(args, kwargs)
        made: StandIn = super().create_proxy(kind, target, args, kwargs, name, type_expr)
        if self.inputs:
            given = (args, kwargs)
            made.values = self._run(kind, target, args, kwargs)
            made.of_data = _asked(target, args) not in _OF_SHAPE and any(one.of_data for one in _stand_ins(given))
            if kind in {"placeholder", "get_attr", "call_module"} or isinstance(made.values[0], Tensor):
                made.of_data = True
            made.detached = target == "detach" or any(one.detached for one in _stand_ins(args[:1]))
            if all(isinstance(value, Tensor) for value in made.values):
                self.shapes[made.node] = tuple(tuple(value.shape) for value in made.values)
                self._refuse_modes(made.values[0])
        if overwritten is not None:
            self._overwrite(overwritten, made, reads=reads)
            return overwritten
        if not self.inputs:
            return made
        self._alive.append(weakref.ref(made))
        return self._settled(made)

    def _get_node_qualname(self, module_qualname: str, node: fx.Node) -> str:
        """A node's path: of its module, or of its operation within one; what has it already is told apart by a number.

        torchvision's own takes a number off modules' names and fails where a number is all the name of a reused one.
        """
        own = () if node.op == "call_module" else (re.sub(r"_[0-9]+$", "", str(node)),)
        path = ".".join(part for part in (module_qualname, *own) if part)
        number = self._named[path]
        while number and self._named[f"{path}_{number}"]:
            number += 1
        self._named[path] = number + 1
        name = f"{path}_{number}" if number else path
        if number:
            self._named[name] += 1
        return name

    def create_arg(self, a: Any) -> Any:
        # First, since attributes of a stand-in are those of its tensor.
        return a.node if isinstance(a, fx.Proxy) else super().create_arg(a)

    def _refuse(self, kind: str, target: Any) -> None:
        """Raise UntraceableError for what has a backward pass of its own."""
        if kind == "call_method" and target in _OF_GRADIENT:
            raise UntraceableError(f"forward calls {target}, which a graph of operations does not hold")
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_name != "trace":
            code = frame.f_code
            first = frame.f_locals.get(code.co_varnames[0]) if code.co_name == "forward" and code.co_varnames else None
            if isinstance(first, torch.autograd.function.FunctionCtx):
                raise UntraceableError(own_backward(getattr(type(first), "_forward_cls", type(first))))
            frame = frame.f_back  # type: ignore[assignment]

    def _refuse_modes(self, value: Tensor) -> None:
        """Raise UntraceableError where a part of the network runs in another mode than the whole."""
        if not value.is_floating_point():
            return
        where = f"module {self.current_module_qualname}" if self.current_module_qualname else "forward"
        if not torch.is_grad_enabled():
            raise UntraceableError(f"{where} runs without a gradient (torch.no_grad)")
        if _autocast() != self._autocast:
            raise UntraceableError(f"{where} runs in another precision (torch.autocast)")

    def _out_of_place(
        self, kind: str, target: Any, args: Any, kwargs: Any
    ) -> tuple[str, Any, Any, Any, StandIn | None]:
        """The same call as one that writes into nothing, and the stand-in whose value it writes over."""
        first = args[0] if args else kwargs.get("input")
        text = _named(target)
        wrote = False
        if kind == "call_module":
            module = self.root.get_submodule(target)
            wrote = getattr(module, "inplace", False) is True
            if wrote and module not in self.leaves:
                self.leaves[module] = copy.copy(module)
                self.leaves[module].training = False
                self.leaves[module].inplace = False  # type: ignore[assignment]
        elif kind == "call_method" and text.endswith("_") and not text.endswith("__"):
            wrote = True
            if hasattr(Tensor, text[:-1]):
                target = text[:-1]
            else:
                kind, target, args = "call_function", written, (args[0], text, *args[1:])
        elif kind == "call_function":
            if kwargs.get("inplace"):
                wrote, kwargs = True, {**kwargs, "inplace": False}
            elif kwargs.get("out") is not None:
                first = kwargs["out"]
                wrote, kwargs = True, {key: value for key, value in kwargs.items() if key != "out"}
            elif target is operator.setitem:
                wrote, target = True, assigned
            elif target in OUT_OF_PLACE or target in _WRITING_OPERATORS:
                wrote, target = True, OUT_OF_PLACE.get(target) or _WRITING_OPERATORS[target]
            elif text.endswith("_") and not text.endswith("__"):
                wrote, target = True, getattr(torch, text[:-1], None) or getattr(F, text[:-1], None)
        if not wrote:
            return kind, target, args, kwargs, None
        if not isinstance(first, StandIn) or target is None:
            raise UntraceableError(f"{text} writes into a tensor that the network keeps")
        return kind, target, args, kwargs, first

    def _overwrite(self, old: StandIn, new: StandIn, *, reads: bool) -> None:
        """Let what stood for a value that was written over stand for the new one."""
        if self.inputs and reads:
            before = old.values[0]
            self._alive = [reference for reference in self._alive if reference() is not None]
            for one in (reference() for reference in self._alive):
                if one is None or one is old or one.stale or not one.shares_memory_with(before):
                    continue
                if one.is_the_same_memory(before) and one.detached == old.detached:
                    one.node, one.values = new.node, new.values
                else:
                    one.stale = "forward writes into a part of a tensor (a view) and reads the whole afterwards"
        old.node, old.values = new.node, new.values

    def _settled(self, made: StandIn) -> Any:
        """What a call gives forward: a plain value where it is of the shape alone and both batches agree."""
        if made.of_data or not all(settled(value) for value in made.values):
            return made
        first = made.values[0]
        if all(value == first for value in made.values):
            return tuple(first) if isinstance(first, torch.Size) else first
        if isinstance(first, tuple):
            return tuple(
                first[place]
                if all(value[place] == first[place] for value in made.values)
                else self.create_proxy("call_function", operator.getitem, (made, place), {})
                for place in range(len(first))
            )
        return made

    def _run(self, kind: str, target: Any, args: Any, kwargs: Any) -> tuple[Any, ...]:
        """What a call gives for each batch."""
        if kind == "placeholder":
            return self.inputs
        values = []
        self._running = True
        try:
            if kind == "get_attr":
                return (operator.attrgetter(target)(self.root),) * len(self.inputs)
            for batch in range(len(self.inputs)):
                own, named = (fx.node.map_aggregate(a, lambda one: _value(one, batch)) for a in (args, kwargs))  # noqa: B023
                if kind == "call_module":
                    module = self.root.get_submodule(target)
                    values.append(self.leaves.get(module, module)(*own, **named))
                elif kind == "call_method":
                    values.append(getattr(own[0], target)(*own[1:], **named))
                else:
                    values.append(target(*own, **named))
        finally:
            self._running = False
        return tuple(values)


def _value(argument: Any, batch: int) -> Any:
    """What an argument stands for in one of the batches."""
    return argument.values[batch] if isinstance(argument, StandIn) else argument


def _stand_ins(arguments: Any) -> Iterator[StandIn]:
    found: list[StandIn] = []
    fx.node.map_aggregate(arguments, lambda one: found.append(one) if isinstance(one, StandIn) else None)
    return iter(found)


def _named(target: Any) -> str:
    """What a function or method is called."""
    return target if isinstance(target, str) else str(getattr(target, "__name__", target))


def _by_place(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The first argument of a function by its place where it was given by name."""
    for name in ("input", "tensors"):
        if not args and name in kwargs:
            return (kwargs[name],), {key: value for key, value in kwargs.items() if key != name}
    return args, kwargs


def _autocast() -> tuple[bool, ...]:
    """Where torch chooses the precision of each operation: on a CPU, on a GPU."""
    return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


def _asked(target: Any, args: tuple[Any, ...]) -> str:
    """The attribute, method or function that a call asks for."""
    return str(args[1]) if target is getattr else _named(target)
