"""What a network's maps hold on a few images: places where nothing passes, and nodes without evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.hierarchy import explain
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.roots import decide
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.model.survey import upper_end


@dataclass(frozen=True)
class NodeEvidence:
    """What the nodes of one layer were decomposed into.

    Attributes:
        node_count: nodes decomposed.
        barren_count: those of them without a positive contribution.
        positive_count: positive contributions, of all of them together.
        edge_count: edges kept.
    """

    node_count: int
    barren_count: int
    positive_count: int
    edge_count: int

    @property
    def barren_share(self) -> float:
        """Of the nodes, from 0 to 1; 0 where there are none."""
        return self.barren_count / self.node_count if self.node_count else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with means over the nodes; null where there are none."""
        count = self.node_count
        return asdict(self) | {
            "barren_share": self.barren_count / count if count else None,
            "mean_positive": self.positive_count / count if count else None,
            "mean_edges": self.edge_count / count if count else None,
        }


def evidence_of(network: Network, inputs: Tensor, method: Method) -> list[NodeEvidence]:
    """Decompose the predicted class of a few images, on the network's device.

    Args:
        network: with its layers.
        inputs: (images, channels, height, width); those whose logits are not finite are left out.
        method: how decisions are decomposed.

    Returns:
        What the nodes of S2 to SL and of the logits hold; S1 is not decomposed further.
    """
    with frozen(network.model):
        record = network.recorder.record(inputs)
        finite = record.logits.isfinite().all(1)
        if not bool(finite.all()):
            if not bool(finite.any()):
                return []
            record = network.recorder.record(inputs[finite])
        unlabelled = torch.full((len(record.logits),), -1, device=record.logits.device)
        levels = explain(record, decide(unlabelled, unlabelled, record.logits.float()).roots, method)
    return [
        NodeEvidence(
            len(level.target),
            int((level.positive_count == 0).sum()),
            int(level.positive_count.sum()),
            len(level.node),
        )
        for level in reversed(levels)
    ]


def barren_share(evidence: Sequence[NodeEvidence]) -> float:
    """The part of all nodes that have no evidence, from 0 to 1; 0 where there are none."""
    nodes = sum(one.node_count for one in evidence)
    return sum(one.barren_count for one in evidence) / nodes if nodes else 0.0


@dataclass
class MapValues:
    """What the values of one map are, over a few images.

    Attributes:
        saturated: the part of places (of all channels) where the activation function is flat at its upper end, from
            0 to 1; None for a map of none, or of one that is not known.
        zero: the part of places that are 0; None for a map that is not post-activation.
        dead_channels: channels that are 0 everywhere in all images; None likewise.
    """

    saturated: float | None
    zero: float | None
    dead_channels: int | None


def values_of(network: Network, inputs: Tensor) -> dict[str, MapValues]:
    """What the maps of a network hold on a few images, by their names; a map that could not be looked at is left out.

    Args:
        network: on a device.
        inputs: (images, channels, height, width), on it.
    """
    seen: dict[str, MapValues] = {}

    def look(one: FeatureMap, value: Any) -> None:
        if isinstance(value, Tensor) and value.shape[1:] == (one.channels, one.height, one.width):
            seen[one.name] = _values(one, value)

    with ExitStack() as stack:
        stack.enter_context(frozen(network.model))
        stack.enter_context(torch.no_grad())
        if network.graph is not None:
            by_node = {one.node: one for one in network.maps}

            def visit(node: fx.Node, value: Any) -> Any:
                if node in by_node:
                    look(by_node[node], value)
                return value

            network.graph.execute(inputs, visit)
            return seen
        modules = dict(network.model.named_modules(remove_duplicate=False))
        for one in network.maps:
            if one.call[0] in modules:
                handle = modules[one.call[0]].register_forward_hook(_at_call(one.call[1], partial(look, one)))
                stack.callback(handle.remove)
        network.model(inputs)
    return seen


def _at_call(call: int, look: Callable[[Any], None]) -> Callable[[nn.Module, Any, Any], None]:
    """A hook that looks at the output of one call of a module, from 0."""
    calls = iter(range(1 << 30))

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if next(calls) == call:
            look(output)

    return hook


def _values(one: FeatureMap, value: Tensor) -> MapValues:
    if not one.post_activation:
        return MapValues(None, None, None)
    saturated = None
    if one.activation is not None:
        end = upper_end(one.activation)
        saturated = 0.0 if end is None else float((value >= end).double().mean())
    zero = value == 0
    return MapValues(saturated, float(zero.double().mean()), int(zero.all(0).flatten(1).all(1).sum()))
