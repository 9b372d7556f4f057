"""Where the places of a map lie, against where the gradient of float64 reaches: boxes, strides, what is whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.shufflenetv2 import channel_shuffle

from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.geometry import Geometry
from evigraph.indexer.model.graph import trace
from evigraph.indexer.model.layers import feature_maps
from tests.indexer.networks import Function

SIDE = 72


class Network(nn.Module):
    """A body under test and a head; the map is what the body gives."""

    def __init__(self, *steps: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(*steps, nn.Identity())
        self.head = nn.Linear(channels, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        logits: Tensor = self.head(self.body(pixels).mean((2, 3)))
        return logits


def channels_shuffle() -> bool:
    """Whether torch has a gradient of channel_shuffle; 2.4 has none."""
    x = torch.zeros(1, 4, 1, 1, requires_grad=True)
    with suppress(RuntimeError):
        return bool(torch.autograd.grad(nn.ChannelShuffle(2)(x).sum(), x)[0].all())
    return False


def map_of(network: Network, side: int = SIDE) -> FeatureMap:
    pixels = torch.randn(1, 3, side, side, dtype=torch.float64)
    maps = feature_maps(trace(network), network, pixels)
    return next(m for m in maps if "body" in m.aliases)


def reached(network: Network, y: int, x: int, side: int = SIDE) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) of the pixels that the gradient of the map's values at (y, x) reaches; None for none,
    as of a place that is all padding.
    """
    pixels = torch.randn(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network.body(pixels)[0, :, y, x].sum(), pixels)
    flags = (gradient[0] != 0).any(0)
    rows, columns = (torch.nonzero(flags.any(1 - axis))[:, 0].tolist() for axis in (0, 1))
    return (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if rows else None


def geometry_of(layer: FeatureMap) -> Geometry:
    assert layer.geometry is not None
    return layer.geometry


def assert_holds(network: Network, side: int = SIDE) -> None:
    """Assert that no pixel that matters lies outside of a place's box, at borders, in the middle, anywhere."""
    network = network.double().eval()
    layer = map_of(network, side)
    places = [(0, 0), (layer.height - 1, layer.width - 1), (layer.height // 2, layer.width // 2)]
    places += [(layer.height // 3, 2 * layer.width // 3), (0, layer.width - 1)]
    for y, x in places:
        top, bottom, left, right = geometry_of(layer).box(y, x)
        true = reached(network, y, x, side) or (top, bottom, left, right)
        assert top <= true[0] < true[1] <= bottom, (y, x, true, (top, bottom, left, right))
        assert left <= true[2] < true[3] <= right, (y, x, true, (top, bottom, left, right))


def positive(network: Network) -> Network:
    """With weights above 0, so that no gradient that reaches a pixel cancels out."""
    network = network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.1)
    return network


def pad(*counts: int, mode: str = "constant") -> nn.Module:
    return Function(lambda x: F.pad(x, counts, mode=mode))


def local_step(random_: random.Random) -> nn.Module:
    """An operation of windows, of any size and offset."""
    kernel = (random_.randint(1, 4), random_.randint(1, 4))
    padding = (random_.randint(0, kernel[0] // 2), random_.randint(0, kernel[1] // 2))
    kind = random_.choice(["conv", "pool", "pad", "module", "sum", "cat", "divided"])
    if kind == "conv":
        steps, dilation = random_.choice([1, 1, 2]), random_.randint(1, 2)
        return nn.Conv2d(4, 4, kernel, steps, padding, dilation=dilation)
    if kind == "pool":
        return nn.AvgPool2d(kernel, random_.choice([1, 2]), padding, ceil_mode=random_.choice([True, False]))
    if kind == "pad":
        return pad(*(random_.randint(-1, 3) for _ in range(4)))
    if kind == "module":
        return nn.ZeroPad2d(tuple(random_.randint(0, 2) for _ in range(4)))  # type: ignore[arg-type]
    if kind == "divided":
        return Function(lambda x: F.avg_pool2d(x, 2, stride=1, padding=1)[:, :, :, :])
    wide, moved = nn.Conv2d(4, 4, 5, padding=2), (random_.randint(-2, 2), random_.randint(-2, 2))
    shift = (moved[0], -moved[0], moved[1], -moved[1])
    if kind == "sum":
        return Function(lambda x, wide: wide(x) + F.pad(x, shift), wide)
    return nn.Sequential(Function(lambda x, wide: torch.cat([F.pad(x, shift), wide(x)], 1), wide), nn.Conv2d(8, 4, 1))


@pytest.mark.parametrize("seed", range(40))
def test_boxes_of_local_operations_are_what_the_gradient_reaches(seed: int) -> None:
    random_ = random.Random(seed)
    torch.manual_seed(seed)
    network = positive(Network(nn.Conv2d(3, 4, 3, 1, 1), *(local_step(random_) for _ in range(4))))
    assert_holds(network)
    layer = map_of(network)
    y, x = layer.height // 2, layer.width // 2
    # In the middle, where no window sticks out of a map, not a pixel more.
    assert geometry_of(layer).box(y, x) == reached(network, y, x)
    top, bottom, left, right = geometry_of(layer).box(y, x)
    assert geometry_of(layer).rows.field == bottom - top
    assert geometry_of(layer).columns.field == right - left
    crop = layer.crops(SIDE).box(y, x, SIDE)
    assert crop.top <= top < bottom <= crop.bottom
    assert crop.left <= left < right <= crop.right


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    "step",
    [
        nn.Conv2d(4, 4, 4, padding="same"),
        nn.Conv2d(4, 4, 3, padding="same", dilation=2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AdaptiveAvgPool2d((6, 9)),
        Function(lambda x, conv: F.conv2d(x, conv.weight, None, 2, 1, 2), nn.Conv2d(4, 4, 3)),
        Function(lambda x, conv: F.conv2d(x, conv.weight, stride=(1, 2)), nn.Conv2d(4, 4, 3)),
        nn.Sequential(
            Function(lambda x: x.permute(0, 2, 3, 1)), nn.LayerNorm(4), nn.Linear(4, 4), nn.GELU(),
            Function(lambda x: x.permute(0, 3, 1, 2)), nn.Conv2d(4, 4, 3, padding=1),
        ),
        Function(lambda x: channel_shuffle(x, 2)),
        Function(lambda x: torch.cat([x.chunk(2, 1)[1] * 2, x.chunk(2, 1)[0]], 1)),
        nn.Sequential(nn.ConvTranspose2d(4, 4, 5, 1, 2), nn.Conv2d(4, 4, 3, 2, 1)),
        Function(lambda x: x * torch.sigmoid(x.mean(1, keepdim=True))),
    ],
    ids=["same, even", "same", "ceil", "adaptive", "conv2d", "conv2d, across", "channels last", "shuffle", "parts",
         "transposed", "gate by place"],
)  # fmt: skip
def test_boxes_of_other_local_operations_are_tight(step: nn.Module) -> None:
    torch.manual_seed(0)
    network = Network(nn.Conv2d(3, 4, 3, 1, 1), step)
    # A maximum's gradient reaches one pixel, a window of values that differ; NaN passes every operation.
    assert_holds(network)
    network = positive(network) if not isinstance(step, nn.MaxPool2d) else network.double().eval()
    layer = map_of(network)
    y, x = layer.height // 2, layer.width // 2
    box = geometry_of(layer).box(y, x)
    assert max(box[1] - box[0], box[3] - box[2]) < SIDE // 4
    if not isinstance(step, nn.MaxPool2d):
        assert box == reached(network, y, x)


def weighed(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution whose weights are computed (weight standardisation)."""
    weight = conv.weight / conv.weight.flatten(1).sum(1)[:, None, None, None]
    return F.conv2d(x, weight, padding=1)


def blurred(x: Tensor) -> Tensor:
    """Anti-aliased downsampling by a fixed kernel."""
    kernel = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    return F.conv2d(
        F.pad(x, (1, 1, 1, 1), mode="reflect"), (kernel[:, None] * kernel).expand(4, 1, 3, 3), None, 2, 0, 1, 4
    )


def shifted(x: Tensor) -> Tensor:
    """Parts of the channels go one place left, right, up and down (ShiftNet, TSM)."""
    left, right, up, down = x.chunk(4, 1)
    moved = (F.pad(left, (-1, 1)), F.pad(right, (1, -1)), F.pad(up, (0, 0, -1, 1)), F.pad(down, (0, 0, 1, -1)))
    return torch.cat(moved, 1)


def focus(x: Tensor) -> Tensor:
    """Every other pixel as a channel (YOLOv5)."""
    return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)


def on_places(x: Tensor) -> Tensor:
    """Channels mixed behind a flattening."""
    batch, channels, height, width = x.shape
    tokens = x.flatten(2).transpose(1, 2)
    return (tokens @ torch.ones(4, 4).double()).transpose(1, 2).reshape(batch, channels, height, width)


def windows(x: Tensor) -> Tensor:
    """Means over windows of 4 x 4, by cutting the map into them."""
    batch, channels, height, width = x.shape
    cut = x.view(batch, channels, height // 4, 4, width // 4, 4).permute(0, 1, 2, 4, 3, 5)
    return (
        cut.mean((4, 5), keepdim=True).expand_as(cut).permute(0, 1, 2, 4, 3, 5).reshape(batch, channels, height, width)
    )


def kept(function: Callable[..., Tensor], *modules: nn.Module) -> nn.Module:
    return Function(function, *modules)


LOCAL: dict[str, Callable[[], nn.Module]] = {
    "asymmetric": lambda: nn.Conv2d(4, 4, (1, 7), (2, 1), (0, 3)),
    "grouped, dilated": lambda: nn.Conv2d(4, 4, 3, 1, 3, dilation=3, groups=2),
    "reflected": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "reflected far": lambda: nn.Conv2d(4, 4, 3, 2, padding=4, padding_mode="reflect"),
    "replicated far": lambda: nn.Conv2d(4, 4, 3, 2, padding=6, padding_mode="replicate"),
    "wrapped": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    "computed weights": lambda: kept(weighed, nn.Conv2d(4, 4, 3)),
    "blurred": lambda: kept(blurred),
    "transposed, stride 1": lambda: nn.ConvTranspose2d(4, 4, 5, 1, 2),
    "transposed, stride 2": lambda: nn.ConvTranspose2d(4, 4, 4, 2, 1),
    "transposed, stride 3": lambda: nn.ConvTranspose2d(4, 4, (3, 5), (3, 2), (0, 1), dilation=(1, 2)),
    "transposed, more": lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, groups=2),
    "average, ceil": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "nearest, smaller": lambda: nn.Upsample(size=(11, 20)),
    "nearest-exact": lambda: kept(lambda x: F.interpolate(x, size=(10, 53), mode="nearest-exact")),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear, corners": lambda: nn.UpsamplingBilinear2d(scale_factor=3),
    "bilinear, smaller": lambda: kept(lambda x: F.interpolate(x, size=(13, 25), mode="bilinear")),
    "bilinear, odd factor": lambda: kept(lambda x: F.interpolate(x, scale_factor=1.37, mode="bilinear")),
    "bilinear, antialias": lambda: kept(lambda x: F.interpolate(x, size=(13, 25), mode="bilinear", antialias=True)),
    "bicubic": lambda: kept(lambda x: F.interpolate(x, scale_factor=(0.7, 1.9), mode="bicubic", align_corners=True)),
    "bicubic, antialias": lambda: kept(lambda x: F.interpolate(x, size=(9, 50), mode="bicubic", antialias=True)),
    "area": lambda: kept(lambda x: F.interpolate(x, size=(10, 7), mode="area")),
    "by a size": lambda: kept(lambda x: F.interpolate(x, size=[s * 2 for s in (x.shape[2], x.shape[3])])),
    "adaptive": lambda: nn.AdaptiveAvgPool2d((7, 50)),
    "padded by reflection": lambda: pad(3, 1, 0, 5, mode="reflect"),
    "padded by replication": lambda: nn.ReplicationPad2d((4, 0, 2, 3)),
    "padded by wrapping": lambda: nn.CircularPad2d((2, 1, 0, 3)),
    "padded channels": lambda: kept(lambda x: F.pad(x[:, :3], (0, 0, 0, 0, 1, 0))),
    "cut off": lambda: pad(-1, 2, -3, 0),
    "roll": lambda: kept(lambda x: torch.roll(x, (5, -3), (2, 3))),
    "flip": lambda: kept(lambda x: x.flip(2)),
    "turned": lambda: kept(lambda x: torch.rot90(x, 1, (2, 3))),
    "rows for columns": lambda: nn.Sequential(kept(lambda x: x.transpose(2, 3)), nn.Conv2d(4, 4, 3)),
    "shifted": lambda: kept(shifted),
    "sliced": lambda: kept(lambda x: x[:, :, 1:, ::2]),
    "sliced from the end": lambda: kept(lambda x: x[..., -20:, :-3]),
    "narrowed": lambda: kept(lambda x: x.narrow(2, 4, 9)),
    "picked": lambda: kept(lambda x: x[:, :, [3, 2, 1, 0]]),
    "selected": lambda: kept(lambda x: x.index_select(3, torch.tensor([0, 5, 9]))),
    "cut along rows": lambda: kept(lambda x: torch.split(x, [10, 26], 2)[1]),
    "put together along rows": lambda: kept(lambda x: torch.cat([x, x.flip(2)], 2)),
    "stacked": lambda: kept(lambda x: torch.stack([x, x.roll(1, 2)], 2).sum(2)),
    "pixel shuffle": lambda: nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(1, 4, 3)),
    "pixel unshuffle": lambda: nn.Sequential(nn.PixelUnshuffle(3), nn.Conv2d(36, 4, 1)),
    "focus": lambda: nn.Sequential(kept(focus), nn.Conv2d(16, 4, 3)),
    **({"channel shuffle": lambda: nn.ChannelShuffle(2)} if channels_shuffle() else {}),
    "channels mixed behind a flattening": lambda: kept(on_places),
    "cut into windows": lambda: kept(windows),
    "repeated": lambda: kept(lambda x: x.repeat_interleave(2, 2)),
    "prelu": lambda: nn.PReLU(4),
    "sum of several strides": lambda: kept(
        lambda x, down: x + F.interpolate(down(x), scale_factor=2, mode="bilinear"), nn.Conv2d(4, 4, 3, 2, 1)
    ),
    "mean of channels": lambda: kept(lambda x: x * x.mean(1, keepdim=True)),
    "along columns": lambda: kept(lambda x: x * x.mean(3, keepdim=True)),
    "running statistics by map": lambda: nn.InstanceNorm2d(4, track_running_stats=True),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("behind", [False, True])
def test_boxes_hold_what_the_gradient_reaches_and_less_than_a_stride_more(kind: str, behind: bool) -> None:
    torch.manual_seed(0)
    steps = [nn.Conv2d(4, 4, 3, 2, 1)] if behind else []
    network = positive(Network(nn.Conv2d(3, 4, 3, 2, 1), LOCAL[kind](), *steps))
    assert_holds(network)
    layer = map_of(network)
    geometry = geometry_of(layer)
    step = max(geometry.rows.stride, geometry.columns.stride, 1) if not geometry.rows.vague else layer.stride or 1
    for y in range(0, layer.height, 3):
        for x in range(0, layer.width, 3):
            box, true = geometry.box(y, x), reached(network, y, x)
            if true is not None:
                assert box[1] - box[0] <= true[1] - true[0] + step, (y, x, box, true)
                assert box[3] - box[2] <= true[3] - true[2] + step, (y, x, box, true)
            crop = layer.crops(SIDE).box(y, x, SIDE)
            assert (crop.top, crop.bottom, crop.left, crop.right) == box
    across = {"along columns"}
    assert layer.stride is None or 0 < layer.stride <= SIDE
    assert layer.receptive_field is not None
    assert layer.receptive_field < SIDE or kind in across


WHOLE = {
    "gate": Function(lambda x, conv: x * conv(x.mean((2, 3), keepdim=True)).sigmoid(), nn.Conv2d(4, 4, 1)),
    "gate first": Function(lambda x, conv: torch.sigmoid(conv(F.adaptive_avg_pool2d(x, 1))) * x, nn.Conv2d(4, 4, 1)),
    "flat gate": Function(lambda x, lin: x * lin(x.mean((2, 3))).view(-1, 4, 1, 1), nn.Linear(4, 4)),
    "expanded gate": Function(
        lambda x, lin: x * lin(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)).view(-1, 4, 1, 1).expand_as(x),
        nn.Linear(4, 4),
    ),
    "maximum's gate": Function(lambda x: x * x.amax((2, 3), keepdim=True)),
    "sum's gate": Function(lambda x: x / x.sum(dim=(2, 3), keepdim=True)),
    "normalised": nn.GroupNorm(2, 4),
    "normalised by map": nn.InstanceNorm2d(4),
    "normalised by all": Function(lambda x: F.layer_norm(x, x.shape[1:])),
    "response": Function(lambda x: x * torch.norm(x, p=2, dim=(2, 3), keepdim=True)),
    "attention": Function(lambda x: (x.flatten(2) @ (x.flatten(2).transpose(1, 2) @ x.flatten(2))).view_as(x)),
    "context": Function(
        lambda x, conv: x + (x.flatten(2) @ conv(x).flatten(2).softmax(2).transpose(1, 2)).unsqueeze(-1),
        nn.Conv2d(4, 1, 1),
    ),
    "by einsum": Function(lambda x: torch.einsum("bchw,bdhw->bcd", x, x).sum(2)[:, :, None, None] * x),
    "softmax over places": Function(lambda x: x * x.flatten(2).softmax(2).view_as(x)),
    "frequencies": Function(lambda x: torch.fft.irfft2(torch.fft.rfft2(x, norm="ortho"), s=(36, 36), norm="ortho")),
    "sampled": Function(
        lambda x, lin: F.grid_sample(
            x, F.affine_grid(lin(x.mean((2, 3))).view(-1, 2, 3), [x.size(0), 4, 36, 36], align_corners=False),
            align_corners=False,
        ),
        nn.Linear(4, 6),
    ),
    "dynamic convolution": Function(
        lambda x, lin: F.conv2d(x, lin(x.mean((2, 3))).view(4, 4, 3, 3), padding=1), nn.Linear(4, 144)
    ),
    "sorted": Function(lambda x: x.flatten(2).sort(2)[0].view_as(x)),
    "folded": Function(lambda x: F.fold(F.unfold(x, 3, padding=1), (36, 36), 3, padding=1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_what_sees_all_of_a_map_is_whole_and_keeps_its_stride(kind: str) -> None:
    torch.manual_seed(0)
    network = Network(nn.Conv2d(3, 4, 3, 2, 1), WHOLE[kind], nn.Conv2d(4, 4, 3, 2, 1))
    assert_holds(network)
    layer = map_of(network)
    assert geometry_of(layer).box(1, 1) == (0, SIDE, 0, SIDE)
    assert layer.receptive_field == SIDE
    assert layer.stride in {4, None}
    assert layer.crops(SIDE).box(1, 1, SIDE) == (0, 0, SIDE, SIDE)


def test_what_views_make_of_a_map_has_the_stride_of_its_values() -> None:
    """Space to depth by views, as TResNet begins; a gate behind it knows the stride."""

    def to_depth(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        cut = x.view(batch, channels, height // 4, 4, width // 4, 4).permute(0, 3, 5, 1, 2, 4)
        return cut.reshape(batch, channels * 16, height // 4, width // 4)

    gate = Function(lambda x, conv: x * conv(x.mean((2, 3), keepdim=True)), nn.Conv2d(4, 4, 1))
    network = Network(Function(to_depth), nn.Conv2d(48, 4, 3, 1, 1), gate, nn.Conv2d(4, 4, 3, 2, 1))
    layer = map_of(network.double())
    assert (layer.stride, layer.receptive_field) == (8, SIDE)
    assert geometry_of(layer).rows.centre == 2


def test_gates_over_gates_leave_stride_and_field_alone() -> None:
    """Each multiplied the stride by the size of the map: after eight of them it was 4,194,304."""

    def gate() -> nn.Module:
        return Function(lambda x, conv: x * conv(x.mean((2, 3), keepdim=True)), nn.Conv2d(4, 4, 1))

    network = Network(nn.Conv2d(3, 4, 3, 2, 1), *(gate() for _ in range(8)))
    layer = map_of(network.double())
    assert (layer.stride, layer.receptive_field) == (2, SIDE)
    assert geometry_of(layer).rows.centre == 0.5
