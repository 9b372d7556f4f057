"""Receptive fields with their places: which pixels of the input a value of a feature map depends on.

Of a traced network they follow from its windows, whatever the values (`Fields`). A map of stride s whose first value
covers the pixels [a, b] has, at place y, the field [a + s y, b + s y]. An operation widens that:

    a convolution or pooling of k, dilation d, padding p, step t:   a - s p,  b + s ((k - 1) d - p),  s t
    several inputs (a sum, a concatenation):                        the lowest a, the highest b
    what mixes a whole map (global pooling, a linear layer):        the whole image

Of any other network they are what the gradient of the value says of this image (`gradient_boxes`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from evigraph.indexer.model.graph import Graph, is_input
from evigraph.indexer.model.operations import pair, permutes_to_channels_last

Box = tuple[int, int, int, int]
"""Rows [top, bottom) and columns [left, right) of the input, clipped to it: (top, bottom, left, right)."""


@dataclass(frozen=True)
class Axis:
    """Along one axis: the first value covers the pixels first..last, the next ones those `stride` further on."""

    stride: float
    first: float
    last: float

    def windowed(self, kernel: int, step: int, dilation: int, padding: int) -> Axis:
        """Of a map whose values each see `kernel` values of this one."""
        first, last = self.first - self.stride * padding, self.last + self.stride * ((kernel - 1) * dilation - padding)
        return Axis(self.stride * step, first, last)

    def resized(self, before: int, after: int) -> Axis:
        """Of a map that covers this one with another number of values, each its part and its neighbours'."""
        ratio = before / after
        return Axis(self.stride * ratio, self.first - self.stride, self.last + self.stride * ratio)

    def span(self, place: int, side: int) -> tuple[int, int]:
        """[begin, end) of the field of a place, within the image; at least one pixel."""
        begin = int(min(max(0.0, self.first + self.stride * place), side - 1.0))
        end = int(min(max(0.0, self.last + self.stride * place), side - 1.0)) + 1
        return begin, max(end, begin + 1)


_Axes = tuple[Axis, Axis]
_WHOLE = (Axis(0.0, -math.inf, math.inf), Axis(0.0, -math.inf, math.inf))
_NOTHING = (Axis(0.0, math.inf, -math.inf), Axis(0.0, math.inf, -math.inf))


