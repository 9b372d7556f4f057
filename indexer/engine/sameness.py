"""Is what is run, or traced, the network that was given? Asked before a run, and of batches in it.

Logits are compared with those of the network as it is, and the gradients of a trace with autograd's through it: what a
graph of operations loses (a backward pass of its own, hooks on gradients, a gradient that is cut off) shows there,
whatever it is. A difference is named by the first module whose output differs, in order of execution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.record import Record, Recorder
from evigraph.indexer.model.graph import Graph
from evigraph.indexer.model.observing import begun, differentiable, watched
from evigraph.schema.errors import ModelError, first_line

EVERY = 100
"""Of a run's batches one in so many is compared, and the first."""
_ROUNDED = 64
"""Times the smallest step of the type, of the largest logit: what sums in another order come to when logits hardly
differ between classes."""
_STEADY = 1e-5
"""Of the largest logit: above what the same operations on the same values may differ by on a CPU.

On a GPU sums may run in another order each time; there it is what any other order may make of them."""
_SLOPE = 1e-2
"""Of a gradient's length: far above what the same operations on the same values may differ by."""


def allowed(own: Tensor, pixels: Tensor | None = None) -> float:
    """By how much logits (batch, classes) may differ from these for another order of summation.

    They are rounded as the network's input is, where they were made another type at its end.

    It is measured by how far the classes lie apart, not by how far from zero, since that is what decides.
    """
    if not own.numel():
        return 0.0
    own = own.detach()
    apart = own - own.mean(1, keepdim=True) if own.shape[1] > 1 else own
    step = _step(own) if pixels is None else max(_step(own), _step(pixels))
    return float(3 * step**0.5 * apart.abs().max() + _ROUNDED * step * own.abs().max())


def _step(value: Tensor) -> float:
    """The relative distance of neighbouring numbers in what products are computed in."""
    coarse = value.is_cuda and value.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32
    return 2.0**-10 if coarse else torch.finfo(value.dtype).eps


def departs(logits: Any, own: Tensor, pixels: Tensor | None = None) -> float:
    """By how much logits differ from the network's own, (batch, classes), of these pixels; 0 for rounding alone."""
    own, logits = own.detach(), logits.detach()
    alike = (own == logits) | (own.isnan() & logits.isnan())
    difference = (
        float(torch.where(alike, 0.0, (own - logits).abs()).nan_to_num(torch.inf).amax()) if own.numel() else 0.0
    )
    return 0.0 if not difference or difference <= allowed(own, pixels) else difference


def check_steady(model: nn.Module, pixels: Tensor, first: Tensor) -> None:
    """Raise ModelError where the network gives another answer each time for the same input.

    Args:
        model: frozen.
        pixels: (batch, channels, height, width).
        first: the logits that it gave for them.
    """
    with torch.no_grad():
        second = model(pixels.clone())
    difference, largest = float((first - second).abs().max()), float(first.abs().max())
    slack = max(_STEADY, _step(first) ** 0.5) if first.is_cuda else _STEADY
    if not difference > slack * largest:
        return
    path = _first_difference(_outputs(model, pixels), _outputs(model, pixels), slack)
    where = f", first at module {path} ({type(model.get_submodule(path.split()[0])).__name__})" if path else ""
    raise ModelError(
        f"{type(model).__name__} gives another answer each time for the same input{where}: logits differ by "
        f"{difference:.2g} of {largest:.2g}; it draws random numbers or keeps a state in evaluation mode: give a "
        "network without (dropout with training=self.training)"
    )


def gradient_departure(graph: Graph, model: nn.Module, pixels: Tensor) -> str | None:
    """Why the gradients of a trace are not the network's; None where they are.

    Args:
        graph: that gives the network's logits.
        model: frozen.
        pixels: (batch, channels, height, width).

    Raises:
        ModelError: the network does not run with a gradient.
    """
    edges: dict[str, GradientEdge] = {}
    paths = {path: node for node, paths in graph.outputs.items() for path in paths}

    def see(path: str, _call: int, _module: nn.Module, output: Any) -> None:
        if path in paths and isinstance(output, Tensor) and output.requires_grad:
            edges[path] = get_gradient_edge(output)

    leaves, logits = differentiable(model, pixels, see)
    seed = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(logits)
    ends: list[Any] = [leaves[0], *edges.values()]
    try:
        own = torch.autograd.grad(logits, ends, seed, allow_unused=True)
    except RuntimeError:
        # It writes over what autograd kept, so it has no gradient; the trace, which does not write, has one.
        return None
    values: dict[Any, Tensor] = {}

    def keep(node: Any, value: Any) -> Any:
        if node in graph.outputs and isinstance(value, Tensor):
            new = begun(value)
            value = value if new is None else new[1]
            if value.requires_grad:
                values[node] = value
        return value

    again = pixels.detach().clone().requires_grad_()
    with torch.enable_grad():
        traced = graph.execute(again, keep)
    if traced.shape != logits.shape:
        return f"the trace of {type(model).__name__} has another output for one image than the network"
    if not traced.requires_grad or not logits.requires_grad:
        return f"the trace of {type(model).__name__} is not the network: one has a gradient and the other has none"
    found = torch.autograd.grad(traced, [again, *values.values()], seed, allow_unused=True)
    by_node = dict(zip(values, found[1:], strict=True))
    pairs: list[tuple[str, Tensor | None, Tensor | None]] = [("", own[0], found[0])]
    pairs += [(path, one, by_node.get(paths[path])) for path, one in zip(edges, own[1:], strict=True)]
    # From the logits down: the first that differs lies below what makes the difference.
    for path, one, other in reversed(pairs):
        if _differ(one, other):
            where = f"at module {path}" if path else "at its input"
            return (
                f"the trace of {type(model).__name__} is not the network: gradients differ {where} (a backward pass of "
                "its own, hooks on gradients, or what torch.no_grad or detach cuts off)"
            )
    return None


