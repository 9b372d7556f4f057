"""Random small networks, made of what convolutional networks are made of: one for each seed.

A network is a list of blocks, each drawn and tried on the map so far: one that cannot run, or makes the map too small
or too large, is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from tests.fuzz.parts import Parts
from tests.indexer.networks import Function as Fn

CLASSES = 4
SMALLEST, LARGEST, WIDEST = 2, 40, 12


class Draw(Parts):
    """Draws blocks, and heads."""

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
        main = nn.Sequential(
            nn.Conv2d(count, out, 3, 2, 1), self.norm(out), self.activation(out), self.conv(out, out, same=True)
        )
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
            lambda x: torchvision.models.shufflenetv2.channel_shuffle(x, 2),
            lambda x: x,
            lambda x: F.channel_shuffle(x, 2),
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
            Fn(lambda x, f: x * f(x.mean((2, 3))).view(x.size(0), -1, 1, 1).expand_as(x), nn.Linear(count, count)),
            Fn(
                lambda x, f: x * torch.sigmoid(f(torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1))),
                nn.Conv2d(2, 1, 3, padding=1),
            ),
            Fn(_with_context, nn.Conv2d(count, 1, 1)),
            Fn(lambda x: x / (1 + x.abs().amax((1, 2, 3), keepdim=True))),
            Fn(lambda x, f: f(x) - x * 0.5, self.same(count, count)),
        ]  # fmt: skip
        return self.module(*kinds)

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
        settings: dict[str, Any] = {"stride": self.one(1, 2), "padding": self.one(0, 1, (1, 0))}

        def run(x: Tensor, conv: nn.Conv2d) -> Tensor:
            weight = conv.weight
            weight = weight / weight.abs().flatten(1).sum(1)[:, None, None, None]
            return F.conv2d(x, weight, conv.bias, **settings)

        return Fn(run, conv)

    def idle(self) -> nn.Module:
        scaled = Fn(lambda x: x * 1.5 + 0.25)
        return self.module(
            nn.Dropout(0.3),
            nn.Dropout2d(),
            torchvision.ops.StochasticDepth(0.2, "row"),
            scaled,
            Fn(lambda x: x + x),
        )

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
        return self.made(kinds)

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
    fits = min(height, width) >= SMALLEST and max(height, width) <= LARGEST and channels <= WIDEST
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


def _with_context(x: Tensor, conv: nn.Module) -> Tensor:
    """A map and what attention to its places gives (GCNet)."""
    weight: Tensor = conv(x).flatten(2).softmax(2)
    return x + (x.flatten(2) @ weight.transpose(1, 2)).unsqueeze(-1)


def _added(x: Tensor, y: Tensor) -> Tensor:
    x += y
    return x
