"""The operations of torch that a network may be made of: what they are called, and what they do to places and values.

One that is not here is run as it is, is taken to see the whole map, and has no rule for windows. A rule of
`indexer.engine` belongs to an operation that is declared here, or beside the rule (`docs/howto/rule.md`).
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from evigraph.indexer.model import movements, rearranging  # noqa: F401 - the latter declares
from evigraph.indexer.model.registry import Operation, declare

# Activation functions. Those that have a side where nothing passes are guided; as gates, sigmoid and tanh have no such.
RELU = declare(
    Operation(
        "relu",
        (nn.ReLU,),
        (F.relu, torch.relu),
        ("relu",),
        in_place={torch.relu_: torch.relu},
        places=movements.LOCAL,
        activation=True,
        guided=True,
    )
)


def _activation(name: str, module: type[nn.Module], *functions: Any, guided: bool = True, **named: Any) -> Operation:
    return declare(
        Operation(name, (module,), functions, **named, places=movements.LOCAL, activation=True, guided=guided)
    )


RELU6 = _activation("relu6", nn.ReLU6, F.relu6)
_activation("prelu", nn.PReLU, F.prelu)
_activation("leaky relu", nn.LeakyReLU, F.leaky_relu)
_activation("rrelu", nn.RReLU, F.rrelu)
_activation("elu", nn.ELU, F.elu)
_activation("celu", nn.CELU, F.celu)
_activation("selu", nn.SELU, F.selu)
_activation("gelu", nn.GELU, F.gelu)
_activation("silu", nn.SiLU, F.silu)
_activation("mish", nn.Mish, F.mish)
_activation("hardswish", nn.Hardswish, F.hardswish)
_activation("hardtanh", nn.Hardtanh, F.hardtanh)
_activation("softplus", nn.Softplus, F.softplus)
_activation("tanh", nn.Tanh, torch.tanh, F.tanh, guided=False, methods=("tanh",), in_place={torch.tanh_: torch.tanh})
_activation(
    "sigmoid",
    nn.Sigmoid,
    torch.sigmoid,
    F.sigmoid,
    guided=False,
    methods=("sigmoid",),
    in_place={torch.sigmoid_: torch.sigmoid},
)

# What mixes channels, or places within a window.
_CONVOLUTION: dict[str, Any] = {"weight": None, "bias": None, "stride": 1, "padding": 0}
CONVOLUTION = declare(
    Operation(
        "convolution",
        (nn.Conv2d,),
        (F.conv2d,),
        parameters=_CONVOLUTION | {"dilation": 1, "groups": 1},
        places=movements.WINDOWED,
        fresh=True,
    )
)
declare(
    Operation(
        "transposed convolution",
        (nn.ConvTranspose2d,),
        (F.conv_transpose2d,),
        parameters=_CONVOLUTION | {"output_padding": 0, "groups": 1, "dilation": 1},
        places=movements.UNWINDOWED,
        fresh=True,
    )
)
LINEAR = declare(Operation("linear", (nn.Linear,), (F.linear,), places=movements.TRAILING, fresh=True))

_POOLING: dict[str, Any] = {"kernel_size": None, "stride": None, "padding": 0}
MAX_POOL = declare(
    Operation(
        "max-pooling",
        (nn.MaxPool2d,),
        (F.max_pool2d, torch.max_pool2d),
        parameters=_POOLING | {"dilation": 1, "ceil_mode": False, "return_indices": False},
        places=movements.WINDOWED,
    )
)
AVERAGE_POOL = declare(
    Operation(
        "average pooling",
        (nn.AvgPool2d,),
        (F.avg_pool2d,),
        parameters=_POOLING | {"ceil_mode": False, "count_include_pad": True, "divisor_override": None},
        places=movements.WINDOWED,
    )
)
declare(
    Operation(
        "power-average pooling",
        (nn.LPPool2d,),
        (),
        parameters={"kernel_size": None, "stride": None, "padding": 0},
        places=movements.WINDOWED,
    )
)
ADAPTIVE_AVERAGE_POOL = declare(
    Operation("adaptive average pooling", (nn.AdaptiveAvgPool2d,), (F.adaptive_avg_pool2d,), places=movements.POOLED)
)
declare(Operation("adaptive max-pooling", (nn.AdaptiveMaxPool2d,), (F.adaptive_max_pool2d,), places=movements.POOLED))
_REDUCTION: dict[str, Any] = {"dim": None, "keepdim": False}
MEAN = declare(
    Operation("mean", functions=(torch.mean,), methods=("mean",), parameters=_REDUCTION, places=movements.REDUCED)
)
declare(
    Operation(
        "reduction",
        functions=(
            *(torch.sum, torch.amax, torch.amin, torch.max, torch.min, torch.prod, torch.argmax, torch.argmin),
            *(torch.logsumexp, torch.median),
        ),
        methods=("sum", "amax", "amin", "max", "min", "prod", "argmax", "argmin", "logsumexp", "median"),
        parameters=_REDUCTION,
        places=movements.REDUCED,
    )
)
declare(
    Operation(
        "interpolation",
        (nn.Upsample,),
        (F.interpolate,),
        parameters={
            **{"size": None, "scale_factor": None, "mode": "nearest", "align_corners": None},
            **{"recompute_scale_factor": None, "antialias": False},
        },
        places=movements.RESIZED,
    )
)
PADDING = declare(
    Operation(
        "padding",
        (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d),
        (F.pad,),
        parameters={"pad": None, "mode": "constant", "value": None},
        places=movements.PADDED,
    )
)

# What keeps to its place.
BATCH_NORM = declare(
    Operation("batch normalisation", (nn.BatchNorm2d,), (F.batch_norm,), places=movements.NORMALISED, fresh=True)
)
declare(
    Operation(
        "layer normalisation",
        (nn.LayerNorm,),
        (F.layer_norm,),
        parameters={"normalized_shape": ()},
        places=movements.TRAILING,
    )
)
IDLE = declare(
    Operation(
        "idle in evaluation mode",
        (nn.Dropout, nn.Dropout2d, nn.Identity, torchvision.ops.StochasticDepth),
        (F.dropout,),
        parameters={"p": 0.5, "training": True},
        places=movements.LOCAL,
    )
)
SUM = declare(
    Operation(
        "sum",
        functions=(operator.add, torch.add),
        methods=("add",),
        in_place={operator.iadd: operator.add},
        places=movements.LOCAL,
        fresh=True,
    )
)
declare(
    Operation(
        "elementwise",
        (nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.Threshold),
        (
            *(operator.sub, operator.mul, operator.truediv, operator.neg, operator.pow, operator.floordiv),
            *(torch.sub, torch.mul, torch.div, torch.neg, torch.pow, torch.square, torch.sqrt, torch.rsqrt, torch.exp),
            *(torch.log, torch.abs, torch.clamp, torch.minimum, torch.maximum, torch.where, torch.addcmul),
            *(F.hardsigmoid, F.softsign, F.logsigmoid, F.hardshrink, F.softshrink, F.tanhshrink, F.threshold),
            *(torch.sin, torch.cos, torch.log1p, torch.expm1, torch.log2, torch.erf, torch.reciprocal, torch.sign),
            *(torch.floor, torch.ceil, torch.round, torch.lerp, torch.clip, torch.nan_to_num, torch.addcdiv),
            *(torch.clone, torch.detach, operator.gt, operator.lt, operator.ge, operator.le, operator.eq, operator.ne),
        ),
        (
            *("sub", "mul", "div", "neg", "pow", "square", "sqrt", "rsqrt", "exp", "log", "abs", "clamp", "type_as"),
            *("to", "float", "half", "double", "type", "detach", "clone", "expand", "expand_as", "hardsigmoid"),
            *("sin", "cos", "log1p", "expm1", "erf", "reciprocal", "sign", "floor", "ceil", "round", "lerp", "clip"),
            *("masked_fill", "where", "minimum", "maximum", "addcmul", "addcdiv", "gt", "lt", "ge", "le", "eq", "ne"),
            *("bfloat16", "cpu", "cuda", "nan_to_num", "__add__", "__mul__", "__sub__"),
        ),
        in_place={
            operator.isub: operator.sub,
            operator.imul: operator.mul,
            operator.itruediv: operator.truediv,
            torch.clamp_: torch.clamp,
        },
        places=movements.LOCAL,
    )
)
declare(
    Operation("response normalisation", (nn.LocalResponseNorm,), (F.local_response_norm,), places=movements.BY_PLACE)
)

# What only moves values.
CONCATENATION = declare(
    Operation(
        "concatenation",
        functions=(torch.cat,),
        parameters={"dim": 0},
        places=movements.KEPT,
        rearranges=True,
        fresh=True,
    )
)
CHUNK = declare(
    Operation(
        "chunk",
        functions=(torch.chunk,),
        methods=("chunk",),
        parameters={"chunks": None, "dim": 0},
        places=movements.KEPT,
        rearranges=True,
    )
)
declare(Operation("split", functions=(torch.split,), methods=("split",), places=movements.KEPT, rearranges=True))
GETITEM = declare(Operation("getitem", functions=(operator.getitem,), places=movements.SLICED, rearranges=True))
CONTIGUOUS = declare(Operation("contiguous", methods=("contiguous",), places=movements.LOCAL, rearranges=True))
VIEW = declare(Operation("view", methods=("view",), places=movements.RESHAPED, rearranges=True))
declare(
    Operation("reshape", functions=(torch.reshape,), methods=("reshape",), places=movements.RESHAPED, rearranges=True)
)
FLATTEN = declare(Operation("flatten", (nn.Flatten,), (torch.flatten,), ("flatten",), places=movements.RESHAPED))
declare(
    Operation(
        "dimensions cut or put together",
        (nn.Unflatten,),
        (torch.unflatten, torch.squeeze, torch.unsqueeze),
        ("unflatten", "squeeze", "unsqueeze"),
        places=movements.RESHAPED,
    )
)
TRANSPOSE = declare(
    Operation(
        "transpose", functions=(torch.transpose,), methods=("transpose",), places=movements.PERMUTED, rearranges=True
    )
)
declare(Operation("permute", functions=(torch.permute,), methods=("permute",), places=movements.PERMUTED))
declare(
    Operation("channel shuffle", (nn.ChannelShuffle,), (F.channel_shuffle,), places=movements.KEPT, rearranges=True)
)
