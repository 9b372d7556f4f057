"""Default layers of networks in wrappings, of those that cannot be traced, and of those that are no CNNs."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from evigraph.indexer.engine.hooked import HookedRecorder
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.model.graph import frozen
from evigraph.schema.errors import ModelError
from tests.reports import wrappings
from tests.reports.table import report
from tests.reports.test_explained import assert_explained, stages
from tests.reports.wrappings import Wrapped, resnet

SIDE = 64
RESNET = ["stem", "layer1", "layer2", "layer3", "layer4"]


class Guarded(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        if torch.isnan(x).any():
            raise ValueError("not a number")
        logits: Tensor = self.net(x)
        return logits


class Keywords(Wrapped):
    def forward(self, x: Tensor, *args: Any, labels: Tensor | None = None, **kwargs: Any) -> Tensor:
        logits: Tensor = self.net(x)
        return logits if labels is None else F.cross_entropy(logits, labels)


class Lightning(Wrapped):
    """As a LightningModule: the network is an attribute, and forward only calls it."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.net(*args, **kwargs)


@dataclasses.dataclass
class ImageClassifierOutput:
    """As of transformers."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class HuggingFace(Wrapped):
    """As ResNetForImageClassification: keyword arguments, checks, an object for an answer."""

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        if pixel_values is None or pixel_values.shape[1] != 3:
            raise ValueError("Make sure that the channel dimension of the pixel values match")
        logits = self.net(pixel_values)
        return (
            (logits,) if return_dict is False else ImageClassifierOutput(logits=logits, hidden_states=(pixel_values,))
        )


def answering(answer: Callable[[Tensor, Tensor], Any]) -> Callable[[], nn.Module]:
    """A ResNet whose output is made of its logits and its last map."""

    class Answering(Wrapped):
        def forward(self, x: Tensor) -> Any:
            features = self.net.layer1(self.net.maxpool(self.net.relu(self.net.bn1(self.net.conv1(x)))))
            features = self.net.layer4(self.net.layer3(self.net.layer2(features)))
            return answer(self.net.fc(features.mean((2, 3))), features)

    return Answering


def parallel() -> nn.Module:
    return nn.DataParallel(resnet())


def _compiled(model: nn.Module) -> Any:
    return torch.compile(model)


def compiled() -> Any:
    return _compiled(resnet())


def compiled_within() -> Any:
    network = Lightning()
    network.add_module("net", _compiled(network.net))
    return network


def compiled_in_place() -> Any:
    network = resnet()
    network.compile()
    return network


WRAPPINGS: list[Any] = [
    pytest.param(Guarded, marks=report("pytorch/pytorch#54602", "a check of values is left out, and said")),
    wrappings.asserting,
    pytest.param(Keywords, marks=report("pytorch/vision#6817", "arguments are left at their defaults")),
    Lightning,
    HuggingFace,
    parallel,
    compiled,
    compiled_within,
    compiled_in_place,
    lambda: nn.DataParallel(Lightning()),
]


@pytest.mark.parametrize("make", WRAPPINGS)
def test_wrapped_networks_have_the_layers_of_the_plain_one(make: Callable[[], nn.Module]) -> None:
    model = make().eval()
    network = prepare(model, SIDE)
    assert [layer.name for layer in network.layers] == RESNET
    assert isinstance(network.recorder, WindowedRecorder)
    assert network.fallbacks == [None] * 5
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with frozen(network.model), torch.no_grad():
        torch.testing.assert_close(network.recorder.record(pixels).logits, resnet()(pixels))


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (parallel, "taken out of DataParallel: it is the ResNet"),
        (compiled, "taken out of torch.compile"),
        (Guarded, "checks of values"),
        (HuggingFace, "ImageClassifierOutput; its 'logits' is taken"),
    ],
)
def test_what_was_unwrapped_is_said(make: Callable[[], nn.Module], note: str) -> None:
    (said,) = prepare(make().eval(), SIDE).notes
    assert note in said


@pytest.mark.parametrize(
    "answer",
    [
        lambda logits, _: {"out": logits},
        pytest.param(
            lambda logits, features: OrderedDict(features=features, logits=logits, embedding=features.mean((2, 3))),
            marks=report("jacobgil/pytorch-grad-cam#481", "an output with .logits: these are taken, and it is said"),
        ),
        lambda logits, features: (logits, features),
        lambda logits, features: [features, None, logits],
        lambda logits, _: models.GoogLeNetOutputs(logits, logits, logits),
    ],
)
def test_logits_within_an_output(answer: Callable[[Tensor, Tensor], Any]) -> None:
    model = answering(answer)().eval()
    network = prepare(model, SIDE)
    assert "is taken for the logits" in network.notes[0]
    assert [layer.name for layer in network.layers][1:] == [f"layer{n}" for n in range(1, 5)]
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with frozen(network.model), torch.no_grad():
        torch.testing.assert_close(network.recorder.record(pixels).logits, resnet()(pixels))
        torch.testing.assert_close(network.model(pixels), resnet()(pixels))


@pytest.mark.parametrize(
    "answer",
    [
        lambda logits, _: (logits, logits * 2),
        lambda logits, features: {"a": logits, "b": features.mean((2, 3))},
        lambda _, features: {"out": features},
        lambda *_: None,
    ],
)
def test_an_output_that_may_be_read_in_two_ways_is_refused(answer: Callable[[Tensor, Tensor], Any]) -> None:
    with pytest.raises(ModelError, match=r"holds .*which of these are the logits.*cannot be told"):
        prepare(answering(answer)().eval(), SIDE)


# Really untraceable


class Untraceable(Wrapped):
    """Asks for a value, which decides something."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x if float(x.detach().abs().max()) < 1e6 else x / 255)
        return logits


