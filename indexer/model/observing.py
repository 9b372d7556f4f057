"""What autograd saw of a network that ran as it is: outputs of modules, and which of them all information runs through.

1. The network runs once with a gradient, and nothing about it is changed: hooks only look.
2. From the logits the graph of operations that autograd keeps is walked down to the input. An operation that every way
   runs through is a cut (decision 0002), whether a module stands for it or not.
3. A network without a gradient from its logits to its input cannot be decomposed, and is refused by the module where
   the gradient ends.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from evigraph.indexer.model.registry import operation_of_module
from evigraph.schema.errors import ModelError, first_line

_ACTIVATIONS = frozenset(
    {
        *("Relu", "Hardtanh", "LeakyRelu", "PreluKernel", "Prelu", "RreluWithNoise", "Elu", "Gelu", "Silu", "Mish"),
        *("Hardswish", "Softplus", "Tanh", "Sigmoid"),
    }
)
_REARRANGING = frozenset(
    {
        *("Cat", "Split", "SplitWithSizes", "Slice", "Select", "View", "UnsafeView", "ReshapeAlias", "Transpose"),
        "Clone",
    }
)
"""Autograd's names of operations."""

_TURNS: dict[tuple[int, ...], bool] = {(0, 2, 3, 1): True, (0, 3, 1, 2): False}
"""Permutations that move channels last, and back."""
CUT_OFF = "forward cuts it off with torch.no_grad, torch.inference_mode or detach"


@dataclass(frozen=True)
class Output:
    """The output of one call of a module: a map, or anything else that is one tensor.

    Attributes:
        path: of the module.
        call: which of its calls, from 0.
        shape: of the tensor.
        edge: where a gradient arrives at it; None where it has none.
        activation: whether the module is an activation function.
        pooled: the means and maxima over places of a map with so many channels as there are logits; None of others.
    """

    path: str
    call: int
    shape: tuple[int, ...]
    edge: GradientEdge | None
    activation: bool
    pooled: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Observation:
    """One run of a network.

    Attributes:
        outputs: of modules, in the order in which they were there.
        nodes: autograd's operations between the input and the logits, in order of execution.
        cuts: those that every way runs through, from the first convolution on.
        post_activation: those whose values come out of an activation function.
        tokens: those that add two branches of tokens, not of maps, and are cuts.
        stages: places in `nodes` where a map that is a cut begins another resolution, and of the last such map.
    """

    outputs: list[Output]
    nodes: list[Any]
    cuts: set[Any]
    post_activation: set[Any]
    tokens: list[int]
    stages: tuple[list[int], int]

    def reaches(self, paths: Iterable[str]) -> bool:
        """Whether a gradient arrives at the output of one of these modules; so it is said of none of them, too."""
        known = [output for output in self.outputs if output.path in set(paths)]
        return not known or any(output.edge is not None and output.edge.node in set(self.nodes) for output in known)

    @property
    def cut_off(self) -> str | None:
        """The last module whose output is a map of several places, if no gradient arrives at any; None else."""
        maps = [output for output in self.outputs if len(output.shape) == 4 and math.prod(output.shape[2:]) > 1]
        nodes = set(self.nodes)
        if any(output.edge is not None and output.edge.node in nodes for output in maps):
            return None
        return maps[-1].path if maps else None

    @property
    def is_of_tokens(self) -> bool:
        """Whether the network is a vision transformer or a mixer, which keeps its evidence in tokens.

        Either tokens go on behind the last map, or they are there before the first change of resolution: a
        convolutional network with attention in its upper stages has neither.
        """
        begins, last = self.stages
        behind = sum(place > last for place in self.tokens)
        end = begins[1] if len(begins) > 1 else math.inf
        early = sum(bool(begins) and begins[0] < place < end for place in self.tokens)
        return behind > 1 or early > 1


