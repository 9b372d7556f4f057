"""Every rule against autograd on whole maps, at every place of a small map, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from tests.indexer.exactness import assert_exact, recorder_of, small
from tests.indexer.networks import Function


def conv(channels: int, count: int, kernel: int | tuple[int, int] = 3, **options: object) -> nn.Conv2d:
    """A convolution that keeps the size of its map unless told otherwise."""
    return nn.Conv2d(channels, count, kernel, **{"padding": 0 if isinstance(kernel, tuple) else kernel // 2, **options})  # type: ignore[arg-type]


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(4, 5, 3),
    "padded": lambda: conv(4, 5),
    "padded beyond the kernel": lambda: nn.Conv2d(4, 5, 3, padding=4),
    "1 x 1": lambda: nn.Conv2d(4, 5, 1),
    "1 x 1, stride 2": lambda: nn.Conv2d(4, 5, 1, stride=2),
    "1 x 1, padded": lambda: nn.Conv2d(4, 5, 1, padding=1),
    "1 x 7": lambda: nn.Conv2d(4, 5, (1, 7), padding=(0, 3)),
    "7 x 1": lambda: nn.Conv2d(4, 5, (7, 1), padding=(3, 0)),
    "even kernel": lambda: nn.Conv2d(4, 5, (2, 4), padding=(1, 2)),
    "asymmetric in all": lambda: nn.Conv2d(4, 5, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3)),
    "rows left over": lambda: nn.Conv2d(4, 5, 2, stride=4),
    "dilated": lambda: nn.Conv2d(4, 5, 3, padding=2, dilation=2),
    "grouped": lambda: conv(4, 6, groups=2),
    "depthwise, stride 2": lambda: conv(4, 8, groups=4, stride=2),
    "without bias": lambda: conv(4, 5, bias=False),
    "larger than the map": lambda: nn.Conv2d(4, 5, (9, 11), padding=(4, 5)),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("size", [(9, 7), (4, 11)])
def test_convolution(kind: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    assert_exact(*small(CONVOLUTIONS[kind](), size))


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolution_within_a_segment(kind: str) -> None:
    # The gradient that reaches it is dense, over a window that sticks out of its map.
    torch.manual_seed(0)
    assert_exact(
        *small(nn.Sequential(conv(4, 4), nn.ReLU(), CONVOLUTIONS[kind](), nn.ReLU(), nn.LazyConv2d(3, 3)), (10, 12))
    )


def test_normalisation() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.BatchNorm2d(4), conv(4, 5), nn.BatchNorm2d(5), nn.ReLU(), conv(5, 4), nn.BatchNorm2d(4))
    assert_exact(*small(body))
    alone = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=False), nn.ReLU())
    assert_exact(*small(alone))


@pytest.mark.parametrize(
    "function",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        nn.ReLU6(),
        nn.SiLU(),
        nn.Hardswish(),
        nn.GELU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.LeakyReLU(0.1),
        nn.PReLU(),
        nn.PReLU(5, 0.1),
        nn.ELU(),
        nn.Hardtanh(-0.5, 0.5),
        nn.Softplus(),
        nn.Mish(),
        Function(F.relu),
        Function(F.silu),
        Function(torch.relu),
        Function(lambda x: x.relu()),
        Function(lambda x: F.gelu(x, approximate="tanh")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("last", [True, False])
def test_activation_function(function: nn.Module, last: bool) -> None:
    # Where it comes last, a negative value of the upper layer is decomposed with its sign turned.
    torch.manual_seed(0)
    function = copy.deepcopy(function)
    steps = [conv(4, 5), function] if last else [conv(4, 5), function, conv(5, 3)]
    assert_exact(*small(nn.Sequential(*steps)))


def test_saturated_relu6_passes_nothing() -> None:
    torch.manual_seed(0)
    network, pixels = small(nn.Sequential(conv(4, 5), nn.ReLU6(), conv(5, 3), nn.ReLU6()))
    with torch.no_grad():
        for name in ("0", "2"):
            network.body.get_parameter(f"{name}.weight").mul_(8)
    upper = network.body(network.stem(pixels))
    assert (upper == 6).any()
    assert (upper == 0).any()
    assert ((upper > 0) & (upper < 6)).any()
    assert_exact(network, pixels)


POOLS: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "max, overlapping": lambda: nn.MaxPool2d(3, 2, 1),
    "max, stride 1": lambda: nn.MaxPool2d(3, 1, 1),
    "max, ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "max, asymmetric": lambda: nn.MaxPool2d((3, 2), (1, 3), (1, 0)),
    "max, dilated": lambda: nn.MaxPool2d(2, 2, dilation=2),
    "max, gaps": lambda: nn.MaxPool2d(2, 3),
    "max, functional": lambda: Function(lambda x: F.max_pool2d(x, kernel_size=3, stride=2)),
    "average": lambda: nn.AvgPool2d(2),
    "average, padded": lambda: nn.AvgPool2d(3, 2, 1),
    "average, asymmetric": lambda: nn.AvgPool2d((1, 3), (2, 1), (0, 1)),
    "average, functional": lambda: Function(lambda x: F.avg_pool2d(x, 3, 1, 1)),
    "adaptive, dividing": lambda: nn.AdaptiveAvgPool2d((3, 7)),
    "adaptive, not dividing": lambda: nn.AdaptiveAvgPool2d((4, 3)),
    "adaptive, upwards": lambda: nn.AdaptiveAvgPool2d((11, 5)),
    "mean": lambda: Function(lambda x: x.mean((2, 3), keepdim=True)),
}


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("ties", [True, False])
def test_pooling_next_to_the_lower_layer(kind: str, ties: bool) -> None:
    torch.manual_seed(0)
    assert_exact(*small(nn.Sequential(POOLS[kind](), conv(4, 3), nn.ReLU()), integers=ties))


@pytest.mark.parametrize("kind", POOLS)
def test_pooling_within_a_segment(kind: str) -> None:
    torch.manual_seed(0)
    assert_exact(*small(nn.Sequential(conv(4, 4), nn.ReLU(), POOLS[kind](), conv(4, 3))))


@pytest.mark.parametrize("kind", POOLS)
def test_pooling_is_all(kind: str) -> None:
    torch.manual_seed(0)
    assert_exact(*small(POOLS[kind](), integers=True))


def test_average_behind_a_convolution() -> None:
    torch.manual_seed(0)
    assert_exact(*small(nn.Sequential(nn.Conv2d(4, 6, 1), nn.AvgPool2d(2))))
    assert_exact(*small(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 1, bias=False), nn.AvgPool2d(2))))


PADS: dict[str, Callable[[], nn.Module]] = {
    "zeros": lambda: nn.ZeroPad2d((1, 2, 0, 3)),
    "constant": lambda: nn.ConstantPad2d(2, 0.5),
    "function": lambda: Function(lambda x: F.pad(x, (2, 0, 1, 1))),
    "across": lambda: Function(lambda x: F.pad(x, (0, 3), value=1.0)),
    "cut off": lambda: Function(lambda x: F.pad(x, (-1, 2, 1, -2))),
    "wide": lambda: nn.ZeroPad2d(6),
}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "wide")) for kind in PADS])
def test_padding(kind: str) -> None:
    torch.manual_seed(0)
    assert_exact(*small(nn.Sequential(PADS[kind](), conv(4, 5, stride=2), nn.ReLU())))
    assert_exact(*small(nn.Sequential(conv(4, 4), nn.ReLU(), PADS[kind](), nn.Conv2d(4, 3, (4, 2), 2), nn.ReLU())))
    assert_exact(*small(PADS[kind](), (5, 6)))
    steps = [step for _ in range(3) for step in (conv(4, 4, 5), nn.ReLU(), PADS[kind]())]
    assert_exact(*small(nn.Sequential(*steps, conv(4, 2)), (6, 8)))


@pytest.mark.parametrize(
    "body",
    [
        lambda: Function(lambda x, a, b: x + b(F.relu(a(x))), conv(4, 5), conv(5, 4)),
        lambda: Function(lambda x, a, b: F.relu(a(x) + b(x)), conv(4, 5, stride=2), nn.Conv2d(4, 5, 1, stride=2)),
        lambda: Function(lambda x, a, b: F.relu(torch.add(a(x), b(x))), conv(4, 4, 5), nn.MaxPool2d(3, 1, 1)),
        lambda: Function(lambda x, a: (y := F.relu(x)) + a(y), conv(4, 4)),
    ],
    ids=["identity", "downsampling", "pool", "shared"],
)
@pytest.mark.parametrize("behind", [True, False])
def test_residual_sum(body: Callable[[], nn.Module], behind: bool) -> None:
    torch.manual_seed(0)
    module = body()
    assert_exact(*small(nn.Sequential(module, nn.ReLU(), nn.LazyConv2d(3, 3, padding=1)) if behind else module))


@pytest.mark.parametrize(
    "body",
    [
        lambda: Function(lambda x, a, b: torch.cat([a(x), b(x)], 1), nn.Conv2d(4, 3, 1), conv(4, 2, 5)),
        lambda: Function(lambda x, a: torch.cat([x, F.relu(a(x))], dim=1), conv(4, 2)),
        lambda: Function(lambda x, a, b: torch.cat((y := a(x), b(y)), 1), conv(4, 3), conv(3, 2)),
        lambda: Function(
            lambda x, a, b: torch.cat([a(x), b(x), F.avg_pool2d(x, 3, 1, 1)], 1),
            conv(4, 3),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 1)),
        ),
    ],
    ids=["fire", "dense", "chain", "inception"],
)
@pytest.mark.parametrize("behind", [True, False])
def test_concatenation(body: Callable[[], nn.Module], behind: bool) -> None:
    torch.manual_seed(0)
    module = body()
    assert_exact(*small(nn.Sequential(module, nn.ReLU(), nn.LazyConv2d(3, 3, padding=1)) if behind else module))


def test_dense_block_over_three_steps() -> None:
    def block(x: Tensor, *steps: nn.Module) -> Tensor:
        maps = [x]
        for step in steps:
            maps.append(step(torch.cat(maps, 1)))
        return torch.cat(maps, 1)

    def step(channels: int) -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 5, 1), nn.ReLU(), conv(5, 2))

    torch.manual_seed(0)
    assert_exact(*small(Function(block, step(4), step(6), step(8)), (12, 9)))


def test_shuffle_unit() -> None:
    def unit(x: Tensor, branch: nn.Module) -> Tensor:
        first, second = x.chunk(2, dim=1)
        joined = torch.cat((first, branch(second)), dim=1)
        shuffled: Tensor = torchvision.models.shufflenetv2.channel_shuffle(joined, 2)
        return shuffled

    torch.manual_seed(0)
    unit_of = Function(unit, conv(2, 2))
    network, pixels = small(nn.Sequential(unit_of, nn.ReLU(), conv(4, 3)))
    # Whether the shuffle has a rule is the engine's choice; that it is exact is not.
    assert_exact(network, pixels, windows=recorder_of(network, pixels).fallbacks[0] is None)


@pytest.mark.parametrize("size", [(2, 3), (5, 6), (1, 1), (13, 2)])
def test_windows_that_outgrow_their_map(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    steps = [step for _ in range(4) for step in (conv(4, 4), nn.ReLU())]
    assert_exact(*small(nn.Sequential(*steps), size))


def test_windows_that_outgrow_their_map_through_pooling() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(
        conv(4, 4), nn.ReLU(), nn.MaxPool2d(3, 2, 1), conv(4, 4), nn.SiLU(), nn.AvgPool2d(3, 1, 1), conv(4, 4, 5),
        nn.MaxPool2d(2, ceil_mode=True), conv(4, 3),
    )  # fmt: skip
    assert_exact(*small(body, (14, 11)))


@pytest.mark.parametrize(
    "head",
    [
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3)),
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.LazyLinear(3)),
        lambda: nn.Sequential(nn.MaxPool2d(2), Function(lambda x: torch.flatten(x, 1)), nn.LazyLinear(3)),
        lambda: Function(lambda x, a: a(x.mean([2, 3])), nn.Linear(4, 3)),
        lambda: nn.Sequential(nn.Dropout(), nn.Conv2d(4, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        lambda: nn.Sequential(
            nn.Conv2d(4, 5, 1, padding=1), nn.ReLU(), conv(5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        lambda: nn.Sequential(nn.Conv2d(4, 5, 1), nn.Conv2d(5, 3, 1, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        lambda: nn.Sequential(conv(4, 3, (9, 7), padding=(4, 3)), nn.AvgPool2d((9, 7), 9, 1), nn.Flatten()),
    ],
    ids=["linear", "adaptive", "pooled", "mean", "convolution", "padded", "padded behind", "padded average"],
)
def test_head(head: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network, pixels = small(nn.Sequential(conv(4, 4), nn.ReLU()), (9, 7), head())
    assert_exact(network, pixels)


@pytest.mark.parametrize(
    "body",
    [
        lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        lambda: nn.AvgPool2d(3, 2, ceil_mode=True),
        lambda: nn.AvgPool2d(2, divisor_override=3),
        lambda: nn.Sequential(conv(4, 4), nn.LPPool2d(2, 2)),
        lambda: Function(lambda x, a: x * torch.sigmoid(a(x.mean((2, 3), keepdim=True))), nn.Conv2d(4, 4, 1)),
        lambda: conv(4, 4, padding_mode="reflect"),
        lambda: nn.Conv2d(4, 4, 3, padding="same"),
        lambda: Function(lambda x: x + x),
        lambda: Function(lambda x: torch.cat([x, x], 2)),
        lambda: Function(lambda x, a: F.prelu(x, a.weight), nn.PReLU(4)),
        lambda: Function(lambda x: F.pad(x, (0, 0, 0, 0, 1, 2))),
        lambda: nn.GroupNorm(2, 4),
    ],
    ids=["border", "ceil", "divisor", "power", "gate", "reflect", "same", "twice", "rows", "prelu", "channels", "norm"],
)
def test_what_has_no_rule_is_exact_by_autograd(body: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network, pixels = small(body())
    assert_exact(network, pixels, windows=recorder_of(network, pixels).fallbacks[0] is None)
