"""Every family of torchvision's convolutional classifiers against the float64 reference: edges, peaks, borders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from evigraph.indexer.evidence.hierarchy import LevelEdges, Nodes, explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.graph import frozen
from tests.indexer.agreement import assert_agrees, assert_nodes_are_complete, roots_of
from tests.indexer.networks import Prepared, prepare
from tests.indexer.reference import Reference

BORDER = 4
OTHERS = 4
"""Of each layer so many decisions at its map's edge and so many others are compared, chosen by a seed."""


@pytest.mark.parametrize(
    ("name", "size", "top_n", "windowed"),
    [
        ("alexnet", 96, 3, "all"),
        pytest.param("vgg11_bn", 64, 2, "all", marks=pytest.mark.slow),
        ("resnet18", 64, 2, "all"),
        pytest.param("wide_resnet50_2", 64, 2, "all", marks=pytest.mark.slow),
        pytest.param("resnext50_32x4d", 64, 2, "all", marks=pytest.mark.slow),
        ("squeezenet1_1", 96, 3, "all"),
        pytest.param("densenet121", 64, 2, "all", marks=pytest.mark.slow),
        pytest.param("googlenet", 64, 2, "all", marks=pytest.mark.slow),
        pytest.param("inception_v3", 96, 2, "all", marks=pytest.mark.slow),
        pytest.param("mobilenet_v2", 64, 2, "all", marks=pytest.mark.slow),
        ("mobilenet_v3_small", 64, 2, "some"),
        ("shufflenet_v2_x0_5", 64, 2, "all"),
        pytest.param("mnasnet0_5", 64, 2, "all", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 64, 2, "some", marks=pytest.mark.slow),
        pytest.param("regnet_x_400mf", 64, 2, "all", marks=pytest.mark.slow),
        pytest.param("regnet_y_400mf", 64, 2, "some", marks=pytest.mark.slow),
        pytest.param("convnext_tiny", 64, 2, "none", marks=pytest.mark.slow),
    ],
)
def test_family_equals_the_reference(name: str, size: int, top_n: int, windowed: str) -> None:
    network = prepare(name, size)
    with frozen(network.model):
        record = network.recorder.record(network.pixels)
        roots = roots_of(record.logits)
        levels = explain(record, roots, Method(top_n))
    # That it agrees says nothing of the windows where all of it fell back to autograd.
    count = sum(why is None for why in network.recorder.fallbacks)
    assert {0: "none", len(network.layers): "all"}.get(count, "some") == windowed, network.recorder.fallbacks
    assert_nodes_are_complete(levels, roots)
    image = 1
    reference = Reference(network.model, network.modules, network.pixels[image])
    torch.testing.assert_close(record.logits[image].double(), reference.logits[0], rtol=1e-4, atol=1e-4)
    sample = [_sample(level, network, roots.image, image) for level in levels]
    assert assert_agrees(reference, sample, roots, image, top_n) > 2 + top_n


def _sample(level: LevelEdges, network: Prepared, image_of_root: Tensor, image: int) -> LevelEdges:
    """Some nodes of one image, among them those at the edge of their map, where windows stick out, with their edges."""
    target = level.target
    own = torch.nonzero(image_of_root[target.root] == image)[:, 0]
    own = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(level.source_layer))]
    upper = level.source_layer + 1
    height, width = (
        (network.layers[upper].height, network.layers[upper].width) if upper < len(network.layers) else (1, 1)
    )
    y, x = target.y[own], target.x[own]
    border = (y == 0) | (x == 0) | (y == height - 1) | (x == width - 1)
    nodes = torch.cat([own[border][:BORDER], own[~border][:OTHERS]]).sort().values
    place = torch.full((len(target.root),), -1)
    place[nodes] = torch.arange(len(nodes))
    edges = place[level.node] >= 0
    kept = Nodes(*(column[nodes] for column in (target.root, target.channel, target.y, target.x, target.importance)))
    return replace(
        level,
        target=kept,
        node=place[level.node[edges]],
        evidence=level.evidence.at(edges),
        importance=level.importance[edges],
    )