@contextmanager
def watched(model: nn.Module, see: Callable[[str, int, nn.Module, Any], Any]) -> Iterator[None]:
    """Within the block `see` is told of each module's output: its path, which of its calls, the module, the output.

    What it returns takes the output's place; None leaves it.
    """
    calls: Counter[str] = Counter()
    handles = []
    for path, module in model.named_modules():
        if not path or isinstance(module, torch.jit.ScriptModule):  # TorchScript takes no hooks
            continue

        def hook(module: nn.Module, _args: Any, output: Any, path: str = path) -> Any:
            calls[path] += 1
            return see(path, calls[path] - 1, module, output)

        handles.append(module.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def begun(value: Any) -> tuple[Tensor, Tensor] | None:
    """A leaf with the values of a map that has no gradient though one could begin there, and the map made of it.

    So it is behind a detach, while parameters need no gradient. None for whatever else.
    """
    if not isinstance(value, Tensor) or value.ndim != 4 or value.requires_grad or not value.is_floating_point():
        return None
    if not torch.is_grad_enabled():
        return None
    leaf = value.clone().detach().requires_grad_()
    return leaf, leaf.clone()


def differentiable(
    model: nn.Module, pixels: Tensor, see: Callable[[str, int, nn.Module, Any], Any]
) -> tuple[list[Tensor], Tensor]:
    """Run a network with a gradient.

    Args:
        model: frozen.
        pixels: (batch, channels, height, width).
        see: is told of modules' outputs, and may replace them, as by `watched`.

    Returns:
        The leaves that a gradient may arrive at, the input first, and the logits.

    Raises:
        ModelError: it does not run so.
    """
    leaves = [pixels.detach().clone().requires_grad_()]

    def begin(path: str, call: int, module: nn.Module, output: Any) -> Any:
        new = begun(output)
        if new is not None:
            leaves.append(new[0])
        other = see(path, call, module, output if new is None else new[1])
        return new[1] if other is None and new is not None else other

    try:
        with torch.enable_grad(), watched(model, begin), warnings.catch_warnings():
            # Networks look at values, of which torch warns where there is a gradient.
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True")
            # A copy, since the network may write into its input.
            return leaves, model(leaves[0].clone())
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(
            f"{type(model).__name__} does not run with a gradient, which evidence is made of: {first_line(error)}; "
            "give a network that can be trained"
        ) from error


def observe(model: nn.Module, pixels: Tensor, class_count: int) -> Observation:
    """Run a frozen network once.

    Args:
        model: (batch, channels, height, width) -> (batch, classes).
        pixels: one image or more.
        class_count: of the logits.

    Raises:
        ModelError: no gradient runs from the logits to any map.
    """
    outputs: list[Output] = []
    blocked: list[str] = []

    def see(path: str, call: int, module: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        edge = get_gradient_edge(output) if output.requires_grad else None
        if edge is None and output.is_floating_point():
            blocked.append(path)
        pooled = None
        if output.ndim == 4 and output.shape[1] == class_count:
            pooled = output.detach().mean((2, 3)), output.detach().amax((2, 3))
        activation = operation_of_module(module).activation
        outputs.append(Output(path, call, tuple(output.shape), edge, activation, pooled))

    leaves, logits = differentiable(model, pixels, see)
    nodes: list[Any] = []
    if logits.requires_grad:
        leaf, nodes = next(((leaf, found) for leaf in leaves if (found := _between(logits, leaf))), (leaves[0], []))
    if not nodes:
        where = f"; module {blocked[0]} is the first whose output has none" if blocked else ""
        raise ModelError(
            f"no gradient runs from the logits of {type(model).__name__} to its maps{where}: {CUT_OFF}, and evidence "
            "is made of gradients; give a network without"
        )
    return _read(outputs, nodes, _shapes(nodes, logits, leaf))


def _between(logits: Tensor, leaf: Tensor) -> list[Any]:
    """Autograd's nodes on ways from the input to the logits, in order of execution; empty where there is no way."""
    source = get_gradient_edge(leaf).node
    order: list[Any] = []
    seen = set()
    pending: list[tuple[Any, bool]] = [(logits.grad_fn, False)]
    while pending:
        node, done = pending.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            pending.append((node, True))
            pending += [(below, False) for below, _ in node.next_functions if below is not None and below not in seen]
    above = {source}
    for node in order:
        if any(below in above for below, _ in node.next_functions):
            above.add(node)
    return [node for node in order if node in above] if source in seen else []


def _read(outputs: list[Output], nodes: list[Any], shapes: dict[Any, tuple[int, ...]]) -> Observation:
    position = {node: place for place, node in enumerate(nodes)}
    furthest_user = list(range(len(nodes)))
    ways: dict[Any, set[int]] = {}
    post_activation, channels_last = set(), set()
    for place, node in enumerate(nodes):
        below = [(one, number) for one, number in node.next_functions if one in position]
        for one, number in below:
            furthest_user[position[one]] = max(furthest_user[position[one]], place)
            ways.setdefault(one, set()).add(number)
        name = _operation(node)
        if name in _ACTIVATIONS or (name in _REARRANGING and any(one in post_activation for one, _ in below)):
            post_activation.add(node)
        turned = _TURNS.get(_order(node)) if name == "Permute" else None
        if turned or (turned is None and any(one in channels_last for one, _ in below)):
            channels_last.add(node)
    cuts, furthest = set(), 0
    # Before the first convolution there is the input, as it is or normalised.
    start = next((place for place, node in enumerate(nodes) if "onvolution" in node.name()), 0)
    for place, node in enumerate(nodes):
        if place >= start and furthest <= place and len(ways.get(node, ())) <= 1:
            cuts.add(node)
        furthest = max(furthest, furthest_user[place])
    tokens, begins, last, size = [], [], -1, None
    for place, node in enumerate(nodes):
        shape = shapes.get(node, ())
        if node not in cuts:
            continue
        if len(shape) == 4 and node not in channels_last:
            if min(shape[2:]) > 1:
                last = place
                if shape[2:] != size:
                    begins.append(place)
                    size = shape[2:]
        elif _operation(node) == "Add" and len({one for one, _ in node.next_functions if one in position}) > 1:
            several = math.prod(shape[1:3] if len(shape) == 4 else shape[1:2]) > 1
            if len(shape) in {3, 4} and several:
                tokens.append(place)
    return Observation(outputs, nodes, cuts, post_activation, tokens, (begins, last))


def _operation(node: Any) -> str:
    """What autograd calls an operation, without its ending: AddBackward0 is Add."""
    name: str = node.name()
    return name.partition("Backward")[0]


def _order(node: Any) -> tuple[int, ...]:
    """The order that a permutation puts dimensions in; negative ones are kept as large numbers by autograd."""
    dims: Sequence[int] = node._saved_dims
    return tuple(dim % 2**64 if dim < 2**63 else (dim - 2**64) % len(dims) for dim in dims)


def _shapes(nodes: list[Any], logits: Tensor, leaf: Tensor) -> dict[Any, tuple[int, ...]]:
    """Of each operation's first output."""
    if all(hasattr(node, "_input_metadata") for node in nodes):
        return {node: _stated_shape(node) for node in nodes}
    # Before torch 2.5 only the gradients that arrive tell.
    shapes: dict[Any, tuple[int, ...]] = {}

    def see(node: Any) -> Callable[..., None]:
        def note(gradients: Sequence[Tensor | None]) -> None:
            shapes[node] = () if gradients[0] is None else tuple(gradients[0].shape)

        return note

    handles = [node.register_prehook(see(node)) for node in nodes]
    try:
        with suppress(RuntimeError):  # it writes over what autograd kept
            torch.autograd.grad(logits.sum(), leaf, retain_graph=True, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _stated_shape(node: Any) -> tuple[int, ...]:
    try:
        return tuple(node._input_metadata[0].shape)
    except (RuntimeError, AttributeError, IndexError):
        return ()
