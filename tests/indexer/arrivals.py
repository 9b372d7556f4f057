"""Where a change of the input arrives in a map, found by changing it: apart from any geometry of operations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

Arrivals = tuple[Tensor, Tensor]


def arrivals_at(network: nn.Module, path: str, side: int) -> Arrivals:
    """(lines, height, width) bool for rows and columns of the input: the places of a map that a line's change changes.

    NaN passes every operation, also a ReLU and a maximum.
    """
    changed = []
    for axis in (0, 1):
        inputs = torch.zeros(side, 3, side, side)
        for line in range(side):
            inputs[line].select(1 + axis, line).fill_(torch.nan)
        caught: list[Tensor] = []
        handle = network.get_submodule(path).register_forward_hook(lambda _m, _a, out, to=caught: to.append(out))
        with torch.no_grad():
            network(inputs)
        handle.remove()
        changed.append(caught[0].isnan().any(1))
    return changed[0], changed[1]


def reach(arrivals: Arrivals, y: int, x: int) -> tuple[int, int, int, int]:
    """The pixels whose change changes the place (y, x)."""
    box: list[int] = []
    for arrived in arrivals:
        lines = torch.nonzero(arrived[:, y, x])[:, 0]
        box += [int(lines[0]), int(lines[-1]) + 1]
    return box[0], box[1], box[2], box[3]


def gradient_boxes(
    model: nn.Module, module: str, pixels: Tensor, channel: Tensor, y: Tensor, x: Tensor
) -> list[tuple[int, int, int, int]]:
    """The box of the pixels that each value's gradient reaches, in these very images.

    Args:
        model: any network.
        module: path of the module whose output the map is.
        pixels: (values, 3, height, width), the image of each value.
        channel: (values,) int64, the values' channels.
        y: (values,) int64, their places in the map.
        x: (values,) int64.

    Returns:
        (top, bottom, left, right) of each; the whole image where no pixel matters.
    """
    caught: list[Tensor] = []

    def stop(_module: nn.Module, _args: Any, output: Tensor) -> None:
        caught.append(output)
        raise _Caught  # what runs afterwards may write into it

    handle = model.get_submodule(module).register_forward_hook(stop)
    try:
        with torch.enable_grad():
            leaf = pixels.detach().requires_grad_()
            with suppress(_Caught):
                model(leaf.clone())  # a copy, since the network may write into its input
            rows = torch.arange(len(pixels), device=pixels.device)
            (gradient,) = torch.autograd.grad(caught[0][rows, channel, y, x].sum(), leaf, materialize_grads=True)
    finally:
        handle.remove()
    reached = (gradient != 0).any(1).cpu()
    return [(*_span(pixels_of.any(1)), *_span(pixels_of.any(0))) for pixels_of in reached]


class _Caught(Exception):  # noqa: N818 - ends a forward pass that has come far enough
    pass


def _span(flags: Tensor) -> tuple[int, int]:
    """[begin, end) of the flags that are set; all of them where none is."""
    places: Sequence[int] = torch.nonzero(flags)[:, 0].tolist()
    return (places[0], places[-1] + 1) if places else (0, len(flags))