class Block(nn.Module):
    """As transformers.ResNetBottleNeckLayer: every activation function is an object of its own."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.ReLU(), nn.Conv2d(after, after, 1))
        self.shortcut, self.act = nn.Conv2d(before, after, 1, 2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.act(self.layer(x) + self.shortcut(x))
        return value


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 8))
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        value = self.blocks(self.stem(x))
        logits: Tensor = self.fc(value.mean((2, 3)) * (1 if value.max().item() >= 0 else 2))
        return logits


class Repeated(nn.Module):
    """One convolution and one ReLU, again and again: no module stands for the maps of later calls."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.conv, self.relu, self.fc = (
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.Conv2d(8, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Linear(8, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.begin(x))
        for _ in range(2 if x.max().item() >= 0 else 3):
            x = self.relu(self.conv(x))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (Untraceable, RESNET),
        (Blocks, ["stem.1", "blocks.0", "blocks.1"]),
        (Repeated, ["relu", "relu_1", "relu_2"]),
    ],
)
def test_untraceable_networks_have_cuts_for_layers(make: Callable[[], nn.Module], layers: list[str]) -> None:
    network = prepare(make().eval(), SIDE)
    assert isinstance(network.recorder, HookedRecorder)
    assert "cannot be traced: forward" in str(network.fallbacks[0])
    assert [layer.name for layer in network.layers] == layers


@pytest.mark.parametrize("make", [Untraceable, Repeated])
def test_untraceable_networks_can_be_replayed(make: Callable[[], nn.Module]) -> None:
    network = prepare(make().eval(), SIDE)
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with frozen(network.model):
        record = network.recorder.record(pixels)
        for level, features in enumerate(record.features):
            torch.testing.assert_close(network.recorder.features_at(level, pixels), features)
            torch.testing.assert_close(network.recorder.logits_from(level, features, pixels), record.logits)
            changed = network.recorder.logits_from(level, torch.zeros_like(features), pixels)
            assert not torch.equal(changed, record.logits)


def test_without_a_cut_modules_are_offered() -> None:
    class TwoWays(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()) for _ in range(2))
            self.fc = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(torch.cat([self.left(x).mean((2, 3)), self.right(x).amax((2, 3))], 1))
            return logits if logits.max().item() < 1e6 else logits / 2

    with pytest.raises(ModelError, match=r"choose with --layers, lowest first, of left.1, right.1"):
        prepare(TwoWays().eval(), SIDE)
    assert [layer.module for layer in prepare(TwoWays().eval(), SIDE, ["left.1"]).layers] == ["left.1"]


