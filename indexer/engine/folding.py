"""Batch normalisation folded into the convolution before it: one pass over the map fewer, forwards and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from evigraph.indexer.model.graph import Graph, module_of


@dataclass(frozen=True)
class Convolution:
    """A convolution of the network with the batch normalisation behind it folded in.

    Attributes:
        weight: (out channels, in channels / groups, kernel height, kernel width), channels-last.
        bias: (out channels,) or None.
        norm: the operation folded in; None where there is none.
    """

    weight: Tensor
    bias: Tensor | None
    norm: fx.Node | None


def fold(graph: Graph, layers: Sequence[fx.Node]) -> dict[fx.Node, Convolution]:
    """Every convolution that pads with zeros; one whose only user is a batch normalisation takes it in.

    One that is itself a layer takes nothing in, since its own output is wanted.
    """
    convolutions = {}
    for node in graph.nodes:
        convolution = module_of(graph, node)
        if not isinstance(convolution, nn.Conv2d) or convolution.padding_mode != "zeros":
            continue
        weight = convolution.weight.detach()
        bias = None if convolution.bias is None else convolution.bias.detach()
        user = next(iter(node.users)) if len(node.users) == 1 and node not in layers else node
        norm = user if isinstance(module_of(graph, user), nn.BatchNorm2d) else None
        if norm is not None:
            scale, shift = affine(module_of(graph, norm))
            weight = weight * scale[:, None, None, None]
            bias = shift if bias is None else bias * scale + shift
        convolutions[node] = Convolution(weight.contiguous(memory_format=torch.channels_last), bias, norm)
    return convolutions


def affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Batch normalisation in evaluation mode as (channels,) scale and shift."""
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach()
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach()
