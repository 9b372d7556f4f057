"""What the field calls the layers of well-known families of networks.

A family is a class of torchvision and a function from its traced operations to names. Networks of other classes are
named by module path.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import fx, nn
from torchvision import models

from evigraph.indexer.model.graph import Graph

Names = dict[fx.Node, str]


def family_names(model: nn.Module, graph: Graph) -> Names:
    """Names of feature maps by node, empty for a family that has none of its own."""
    for family, names in _FAMILIES:
        if isinstance(model, family):
            return names(graph)
    return {}


def _vgg(graph: Graph) -> Names:
    """convS_I: the I-th convolution of stage S; stages end at max-pooling (Simonyan and Zisserman, 2015)."""
    names: Names = {}
    stage, index = 1, 0
    for node, module in _modules(graph):
        if isinstance(module, nn.MaxPool2d):
            stage, index = stage + 1, 0
        index += isinstance(module, nn.Conv2d)
        if graph.call(node).operation.activation and str(node.target).startswith("features"):
            names[node] = f"conv{stage}_{index}"
    return names


def _alexnet(graph: Graph) -> Names:
    """convI: the I-th convolution."""
    names: Names = {}
    index = 0
    for node, module in _modules(graph):
        index += isinstance(module, nn.Conv2d)
        if graph.call(node).operation.activation and str(node.target).startswith("features"):
            names[node] = f"conv{index}"
    return names


def _squeezenet(graph: Graph) -> Names:
    """conv1, then fireI from 2, as in the paper's Table 1 (Iandola et al., 2016)."""
    names: Names = {}
    fires = 1
    for node in graph.nodes:
        owner = graph.outputs.get(node, ("",))[0]
        if not owner:
            continue
        if type(graph.module.get_submodule(owner)).__name__ == "ReLU" and owner == "features.1":
            names[node] = "conv1"
        if node.op == "call_function" and owner.startswith("features."):
            fires += 1
            names[node] = f"fire{fires}"
    return names


def _resnet(graph: Graph) -> Names:
    """stem, then layer1..layer4 for the stages' outputs (He et al., 2016, as torchvision spells them)."""
    names: Names = {}
    for node in graph.nodes:
        paths = graph.outputs.get(node, ())
        if paths[:1] == ("relu",):
            names[node] = "stem"
        stage = [path for path in paths if path.startswith("layer") and "." not in path]
        if stage:
            names[node] = stage[0]
    return names


def _modules(graph: Graph) -> list[tuple[fx.Node, nn.Module]]:
    return [(n, graph.module.get_submodule(str(n.target))) for n in graph.nodes if n.op == "call_module"]


_FAMILIES: tuple[tuple[type[nn.Module], Callable[[Graph], Names]], ...] = (
    (models.VGG, _vgg),
    (models.AlexNet, _alexnet),
    (models.SqueezeNet, _squeezenet),
    (models.ResNet, _resnet),
)
