"""What the field calls the layers of well-known families of networks.

A family is a class of torchvision and a function from its traced operations to names. Networks of other classes are
named by module path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import fx, nn
from torchvision import models

from evigraph.indexer.model.graph import Graph
from evigraph.indexer.model.registry import operation_of_module

Names = dict[fx.Node, str]


def family_names(model: nn.Module, graph: Graph) -> Names:
    """Names of feature maps by node, empty for a family that has none of its own.

    The network may lie within another module that only wraps it: it is the one of its family there.
    """
    found = [
        (path, module, names)
        for path, module in model.named_modules()
        for family, names in _FAMILIES
        if isinstance(module, family)
    ]
    if len(found) != 1:
        return {}
    ((path, _, names),) = found
    if not path:
        return names(graph)
    within = replace(
        graph,
        module=graph.module.get_submodule(path),  # type: ignore[arg-type]  # it is asked for submodules alone
        nodes=tuple(node for node in graph.nodes if graph.names[node].startswith(f"{path}.")),
        outputs={
            node: tuple(one.removeprefix(f"{path}.") for one in paths if one.startswith(f"{path}."))
            for node, paths in graph.outputs.items()
            if any(one.startswith(f"{path}.") for one in paths)
        },
    )
    return names(within)


def residual_names(model: nn.Module) -> dict[str, str]:
    """What ResNet's stages and stem are called, by path of the module: for a network that was not traced."""
    found = [path for path, module in model.named_modules() if isinstance(module, models.ResNet)]
    if len(found) != 1:
        return {}
    within = f"{found[0]}." if found[0] else ""
    return {f"{within}relu": "stem"} | {f"{within}layer{stage}": f"layer{stage}" for stage in range(1, 5)}


def _vgg(graph: Graph) -> Names:
    """convS_I: the I-th convolution of stage S; stages end at max-pooling (Simonyan and Zisserman, 2015)."""
    names: Names = {}
    stage, index = 1, 0
    for path, node, module in _modules(graph):
        if isinstance(module, nn.MaxPool2d):
            stage, index = stage + 1, 0
        index += isinstance(module, nn.Conv2d)
        if operation_of_module(module).activation and path.startswith("features"):
            names[node] = f"conv{stage}_{index}"
    return names


def _alexnet(graph: Graph) -> Names:
    """convI: the I-th convolution."""
    names: Names = {}
    index = 0
    for path, node, module in _modules(graph):
        index += isinstance(module, nn.Conv2d)
        if operation_of_module(module).activation and path.startswith("features"):
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


def _modules(graph: Graph) -> list[tuple[str, fx.Node, nn.Module]]:
    """Each call of a module that is an operation: its path, the call and the module."""
    calls = [(graph.outputs.get(node, ())[:1], node) for node in graph.nodes if node.op == "call_module"]
    return [(path[0], node, graph.module.get_submodule(path[0])) for path, node in calls if path]


_FAMILIES: tuple[tuple[type[nn.Module], Callable[[Graph], Names]], ...] = (
    (models.VGG, _vgg),
    (models.AlexNet, _alexnet),
    (models.SqueezeNet, _squeezenet),
    (models.ResNet, _resnet),
)
