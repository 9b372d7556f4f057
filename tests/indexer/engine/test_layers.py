"""Layers: which maps they are, their names and geometry, and what `--layers` refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.graph import trace
from evigraph.indexer.model.layers import choose_layers, default_layers, feature_maps
from evigraph.schema.errors import ModelError, NotFoundError, UsageError
from tests.indexer.networks import build


def maps_of(model: nn.Module, size: int = 64) -> list[FeatureMap]:
    return feature_maps(trace(model.eval()), model, torch.randn(1, 3, size, size))


def layers_of(name: str, size: int = 224) -> list[FeatureMap]:
    return default_layers(maps_of(build(name), size))


def shown(layers: list[FeatureMap]) -> list[tuple[str, int, int, int | None, int | None]]:
    return [(m.name, m.channels, m.height, m.stride, m.receptive_field) for m in layers]


@pytest.mark.slow
def test_vgg16_is_as_published() -> None:
    """Strides and receptive fields as in the literature on VGG-16: conv5_3 sees 196 pixels at stride 16."""
    assert shown(layers_of("vgg16")) == [
        ("conv1_2", 64, 224, 1, 5),
        ("conv2_2", 128, 112, 2, 14),
        ("conv3_3", 256, 56, 4, 40),
        ("conv4_3", 512, 28, 8, 92),
        ("conv5_3", 512, 14, 16, 196),
    ]


def test_alexnet_is_as_published() -> None:
    assert shown(layers_of("alexnet"))[0] == ("conv1", 64, 55, 4, 11)
    assert shown(layers_of("alexnet"))[-1] == ("conv5", 256, 13, 16, 163)


def test_alexnet_names_all_five_convolutions() -> None:
    names = [m.name for m in maps_of(build("alexnet"), 96) if m.name.startswith("conv")]
    assert names == ["conv1", "conv2", "conv3", "conv4", "conv5"]


@pytest.mark.slow
def test_vgg_names_every_convolution() -> None:
    names = [m.name for m in maps_of(build("vgg11"), 32) if m.name.startswith("conv")]
    assert names == ["conv1_1", "conv2_1", "conv3_1", "conv3_2", "conv4_1", "conv4_2", "conv5_1", "conv5_2"]
    batch_normed = maps_of(build("vgg11_bn"), 32)
    assert [m.name for m in batch_normed if m.name.startswith("conv")] == names


@pytest.mark.parametrize(("name", "last"), [("resnet18", 435), ("resnet50", 427)])
def test_resnet_stages_end_where_no_shortcut_bypasses_them(name: str, last: int) -> None:
    """Receptive fields of the last stage. ResNet-50 has 483 as published, and 427 in torchvision, whose bottlenecks
    have their stride at the 3 x 3 convolution.
    """
    layers = layers_of(name)
    assert [(m.name, m.height, m.stride) for m in layers] == [
        ("stem", 112, 2),
        ("layer1", 56, 4),
        ("layer2", 28, 8),
        ("layer3", 14, 16),
        ("layer4", 7, 32),
    ]
    assert layers[-1].receptive_field == last
    assert all(m.cut and m.post_activation for m in layers)


def test_squeezenet_without_its_class_map() -> None:
    names = [m.name for m in layers_of("squeezenet1_1")]
    assert names == ["conv1", "fire3", "fire5", "fire9"]
    class_maps = [m.module for m in maps_of(build("squeezenet1_1"), 96) if m.class_map and m.height > 1]
    assert class_maps == ["classifier.2"]


@pytest.mark.parametrize("name", ["mobilenet_v2", "densenet121"])
def test_other_families_go_by_module_path(name: str) -> None:
    layers = layers_of(name, 96)
    assert [m.name for m in layers] == [m.module for m in layers]
    assert all(m.cut and m.post_activation for m in layers)
    paths = {path for path, _ in build(name).named_modules()}
    # DenseNet's last ReLU is a function: the traced operation stands for it.
    assert {m.module for m in layers} - paths == ({"relu"} if name == "densenet121" else set())


class Shortcut(nn.Module):
    """A map that a shortcut bypasses, then a sum that nothing does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.outer = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(4, 5)

    def forward(self, pixels: Tensor) -> Tensor:
        lower = self.relu1(self.stem(pixels))
        inside = self.relu2(self.inner(lower))
        whole = lower + self.outer(inside)
        logits: Tensor = self.head(self.relu3(whole).mean((2, 3)))
        return logits


def test_a_map_that_a_shortcut_bypasses_is_no_cut() -> None:
    by_module = {m.module: m for m in maps_of(Shortcut(), 16)}
    assert by_module["relu1"].cut
    assert not by_module["relu2"].cut
    assert by_module["relu3"].cut
    assert [m.module for m in default_layers(list(by_module.values()))] == ["relu3"]


def test_sizes_that_are_nearly_equal_are_one_stage() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip
    assert [(m.module, m.height) for m in default_layers(maps_of(model, 64))] == [("3", 60), ("6", 30)]


@pytest.mark.parametrize(
    "stages",
    [
        [(3, 1, 1), (3, 2, 1)],
        [(5, 2, 1), (3, 1, 2), (2, 2, 1)],
        [(7, 3, 1), (1, 1, 1), (3, 2, 2)],
    ],
)
def test_receptive_fields_and_strides_are_those_of_the_gradient(stages: list[tuple[int, int, int]]) -> None:
    """(kernel, stride, dilation) of convolutions with positive weights: a gradient of 0 means out of reach."""
    parts: list[nn.Module] = []
    for index, (kernel, stride, dilation) in enumerate(stages):
        parts += [nn.Conv2d(3 if index == 0 else 4, 4, kernel, stride, dilation=dilation), nn.ReLU()]
    body = nn.Sequential(*parts).double()
    for parameter in body.parameters():
        nn.init.constant_(parameter, 0.1)
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).double()
    pixels = torch.ones(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    found = feature_maps(trace(model.eval()), model, pixels.detach())
    layer = next(m for m in found if m.module.startswith(f"0.{2 * len(stages) - 1}") or m.module == "0")
    output = body(pixels)
    first, second = (torch.autograd.grad(output[0, 0, 3, x], pixels, retain_graph=True)[0][0, 0] for x in (3, 4))
    rows, columns = torch.nonzero(first, as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == layer.receptive_field
    assert int(torch.nonzero(second)[:, 1].min() - columns.min()) == layer.stride


@pytest.fixture(scope="module")
def vgg() -> list[FeatureMap]:
    return maps_of(build("vgg11"), 32)


def test_layers_are_chosen_by_name_or_by_module_path(vgg: list[FeatureMap]) -> None:
    assert [m.name for m in choose_layers(vgg, ["conv3_1", "features.12", "conv5_2"])] == [
        "conv3_1",
        "conv4_1",
        "conv5_2",
    ]


def test_unknown_layers_come_with_near_matches(vgg: list[FeatureMap]) -> None:
    with pytest.raises(NotFoundError, match="no layer 'conv3_9'; did you mean 'conv3_") as caught:
        choose_layers(vgg, ["conv3_9"])
    assert {"conv3_1", "conv3_2"} <= set(caught.value.near)


def test_layers_must_run_upwards(vgg: list[FeatureMap]) -> None:
    with pytest.raises(UsageError, match="out of order: 'conv3_1' does not depend on 'conv4_1'"):
        choose_layers(vgg, ["conv4_1", "conv3_1"])
    with pytest.raises(UsageError, match="twice"):
        choose_layers(vgg, ["conv3_1", "conv3_1"])


def test_a_network_without_maps_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    with pytest.raises(ModelError, match="no feature map"):
        default_layers(maps_of(model, 16))
