"""Which feature maps of a network are its layers S1..SL, and what they are called.

By default a layer is the last post-activation map of each spatial resolution that all information passes through: a map
that a shortcut bypasses holds only part of the evidence (in ResNet-50 the last ReLU at 56 x 56 is inside layer2's first
block; the stage's map is layer1). Two more cases need a rule:

    the class map    a map whose spatial mean or maximum is the logits (SqueezeNet's) is already the decision
    near resolutions maps less than 1.25 times apart (147 and 149 pixels: convolutions without padding) are one stage

Where a network has no such map in (batch, channels, height, width) layout (ConvNeXt), the last map of each resolution
that all information passes through is taken.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evigraph.indexer.model.defaults import SUPPORTED, default_reasons
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.graph import Graph, cuts, frozen, reachable_from
from evigraph.indexer.model.naming import family_names, residual_names
from evigraph.indexer.model.observing import Observation, Output
from evigraph.indexer.model.survey import AFTER_ACTIVATION, LINEAR_MAP, Survey
from evigraph.schema.errors import ModelError, NotFoundError, UsageError


def feature_maps(graph: Graph, model: nn.Module, pixels: Tensor) -> list[FeatureMap]:
    """Every map of a traced network that may be a layer, lowest first.

    Args:
        graph: the traced network.
        model: the network it was traced from; its class tells how the field names its layers.
        pixels: (1, 3, height, width), any input of the run's size: the network is run on it once.
    """
    survey = Survey(graph, (pixels.shape[2], pixels.shape[3]))
    with frozen(model), torch.no_grad():
        logits = graph.execute(pixels, survey.visit)
    check_logits(logits, 1)
    names, passed_by_all = family_names(model, graph), cuts(graph.nodes)
    wrapping = graph.outputs.get(graph.nodes[-1].all_input_nodes[0], ())
    sizes = {value.shape[2:] for node, value in survey.maps.items() if node in survey.products}
    maps = []
    for node, value in survey.maps.items():
        paths = graph.outputs.get(node, ()) or (graph.names[node],)
        path = _block(paths, wrapping)
        maps.append(
            FeatureMap(
                module=path,
                name=names.get(node, path),
                aliases=(*paths, graph.names[node]),
                channels=value.shape[1],
                height=value.shape[2],
                width=value.shape[3],
                post_activation=node in survey.post_activation,
                cut=node in passed_by_all and node in survey.learned,
                class_map=_is_class_map(value, logits),
                of_stage=value.shape[2:] in sizes,
                call=(path, 0) if graph.outputs.get(node) else ("", 0),
                node=node,
                geometry=survey.tracker.geometry(node),
                learned=node in survey.learned,
                kind=survey.kinds[node],
                activation=survey.activations.get(node),
            )
        )
    return maps


def observed_maps(seen: Observation, model: nn.Module, logits: Tensor) -> list[FeatureMap]:
    """Every output of a module that may be a layer of a network that could not be traced, lowest first.

    Args:
        seen: of one image.
        model: that was seen; its class tells how the field names its layers.
        logits: (1, classes), of the same image.
    """
    calls = Counter(output.path for output in seen.outputs)
    family = residual_names(model)
    wrapping = [output.path for output in seen.outputs if output.edge and output.edge.node is seen.nodes[-1]]
    # Modules whose outputs are one value: the last operation, the block that ends with it.
    alike: dict[Any, list[Output]] = {}
    for output in seen.outputs:
        if len(output.shape) == 4 and output.edge is not None:
            alike.setdefault((output.edge.node, output.edge.output_nr), []).append(output)
    maps = []
    for (operation, _), outputs in alike.items():
        once = {output.path: output for output in outputs if calls[output.path] == 1}
        chosen = once[_block(tuple(once), wrapping)] if once else outputs[0]
        names = tuple(one.path if one.call == 0 else f"{one.path}_{one.call}" for one in outputs)
        name = names[outputs.index(chosen)]
        called = next((family[path] for path in names if path in family), name)
        maps.append(
            FeatureMap(
                module=name,
                name=called,
                aliases=names,
                channels=chosen.shape[1],
                height=chosen.shape[2],
                width=chosen.shape[3],
                post_activation=operation in seen.post_activation or outputs[0].activation,
                cut=operation in seen.cuts,
                class_map=chosen.pooled is not None and _are_logits(chosen.pooled, logits),
                call=(chosen.path, chosen.call),
                kind=_kind_of(operation, outputs[0], seen),
            )
        )
    return maps


def _kind_of(operation: Any, output: Output, seen: Observation) -> str:
    """The kind of a map by what autograd calls its last operation."""
    name = operation.name().partition("Backward")[0].lower()
    if operation in seen.post_activation or output.activation:
        return AFTER_ACTIVATION
    if "convolution" in name or "batchnorm" in name.replace("_", ""):
        return LINEAR_MAP
    return "pooled" if "pool" in name else {"add": "sum"}.get(name, name)


def default_layers(maps: Sequence[FeatureMap]) -> list[FeatureMap]:
    """The last post-activation map of each spatial resolution, lowest first.

    Where only a stem has such maps (StarNet, RepViT), or none is there, the last map of each resolution.

    Raises:
        ModelError: there is none that all information passes through; lists what `--layers` may name.
    """
    return [one for one, reason in zip(maps, default_reasons(maps), strict=True) if reason.is_default]


def check_convolutional(seen: Observation, name: str) -> None:
    """Raise ModelError for a vision transformer or a mixer, whose only maps are those it begins with."""
    if seen.is_of_tokens:
        raise ModelError(
            f"{name} is a vision transformer or a mixer: its evidence is in tokens, not in maps; {SUPPORTED}"
        )


def choose_layers(maps: Sequence[FeatureMap], names: Sequence[str]) -> list[FeatureMap]:
    """The layers of these names or module paths, which must run upwards.

    Raises:
        NotFoundError: a name stands for no map; near matches are given.
        UsageError: a layer is given twice, or does not depend on the one before it.
    """
    by_name = {alias: m for m in maps for alias in m.aliases} | {m.name: m for m in maps}
    chosen: list[FeatureMap] = []
    for name in names:
        if name not in by_name:
            offered = ", ".join(m.name for m in default_layers(maps))
            raise NotFoundError("layer", name, by_name, f"(the default layers are {offered})")
        chosen.append(by_name[name])
    for lower, upper in itertools.pairwise(chosen):
        if lower == upper:
            raise UsageError(f"--layers names {upper.name!r} twice; give each layer once")
        if not depends_on(upper, lower, maps):
            raise UsageError(
                f"--layers is out of order: {upper.name!r} does not depend on {lower.name!r}; list layers lowest first"
            )
    return chosen


def find_layers(layers: Sequence[FeatureMap], names: Sequence[str], what: str) -> frozenset[int]:
    """Which of a run's layers these names or module paths stand for, as places in `layers`.

    Raises:
        NotFoundError: a name stands for none of them; `what` is what it was to be.
    """
    by_name = {alias: i for i, m in enumerate(layers) for alias in m.aliases} | {
        m.name: i for i, m in enumerate(layers)
    }
    for name in names:
        if name not in by_name:
            taken = ", ".join(m.name for m in layers)
            raise NotFoundError(what, name, by_name, f"(the run's layers are {taken}; choose them with --layers)")
    return frozenset(by_name[name] for name in names)


def depends_on(upper: FeatureMap, lower: FeatureMap, maps: Sequence[FeatureMap]) -> bool:
    """Whether values of `upper` are computed from `lower`; by order of execution where it was not traced."""
    if upper.node is not None and lower.node is not None:
        return upper.node in reachable_from([lower.node])
    return maps.index(upper) > maps.index(lower)


def check_logits(logits: Any, batch: int) -> None:
    """Raise ModelError unless the network's output is one row of class values an image."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != batch or not len(logits[0]):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"the network's output is {got}; evigraph needs logits of shape (batch, classes): "
            "wrap it in a module that returns them and give that as package.module:factory"
        )


def _block(paths: Sequence[str], wrapping: Sequence[str]) -> str:
    """Of modules whose output is one map, the innermost first: the whole block, but not all of `features`.

    `wrapping` are modules whose output is that of the network; a network that one of them holds counts as if alone.
    """
    within = [max((len(one) + 1 for one in wrapping if path.startswith(f"{one}.")), default=0) for path in paths]
    whole = [path for path, begin in zip(paths, within, strict=True) if "." in path[begin:]]
    return whole[-1] if whole else paths[0]


def _is_class_map(value: Tensor, logits: Tensor) -> bool:
    if value.shape[1] != logits.shape[1]:
        return False
    return _are_logits((value.mean((2, 3)), value.amax((2, 3))), logits)


def _are_logits(pooled: tuple[Tensor, Tensor], logits: Tensor) -> bool:
    """Whether the means or the maxima of a map, (batch, channels) each, are the logits."""
    if pooled[0].shape != logits.shape:
        return False
    slack = 1e-4 * float(logits.abs().max())
    return any(torch.allclose(p, logits, rtol=1e-3, atol=slack) for p in pooled)
