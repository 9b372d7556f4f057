"""Layers that are not the default ones: before a normalisation, linear, inside a block, bypassed by a shortcut."""

from __future__ import annotations

import pytest

from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.hierarchy import explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.graph import frozen, trace
from evigraph.indexer.model.layers import choose_layers, feature_maps
from tests.indexer.agreement import assert_agrees, assert_nodes_are_complete, roots_of
from tests.indexer.networks import prepare
from tests.indexer.reference import Reference


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet18", ["conv1", "layer1.0.conv1", "layer2"]),  # convolutions whose normalisation must not be folded in
        ("resnet18", ["layer1.0.bn2", "layer3.0.relu", "layer4.1.bn1"]),  # bypassed by shortcuts
        ("mobilenet_v2", ["features.1", "features.3", "features.13"]),  # linear: decisions of either sign
        ("squeezenet1_1", ["maxpool1", "fire4", "classifier.1"]),
        pytest.param("vgg11_bn", ["features.3", "features.12"], marks=pytest.mark.slow),  # pooled maps
    ],
)
def test_chosen_layers_equal_the_reference(name: str, layers: list[str]) -> None:
    network = prepare(name, 64)
    graph = trace(network.model)
    maps = feature_maps(graph, network.model, network.pixels[:1])
    aliases = {"maxpool1": "features.2"}
    chosen = choose_layers(maps, [aliases.get(layer, layer) for layer in layers])
    with frozen(network.model):
        record = WindowedRecorder(graph, chosen, network.pixels[:1]).record(network.pixels)
        roots = roots_of(record.logits)
        levels = explain(record, roots, Method(2))
    assert_nodes_are_complete(levels, roots)
    reference = Reference(network.model, [layer.module for layer in chosen], network.pixels[0])
    assert assert_agrees(reference, levels, roots, 0, top_n=2) > 4
