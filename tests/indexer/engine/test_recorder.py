"""What a recorder says of a network beside its record: receptive fields, and logits with other maps in place."""

from __future__ import annotations

import pytest
import torch

from evigraph.indexer.engine.network import prepare
from evigraph.indexer.model.graph import frozen, trace
from evigraph.indexer.model.layers import feature_maps
from tests.indexer import networks
from tests.indexer.arrivals import arrivals_at, reach

SIDE = 65


@pytest.mark.parametrize(
    "name",
    [
        *("squeezenet1_1", "resnet18", "mobilenet_v2"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "googlenet", "vgg11")),
    ],
)
def test_receptive_fields_are_where_a_change_arrives(name: str) -> None:
    model = networks.build(name)
    graph = trace(model)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with frozen(model):
        layers = {layer.module: layer for layer in feature_maps(graph, model, pixels)}
        modules = {path for path, _ in model.named_modules()}
        paths = [path for path in layers if path in modules and layers[path].height > 1]
        for path in [paths[0], paths[len(paths) // 3], paths[2 * len(paths) // 3]]:
            layer, arrivals = layers[path], arrivals_at(model, path, SIDE)
            for y, x in ((0, 0), (layer.height // 2, layer.width - 1)):
                assert layer.geometry is not None
                assert layer.geometry.box(y, x) == reach(arrivals, y, x), path


def test_what_squeezes_a_whole_map_sees_all_of_it() -> None:
    """A channel is scaled by the mean of its map: every place depends on every pixel."""
    model = networks.build("efficientnet_b0")
    graph = trace(model)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    layer = next(m for m in feature_maps(graph, model, pixels) if m.module == "features.2")
    assert layer.geometry is not None
    assert layer.geometry.box(layer.height - 1, 0) == (0, SIDE, 0, SIDE)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121"])
def test_a_network_replayed_with_its_own_maps_says_what_it_said(name: str) -> None:
    model = networks.build(name)
    pixels = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    network = prepare(model, SIDE)
    with frozen(model):
        record = network.recorder.record(pixels)
        for level, features in enumerate(record.features):
            logits = network.recorder.logits_from(level, features, pixels)
            torch.testing.assert_close(logits, record.logits, rtol=1e-4, atol=1e-4)
