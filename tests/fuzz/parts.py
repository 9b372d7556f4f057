"""The parts that random networks are made of (`tests.fuzz.networks`): convolutions, pooling, what moves values."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.indexer.networks import Function as Fn


class Parts:
    """Draws settings and parts; `shape` is the (batch, channels, height, width) of the map that a block gets."""

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

    def module(self, *several: nn.Module) -> nn.Module:
        """One of several modules."""
        return self.random.choice(several)

    def made(self, kinds: Sequence[Callable[[], nn.Module]]) -> nn.Module:
        """One of several kinds of modules."""
        return self.random.choice(kinds)()

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
        mode: Any = self.one("zeros", "zeros", "zeros", "zeros", "reflect", "replicate", "circular")
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
            return self.module(nn.BatchNorm2d(channels), nn.Identity(), nn.BatchNorm2d(channels, affine=False))
        kinds: list[Callable[[], nn.Module]] = [lambda: nn.BatchNorm2d(channels)] * 5 + [
            lambda: nn.BatchNorm2d(channels, affine=False),
            lambda: nn.GroupNorm(self.one(*(g for g in (1, 2, channels) if channels % g == 0)), channels),
            lambda: nn.InstanceNorm2d(channels, affine=True),
            lambda: nn.LocalResponseNorm(3),
            lambda: Fn(lambda x, norm: norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.LayerNorm(channels)),
        ]
        return self.made(kinds) if self.chance(0.6) else nn.Identity()

    def activation(self, channels: int) -> nn.Module:
        if self.linear:
            return self.module(nn.ReLU(), nn.ReLU(inplace=True), Fn(F.relu), nn.PReLU(channels), nn.Identity())
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
            lambda: Fn(self.one(torch.relu, torch.relu_, lambda x: x.relu_(), lambda x: x.clamp(min=0))),
            lambda: Fn(self.one(F.silu, F.hardswish, F.gelu, torch.tanh, F.leaky_relu, F.softsign)),
            lambda: Fn(lambda x: torch.maximum(x, 0.1 * x)),
        ]  # fmt: skip
        return self.made(kinds)

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
        return average if self.linear else self.module(average, nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(5, 1, 2))

    def pool(self) -> nn.Module:
        kernel = (self.between(1, 4), self.between(1, 4)) if self.chance(0.4) else (self.one(2, 3),) * 2
        stride = self.one(None, 1, 2, 2, (2, 1))
        padding: Any = tuple(self.between(0, k // 2) for k in kernel)
        ceil = self.chance(0.3)
        if self.plain:
            return self.module(
                nn.AvgPool2d(kernel, stride, padding), nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
            )
        average = nn.AvgPool2d(
            kernel, stride, padding, ceil, count_include_pad=self.chance(0.6), divisor_override=self.one(None, None, 3)
        )
        adaptive = nn.AdaptiveAvgPool2d((self.between(2, 9), self.between(2, 9)))
        if self.linear:
            return self.module(average, adaptive)
        largest = nn.MaxPool2d(kernel, stride, padding, self.one(1, 1, 2), ceil_mode=ceil)
        return self.module(
            *(average, largest, largest, largest, adaptive),
            nn.AdaptiveMaxPool2d((self.between(2, 9), self.between(2, 9))),
            nn.LPPool2d(2, kernel, stride),
            Fn(lambda x: F.max_pool2d(x, 2)),
            Fn(lambda x: F.avg_pool2d(x, (x.size(2) // 2, x.shape[3] // 3))),
        )

    def resampled(self) -> nn.Module:
        count = self.channels
        kernel, stride = (self.between(1, 4), self.between(2, 4)), self.one(1, 2, (2, 1))
        return self.module(
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
