"""What the operations of a traced network are: activation functions, layout changes, and window geometry."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from evigraph.indexer.model.graph import Graph

Pair = tuple[int, int]
"""Of a height and a width."""

ACTIVATION_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Hardtanh, nn.Softplus, nn.Tanh, nn.Sigmoid,
)  # fmt: skip
_ACTIVATION_FUNCTIONS: set[Callable[..., Any]] = {
    F.relu, torch.relu, F.relu6, F.leaky_relu, F.prelu, F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish, F.hardswish,
    F.hardtanh, F.softplus, torch.tanh, F.tanh, torch.sigmoid, F.sigmoid,
}  # fmt: skip
_ACTIVATION_METHODS = {"relu", "tanh", "sigmoid"}

# A map that only passes through these is still post-activation: it holds the same values in other places.
_REARRANGING_FUNCTIONS: set[Callable[..., Any]] = {
    torch.cat,
    torch.chunk,
    torch.split,
    torch.transpose,
    torch.reshape,
    operator.getitem,
}
_REARRANGING_METHODS = {"chunk", "split", "view", "reshape", "transpose", "contiguous"}
_REARRANGING_MODULES = (nn.ChannelShuffle,)


def is_activation(node: fx.Node, module: nn.Module) -> bool:
    """Whether a node applies an activation function."""
    return _is_one_of(node, module, ACTIVATION_MODULES, _ACTIVATION_FUNCTIONS, _ACTIVATION_METHODS)


def is_relu(graph: Graph, node: fx.Node) -> bool:
    """Whether a node is a plain ReLU."""
    if node.op == "call_module":
        return type(graph.module.get_submodule(str(node.target))) is nn.ReLU
    return (node.op == "call_function" and node.target in {F.relu, torch.relu}) or (
        (node.op, node.target) == ("call_method", "relu")
    )


def rearranges(node: fx.Node, module: nn.Module) -> bool:
    """Whether a node only moves values: concatenation, channel shuffle."""
    return _is_one_of(node, module, _REARRANGING_MODULES, _REARRANGING_FUNCTIONS, _REARRANGING_METHODS)


def _is_one_of(
    node: fx.Node,
    module: nn.Module,
    modules: tuple[type[nn.Module], ...],
    functions: set[Callable[..., Any]],
    methods: set[str],
) -> bool:
    if node.op == "call_module":
        return isinstance(module.get_submodule(str(node.target)), modules)
    if node.op == "call_function":
        return node.target in functions
    return node.op == "call_method" and str(node.target) in methods


def permutes_to_channels_last(node: fx.Node) -> bool | None:
    """True where a node moves the channels of an NCHW map last, False where it moves them back, else None."""
    if (node.op, node.target) not in {("call_function", torch.permute), ("call_method", "permute")}:
        return None
    dims = node.args[1] if isinstance(node.args[1], (list, tuple)) else node.args[1:]
    return {(0, 2, 3, 1): True, (0, 3, 1, 2): False}.get(tuple(dims))


@dataclass(frozen=True)
class Geometry:
    """How one value of a map depends on the input: stride and receptive field in input pixels (height, width).

    `centre` is the middle of the first value's field: 0.5 is the middle of the first pixel.
    """

    stride: tuple[float, float] = (1.0, 1.0)
    field: tuple[float, float] = (1.0, 1.0)
    centre: tuple[float, float] = (0.5, 0.5)


def geometry(
    node: fx.Node, module: nn.Module, inputs: list[Geometry], source: Tensor | None, value: Tensor
) -> Geometry:
    """Geometry of a node's output map from those of its inputs.

    Args:
        node: the operation.
        module: the traced network.
        inputs: geometries of its inputs that are maps; not empty.
        source: the first input map, (1, channels, height, width), or None.
        value: the output map, likewise.
    """
    stride = (max(g.stride[0] for g in inputs), max(g.stride[1] for g in inputs))
    field = (max(g.field[0] for g in inputs), max(g.field[1] for g in inputs))
    centre = max(inputs, key=lambda g: g.field).centre
    window = _window(node, module)
    if window is not None:
        kernel, step, dilation = window
        padding = _padding(node, module, kernel, dilation)
        moved = [
            c + ((k - 1) * d / 2 - p) * s
            for c, k, d, p, s in zip(centre, kernel, dilation, padding, stride, strict=True)
        ]
        grown = [f + (k - 1) * d * s for f, k, d, s in zip(field, kernel, dilation, stride, strict=True)]
        stepped = [s * t for s, t in zip(stride, step, strict=True)]
        return Geometry((stepped[0], stepped[1]), (grown[0], grown[1]), (moved[0], moved[1]))
    if source is None or source.shape[-2:] == value.shape[-2:]:
        return Geometry(stride, field, centre)
    # Adaptive pooling, interpolation, a mean over space: each output covers its part of the input map.
    ratio = [i / o for i, o in zip(source.shape[-2:], value.shape[-2:], strict=True)]
    grown = [f + max(0.0, r - 1) * s for f, r, s in zip(field, ratio, stride, strict=True)]
    # The middles of both maps are taken to lie on each other.
    moved = [c + (r - 1) * s / 2 for c, r, s in zip(centre, ratio, stride, strict=True)]
    return Geometry((stride[0] * ratio[0], stride[1] * ratio[1]), (grown[0], grown[1]), (moved[0], moved[1]))


def _window(node: fx.Node, module: nn.Module) -> tuple[Pair, Pair, Pair] | None:
    """(kernel, stride, dilation) of a convolution or pooling, else None."""
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            step = layer.kernel_size if layer.stride is None else layer.stride
            return pair(layer.kernel_size), pair(step), pair(getattr(layer, "dilation", 1))
    if node.op == "call_function" and node.target in {F.max_pool2d, F.avg_pool2d, torch.max_pool2d}:
        given = dict(zip(("input", "kernel_size", "stride"), node.args, strict=False)) | node.kwargs
        kernel: Any = given["kernel_size"]
        return pair(kernel), pair(given.get("stride") or kernel), pair(node.kwargs.get("dilation", 1))
    return None


def _padding(node: fx.Node, module: nn.Module, kernel: Pair, dilation: Pair) -> tuple[float, float]:
    """Padding before the first row and column of a convolution or pooling."""
    given: Any
    if node.op == "call_module":
        given = module.get_submodule(str(node.target)).padding
    else:
        given = dict(zip(("input", "kernel_size", "stride", "padding"), node.args, strict=False)).get("padding", 0)
        given = node.kwargs.get("padding", given)
    if given == "same":
        return (kernel[0] - 1) * dilation[0] / 2, (kernel[1] - 1) * dilation[1] / 2
    return (0.0, 0.0) if given == "valid" else pair(given)


def pair(value: Any) -> Pair:
    """Height and width of a setting that may be one number for both."""
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))
