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
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from evigraph.indexer.model.geometry import NCHW, TURNED, Geometry
from evigraph.indexer.model.graph import Graph, cuts, frozen, is_input, module_of, reachable_from
from evigraph.indexer.model.naming import family_names, residual_names
from evigraph.indexer.model.observing import Observation, Output
from evigraph.indexer.model.tracking import Tracker
from evigraph.schema.errors import ModelError, NotFoundError, UsageError
from evigraph.schema.pictures import LayerGeometry

_SAME_STAGE = 1.25
MOST_OFFERED = 12
"""Maps that a message lists."""
SUPPORTED = (
    "evigraph decomposes convolutional networks, whose maps are (batch, channels, height, width): give one, or name "
    "such maps with --layers"
)
"""What is decomposed, for messages about networks that are not."""
_OF_MAPS = (NCHW, TURNED)


@dataclass(frozen=True)
class FeatureMap:
    """A feature map of a network: a candidate for a layer.

    Attributes:
        module: dotted path of the module whose output it is, or of the traced operation.
        name: what the field calls it.
        aliases: every path that stands for it.
        channels, height, width: its shape at the run's input size.
        post_activation: whether its values come out of an activation function.
        cut: whether all information from the input to the logits passes through it, and it is not the input itself.
        of_stage: whether a map of its resolution is a convolution's (or another product's with weights).
        class_map: whether its spatial mean or maximum is the logits.
        call: the module and which of its calls gives the map, from 0; ("", 0) where none does.
        node: the traced operation; None where the network could not be traced.
        geometry: where its places lie in the input; None likewise.
    """

    module: str
    name: str
    aliases: tuple[str, ...]
    channels: int
    height: int
    width: int
    post_activation: bool
    cut: bool
    class_map: bool = False
    of_stage: bool = True
    call: tuple[str, int] = ("", 0)
    node: fx.Node | None = field(default=None, compare=False)
    geometry: Geometry | None = None

    @property
    def stride(self) -> int | None:
        """In input pixels; None where the network could not be traced."""
        return None if self.geometry is None else self.geometry.stride

    @property
    def receptive_field(self) -> int | None:
        """In input pixels; None where the network could not be traced."""
        return None if self.geometry is None else self.geometry.receptive_field

    def crops(self, size: int | tuple[int, int]) -> LayerGeometry:
        """Where the places lie in an input of (height, width), or of a square one, for those who draw crops."""
        if self.geometry is not None:
            return self.geometry.crops()
        # Without a trace a place is taken to stand for the cell of the input that it would cover.
        height, width = (size, size) if isinstance(size, int) else size
        stride = (height / self.height, width / self.width)
        return LayerGeometry((stride[0] / 2, stride[1] / 2), stride, None)


def feature_maps(graph: Graph, model: nn.Module, pixels: Tensor) -> list[FeatureMap]:
    """Every map of a traced network that may be a layer, lowest first.

    Args:
        graph: the traced network.
        model: the network it was traced from; its class tells how the field names its layers.
        pixels: (1, 3, height, width), any input of the run's size: the network is run on it once.
    """
    survey = _Survey(graph, (pixels.shape[2], pixels.shape[3]))
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
            )
        )
    return maps


def default_layers(maps: Sequence[FeatureMap]) -> list[FeatureMap]:
    """The last post-activation map of each spatial resolution, lowest first.

    Where only a stem has such maps (StarNet, RepViT), or none is there, the last map of each resolution.

    Raises:
        ModelError: there is none that all information passes through; lists what `--layers` may name.
    """
    whole = [m for m in maps if m.cut and not m.class_map]
    every, candidates = [m for m in whole if m.height * m.width > 1], [m for m in whole if m.post_activation]
    if not candidates:
        candidates = every
    elif _only_of_stem(candidates, every):
        if any(m.geometry is None or m.stride is None for m in every):
            raise ModelError(
                "the only maps of activation functions that all evidence runs through are the stem's, up to "
                f"{candidates[-1].name}; choose with --layers, lowest first, of {_some(every)}"
            )
        candidates = every
    last: dict[tuple[int, int], int] = {}
    for index, candidate in enumerate(candidates):
        last[candidate.height, candidate.width] = index
    stages: list[FeatureMap] = []
    for index in sorted(last.values()):
        layer = candidates[index]
        if stages and stages[-1].height < _SAME_STAGE * layer.height and stages[-1].width < _SAME_STAGE * layer.width:
            stages.pop()
        stages.append(layer)
    if not stages and maps:
        some = _some([m for m in maps if m.post_activation] or maps)
        raise ModelError(
            "there is no feature map that all evidence runs through, to be a layer by default; choose with --layers, "
            f"lowest first, of {some}"
        )
    if not stages:
        raise ModelError(f"the network has no feature map of 4 dimensions; {SUPPORTED}")
    return stages


def _only_of_stem(some: Sequence[FeatureMap], every: Sequence[FeatureMap]) -> bool:
    """Whether none of these maps is of the last two resolutions of a network with more than two."""
    sizes = [*dict.fromkeys((m.height, m.width) for m in every if m.of_stage)]
    return len(sizes) > 2 and not {(m.height, m.width) for m in some} & set(sizes[-2:])


def _some(maps: Sequence[FeatureMap]) -> str:
    """Names of maps for a message."""
    return ", ".join(m.name for m in maps[:MOST_OFFERED]) + (", ..." if len(maps) > MOST_OFFERED else "")


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


class _Survey:
    """Watches one run of a traced network: its NCHW maps, which are post-activation, and where their places lie."""

    def __init__(self, graph: Graph, size: tuple[int, int]) -> None:
        self.graph = graph
        self.tracker = Tracker(graph, size)
        self.maps: dict[fx.Node, Tensor] = {}
        self.post_activation: set[fx.Node] = set()
        self.products: set[fx.Node] = set()  # convolutions, and others with weights
        self.learned: set[fx.Node] = set()  # they, and what is above one
        self._settled: set[fx.Node] = set()

    def visit(self, node: fx.Node, value: Any) -> Any:
        call = self.graph.call(node, self.tracker.shapes)
        settled = any(source in self._settled for source in node.all_input_nodes)
        if call.operation.activation or (call.operation.rearranges and settled):
            self._settled.add(node)
        if call.operation.name.endswith("convolution") or self._has_weights(node):
            self.products.add(node)
        if node in self.products or any(source in self.learned for source in node.all_input_nodes):
            self.learned.add(node)
        self.tracker.see(call, value)
        places = self.tracker.places.get(node)
        is_map = isinstance(value, Tensor) and value.ndim == 4 and len(value) == 1  # not some images of a batch
        if is_map and places and places.dims in _OF_MAPS and not is_input(node):
            self.maps[node] = value
            if node in self._settled:
                self.post_activation.add(node)
        return value

    def _has_weights(self, node: fx.Node) -> bool:
        """Whether a call multiplies with a matrix of parameters, its module's or given to it."""
        module = module_of(self.graph, node)
        given = [self.graph.run(one, {}) for one in node.all_input_nodes if one.op == "get_attr"]
        return any(
            isinstance(one, nn.Parameter) and one.ndim > 1 for one in (*(module.parameters() if module else ()), *given)
        )
