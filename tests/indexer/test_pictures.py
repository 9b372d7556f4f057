"""Thumbnails, maps and guided crops, each against a plain way to the same."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.engine.network import prepare
from evigraph.indexer.evidence.hierarchy import LevelEdges, explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.roots import Roots
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.pictures.guided import GuidedActivations, _Gradients, drawn, guided_gradients
from evigraph.indexer.pictures.maps import kept_maps
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.pictures.thumbnails import as_images, picture_settings, thumbnail
from evigraph.schema.pictures import LayerGeometry, PictureSettings, decoded_map
from tests.support import tiny

SIDE = tiny.SIDE


def seeded(model: nn.Module, seed: int = 0) -> nn.Module:
    """The network with weights drawn by a seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def inputs(count: int, seed: int = 1, side: int = SIDE) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("scale", [1, 255])
def test_images_come_back_as_they_were(order: str, scale: int) -> None:
    """Every value of the image, from what the network is given."""
    mean = tuple(scale * value for value in (0.485, 0.456, 0.406))
    std = tuple(scale * value for value in (0.229, 0.224, 0.225))
    preprocessing = Preprocessing(None, 64, mean, std, order, scale)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    given = preprocessing.image(Image.fromarray(image))
    assert np.array_equal(as_images(given[None], preprocessing)[0], image)


@pytest.mark.parametrize(("longest", "side"), [(16, 16), (40, 40), (64, 64), (500, 64)])
def test_thumbnails_decode_and_are_never_enlarged(longest: int, side: int) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    image = np.stack([*np.broadcast_arrays(ramp, ramp[:, None]), np.zeros((64, 64))], 2)
    content, width, height = thumbnail(image.astype(np.uint8), longest)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (width, height) == (side, side)
        expected = Image.fromarray(image.astype(np.uint8)).resize((side, side), Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(picture, float) - np.asarray(expected, float)).mean() < 3


