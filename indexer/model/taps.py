"""Which places along one dimension of its input each place of an operation's output reads.

Each function gives a table (places of the output, reads) int64 of places of the input; -1 stands for none, as in
padding of zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EXACT = 1e-4
"""Of a place: by how much torch's arithmetic may be off, which is single precision for some operations."""
_DYADIC = 256
"""A scale that is a whole number of such parts is exact in any precision."""


def window(count: int, out: int, kernel: int, step: int, padding: int, dilation: int, mode: str = "constant") -> Tensor:
    """Of a convolution or pooling: `out` windows of `kernel` places over `count`, the first `padding` before."""
    places = torch.arange(out)[:, None] * step - padding + torch.arange(kernel) * dilation
    return within(places, count, mode)


def within(places: Tensor, count: int, mode: str) -> Tensor:
    """Places that may lie beyond a border, by what padding of a mode (`F.pad`) shows there."""
    if mode == "circular":
        return places % count
    if mode == "replicate":
        return places.clamp(0, count - 1)
    if mode == "reflect":
        period = max(1, 2 * (count - 1))
        folded = places % period
        return torch.minimum(folded, period - folded) if count > 1 else torch.zeros_like(places)
    return torch.where((places >= 0) & (places < count), places, -1)


def transposed(count: int, out: int, kernel: int, step: int, padding: int, dilation: int) -> Tensor:
    """Of a transposed convolution, with the parameters of the convolution that it turns round."""
    from_first = torch.arange(out)[:, None] + padding - torch.arange(kernel) * dilation
    places = torch.where(from_first % step == 0, from_first // step, -1)
    return within(places, count, "constant")


def adaptive(count: int, out: int) -> Tensor:
    """Of adaptive pooling."""
    place = torch.arange(out)
    begin, end = place * count // out, -((-(place + 1) * count) // out)
    places = begin[:, None] + torch.arange(int((end - begin).max()))
    return torch.where(places < end[:, None], places, -1)


def resized(count: int, out: int, mode: str, scale: float, *, corners: bool, antialias: bool) -> Tensor:
    """Of interpolation (`F.interpolate`).

    Args:
        count: places of the input.
        out: places of the output.
        mode: nearest, nearest-exact, linear (also bilinear) or cubic (also bicubic).
        scale: places of the input for one of the output.
        corners: whether the middles of the outermost places are aligned.
        antialias: whether a smaller map averages over what it leaves out.
    """
    place = torch.arange(out, dtype=torch.float64)
    if mode.startswith("nearest"):
        at = place + (0.5 if mode == "nearest-exact" else 0.0)
        single = (at.float() * torch.tensor(scale, dtype=torch.float32)).floor()
        return torch.stack([(at * scale).floor(), single.double()], 1).clamp(0, count - 1).long()
    cubic = "cubic" in mode
    dyadic = scale * _DYADIC == int(scale * _DYADIC)
    if antialias:
        # Weights fall to nothing so many places from the middle, in double or in single precision.
        larger, lobe = max(scale, 1.0), 2.0 if cubic else 1.0
        middle = ((place + 0.5) * scale)[:, None]
        first = (middle - larger * lobe - 1).floor().clamp(min=0)
        places = first + torch.arange(2 * int(larger * lobe) + 5)
        single = (
            places.float() - (place[:, None].float() + 0.5) * torch.tensor(scale, dtype=torch.float32) + 0.5
        ).abs()
        seen = ((places - middle + 0.5).abs() * (1 / larger) < lobe) | (single.double() * (1 / larger) < lobe)
        return torch.where(seen & (places < count), places, -1.0).long()
    if corners:
        scale = (count - 1) / (out - 1) if out > 1 else 0.0
        found = [place * scale, (place.float() * torch.tensor(scale, dtype=torch.float32)).double()]
    else:
        found = [(place + 0.5) * scale - 0.5]
    # A place that is a whole one is read alone, where that is no matter of rounding.
    slack = 0.0 if corners or dyadic else _EXACT
    before, after = (1, 2) if cubic else (0, 1)
    firsts, lasts = [], []
    for at in found:
        alone = ((at == at.floor()) & (slack == 0)) | ((at < -_EXACT) & (not cubic))
        at = at if cubic else at.clamp(min=0)
        firsts.append(torch.where(alone, at, (at - slack).floor() - before))
        lasts.append(torch.where(alone, at, (at + slack).floor() + after))
    first, last = torch.stack(firsts).amin(0), torch.stack(lasts).amax(0)
    places = (first[:, None] + torch.arange(int((last - first).max()) + 1)).long()
    return torch.where(places <= last[:, None], places.clamp(0, count - 1), -1)