def _differ(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        given = other if one is None else one
        return given is not None and bool(given.any())
    length, apart = float(one.float().norm()), float((one.float() - other.float()).norm())
    if not math.isfinite(apart):  # as of weights that are not
        return math.isfinite(length) or math.isfinite(float(other.float().norm()))
    slack: float = max(_SLOPE, 3 * _step(one) ** 0.5)
    return apart > slack * length


class SampleCheck:
    """Compares batches of a run with the network as it is: the first, and then one in `EVERY`."""

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        self._model, self._recorder = model, recorder
        self._batches = 0

    @torch.no_grad()
    def compare(self, pixels: Tensor, record: Record) -> None:
        """Raise ModelError where the recorded logits are not the network's.

        Args:
            pixels: (batch, channels, height, width), what was recorded.
            record: of them, finite.
        """
        number, self._batches = self._batches, self._batches + 1
        if number % EVERY:
            return
        own = self._model(pixels.clone())
        difference = departs(record.logits, own, pixels)
        if not difference:
            return
        path = _first_difference(_outputs(self._model, pixels), self._recorded_outputs(pixels))
        where = f"module {path} is the first whose output differs" if path else "no module's output differs before them"
        raise ModelError(
            f"what is recorded is not {type(self._model).__name__}: logits of batch {number + 1} differ by "
            f"{difference:.2g} of {float(own.abs().max()):.2g}, and {where}; it depends on values, keeps a state or "
            "asks whether gradients are needed: give a network that does not"
        )

    def _recorded_outputs(self, pixels: Tensor) -> list[tuple[str, Tensor]]:
        if not isinstance(self._recorder, WindowedRecorder):
            with torch.enable_grad():
                return _outputs(self._model, pixels.detach().clone().requires_grad_())
        graph = self._recorder.graph
        found: list[tuple[str, Tensor]] = []

        def keep(node: Any, value: Any) -> Any:
            if isinstance(value, Tensor):
                found.extend((path, value) for path in graph.outputs.get(node, ()))
            return value

        graph.execute(pixels, keep)
        return found


def _outputs(model: nn.Module, pixels: Tensor) -> list[tuple[str, Tensor]]:
    """What each call of each module gives, in order of execution."""
    found: list[tuple[str, Tensor]] = []

    def see(path: str, call: int, _module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            found.append((path if not call else f"{path} (call {call + 1})", output.detach().clone()))

    with watched(model, see), torch.set_grad_enabled(pixels.requires_grad):
        model(pixels.clone())
    return found


def _first_difference(
    own: list[tuple[str, Tensor]], other: list[tuple[str, Tensor]], slack: float | None = None
) -> str:
    """The path of the first module, in order of execution, whose output differs; "" for none.

    `slack` is of the largest value; None for what its type may round by.
    """
    by_path = dict(other)
    for path, value in own:
        found = by_path.get(path)
        if found is None:
            continue
        if found.shape != value.shape:
            return path
        if value.numel() and value.is_floating_point():
            most = (_step(value) ** 0.5 if slack is None else slack) * float(value.abs().max())
            if not float((value - found).abs().max()) <= most:
                return path
        elif not torch.equal(value, found):
            return path
    return ""


def trace_departure(traced: Callable[[Tensor], Any], name: str, both: Tensor, own: Tensor) -> str | None:
    """Why a traced network may not stand for the network itself; None where both give the same logits.

    A trace holds the one way that forward took with stand-ins for tensors, without what else runs around it. Two images
    show where it depends on values or on the batch.

    Args:
        traced: what stands for the network.
        name: of the network.
        both: two images.
        own: the network's logits for them.
    """
    with torch.no_grad():
        try:
            logits = traced(both)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            return f"the trace of {name} does not run on a batch of two: {first_line(error)}"
    if not isinstance(logits, Tensor) or own.shape != logits.shape:
        return f"the trace of {name} has another output than the network"
    difference = departs(logits, own, both)
    if not difference:
        return None
    return (
        f"the trace of {name} is not the network: logits differ by {difference:.2g} of {float(own.abs().max()):.2g} "
        "(forward asks for the type of its input or keeps a state, or the network has hooks)"
    )