class Linear(nn.Module):
    """Convolutions and poolings of many kinds, padded or not, without activation functions."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 5, stride=2)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.AvgPool2d(3, 2, padding=1)
        self.d = nn.Conv2d(4, 5, 3, dilation=2, padding="same")
        self.head = nn.Linear(5, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        a = self.a(pixels)
        c = self.c(self.b(a))
        logits: Tensor = self.head(self.d(c).mean((2, 3)))
        return logits


def test_a_box_is_what_a_value_depends_on() -> None:
    """The support of the gradient of each value, found by autograd, is the box of its place."""
    side = 33  # every pixel is in the field of some value of `a`
    model = seeded(Linear())
    network = prepare(model, side, ["a", "b", "c", "d"])
    pictures = picture_settings(network, side, PictureOptions(thumbnails=32))
    assert pictures is not None
    assert PictureSettings.from_json(pictures.to_json()) == pictures
    for level, layer in enumerate(network.layers):
        for y, x in ((0, 0), (layer.height // 2, 1), (layer.height - 1, layer.width // 2)):
            leaf = inputs(1, side=side).requires_grad_()
            value = leaf
            for name in "abcd"[: level + 1]:
                value = getattr(model, name)(value)
            (gradient,) = torch.autograd.grad(value[0, :, y, x].sum(), leaf)
            support = torch.nonzero(gradient[0].abs().sum(0))
            (top, left), (bottom, right) = support.min(0).values.tolist(), support.max(0).values.tolist()
            assert pictures.layers[level].box(y, x, side) == (top, left, bottom + 1, right + 1), (layer.name, y, x)


def test_boxes_stay_within_the_input() -> None:
    """Also of fields that lie almost outside, and of a network whose fields are not known."""
    geometry = LayerGeometry((-4.0, 3.0), (16.0, 16.0), 5)
    for y in range(4):
        box = geometry.box(y, 3 - y, 40)
        assert 0 <= box.top < box.bottom <= 40
        assert 0 <= box.left < box.right <= 40
    assert LayerGeometry((8.0, 8.0), (16.0, 16.0), None).box(1, 1, 40) == (0, 0, 40, 40)


def test_layers_that_are_turned_or_shifted_list_their_spans() -> None:
    """Each row and column of places has a field of its own; crops are cut by them."""
    spans = (((8, 12), (4, 8), (0, 4)), ((0, 6), (6, 12)))
    flipped, turned = (LayerGeometry((2.0, 3.0), (4.0, 6.0), 6, spans, turned=turned) for turned in (False, True))
    assert flipped.box(0, 1, 12) == (8, 6, 12, 12)
    assert turned.box(1, 0, 12) == flipped.box(0, 1, 12)
    even = LayerGeometry((1.0, 1.0), (2.0, 2.0), 3)
    for settings in (PictureSettings(12, (flipped, turned)), PictureSettings(12, (even,))):
        assert PictureSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def explained(count: int) -> tuple[nn.Module, Any, Roots, list[LevelEdges], dict[str, Any]]:
    model = seeded(tiny.network())
    network = prepare(model, SIDE)
    with frozen(model):
        record = network.recorder.record(inputs(3))
        roots = Roots(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 3]))
        levels = explain(record, roots, Method(3))
        rows = kept_maps(record, roots, levels, count)
    return model, record, roots, levels, rows


def test_the_most_important_edges_keep_their_maps() -> None:
    """Of each root as many as asked for, none less important than one that is left out."""
    _, _, _, levels, rows = explained(7)
    kept = {
        tuple(values)
        for values in zip(
            *(rows[n] for n in ("root", "target_layer", "target_channel", "target_y", "target_x")),
            rows["source_channel"],
            strict=True,
        )
    }
    assert len(kept) == len(rows["content"]) == 4 * 7
    for root in range(4):
        importance: dict[bool, list[float]] = {True: [], False: []}
        for level in levels:
            for edge, node in enumerate(level.node.tolist()):
                if level.target.root[node] == root:
                    place = (int(getattr(level.target, n)[node]) for n in ("channel", "y", "x"))
                    key = (root, level.source_layer + 1, *place, int(level.evidence.channel[edge]))
                    importance[key in kept].append(float(level.importance[edge]))
        assert min(importance[True]) >= max(importance[False])
    assert rows["root"] == sorted(rows["root"])


def test_stored_maps_are_gradient_times_feature() -> None:
    """Each against autograd in float64 through the plain network."""
    model, _, _, _, rows = explained(1000)
    model = model.double()
    ends = (2, 5, 8)  # of the stages in tiny.network
    images = (0, 1, 1, 2)
    for row in range(len(rows["content"])):
        level = rows["target_layer"][row] - 1
        value = inputs(3).double()[images[rows["root"][row]]][None]
        source = model[: ends[level]](value).detach().requires_grad_()  # type: ignore[index]
        end = ends[level + 1] if level + 1 < len(ends) else len(model)  # type: ignore[arg-type]
        target = model[ends[level] : end](source)  # type: ignore[index]
        target = target if target.ndim == 4 else target[:, :, None, None]
        place = tuple(rows[n][row] for n in ("target_channel", "target_y", "target_x"))
        (gradient,) = torch.autograd.grad(target[(0, *place)], source)
        plain = (gradient * source)[0, rows["source_channel"][row]].detach().clamp(min=0).numpy()
        stored = np.zeros(plain.shape)
        part = decoded_map(rows["content"][row], rows["height"][row], rows["width"][row])
        top, left = rows["first_y"][row], rows["first_x"][row]
        stored[top : top + part.shape[0], left : left + part.shape[1]] = part
        assert stored.max() == 255
        assert np.abs(stored - 255 * plain / plain.max()).max() < 0.51
        assert all(part[edge].any() for edge in (0, -1))
        assert all(part[:, edge].any() for edge in (0, -1))


def plainly_guided(model: nn.Sequential, upto: int, pixels: Tensor, place: tuple[int, int, int]) -> Tensor:
    """Guided backpropagation of one feature, written out layer by layer from the top, in float64."""
    values = [pixels.double()]
    switches: dict[int, Tensor] = {}
    for index, layer in enumerate(model[:upto]):
        if isinstance(layer, nn.MaxPool2d):
            pooled, switches[index] = F.max_pool2d(values[-1], 2, return_indices=True)
            values.append(pooled)
        else:
            values.append(layer(values[-1]))
    gradient = torch.zeros_like(values[-1])
    gradient[(0, *place)] = 1
    for index in reversed(range(upto)):
        layer = model[index]
        if isinstance(layer, nn.ReLU):
            gradient = gradient * (gradient > 0) * (values[index] > 0)
        elif isinstance(layer, nn.MaxPool2d):
            gradient = F.max_unpool2d(gradient, switches[index], (2, 2), output_size=[*values[index].shape[2:]])
        elif isinstance(layer, nn.Conv2d):
            gradient = F.conv_transpose2d(gradient, layer.weight, padding=layer.padding)  # type: ignore[arg-type]
    return gradient[0]


def test_guided_gradients_are_those_written_out_by_hand() -> None:
    model = seeded(tiny.network())
    network = prepare(model, SIDE)
    pixels, channel, place = inputs(6), torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([1, 3, 2, 0, 7, 5])
    plain = seeded(tiny.network()).double()
    for level, upto in enumerate((2, 5, 8)):
        with frozen(model):
            found = guided_gradients(network, level, pixels, channel, place, place.flip(0))
        for row in range(6):
            where = (int(channel[row]), int(place[row]), int(place.flip(0)[row]))
            with torch.no_grad():
                expected = plainly_guided(plain, upto, pixels[row][None], where)  # type: ignore[arg-type]
            assert torch.allclose(found[row].double(), expected, atol=1e-6)


class Functional(nn.Module):
    """The tiny network with its activation functions as functions, methods and writing into their input."""

    def __init__(self, traceable: bool) -> None:
        super().__init__()
        self.traceable = traceable
        self.layers = tiny.network()

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        convolutions: Any = self.layers
        if not self.traceable and float(pixels.detach().abs().sum()) < 0:
            return pixels.flatten(1)
        value = F.max_pool2d(F.relu(convolutions[0](pixels), inplace=True), 2)
        value = F.max_pool2d(convolutions[3](value).relu(), 2)
        value = convolutions[6](value)
        value = torch.relu_(value)
        logits: Tensor = convolutions[10](value.mean((2, 3)))
        return logits


@pytest.mark.parametrize("traceable", [True, False])
def test_functions_are_guided_as_modules_are(traceable: bool) -> None:
    """Below a layer that is a convolution, in a network that torch.fx can follow and in one that it cannot."""
    module, function = seeded(tiny.network()), seeded(Functional(traceable))
    pixels, at = inputs(4), torch.tensor([3, 1, 4, 2])
    found = []
    for model, layers in ((module, ["3", "6"]), (function, ["layers.3", "layers.6"])):
        network = prepare(model, SIDE, layers)
        assert (network.layers[0].node is None) == (model is function and not traceable)
        with frozen(model):
            found.append(guided_gradients(network, 1, pixels, at, at, at))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert float(found[0].abs().max()) > 0


def test_nothing_is_changed_by_guiding() -> None:
    """Gradients before and after are the same; within, they are others."""
    model = seeded(tiny.network())

    def gradient() -> Tensor:
        leaf = inputs(1).requires_grad_()
        (found,) = torch.autograd.grad(model(leaf)[0, 0], leaf)
        return found

    before = gradient()
    with GuidedActivations():
        within = gradient()
    assert torch.equal(gradient(), before)
    assert not torch.allclose(within, before)


def test_drawn_gradients() -> None:
    """No gradient is mid-grey, the sign is kept, and small ones are stored without loss."""
    gradient = np.zeros((8, 8, 3), dtype=np.float32)
    gradient[2, 3, 0], gradient[5, 5, 1] = 2, -2
    content, width, height = drawn(gradient)
    with Image.open(io.BytesIO(content)) as picture:
        values = np.asarray(picture.convert("RGB"))
    assert (width, height) == (8, 8)
    assert values[0, 0].tolist() == [128, 128, 128]
    assert values[2, 3].tolist() == [255, 128, 128]
    assert values[5, 5].tolist() == [128, 0, 128]
    assert drawn(np.random.default_rng(0).normal(size=(300, 200, 3)).astype(np.float32))[1:] == (85, 128)


class Padded(nn.Module):
    """A convolution, then one that pads by the size of its input, as networks from TensorFlow do."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.b = nn.Conv2d(4, 5, 3, stride=2)
        self.head = nn.Linear(5, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        a = torch.relu(self.a(pixels))
        extra = 1 if a.shape[2] > 12 else 0
        logits: Tensor = self.head(torch.relu(self.b(F.pad(a, (extra, 1, extra, 1)))).mean((2, 3)))
        return logits


@pytest.mark.parametrize("layers", [None, ["0", "3", "6"]])
def test_gradients_over_windows_are_those_over_whole_inputs(layers: list[str] | None) -> None:
    """At every place of every layer, borders too."""
    side = 48
    network = prepare(seeded(tiny.network()), side, layers)
    pictures = picture_settings(network, side, PictureOptions(guided=1))
    assert pictures is not None
    images, gradients = inputs(2, side=side), _Gradients(network, pictures)
    sizes = set()
    with frozen(network.model):
        for level, layer in enumerate(network.layers):
            places = [(y, x) for y in range(0, layer.height, 3) for x in (0, 1, layer.width // 2, layer.width - 1)]
            peaks = np.array([(level, n % layer.channels, n % 2, y, x) for n, (y, x) in enumerate(places)])
            for rows, windows in gradients.batches(peaks, np.arange(len(peaks))):
                part = peaks[rows]
                made = gradients.of(part, part[:, 2], windows, images)
                sizes |= {(level, window.height, window.width) for window in windows}
                channel, y, x = (torch.from_numpy(part[:, column]) for column in (1, 3, 4))
                whole = guided_gradients(network, level, images[part[:, 2]], channel, y, x)
                for gradient, w, expected in zip(made, windows, whole, strict=True):
                    held = torch.zeros_like(expected)
                    held[:, w.top : w.top + w.height, w.left : w.left + w.width] = gradient
                    assert torch.allclose(held, expected, atol=1e-6)
    assert any(height < side / 3 for _, height, _ in sizes)


def test_a_network_that_pads_by_its_input_is_run_on_whole_inputs() -> None:
    side = 40
    network = prepare(seeded(Padded()), side)
    pictures = picture_settings(network, side, PictureOptions(guided=1))
    assert pictures is not None
    level = len(network.layers) - 1
    layer = network.layers[level]
    peaks = np.array([(level, 0, 0, y, x) for y in (0, layer.height - 1) for x in (0, layer.width - 1)])
    images, gradients = inputs(1, side=side), _Gradients(network, pictures)
    with frozen(network.model):
        for rows, windows in gradients.batches(peaks, np.arange(len(peaks))):
            made = gradients.of(peaks[rows], peaks[rows, 2], windows, images)
            y, x = (torch.from_numpy(peaks[rows, column]) for column in (3, 4))
            whole = guided_gradients(network, level, images.expand(len(rows), -1, -1, -1), y * 0, y, x)
            for gradient, w, expected in zip(made, windows, whole, strict=True):
                held = torch.zeros_like(expected)
                held[:, w.top : w.top + w.height, w.left : w.left + w.width] = gradient
                assert torch.allclose(held, expected, atol=1e-6)
