"""The operations of torch without a rule for windows: those that only move values, and those that mix a whole map.

They are declared for their places alone (`indexer.model.operations` has the others): which pixels a value depends on
must be known of every network, whether its segments run on windows or on autograd.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from evigraph.indexer.model import movements
from evigraph.indexer.model.registry import Operation, declare

# Values moved within a map: about as far from the border as they were, or from the other border.
declare(
    Operation(
        "turned",
        functions=(torch.roll, torch.flip, torch.fliplr, torch.flipud),
        methods=("roll", "flip", "fliplr", "flipud"),
        places=movements.KEPT,
    )
)
declare(
    Operation(
        "pixel shuffle",
        (nn.PixelShuffle, nn.PixelUnshuffle),
        (F.pixel_shuffle, F.pixel_unshuffle),
        places=movements.SHUFFLED,
    )
)
declare(
    Operation(
        "values moved",
        (nn.Unfold,),
        (
            *(torch.stack, torch.rot90, torch.narrow, torch.select, torch.index_select, torch.take, torch.unbind),
            *(torch.tensor_split, torch.hsplit, torch.vsplit, torch.hstack, torch.vstack, torch.concat, torch.tile),
            *(torch.movedim, torch.swapaxes, torch.swapdims, torch.gather, torch.repeat_interleave, torch.diagonal),
            *(torch.t, torch.ravel, torch.broadcast_to, torch.tril, torch.triu, F.unfold, getattr),
        ),
        (
            *(
                "rot90",
                "narrow",
                "select",
                "index_select",
                "take",
                "unbind",
                "tensor_split",
                "repeat",
                "tile",
                "movedim",
            ),
            *("swapaxes", "swapdims", "gather", "repeat_interleave", "diagonal", "unfold", "t", "ravel", "view_as"),
            *("reshape_as", "broadcast_to"),
        ),
        places=movements.MOVED,
    )
)

# What mixes all along a dimension.
_ALONG: dict[str, Any] = {"dim": None}
declare(
    Operation(
        "along a dimension",
        (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU),
        (F.softmax, F.log_softmax, F.softmin, torch.softmax, torch.log_softmax, torch.cumsum, torch.cumprod),
        ("softmax", "log_softmax", "cumsum", "cumprod"),
        parameters=_ALONG,
        places=movements.MIXED,
    )
)
declare(
    Operation(
        "normalised along a dimension",
        functions=(F.normalize,),
        parameters={"p": 2.0, "dim": 1},
        places=movements.MIXED,
    )
)
declare(Operation("sorted", functions=(torch.sort,), methods=("sort",), parameters={"dim": -1}, places=movements.MIXED))
declare(
    Operation(
        "deviation",
        functions=(torch.std, torch.var),
        methods=("std", "var"),
        parameters={"dim": None},
        places=movements.REDUCED,
    )
)
declare(
    Operation(
        "norm",
        functions=(torch.norm,),
        methods=("norm",),
        parameters={"p": "fro", "dim": None, "keepdim": False},
        places=movements.REDUCED,
    )
)
declare(
    Operation(
        "matrix product",
        functions=(torch.matmul, torch.bmm, operator.matmul),
        methods=("matmul", "bmm", "__matmul__"),
        places=movements.PRODUCT,
    )
)
declare(
    Operation(
        "normalisation by map",
        (nn.InstanceNorm2d,),
        places=movements.BY_MAP,
    )
)
declare(Operation("channel normalisation of a running mean", (nn.SyncBatchNorm,), places=movements.NORMALISED))
