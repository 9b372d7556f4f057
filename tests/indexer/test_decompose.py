"""The decomposition against the float64 reference, on real architectures."""

from __future__ import annotations

import pytest
import torch

from indexer.graph import frozen
from indexer.hierarchy import explain
from tests.indexer.agreement import assert_agrees, assert_nodes_are_complete, roots_of
from tests.indexer.networks import prepare
from tests.indexer.reference import Reference


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg16", 64),
        ("alexnet", 96),
        ("squeezenet1_1", 96),
        ("resnet18", 64),
        ("mobilenet_v2", 64),
        ("densenet121", 64),
    ],
)
def test_hierarchy_equals_the_reference(name: str, size: int) -> None:
    network = prepare(name, size)
    with frozen(network.model):
        record = network.recorder.record(network.pixels)
        roots = roots_of(record.logits)
        levels = explain(record, roots, top_n=3)
    assert_nodes_are_complete(levels, roots)
    image = 1
    reference = Reference(network.model, network.modules, network.pixels[image])
    torch.testing.assert_close(record.logits[image].double(), reference.logits[0], rtol=1e-4, atol=1e-4)
    compared = assert_agrees(reference, levels, roots, image, top_n=3)
    assert compared > 2 * (1 + 3)
