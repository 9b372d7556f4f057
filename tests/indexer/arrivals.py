"""Where a change of the input arrives in a map, found by changing it: apart from any geometry of operations."""

from __future__ import annotations

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