# Sizes


def sized(function: Callable[[Any, Tensor], Tensor], features: int = 8 * 8 * 8) -> Callable[[], nn.Module]:
    """A network that makes one row an image of its last map, in its own way."""

    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv1, self.conv2, self.fc = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 8, 3, 1, 1), nn.Linear(features, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(F.relu(self.conv1(x)), 4)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            logits: Tensor = self.fc(function(self, x))
            return logits

    return Sized


def _asked(_: Any, x: Tensor) -> Tensor:
    if x.shape[2] > 7 and x.dim() == 4 and x.dtype.is_floating_point and not x.is_cuda:
        x = F.avg_pool2d(x, x.shape[-1])
    return x.view(x.shape[0], -1)


def _ranged(_: Any, x: Tensor) -> Tensor:
    count, channels, height, width = x.size()
    for _step in range(height // 4):
        x = F.max_pool2d(x, (2, 2))
    return x.reshape(count, channels * (height // 4) * (width // 4))


SIZES = [
    pytest.param(
        sized(lambda _, x: F.avg_pool2d(x, x.size()[3]).view(x.size(0), -1), 8),
        marks=report("pytorch/pytorch#65320", "the kernel is taken at its value for the run's input"),
    ),
    pytest.param(
        sized(lambda _, x: F.avg_pool2d(x, kernel_size=x.size(3)).flatten(1), 8),
        marks=report("DingXiaoH/RepVGG#109", "the kernel is taken at its value for the run's input"),
    ),
    sized(lambda _, x: F.avg_pool2d(input=x, kernel_size=(x.size(2), x.size(3))).squeeze(-1).squeeze(-1), 8),
    sized(lambda _, x: F.max_pool2d(x, kernel_size=x.size()[2:]).view(len(x), -1), 8),
    sized(lambda _, x: F.adaptive_avg_pool2d(x, output_size=1).view(-1, 8), 8),
    sized(lambda _, x: F.adaptive_avg_pool2d(x, (1, 1))[:, :, 0, 0], 8),
    sized(lambda _, x: torch.flatten(input=x, start_dim=1)),
    sized(lambda _, x: x.view(-1, 8 * 8 * 8)),
    pytest.param(
        sized(lambda _, x: x.view(x.size(0), -1)),
        marks=report("denisyarats/drq#27", "traced: a view, in whatever memory format"),
    ),
    sized(lambda _, x: x.view(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])),
    sized(lambda _, x: x.view(-1, int(x.numel() / x.shape[0]))),
    sized(lambda _, x: F.interpolate(x, size=[s // 2 for s in x.shape[2:]]).mean((2, 3)), 8),
    sized(lambda _, x: (x + torch.zeros(x.size(0), 1, 1, 1)).view(x.size(0), -1)),
    sized(lambda _, x: torch.cat([x[:1], x[1:]]).view(x.size(0), -1)),
    sized(_asked, 8),
    sized(_ranged, 8 * 2 * 2),
]


@pytest.mark.parametrize("make", SIZES)
def test_sizes_are_taken_at_their_value(make: Callable[[], nn.Module]) -> None:
    model = make().eval()
    network = prepare(model, SIDE)
    assert isinstance(network.recorder, WindowedRecorder), network.fallbacks
    assert [layer.name for layer in network.layers] == ["relu", "relu_1"]
    assert network.fallbacks[0] is None
    with frozen(model), torch.no_grad():
        for count in (1, 2, 5):  # of any batch
            pixels = torch.randn(count, 3, SIDE, SIDE)
            torch.testing.assert_close(network.recorder.record(pixels).logits, model(pixels), rtol=1e-4, atol=1e-5)


def test_the_size_of_the_batch_decides_nothing_in_silence() -> None:
    with pytest.raises(ModelError, match="mixes the images"):
        prepare(stages(lambda _, x: x * 2 if x.shape[0] == 1 else x * 3), 16)
    model = stages(lambda _, x: x * 2 if x.shape[0] == 1 else x + x)
    network = prepare(model, 16, ("low", "high"))
    assert "size of its batch" in str(network.fallbacks[0])
    assert_explained(model, network=network)


# Vision transformers and mixers


class Tokens(nn.Module):
    """A residual block of tokens, mixed by attention or by a fully connected layer."""

    def __init__(self, width: int, count: int | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mix = None if count is None else nn.Sequential(nn.Linear(count, 12), nn.GELU(), nn.Linear(12, count))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def attend(self, x: Tensor) -> Tensor:
        if self.mix is not None:
            mixed: Tensor = self.mix(x.transpose(1, 2)).transpose(1, 2)
            return mixed
        q, k, v = self.qkv(x).chunk(3, -1)
        attended: Tensor = self.project((q @ k.transpose(-2, -1)).softmax(-1) @ v)
        return attended

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.first(x))
        mixed: Tensor = x + self.mlp(self.second(x))
        return mixed


def _patches(width: int = 8) -> nn.Module:
    return nn.Conv2d(3, width, 8, 8)


class Transformer(nn.Module):
    """Patches, or a convolutional stem, then blocks of tokens."""

    def __init__(
        self, stem: nn.Module, block: Callable[[], nn.Module], depth: int = 1, *, untraceable: bool = False
    ) -> None:
        super().__init__()
        self.stem, self.blocks = stem, nn.Sequential(*(block() for _ in range(depth)))
        self.head, self.untraceable = nn.Linear(8, 3), untraceable

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x).flatten(2).transpose(1, 2))
        if self.untraceable and x.max().item() > 1e6:
            x = x / 2
        logits: Tensor = self.head(x.mean(1))
        return logits


class Windows(nn.Module):
    """Channels last throughout, as Swin: maps come back at the end alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(16, 3)
        self.blocks, self.upper, self.merge = Tokens(8), Tokens(16), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        for block in (self.blocks, self.upper):
            n, h, w, c = x.shape
            x = x + block.attend(block.first(x).reshape(n, h * w, c)).view(n, h, w, c)
            x = x + block.mlp(block.second(x))
            if c == 8:
                x = self.merge(torch.cat([x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)], -1))
        logits: Tensor = self.head(x.permute(0, 3, 1, 2).mean((2, 3)))
        return logits


class Pyramid(nn.Module):
    """Tokens within each stage, maps between them, as PVT."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 2, 2)])
        self.blocks, self.head = nn.ModuleList([Tokens(8), Tokens(8)]), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for down, block in zip(self.stages, self.blocks, strict=True):
            x = down(x)
            x = block(x.flatten(2).transpose(1, 2)).transpose(1, 2).view(x.shape)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _stem() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()
    )


def _encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


TOKENS = {
    "vision transformer": lambda: Transformer(_patches(), lambda: Tokens(8), 2),
    "mixer": lambda: Transformer(_patches(), lambda: Tokens(8, 64)),
    "hybrid": lambda: Transformer(_stem(), lambda: Tokens(8), 2),
    "torch's encoder": lambda: Transformer(_patches(), _encoder, 2),
    "untraceable": lambda: Transformer(_patches(), lambda: Tokens(8), 2, untraceable=True),
    "windows": Windows,
    "pyramid": Pyramid,
    "vit_b_16": lambda: models.VisionTransformer(64, 16, 2, 2, 16, 32, num_classes=3),
    "swin_t": lambda: models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3),
}


@pytest.mark.parametrize("name", TOKENS)
@report("jacobgil/pytorch-grad-cam#257", "refused in one line, with what is supported")
def test_networks_of_tokens_are_refused_alike(name: str) -> None:
    with pytest.raises(ModelError, match=r"vision transformer or a mixer.*convolutional networks.*--layers") as refused:
        prepare(TOKENS[name]().eval(), SIDE)  # type: ignore[no-untyped-call]
    assert "\n" not in str(refused.value)


class Attention(nn.Module):
    """Attention over the places of a map, which comes back as a map."""

    def __init__(self, *, tokens: bool = False) -> None:
        super().__init__()
        self.block, self.tokens = Tokens(8), tokens

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2).transpose(1, 2)
        flat = self.block(flat) if self.tokens else self.block.attend(flat)
        back = flat.transpose(1, 2).reshape(x.shape)
        return back if self.tokens else x + back


class Pooled(nn.Module):
    """Attention that pools, as in CLIP's ResNets."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.attention = nn.Parameter(torch.randn(65, 8)), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2).transpose(1, 2)
        flat = torch.cat([flat.mean(1, keepdim=True), flat], 1) + self.embedding
        out: Tensor = self.attention(flat[:, :1], flat, flat, need_weights=False)[0]
        return out.squeeze(1)


def _ended(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(_stem(), *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def _convnext(before: int, after: int | None) -> models.convnext.CNBlockConfig:
    return models.convnext.CNBlockConfig(before, after, 1)


CONVOLUTIONAL = {
    "attention between maps": lambda: _ended(Attention(), nn.Conv2d(8, 8, 3), nn.ReLU()),
    "attention in the last stage": lambda: _ended(Attention()),
    "a stage of tokens": lambda: _ended(Attention(tokens=True), nn.Conv2d(8, 8, 3), nn.ReLU()),
    "attention that pools": lambda: nn.Sequential(_stem(), Pooled(), nn.Linear(8, 3)),
    "squeeze and excitation": lambda: _ended(models.mobilenetv3.SElayer(8, 4), nn.ReLU()),
    "convnext": lambda: models.ConvNeXt([_convnext(8, 16), _convnext(16, None)], num_classes=3),
    "mobilenet_v3_small": lambda: models.mobilenet_v3_small(num_classes=3),
}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_with_attention_are_not(name: str) -> None:
    torch.manual_seed(0)
    network: Network = prepare(CONVOLUTIONAL[name]().eval(), SIDE)  # type: ignore[no-untyped-call]
    assert len(network.layers) > 1


class Residual(nn.Module):
    """A block without an activation function at its end, as of StarNet, RepViT and MaxViT."""

    def __init__(self, before: int, after: int, *, attends: bool = False) -> None:
        super().__init__()
        self.down, self.inner = nn.Conv2d(before, after, 2, 2), nn.Conv2d(after, after, 3, padding=1)
        self.attention = Attention() if attends else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        x = x + F.relu(self.inner(x))
        return x if self.attention is None else self.attention(x)


def _of_stem(*, attends: bool = False, normalised: bool = False) -> nn.Module:
    first = [Normalised()] if normalised else []
    blocks = [Residual(8, 8), Residual(8, 8, attends=attends), Residual(8, 8)]
    return nn.Sequential(
        *first, nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )


class Normalised(nn.Module):
    """What networks do to their input first."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.5) / 0.25


@report("Visual-Attention-Network/VAN-Classification#30", "the last map of each stage, not the stem alone")
def test_a_stem_is_not_the_only_layer() -> None:
    assert [layer.module for layer in prepare(_of_stem().eval(), SIDE).layers] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("hooked", [False, True])
def test_the_normalised_input_is_no_layer(hooked: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.normalised, self.net = Normalised(), models.ConvNeXt([_convnext(8, 16), _convnext(16, None)])

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.net(self.normalised(x))
            return logits / 2 if hooked and logits.max().item() > 1e6 else logits

    sizes = [layer.height for layer in prepare(Net().eval(), SIDE).layers]
    assert sizes == [16, 8]


def test_modules_whose_names_are_numbers_may_be_used_again() -> None:
    relu, conv = nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, padding=1)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), relu, nn.MaxPool2d(2), conv, relu, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    prepared = prepare(network.eval(), SIDE)
    assert isinstance(prepared.recorder, WindowedRecorder)
    assert [layer.name for layer in prepared.layers] == ["1", "1_1"]


def test_numbered_modules_keep_their_names() -> None:
    class Numbered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu_1, self.relu_2, self.relu_3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
            self.conv_1, self.conv_2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, 2)
            self.fc = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu_1(self.conv_1(x))
            x = self.relu_3(self.relu_2(self.conv_2(x)))
            logits: Tensor = self.fc(x.mean((2, 3)))
            return logits

    for name in ("relu_1", "relu_2", "relu_3", "conv_2"):
        assert [layer.module for layer in prepare(Numbered().eval(), SIDE, [name]).layers] == [name]
