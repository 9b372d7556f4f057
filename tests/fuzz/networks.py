"""Random small networks, made of what convolutional networks are made of: one for each seed.

A network is a list of blocks, each drawn from `BLOCKS` (or `LINEAR_BLOCKS`, whose gradients are the same everywhere) and
tried on the map so far: one that cannot run, or makes the map too small or too large, is drawn again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from evigraph.indexer.model.graph import frozen

CLASSES = 4
SMALLEST, LARGEST, WIDEST = 2, 40, 12


class Fn(nn.Module):
    """A function of a map and of modules."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


class Draw:
    """Draws settings and blocks; `shape` is the (batch, channels, height, width) of the map that a block gets."""

    def __init__(self, seed: int, *, linear: bool) -> None:
        self.random = random.Random(seed)
        self.linear = linear
        self.plain = self.chance(0.5) and not linear
        """Whether it is made of what windows pass through, for the most part."""
        self.shape = torch.Size([1, 3, 1, 1])

    @property
    def channels(self) -> int:
        return self.shape[1]

    def one(self, *several: Any) -> Any:
        return self.random.choice(several)

    def between(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def conv(self, channels: int | None = None, out: int | None = None, *, same: bool = False) -> nn.Module:
        """A convolution; where `same`, one that keeps the size of the map."""
        channels = channels or self.channels
        groups = self.one(*(g for g in (1, 1, 1, 2, channels) if channels % g == 0))
        out = out or groups * self.between(1, max(1, 8 // groups))
        groups = groups if out % groups == 0 else 1
        kernel = (self.between(1, 4), self.between(1, 4)) if self.chance(0.4) else (self.one(1, 3, 3, 5),) * 2
        dilation = self.one(1, 1, 1, 2)
        options: dict[str, Any] = {"groups": groups, "bias": self.chance(0.7), "dilation": dilation}
        mode = self.one("zeros", "zeros", "zeros", "zeros", "reflect", "replicate", "circular")
        mode = "zeros" if self.plain else mode
        if same:
            kernel = (2 * self.between(0, 1) + 1, 2 * self.between(0, 2) + 1)
            padding: Any = tuple((k - 1) * dilation // 2 for k in kernel)
            if self.chance(0.1) and not self.plain:
                padding = "same"
        else:
            options["stride"] = self.one(1, 1, 1, 2, (2, 1), (1, 3))
            padding = tuple(self.between(0, k // 2 + 1) for k in kernel)
        return nn.Conv2d(channels, out, kernel, padding=padding, padding_mode=mode, **options)

    def norm(self, channels: int) -> nn.Module:
        if self.linear or self.plain:
            return self.one(nn.BatchNorm2d(channels), nn.Identity(), nn.BatchNorm2d(channels, affine=False))
        kinds: list[Callable[[], nn.Module]] = [lambda: nn.BatchNorm2d(channels)] * 5 + [
            lambda: nn.BatchNorm2d(channels, affine=False),
            lambda: nn.GroupNorm(self.one(*(g for g in (1, 2, channels) if channels % g == 0)), channels),
            lambda: nn.InstanceNorm2d(channels, affine=True),
            lambda: nn.LocalResponseNorm(3),
            lambda: Fn(lambda x, norm: norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.LayerNorm(channels)),
        ]
        return self.one(*kinds)() if self.chance(0.6) else nn.Identity()

    def activation(self, channels: int) -> nn.Module:
        if self.linear:
            return self.one(nn.ReLU(), nn.ReLU(inplace=True), Fn(F.relu), nn.PReLU(channels), nn.Identity())
        in_place = self.chance(0.5)
        if self.plain and self.chance(0.8):
            return nn.ReLU(in_place)
        kinds: list[Callable[[], nn.Module]] = [lambda: nn.ReLU(in_place)] * 8 + [
            lambda: nn.ReLU6(in_place),
            lambda: nn.SiLU(in_place),
            lambda: nn.Hardswish(in_place),
            lambda: nn.LeakyReLU(0.1, in_place),
            lambda: nn.ELU(inplace=in_place),
            lambda: nn.Hardtanh(-0.5, 0.7, inplace=in_place),
            lambda: nn.PReLU(self.one(1, channels)),
            lambda: nn.GELU(self.one("none", "tanh")),
            lambda: self.one(nn.Mish, nn.Softplus, nn.Tanh, nn.Sigmoid, nn.SELU, nn.Hardsigmoid, nn.LogSigmoid)(),
            lambda: Fn(lambda x: F.relu(x, inplace=in_place)),
            lambda: Fn(self.one(torch.relu, torch.relu_, lambda x: x.relu(), lambda x: x.relu_(), lambda x: x.clamp(min=0))),
            lambda: Fn(self.one(F.silu, F.hardswish, F.gelu, torch.tanh, F.leaky_relu, F.softsign)),
            lambda: Fn(lambda x: torch.maximum(x, 0.1 * x)),
        ]  # fmt: skip
        return self.one(*kinds)()

    def step(self, channels: int | None = None, out: int | None = None, *, same: bool = False) -> nn.Module:
        """Convolution, normalisation and activation, in one of the usual orders."""
        channels = channels or self.channels
        conv = self.conv(channels, out, same=same)
        made: int = conv.out_channels  # type: ignore[assignment]
        if self.chance(0.2):  # before it, as in ResNets of version 2
            return nn.Sequential(self.norm(channels), self.activation(channels), conv)
        return nn.Sequential(conv, self.norm(made), self.activation(made))

    def same(self, channels: int, out: int) -> nn.Module:
        """A branch that keeps the size of the map."""
        if self.chance(0.2):
            return nn.Sequential(self.pool_same(), self.step(channels, out, same=True))
        steps = [self.step(channels, out, same=True)]
        steps += [self.step(out, out, same=True)] if self.chance(0.4) else []
        return nn.Sequential(*steps)

    def pool_same(self) -> nn.Module:
        average = nn.AvgPool2d(3, 1, 1, count_include_pad=self.chance(0.7))
        return average if self.linear else self.one(average, nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(5, 1, 2))

    def pool(self) -> nn.Module:
        kernel = (self.between(1, 4), self.between(1, 4)) if self.chance(0.4) else (self.one(2, 3),) * 2
        stride = self.one(None, 1, 2, 2, (2, 1))
        padding = tuple(self.between(0, k // 2) for k in kernel)
        ceil = self.chance(0.3)
        if self.plain:
            return self.one(nn.AvgPool2d(kernel, stride, padding), nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil))
        average = nn.AvgPool2d(
            kernel, stride, padding, ceil, count_include_pad=self.chance(0.6), divisor_override=self.one(None, None, 3)
        )
        adaptive = nn.AdaptiveAvgPool2d((self.between(2, 9), self.between(2, 9)))
        if self.linear:
            return self.one(average, adaptive)
        largest = nn.MaxPool2d(kernel, stride, padding, self.one(1, 1, 2), ceil_mode=ceil)
        return self.one(
            *(average, largest, largest, largest, adaptive),
            nn.AdaptiveMaxPool2d((self.between(2, 9), self.between(2, 9))),
            nn.LPPool2d(2, kernel, stride),
            Fn(lambda x: F.max_pool2d(x, 2)),
            Fn(lambda x: F.avg_pool2d(x, (x.size(2) // 2, x.shape[3] // 3))),
        )

    def resampled(self) -> nn.Module:
        count = self.channels
        kernel, stride = (self.between(1, 4), self.between(2, 4)), self.one(1, 2, (2, 1))
        return self.one(
            nn.ConvTranspose2d(count, self.between(1, 6), kernel, stride, self.one(0, 1), self.one(0, 0, 1)),
            nn.Upsample(scale_factor=2, mode=self.one("nearest", "bilinear", "bicubic")),
            Fn(lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=True)),
            Fn(lambda x: F.interpolate(x, size=(7, 11), mode="bilinear", antialias=True)),
            Fn(lambda x: F.interpolate(x, size=(9, 6), mode="area")),
            Fn(lambda x: F.interpolate(x, size=[x.shape[2] + 3, x.shape[3]], mode="nearest-exact")),
        )

    def moved(self) -> nn.Module:
        """Values that go elsewhere and are the same."""
        by = (self.between(-3, 3), self.between(-3, 3))
        counts = tuple(self.between(-1, 3) for _ in range(4))
        mode = self.one("constant", "constant", "reflect", "replicate", "circular")
        counts = tuple(max(0, count) for count in counts) if mode != "constant" else counts
        step = self.between(1, 2)
        functions: list[Callable[..., Tensor]] = [
            lambda x: torch.roll(x, by, (2, 3)),
            lambda x: x.flip(self_dim),
            lambda x: x.transpose(2, 3),
            lambda x: torch.rot90(x, 1, (2, 3)),
            lambda x: F.pad(x, counts, mode=mode),
            lambda x: x[:, :, 1:, ::step],
            lambda x: x[..., :-1, :],
            lambda x: F.pad(x, (1, 0, 1, 0))[:, :, :-1, :-1],
            lambda x: torch.cat([x, x.flip(2)], 2),
            lambda x: torch.stack([x, x], 2).flatten(1, 2),
            lambda x: x.narrow(2, 1, x.size(2) - 1),
            lambda x: x.repeat_interleave(2, 3),
            lambda x: F.channel_shuffle(torch.cat([x, x], 1), 2),
            lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
            lambda x: x.view(x.size(0), x.shape[1], -1).view(x.shape),
        ]
        self_dim = self.one(2, 3)
        modules = [nn.ZeroPad2d((0, 1, 2, 0)), nn.ReflectionPad2d((1, 0, 1, 1)), nn.ReplicationPad2d(1)]
        modules += [nn.PixelUnshuffle(2), nn.PixelShuffle(2), nn.CircularPad2d((1, 1, 0, 0))]
        chosen = self.one(*functions, *modules)
        return chosen if isinstance(chosen, nn.Module) else Fn(chosen)

    def residual(self) -> nn.Module:
        count = self.channels
        first, last = self.same(count, count), self.activation(count)
        add: Callable[..., Tensor] = self.one(
            lambda x, f, g: g(x + f(x)),
            lambda x, f, g: g(torch.add(f(x), x)),
            lambda x, f, g: g(f(x).add_(x)),
            lambda x, f, g: x + g(f(x)),
            lambda x, f, g: g(f(x) + x + f(x)),
            lambda x, f, g: g(_added(f(x), x)),
            lambda x, f, g: g(x + 0.5 * f(x)),
            lambda x, f, g: g(torch.add(x, f(x), alpha=2)),
        )
        return Fn(add, first, last)

    def downsampled(self) -> nn.Module:
        """A residual block with a stride."""
        count, out = self.channels, self.between(1, 6)
        main = nn.Sequential(nn.Conv2d(count, out, 3, 2, 1), self.norm(out), self.activation(out), self.conv(out, out, same=True))
        way = self.one(
            nn.Sequential(nn.Conv2d(count, out, 1, 2), self.norm(out)),
            nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), nn.Conv2d(count, out, 1)),
            Fn(lambda x: F.pad(x[:, :out, ::2, ::2], (0, 0, 0, 0, 0, max(0, out - count)))),
        )  # fmt: skip
        return Fn(lambda x, a, b, g: g(a(x) + b(x)), main, way, self.activation(out))

    def branches(self) -> nn.Module:
        """Inception: several branches, concatenated."""
        ways = [self.same(self.channels, self.between(1, 3)) for _ in range(self.between(2, 3))]
        ways += [nn.Identity()] if self.chance(0.3) else []
        return Fn(lambda x, *parts: torch.cat([part(x) for part in parts], 1), *ways)

    def dense(self) -> nn.Module:
        grown, steps = self.channels, []
        for _ in range(self.between(2, 3)):
            steps.append(self.step(grown, 2, same=True))
            grown += 2

        def run(x: Tensor, *parts: nn.Module) -> Tensor:
            maps = [x]
            for part in parts:
                maps.append(part(torch.cat(maps, 1)))
            return torch.cat(maps, 1)

        return Fn(run, *steps)

    def split(self) -> nn.Module:
        """ShuffleNet's unit: half of the channels go through a branch, and all are shuffled."""
        half = self.channels // 2
        if self.channels % 2:
            return self.branches()
        cut: Callable[[Tensor], Any] = self.one(
            lambda x: x.chunk(2, 1), lambda x: torch.split(x, half, 1), lambda x: (x[:, :half], x[:, half:])
        )
        shuffle: Callable[[Tensor], Tensor] = self.one(
            lambda x: torchvision.models.shufflenetv2.channel_shuffle(x, 2), lambda x: x, lambda x: F.channel_shuffle(x, 2)
        )

        def run(x: Tensor, branch: nn.Module) -> Tensor:
            kept, other = cut(x)
            return shuffle(torch.cat((kept, branch(other)), 1))

        return Fn(run, self.same(half, half))

    def gate(self) -> nn.Module:
        """A product with a gate of the whole map, of the channels of each place, or of a branch."""
        count = self.channels
        squeeze = nn.Sequential(nn.Conv2d(count, 2, 1), nn.ReLU(), nn.Conv2d(2, count, 1), nn.Sigmoid())
        kinds: list[nn.Module] = [
            Fn(lambda x, f: x * f(x.mean((2, 3), keepdim=True)), squeeze),
            Fn(lambda x, f: f(F.adaptive_avg_pool2d(x, 1)) * x, squeeze),
            Fn(lambda x, f: x * f(x), squeeze),
            Fn(lambda x, f: x * f(x.mean((2, 3))).sigmoid().view(x.size(0), -1, 1, 1).expand_as(x), nn.Linear(count, count)),
            Fn(
                lambda x, f: x * torch.sigmoid(f(torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1))),
                nn.Conv2d(2, 1, 3, padding=1),
            ),
            Fn(lambda x, f: x + (x.flatten(2) @ f(x).flatten(2).softmax(2).transpose(1, 2)).unsqueeze(-1), nn.Conv2d(count, 1, 1)),
            Fn(lambda x: x / (1 + x.abs().amax((1, 2, 3), keepdim=True))),
            Fn(lambda x, f: f(x) - x * 0.5, self.same(count, count)),
        ]  # fmt: skip
        return self.one(*kinds)

    def reused(self) -> nn.Module:
        """One module that runs several times."""
        count = self.channels
        if self.chance(0.5):
            step = self.same(count, count)
            return nn.Sequential(step, step)
        shared = self.activation(count)
        return nn.Sequential(self.conv(count, count, same=True), shared, self.conv(count, count, same=True), shared)

    def computed(self) -> nn.Module:
        """A convolution by a function, with weights that are computed or fixed."""
        conv = nn.Conv2d(self.channels, self.between(1, 6), 3)
        settings = {"stride": self.one(1, 2), "padding": self.one(0, 1, (1, 0))}

        def run(x: Tensor, conv: nn.Conv2d) -> Tensor:
            weight = conv.weight
            weight = weight / weight.abs().flatten(1).sum(1)[:, None, None, None]
            return F.conv2d(x, weight, conv.bias, **settings)

        return Fn(run, conv)

    def idle(self) -> nn.Module:
        scaled = Fn(lambda x: x * 1.5 + 0.25)
        return self.one(nn.Dropout(0.3), nn.Dropout2d(), torchvision.ops.StochasticDepth(0.2, "row"), scaled, Fn(lambda x: x + x))

    def head(self) -> nn.Module:
        _, count, height, width = self.shape
        size = count * height * width
        kinds: list[Callable[[], nn.Module]] = [
            lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(count, CLASSES)),
            lambda: Fn(lambda x, f: f(x.mean([2, 3])), nn.Linear(count, CLASSES)),
            lambda: Fn(lambda x, f: f(x.mean(3).mean(2)), nn.Linear(count, CLASSES)),
            lambda: Fn(lambda x, f: f(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)), nn.Linear(count, CLASSES)),
            lambda: Fn(lambda x, f: f(x.view(x.size(0), -1)), nn.Linear(size, CLASSES)),
            lambda: Fn(lambda x, f: f(F.avg_pool2d(x, x.size()[2:]).flatten(1)), nn.Linear(count, CLASSES)),
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(size, 6), nn.ReLU(True), nn.Dropout(), nn.Linear(6, CLASSES)),
            lambda: nn.Sequential(nn.Conv2d(count, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        ]
        if not self.linear:
            kinds += [
                lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(count, CLASSES)),
                lambda: Fn(lambda x, f: f(x.amax((2, 3))), nn.Linear(count, CLASSES)),
            ]
        return self.one(*kinds)()

    def block(self) -> nn.Module:
        """Any block."""
        names = ["step", "step", "step", "pool", "residual", "downsampled", "branches", "dense", "split", "moved"]
        if self.plain:
            names = [name for name in names if name != "moved"] + ["pool", "dense", "branches"]
            return getattr(self, self.one(*names))()  # type: ignore[no-any-return]
        names += ["resampled", "reused", "computed", "idle"] + ([] if self.linear else ["gate"])
        made: nn.Module = getattr(self, self.one(*names))()
        return made


def draw(seed: int, *, linear: bool = False) -> tuple[nn.Module, int]:
    """A network in float64 with the side of its input.

    Args:
        seed: that draws it and its weights.
        linear: whether it has nothing but local operations whose gradient does not vanish where all is positive, and
            positive weights.
    """
    torch.manual_seed(seed)
    drawn = Draw(seed, linear=linear)
    side = drawn.between(9, 27)
    body: list[nn.Module] = []
    value = torch.rand(2, 3, side, side, dtype=torch.float64)
    cut = drawn.between(0, 5)
    if drawn.chance(0.5):  # maps that are not square
        body.append(Fn(lambda x: x[:, :, : x.shape[2] - cut]))
        value = value[:, :, : side - cut]
    drawn.shape = value.shape
    wanted = drawn.between(2, 6)
    while len(body) < wanted:
        step = drawn.step(3) if not body else drawn.block()
        made = _tried(step.double().eval(), value)
        if made is not None:
            body.append(step)
            value, drawn.shape = made, made.shape
    while (head := drawn.head().double().eval()) and not _runs(head, value):
        pass
    network = nn.Sequential(*body, head)
    _weigh(network, linear=linear)
    return network.eval(), side


def _runs(head: nn.Module, value: Tensor) -> bool:
    try:
        head(value)
    except RuntimeError:  # a view of memory that does not lie so
        return False
    return True


def _tried(step: nn.Module, value: Tensor) -> Tensor | None:
    """What a block makes of a map; None where it cannot run, or makes too small or too large a map."""
    try:
        with torch.no_grad():
            made: Tensor = step(value.clone())
    except (RuntimeError, ValueError):
        return None
    batch, channels, height, width = made.shape
    fits = SMALLEST <= min(height, width) and max(height, width) <= LARGEST and channels <= WIDEST
    return made if fits and batch == len(value) else None


def _weigh(network: nn.Module, *, linear: bool) -> None:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                if linear:
                    module.running_mean.abs_().neg_()
                if module.affine:
                    module.weight.normal_()
                    module.bias.normal_()
        if linear:
            for parameter in network.parameters():
                parameter.abs_().add_(0.01)


def _added(x: Tensor, y: Tensor) -> Tensor:
    x += y
    return x


__all__ = ["CLASSES", "Draw", "Fn", "draw", "frozen"]
