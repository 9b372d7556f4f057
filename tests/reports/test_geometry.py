"""Strides, receptive fields and the boxes that hold them, against where the gradient of float64 reaches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.schema.database import open_read_only
from tests.conftest import Cli
from tests.indexer.engine.test_geometry import channels_shuffle
from tests.indexer.networks import Function
from tests.reports.table import report
from tests.support import tiny

SIDE = 48


class Body(nn.Module):
    """A body that gives a map, the last layer, and a head on it."""

    def __init__(self, *steps: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(*steps)
        self.head = nn.Linear(channels, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        logits: Tensor = self.head(self.body(pixels).mean((2, 3)))
        return logits


def layer_of(*steps: nn.Module, side: int = SIDE) -> tuple[Body, Network, FeatureMap]:
    """A network of weights above 0, prepared, and the layer that its body gives."""
    torch.manual_seed(0)
    model = Body(*steps, nn.ReLU()).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_().add_(0.01)
    network = prepare(model, side, ["body"])
    return model, network, network.layers[-1]


def check(*steps: nn.Module) -> FeatureMap:
    """Assert that every box holds what the gradient reaches, and less than a stride more; gives the layer."""
    model, network, layer = layer_of(*steps)
    pixels = torch.rand(1, 3, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    features = model.body(pixels)
    geometry = layer.geometry
    assert geometry is not None
    step = max(1, layer.stride or 1)
    for y in range(0, layer.height, 2):
        for x in range(0, layer.width, 2):
            (gradient,) = torch.autograd.grad(features[0, :, y, x].sum(), pixels, retain_graph=True)
            rows, columns = (torch.nonzero((gradient[0] != 0).any(0).any(1 - axis))[:, 0] for axis in (0, 1))
            (box,) = network.recorder.receptive_fields(0, pixels.detach(), *(torch.tensor([n]) for n in (0, 0, y, x)))
            top, bottom, left, right = box
            crop = layer.crops(SIDE).box(y, x, SIDE)
            assert (crop.top, crop.bottom, crop.left, crop.right) == box, "pictures and --verify use one box"
            if len(rows):
                true = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
                assert top <= true[0] < true[1] <= bottom, (y, x, box, true)
                assert left <= true[2] < true[3] <= right, (y, x, box, true)
                assert bottom - top <= true[1] - true[0] + step, (y, x, box, true)
                assert right - left <= true[3] - true[2] + step, (y, x, box, true)
    return layer


def conv(stride: int = 1, **options: object) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, stride, **{"padding": 1, **options})  # type: ignore[arg-type]


def stem() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, 2, 1)


LOCAL = [
    pytest.param(
        lambda: [stem(), nn.ConvTranspose2d(4, 4, 4, 2, 1)], 1, 5, id="transposed convolution",
        marks=report("Fangyh09/pytorch-receptive-field#9", "the stride is divided, the field is not 0"),
    ),
    pytest.param(
        lambda: [stem(), nn.ConvTranspose2d(4, 4, 3, 1, 1), conv()], 2, 11, id="deconvolution of stride 1",
        marks=report("Fangyh09/pytorch-receptive-field#1", "it widens the field as a convolution does"),
    ),
    pytest.param(
        lambda: [stem(), nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1), conv(2)], 2, 7, id="up-convolution",
        marks=report("jotaf98/easy-receptive-fields-pytorch#1", "what is behind it has a field too"),
    ),
    pytest.param(
        lambda: [stem(), conv(padding=2, dilation=2), conv(padding=4, dilation=4)], 2, 27, id="dilation",
        marks=report("frgfm/torch-scan#27", "dilation widens the field"),
    ),
    pytest.param(
        lambda: [stem(), nn.MaxPool2d(3, 2, 1), conv(padding=3, dilation=3)], 4, 31, id="dilation behind pooling",
        marks=report("google-research/receptive_field#7", "dilation counts in strides of its input"),
    ),
    pytest.param(
        lambda: [stem(), nn.PixelUnshuffle(2), nn.Conv2d(16, 4, 3, padding=1)], 4, 13, id="pixel unshuffle",
        marks=report("myungsub/CAIN#21", "a place stands for r x r of them"),
    ),
    pytest.param(
        lambda: [stem(), nn.PixelShuffle(2), nn.Conv2d(1, 4, 1)], 1, 3, id="pixel shuffle",
        marks=report("Fangyh09/pytorch-receptive-field#25", "it halves the stride and leaves the field"),
    ),
    pytest.param(
        lambda: [stem(), nn.Upsample(scale_factor=2, mode="bilinear"), conv(2)], 2, 7, id="upsampling",
        marks=report("Fangyh09/pytorch-receptive-field#18", "what is no convolution is followed too, not refused"),
    ),
    pytest.param(
        lambda: [stem(), nn.AdaptiveAvgPool2d((9, 7))], 5, 9, id="adaptive pooling that does not divide",
        marks=report("flagos-ai/FlagGems#4915", "a window ends at the ceiling of (i + 1) * in / out"),
    ),
    pytest.param(
        lambda: [
            stem(),
            nn.ReflectionPad2d(1),
            Function(lambda x: F.conv2d(x, torch.ones(4, 1, 3, 3).double(), None, 2, 0, 1, 4)),
            conv(),
        ], 4, 15, id="blur pooling",
        marks=report("huggingface/pytorch-image-models#101", "a fixed kernel is a convolution like any other"),
    ),
    pytest.param(
        lambda: [stem(), Function(lambda x: F.pad(x, (0, 1, 0, 1))), conv(2, padding=0)], 4, 7, id="asymmetric padding",
        marks=report("Stability-AI/stablediffusion#355", "padded below alone: fields lie further down"),
    ),
    pytest.param(
        lambda: [
            stem(),
            Function(
                lambda x, c: F.conv2d(x, c.weight / c.weight.sum((1, 2, 3), keepdim=True), c.bias, padding=1), conv()
            ),
        ], 2, 7, id="weight standardisation",
        marks=report("mosaicml/composer#1562", "weights that are computed are weights, and no input"),
    ),
    pytest.param(
        lambda: [stem(), nn.Conv2d(4, 4, (1, 7), padding=(0, 3)), nn.Conv2d(4, 4, (3, 1), padding=(1, 0))], 2, 7,
        id="kernels that are not square",
        marks=report("MLRichter/receptive_field_analysis_toolbox#19", "height and width have fields of their own"),
    ),
    pytest.param(
        lambda: [nn.Conv2d(3, 4, 5)], 1, 5, id="no padding",
        marks=report("idiap/attention-sampling#9", "the first place sees pixels 0 to 4, its middle is 2"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "stride", "field"), LOCAL)
def test_local_operations(steps: Callable[[], list[nn.Module]], stride: int, field: int) -> None:
    layer = check(*steps())
    assert (layer.stride, layer.receptive_field) == (stride, field)


MOVED: dict[str, Callable[[], nn.Module]] = {
    "roll": lambda: Function(lambda x: torch.roll(x, (5, 5), (2, 3))),
    "flip": lambda: Function(lambda x: x.flip(3)),
    "quarter turn": lambda: Function(lambda x: torch.rot90(x, 1, (2, 3))),
    "shift of channels": lambda: Function(lambda x: torch.cat([x[:, :2].roll(1, 3), x[:, 2:].roll(-1, 3)], 1)),
    "every other pixel": lambda: Function(lambda x: x[:, :, 1::2, ::2]),
    "wrapped padding": lambda: conv(padding_mode="circular"),
    **({"channels shuffled": lambda: nn.ChannelShuffle(2)} if channels_shuffle() else {}),
    "windows by views": lambda: Function(lambda x: x.unflatten(2, (4, -1)).unflatten(4, (4, -1)).mean((3, 5))),
}


@pytest.mark.parametrize("kind", MOVED)
def test_what_moves_values(kind: str) -> None:
    layer = check(stem(), MOVED[kind](), conv())
    assert layer.stride in {2, 4, 12}
    assert layer.receptive_field is not None
    assert layer.receptive_field < SIDE


def pyramid(x: Tensor, conv: nn.Module) -> Tensor:
    """A map and, beside it, its mean at every place (PSPNet)."""
    mean = F.interpolate(F.adaptive_avg_pool2d(x, 1), x.size()[2:], mode="bilinear")
    made: Tensor = conv(torch.cat([x, mean], 1))
    return made


def gate() -> nn.Module:
    return Function(lambda x, c: x * torch.sigmoid(c(x.mean((2, 3), keepdim=True))), nn.Conv2d(4, 4, 1))


WHOLE = [
    pytest.param(
        gate, id="squeeze and excitation",
        marks=report("hujie-frank/SENet#2", "each value depends on all of the input"),
    ),
    pytest.param(
        lambda: nn.GroupNorm(2, 4), id="group normalisation",
        marks=report("YingqingHe/ScaleCrafter#2", "its statistics are of the whole map"),
    ),
    pytest.param(
        lambda: nn.InstanceNorm2d(4), id="instance normalisation",
        marks=report("junyanz/CycleGAN#32", "its statistics are of the whole map"),
    ),
    pytest.param(
        lambda: Function(pyramid, nn.Conv2d(8, 4, 1)),
        id="pyramid pooling",
        marks=report("aws-neuron/aws-neuron-sdk#373", "a map that was pooled to one place is everywhere"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("step", WHOLE)
def test_global_terms(step: Callable[[], nn.Module]) -> None:
    _, network, layer = layer_of(stem(), step(), conv(2), step(), conv())
    assert layer.receptive_field == SIDE
    assert layer.stride == 4
    (box,) = network.recorder.receptive_fields(
        0, torch.rand(1, 3, SIDE, SIDE), *(torch.tensor([n]) for n in (0, 0, 1, 1))
    )
    assert box == (0, SIDE, 0, SIDE)
    assert layer.crops(SIDE).box(1, 1, SIDE) == (0, 0, SIDE, SIDE)


def test_where_nothing_says_where_a_place_lies_the_stride_is_null() -> None:
    torch.manual_seed(0)
    mixed = Function(lambda x, lin: lin(x.flatten(1)).view(-1, 4, 5, 5), nn.Linear(4 * 24 * 24, 100))
    _, _, layer = layer_of(stem(), mixed, conv())
    assert layer.stride is None
    assert layer.receptive_field == SIDE


def gated(num_classes: int = 4) -> nn.Module:
    """A network of many gates, a map that is turned, and a map that a fully connected layer makes."""
    made = Function(lambda x, lin: lin(x.flatten(1)).view(-1, 4, 3, 3), nn.Linear(4 * 8 * 8, 36))
    steps = [
        stem(),
        nn.ReLU(),
        Function(lambda x: x.roll(3, 2).transpose(2, 3)),
        conv(2),
        nn.ReLU(),
        *(gate() for _ in range(9)),
    ]
    return nn.Sequential(
        *steps, nn.ReLU(), made, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
    )


def test_published_strides_and_fields(cli: Cli, tmp_path: Path) -> None:
    """`publish` refused a run whose gates had multiplied the stride to 4,194,304."""
    images, run, database = tiny.draw_images(tmp_path / "images", 4), tmp_path / "run", tmp_path / "db.duckdb"
    words = ["--model", f"{__name__}:gated", "--weights", "random", "--data", f"imagefolder:{images}", *tiny.INPUT]
    more = ["--workers", "0", "--verify", "all", "--thumbnails", "32", "--guided", "1"]
    indexed = cli("index", *words, *more, "--layers", "1,4,14,16", "--run", run)
    assert indexed.code == 0, indexed.stderr
    published = cli("publish", run, "--db", database)
    assert published.code == 0, published.stderr
    answer = json.loads(cli("query", "--db", database, "{ run { layers { stride receptiveField } } }").stdout)
    layers = [(row["stride"], row["receptiveField"]) for row in answer["data"]["run"]["layers"]]
    # Of the map that a fully connected layer makes nothing says where its places lie.
    assert layers == [(2, 3), (4, 7), (4, 32), (None, 32), (32, 32)]
    with open_read_only(database).connect() as connection:
        asked = "SELECT source_layer, min(area), max(area) FROM verification GROUP BY ALL"
        areas = connection.exec_driver_sql(asked).fetchall()
    assert {layer: (low, high) for layer, low, high in areas if layer > 1} == {2: (1, 1), 3: (1, 1)}
    # Windows across the seam of what was rolled see all rows.
    assert all(high <= (9, 32 * 7)[layer] / 32**2 for layer, _, high in areas if layer < 2)


@report("nashory/DeLF-pytorch#22", "ResNet-18: 211 pixels at a stride of 16 behind layer3, 435 at 32 behind layer4")
def test_resnet18() -> None:
    network = prepare(torchvision.models.resnet18(weights=None).eval(), 224)
    assert [(m.stride, m.receptive_field) for m in network.layers] == [(2, 7), (4, 43), (8, 99), (16, 211), (32, 435)]


@report("huggingface/pytorch-image-models#2369", "each stage has the stride that its map has, not the stem's")
def test_strides_of_stages_double() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = prepare(timm.create_model("poolformer_s12", num_classes=3).eval(), 64)
    assert [m.stride for m in network.layers] == [4, 8, 16, 32]
    assert [m.receptive_field for m in network.layers] == [64] * 4  # GroupNorm over the whole map


@report("vlfeat/matconvnet#854", "the last pixel less the first, plus one, is the size of the field")
def test_field_is_last_less_first_plus_one() -> None:
    _, _, layer = layer_of(nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1))
    geometry = layer.geometry
    assert geometry is not None
    top, bottom, _, _ = geometry.box(5, 5)
    assert (top, bottom, bottom - top) == (15, 26, layer.receptive_field)