class Fields:
    """Receptive fields of the maps of a traced network, of one size of input."""

    def __init__(self, graph: Graph, pixels: Tensor) -> None:
        """Run the network once.

        Args:
            graph: the traced network, in evaluation mode.
            pixels: (1, 3, height, width), any input of the run's size.
        """
        self._graph, self._size = graph, (pixels.shape[2], pixels.shape[3])
        self._axes: dict[fx.Node, _Axes] = {}
        self._shapes: dict[fx.Node, tuple[int, ...]] = {}
        self._channels_last: set[fx.Node] = set()
        with torch.no_grad():
            graph.execute(pixels, self._visit)

    def box(self, node: fx.Node, y: int, x: int) -> Box:
        """The field of the place (y, x) of a node's map."""
        (rows, columns), (height, width) = self._axes[node], self._size
        return *rows.span(y, height), *columns.span(x, width)

    def _visit(self, node: fx.Node, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
            value_shape = tuple(value[0].shape)  # chunks of a map, over the same places
        else:
            value_shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        if value_shape:
            self._shapes[node] = value_shape
            self._axes[node] = self._of(node, value_shape)
        return value

    def _of(self, node: fx.Node, shape: tuple[int, ...]) -> _Axes:
        if is_input(node):
            return Axis(1.0, 0.0, 0.0), Axis(1.0, 0.0, 0.0)
        inputs = [source for source in node.all_input_nodes if len(self._shapes.get(source, ())) > 1]
        if not inputs:  # a parameter or a constant
            return _NOTHING
        if len(shape) != 4 or any(len(self._shapes[source]) != 4 for source in inputs):
            return _WHOLE
        window = _window(node, self._graph)
        if window is not None:
            axes = [axis.windowed(*sizes) for axis, sizes in zip(self._axes[inputs[0]], window, strict=True)]
            return axes[0], axes[1]
        turn = permutes_to_channels_last(node)
        turned = turn is not None or any(source in self._channels_last for source in inputs)
        if turn or (turn is None and turned):
            self._channels_last.add(node)
        merged = []
        for axis in range(2):
            # Where the channels come last, operations keep to their places.
            parts = [self._axes[s][axis] if turned else self._resized(s, axis, shape) for s in inputs]
            last = max(part.last for part in parts)
            merged.append(Axis(max(part.stride for part in parts), min(part.first for part in parts), last))
        return merged[0], merged[1]

    def _resized(self, source: fx.Node, axis: int, shape: tuple[int, ...]) -> Axis:
        """The axis of an input, brought to the places of the output."""
        before, after = self._shapes[source][2 + axis], shape[2 + axis]
        own = self._axes[source][axis]
        if before == after:
            return own
        if before == 1 or after == 1:  # spread over the map, or made of all of it
            return _WHOLE[axis]
        return own.resized(before, after)


def _window(node: fx.Node, graph: Graph) -> tuple[tuple[int, int, int, int], ...] | None:
    """(kernel, step, dilation, padding) of a convolution or pooling, down and across; else None."""
    given: dict[str, Any] | None = None
    if node.op == "call_module":
        module = graph.module.get_submodule(str(node.target))
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            given = {k: getattr(module, k, None) for k in ("kernel_size", "stride", "dilation", "padding")}
    elif node.op == "call_function" and node.target in {F.max_pool2d, F.avg_pool2d, torch.max_pool2d}:
        names = ("input", "kernel_size", "stride", "padding", "dilation")
        given = dict(zip(names, node.args, strict=False)) | node.kwargs
        if node.target is F.avg_pool2d:
            given.pop("dilation", None)  # ceil_mode stands in its place
    elif node.op == "call_function" and node.target is F.pad:
        pad: Any = node.kwargs.get("pad") or node.args[1]
        left, _, top, *_ = list(pad) + [0, 0, 0]  # noqa: RUF005 (mypy cannot unpack Any here)
        return (1, 1, 1, top), (1, 1, 1, left)
    if given is None:
        return None
    kernel, dilation = pair(given["kernel_size"]), pair(given.get("dilation") or 1)
    step, padding = pair(given.get("stride") or kernel), given.get("padding") or 0
    if padding == "same":
        padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    padding = (0, 0) if padding == "valid" else pair(padding)
    return tuple(zip(kernel, step, dilation, padding, strict=True))


def gradient_boxes(model: nn.Module, module: str, pixels: Tensor, channel: Tensor, y: Tensor, x: Tensor) -> list[Box]:
    """The box of the pixels that each value's gradient reaches, in these very images.

    Args:
        model: any network.
        module: path of the module whose output the map is.
        pixels: (values, 3, height, width), the image of each value.
        channel: (values,) int64, the values' places in the map, as y and x.
        y: likewise.
        x: likewise.

    Returns:
        A box for each; the whole image where no pixel matters.
    """
    caught: list[Tensor] = []
    handle = model.get_submodule(module).register_forward_hook(lambda _m, _a, output: caught.append(output))
    try:
        with torch.enable_grad():
            leaf = pixels.detach().requires_grad_()
            model(leaf)
            rows = torch.arange(len(pixels), device=pixels.device)
            (gradient,) = torch.autograd.grad(caught[0][rows, channel, y, x].sum(), leaf, materialize_grads=True)
    finally:
        handle.remove()
    found = []
    for reached in (gradient != 0).any(1).cpu():
        found.append((*_span(reached.any(1)), *_span(reached.any(0))))
    return found


def _span(flags: Tensor) -> tuple[int, int]:
    """[begin, end) of the flags that are set; all of them where none is."""
    places: Sequence[int] = torch.nonzero(flags)[:, 0].tolist()
    return (places[0], places[-1] + 1) if places else (0, len(flags))
