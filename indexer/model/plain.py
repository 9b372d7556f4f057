"""A network without what has no part in what it computes, and what is patched around it while it is traced."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.utils.checkpoint
from torch import Tensor, fx, nn

from evigraph.indexer.model.standins import StandIn, UntraceableError

_MAKERS = ("zeros", "ones", "full", "empty", "arange", "linspace", "eye")
"""Functions that make a tensor from sizes, which torch does not let a stand-in see."""


def own_backward(kind: type) -> str:
    """Why a network with this autograd.Function in it is not traced."""
    return f"{kind.__name__} is a torch.autograd.Function with a backward pass of its own"


def gradient_hooks(model: nn.Module) -> str | None:
    """Why a network is not traced whose modules have hooks on gradients; None where none has."""
    for path, module in model.named_modules():
        if module._backward_hooks or getattr(module, "_backward_pre_hooks", None):
            return f"module {path or type(module).__name__} has hooks on its gradient"
    everywhere = torch.nn.modules.module
    if everywhere._global_backward_hooks or getattr(everywhere, "_global_backward_pre_hooks", None):
        return "all modules have hooks on their gradient"
    return None


def forward_hooks(module: nn.Module) -> bool:
    """Whether users hooked a module's forward.

    Torch's own weight_norm and spectral_norm, which set its weight, do not count.
    """
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return any(not str(type(hook).__module__).startswith("torch.nn.utils") for hook in hooks)


@contextmanager
def without_checkpoints() -> Iterator[None]:
    """Within the block torch.utils.checkpoint runs its function once and keeps what the backward pass needs.

    The values and gradients are the same; torch.autograd.grad does not work with reentrant checkpoints, and the others
    run modules again in the backward pass.
    """

    def run(function: Any, *args: Any, **kwargs: Any) -> Any:
        for name in ("use_reentrant", "context_fn", "determinism_check", "debug", "early_stop", "preserve_rng_state"):
            kwargs.pop(name, None)
        return function(*args, **kwargs)

    # Of all who imported it by name too: the function asks for its own parts by name.
    original = torch.utils.checkpoint.checkpoint
    holders = [
        module
        for module in list(sys.modules.values())
        if getattr(module, "__dict__", None) and module.__dict__.get("checkpoint") is original
    ]
    with ExitStack() as patches:
        for module in holders:
            patches.enter_context(patch.object(module, "checkpoint", run))
        yield


def evaluated(model: nn.Module) -> None:
    """Put a network into evaluation mode, as its own `eval` does it."""
    try:
        model.eval()
    except NotImplementedError:  # of torch.export, whose mode was decided when it was exported
        for module in model.modules():
            module.training = False


@contextmanager
def eager() -> Iterator[None]:
    """Within the block what torch.compile compiles runs as it was written, modules and functions, and can be traced."""
    dynamo = sys.modules.get("torch._dynamo")  # not there if nothing is compiled
    if dynamo is None or not hasattr(torch.compiler, "set_stance"):
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        if hasattr(dynamo.config, "error_on_nested_fx_trace"):
            stack.enter_context(dynamo.config.patch(error_on_nested_fx_trace=False))
        yield


@contextmanager
def traceable(model: nn.Module, tracer: fx.Tracer) -> Iterator[None]:
    """Within the block a network's forward may be run with stand-ins; afterwards the network is as it was."""
    kept = [(module, dict(vars(module)), dict(module._buffers)) for module in model.modules()]
    apply: Any = inspect.getattr_static(torch.autograd.Function, "apply")

    def refuse(kind: type, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(one, fx.Proxy) for one in (*args, *kwargs.values())):
            raise UntraceableError(own_backward(kind))
        return apply.__get__(None, kind)(*args, **kwargs)

    def is_one_of(value: Any, kinds: Any) -> bool:
        if type(value) is StandIn and value.values:
            return isinstance(value.values[0], kinds)
        return isinstance(value, kinds)

    def length(value: Any) -> Any:
        if type(value) is StandIn and len({len(one) for one in value.values}) > 1:
            return tracer.create_proxy("call_method", "size", (value, 0), {})
        return len(value)

    def making(function: Any) -> Any:
        def make(*args: Any, **kwargs: Any) -> Any:
            found: list[Any] = []
            fx.node.map_aggregate((args, kwargs), lambda one: found.append(one) if isinstance(one, StandIn) else None)
            return tracer.create_proxy("call_function", function, args, kwargs) if found else function(*args, **kwargs)

        make.__name__ = function.__name__
        return make

    with ExitStack() as patches:
        patches.enter_context(patch.object(torch.autograd.Function, "apply", classmethod(refuse)))
        patches.enter_context(patch.object(torch, "is_tensor", lambda value: is_one_of(value, Tensor)))
        for name in _MAKERS:
            patches.enter_context(patch.object(torch, name, making(getattr(torch, name))))
        for names in _namespaces(model):
            patches.enter_context(_defined(names, {"isinstance": is_one_of, "len": length}))
        try:
            yield
        finally:
            for module, attributes, buffers in kept:
                for now, before in ((vars(module), attributes), (module._buffers, buffers)):
                    for name in now.keys() - before.keys():
                        del now[name]
                    now.update(before)


@contextmanager
def _defined(names: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """Within the block these names stand for these values, but for those that already stand for others."""
    new = {name: value for name, value in values.items() if name not in names}
    names.update(new)
    try:
        yield
    finally:
        for name in new:
            names.pop(name, None)


def _namespaces(model: nn.Module) -> list[dict[str, Any]]:
    """The global names that the users' forward functions see."""
    files = {kind.__module__ for module in model.modules() for kind in type(module).__mro__}
    own = {name for name in files if not name.startswith(("torch.", "builtins", "evigraph."))}
    return [vars(sys.modules[name]) for name in sorted(own) if name in sys.modules]
