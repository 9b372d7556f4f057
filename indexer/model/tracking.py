"""Follows where the values of a traced network lie in its input, while it runs once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, fx

from evigraph.indexer.model.geometry import INPUT, NCHW, NHWC, Axis, Geometry, Places
from evigraph.indexer.model.graph import Graph, is_input
from evigraph.indexer.model.movements import run_of
from evigraph.indexer.model.places import places_of, turns_channels_last
from evigraph.indexer.model.reach import Reach
from evigraph.indexer.model.registry import Call, Shapes, Source, remember

_OF_SHAPE = frozenset({"size", "dim", "numel", "ndimension", "element_size", getattr, len})
"""What is asked of a tensor without reading its values."""


class Tracker:
    """Sees every node of a run with its value, in order of execution; see the module's docstring."""

    def __init__(self, graph: Graph, size: tuple[int, int]) -> None:
        """Begin with nothing; `size` is (height, width) of the input."""
        self.graph, self.size = graph, size
        self.places: dict[fx.Node, Places] = {}
        self._reach: dict[fx.Node, Reach | list[Reach]] = {}
        self._shapes: dict[fx.Node, tuple[int, ...]] = {}
        self._values: dict[fx.Node, Any] = {}
        """Of what does not depend on the pixels."""
        self._channels_last: set[fx.Node] = set()

    @property
    def shapes(self) -> Shapes:
        """Of the tensors seen so far; of several made at once, the first one's."""
        return self._shapes

    def see(self, call: Call, value: Any) -> None:
        """Take in the value of the next node."""
        node = call.node
        turn = turns_channels_last(call)
        if turn or (turn is None and any(source in self._channels_last for source in node.all_input_nodes)):
            self._channels_last.add(node)
        parts = _tensors(value)
        if parts:
            self._shapes[node] = tuple(parts[0].shape)  # chunks of a map lie over the same places
        else:
            remember(node, value)  # a size, say
        if is_input(node):
            self._reach[node], self.places[node] = Reach.of_input(self._shapes[node]), INPUT
            return
        sources = [source for source in node.all_input_nodes if source in self._reach]
        if not sources or (not parts and node.target in _OF_SHAPE):
            self._values[node] = value
            return
        inputs = [
            Source(self._shapes.get(source, ()), self.places.get(source), self._reach[source], source)
            for source in sources
        ]
        self._reach[node] = self._reached(call, inputs, value, parts)
        if parts:
            dims = NHWC if node in self._channels_last else NCHW
            places = places_of(call, inputs, self._shapes[node], self.size, dims)
            if places is not None:
                self.places[node] = self._settled(node, places)

    def _settled(self, node: fx.Node, places: Places) -> Places:
        """Where nothing declared says where the places of a map lie, they lie where its values are from."""
        reach, shape = self._reach[node], self._shapes[node]
        is_map = len(shape) == 4 and places.dims == NCHW
        if not is_map or isinstance(reach, list) or not any(axis.vague for axis in places.axes):
            return places
        geometry = Geometry.of(places, reach, shape, self.size)
        if geometry.turned:
            return places
        rows, columns = (Axis.found(spans, side) for spans, side in zip(geometry.spans, self.size, strict=True))
        return replace(places, axes=(rows or places.axes[0], columns or places.axes[1]))

    def geometry(self, node: fx.Node) -> Geometry:
        """Of a (batch, channels, height, width) map that has places."""
        reach = self._reach[node]
        if isinstance(reach, list):
            raise TypeError(f"{node.name} gives several tensors; a map is one")
        return Geometry.of(self.places[node], reach, self._shapes[node], self.size)

    def _reached(
        self, call: Call, inputs: Sequence[Source], value: Any, parts: Sequence[Tensor]
    ) -> Reach | list[Reach]:
        """What the values of a node depend on."""
        movement = call.operation.places
        found = None
        if movement is not None and parts:
            run = run_of(call, [source.node for source in inputs], self._values)
            found = movement.reach(call, inputs, self._shapes[call.node], run)
        several = not isinstance(value, Tensor)
        if isinstance(found, Reach) and several and parts:
            found = [found] * len(parts)
        if isinstance(found, list) and _fit(found, parts) and several:
            return found
        if isinstance(found, Reach) and _fit([found], parts) and not several:
            return found
        everything = Reach.hull([one.everything(0) for source in inputs for one in _listed(source.reach)])
        made = [everything.everything(part.ndim) for part in parts]
        return made if several and made else made[0] if made else everything


def _tensors(value: Any) -> list[Tensor]:
    """A tensor, or several that were made at once; nothing of anything else."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, Tensor) for part in value):
        return list(value)
    return []


def _listed(reach: Reach | list[Reach]) -> list[Reach]:
    return reach if isinstance(reach, list) else [reach]


def _fit(found: Sequence[Reach], parts: Sequence[Tensor]) -> bool:
    """Whether each is of a tensor's dimensions."""
    return len(found) == len(parts) and all(
        one.rank == part.ndim
        and all(
            count in {1, size}
            for half in (one.rows, one.columns)
            for count, size in zip(half.shape[1:], part.shape, strict=True)
        )
        for one, part in zip(found, parts, strict=True)
    )
