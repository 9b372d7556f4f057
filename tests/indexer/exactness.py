"""Small networks of two layers, decomposed at every place and compared with autograd on whole maps, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.decisions import Decisions, Segment
from evigraph.indexer.model.graph import frozen, trace
from evigraph.indexer.model.layers import choose_layers, feature_maps

LAYERS = ("stem", "body")


class TwoLayers(nn.Module):
    """(batch, 3, height, width) -> logits, through two layers: what is between them is under test.

    The stem has no activation function, so that no value of the lower layer is zero: where its A is zero, so is G.
    """

    def __init__(self, body: nn.Module, head: nn.Module | None = None, channels: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 1)
        self.body = body
        self.head = head or nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(3))

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(self.stem(pixels)))
        return logits


def small(
    body: nn.Module, size: tuple[int, int] = (9, 7), head: nn.Module | None = None, *, integers: bool = False
) -> tuple[TwoLayers, Tensor]:
    """A network with seeded float64 weights, and two images of this size.

    Args:
        body: between the layers; made under the caller's seed.
        size: height and width of the lower layer.
        head: above the upper one.
        integers: make values of the lower layer small whole numbers, so that many are equal.
    """
    network = TwoLayers(body, head)
    pixels = torch.randn(2, 3, *size)
    with torch.no_grad():
        network(pixels)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
                if module.affine:
                    module.weight.normal_()
                    module.bias.normal_()
        if integers:
            network.stem.weight.copy_(torch.randint(-1, 2, network.stem.weight.shape))
            network.stem.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))  # type: ignore[union-attr]
            pixels = torch.randint(-1, 2, pixels.shape).float()
    return network.double().eval(), pixels.double()


def recorder_of(network: nn.Module, pixels: Tensor, layers: Sequence[str] = LAYERS) -> WindowedRecorder:
    """The engine over these layers."""
    with frozen(network):
        graph = trace(network, pixels[:1])
        return WindowedRecorder(graph, choose_layers(feature_maps(graph, network, pixels[:1]), layers), pixels[:1])


def everywhere(value: Tensor) -> Decisions:
    """Every value of a (batch, channels, height, width) map, or of (batch, classes) logits, which have no sign."""
    whole = value if value.ndim == 4 else value[:, :, None, None]
    image, channel, y, x = torch.cartesian_prod(*(torch.arange(n) for n in whole.shape)).T
    sign = torch.where((whole.flatten() < 0) & (value.ndim == 4), -1, 1)
    return Decisions(image, channel, y, x, sign)


def engine_maps(
    segment: Segment, decisions: Decisions, shape: Sequence[int], *, of_sums: float | None = None
) -> Tensor:
    """The engine's activation maps put into whole maps: (decisions, channels, height, width).

    Asserts that they are zero outside of the map, and that their sums are those the engine gives: up to 1e-5, or a
    part `of_sums` of the largest sum of what is added up, where values may be of any size.
    """
    _, channels, height, width = shape
    found = torch.zeros(len(decisions), channels, height, width, dtype=torch.float64)
    for part in segment.activation_maps(decisions):
        row = torch.arange(len(part.rows)).repeat_interleave(channels)
        channel = torch.arange(channels).repeat(len(part.rows))
        maps, top, left = part.of(row, channel)
        y = (top[:, None] + torch.arange(maps.shape[1]))[:, :, None].expand(maps.shape)
        x = (left[:, None] + torch.arange(maps.shape[2]))[:, None, :].expand(maps.shape)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        assert not maps[~inside].any()
        edge = torch.arange(len(row))[:, None, None].expand(maps.shape)
        flat = torch.zeros(len(row), height, width, dtype=torch.float64)
        flat[edge[inside], y[inside], x[inside]] = maps[inside].double()
        found[part.rows] = flat.view(-1, channels, height, width)
        # The engine adds up in float32, whatever the network's precision.
        whole = found[part.rows]
        slack = 1e-5 if of_sums is None else of_sums * float(whole.abs().sum((2, 3)).max()) + 1e-12
        torch.testing.assert_close(part.sums.double(), whole.sum((2, 3)), rtol=1e-4, atol=slack)
    return found


def autograd_maps(source: Tensor, target: Tensor, decisions: Decisions) -> Tensor:
    """The same by autograd, one decision at a time; `source` is a leaf and `target` computed from it."""
    target = target if target.ndim == 4 else target[:, :, None, None]
    maps = []
    for image, channel, y, x, sign in zip(
        *(getattr(decisions, name).tolist() for name in ("image", "channel", "y", "x", "sign")), strict=True
    ):
        (gradient,) = torch.autograd.grad(sign * target[image, channel, y, x], source, retain_graph=True)
        maps.append((gradient * source)[image].detach())
    return torch.stack(maps)


def assert_exact(network: TwoLayers, pixels: Tensor, *, windows: bool = True) -> None:
    """Assert that every decomposition of both segments is autograd's.

    Args:
        network: made by `small`.
        pixels: likewise.
        windows: whether the segment between the two layers is to run on windows.
    """
    recorder = recorder_of(network, pixels)
    assert (recorder.fallbacks[0] is None) == windows, recorder.fallbacks
    with frozen(network):
        record = recorder.record(pixels)
        lower = network.stem(pixels).detach().requires_grad_()
        upper = network.body(lower)
        cut = upper.detach().requires_grad_()
        logits = network.head(cut)
        torch.testing.assert_close(record.features, [lower.detach(), upper.detach()])
        torch.testing.assert_close(record.logits, logits.detach())
        for segment, source, target in ((0, lower, upper), (1, cut, logits)):
            decisions = everywhere(target.detach())
            torch.testing.assert_close(
                engine_maps(record.segments[segment], decisions, source.shape),
                autograd_maps(source, target, decisions),
            )
