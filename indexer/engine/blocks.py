"""Dense blocks: concatenations each of which holds all parts of the one before, and one more.

Layer i of a block reads the concatenation of all maps so far, so that the gradient of a map is a sum over all layers
above it. Instead of cutting each concatenation's gradient into its parts and adding them up one by one, which is
quadratic in the layers, the concatenations of a block share one buffer: each adds its gradient to the first channels of
it, and a part's gradient is its channels once the concatenations above it are done.

    1. `gather` finds the concatenations of a segment that begin with one another and replaces their `Join` rules by one
       `Collect` each. The ReLU that is the only way into a concatenation's normalisation is taken in: zeroing and
       adding are one pass.
    2. `Buffers` holds the gradients of a segment's blocks while it is decomposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, fx

from evigraph.indexer.engine.channels import Join
from evigraph.indexer.engine.elementwise import Gate, Pass
from evigraph.indexer.engine.rules import Rule
from evigraph.indexer.engine.spatial import Convolve
from evigraph.indexer.engine.windows import Frame, Windows, union


@dataclass(frozen=True)
class Collect(Rule):
    """A concatenation of a dense block; its `source` is its first part.

    Attributes:
        block: the longest concatenation of its block.
        count: channels of this one.
        gate: the ReLU whose gradient is taken in here, behind what normalises this concatenation; None for none.
        buffer: frame that the block's gradient has by then.
    """

    block: fx.Node
    count: int
    gate: fx.Node | None
    buffer: Frame

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        return () if self.gate is None else (self.gate,)


@dataclass(frozen=True)
class Part:
    """Where a block's buffer holds the gradient of one of the maps that it concatenates: channels `start` onwards."""

    block: fx.Node
    start: int
    count: int


def gather(
    rules: list[Rule],
    frames: dict[fx.Node, Frame],
    sizes: dict[fx.Node, tuple[int, int, int]],
    kept: frozenset[fx.Node],
) -> tuple[list[Rule], dict[fx.Node, Part]]:
    """Find the dense blocks of a segment.

    Args:
        rules: of the segment, in the order of the gradient.
        frames: of each operation's output.
        sizes: (channels, height, width) of each operation's output.
        kept: operations whose values are wanted as they are, so that no mask may take their place.

    Returns:
        The rules with `Collect` in the place of `Join`, and the parts of every block.
    """
    joins: dict[fx.Node, list[Join]] = {}
    for rule in rules:
        if isinstance(rule, Join):
            joins.setdefault(rule.node, []).append(rule)
    blocks = _blocks(joins, sizes)
    parts: dict[fx.Node, Part] = {}
    made: dict[fx.Node, Collect] = {}
    dropped: set[int] = set()
    bridged: dict[fx.Node, fx.Node] = {}
    for block in blocks:
        parts.update({j.source: Part(block[0], j.start, j.count) for j in joins[block[0]]})
        for cat in block:
            # Where windows have grown to whole maps the buffer changes its frame once.
            alike = [frames[other] for other in block if frames[other].whole == frames[cat].whole]
            way = _gate_above(cat, rules, kept)
            if way is not None:
                gate, between = way
                dropped.update(id(rule) for rule in between)
                bridged[gate] = cat
            first = joins[cat][0]
            made[cat] = Collect(
                cat,
                first.source,
                first.shape,
                block=block[0],
                count=sizes[cat][0],
                gate=None if way is None else way[0],
                buffer=union(alike, *sizes[cat][1:]),
            )
    out: list[Rule] = []
    for rule in rules:
        if isinstance(rule, Join) and rule.node in made:
            if rule is joins[rule.node][0]:
                out.append(made[rule.node])
        elif id(rule) not in dropped:
            out.append(replace(rule, source=bridged[rule.source]) if rule.source in bridged else rule)
    return out, parts


def _blocks(joins: dict[fx.Node, list[Join]], sizes: dict[fx.Node, tuple[int, int, int]]) -> list[list[fx.Node]]:
    """Concatenations that begin with one another, the longest first; of more than one concatenation."""
    blocks: list[list[fx.Node]] = []
    for cat, own in joins.items():
        layout = [(j.source, j.start, j.count) for j in own]
        if sum(j.count for j in own) != sizes[cat][0]:
            continue  # a part lies outside of the segment
        for block in blocks:
            longer = joins[block[-1]]
            if layout == [(j.source, j.start, j.count) for j in longer[: len(own)]] and len(own) < len(longer):
                block.append(cat)
                break
        else:
            blocks.append([cat])
    return [block for block in blocks if len(block) > 1]


def _gate_above(cat: fx.Node, rules: list[Rule], kept: frozenset[fx.Node]) -> tuple[fx.Node, list[Rule]] | None:
    """The ReLU that a concatenation goes to and nothing else, and the rules in between; the scale of a normalisation is
    in the weights of the convolution behind that ReLU.
    """
    between: list[Rule] = []
    node = cat
    while True:
        above = [rule for rule in rules if rule.source is node]
        if len(above) != 1 or len(node.users) != 1:
            return None
        (rule,) = above
        between.append(rule)
        if isinstance(rule, Gate):
            if rule.upper is not None or len(rule.node.users) > 1 or rule.node in kept:
                return None
            # Nothing but a convolution may read it, since a mask will take the place of its values.
            read_by = [type(other) for other in rules if other.source is rule.node]
            return (rule.node, between) if read_by == [Convolve] else None
        if not isinstance(rule, Pass):
            return None
        node = rule.node


class Buffers:
    """The gradients of a segment's dense blocks while its decisions are pulled back."""

    def __init__(
        self,
        parts: dict[fx.Node, Part],
        frames: dict[fx.Node, Frame],
        windows: Windows,
        mask: Callable[[fx.Node], Tensor],
    ) -> None:
        """Begin with no gradients; `mask` gives the map of a ReLU that is 1 where it is open and 0 elsewhere."""
        self.parts, self.frames, self.windows, self.mask = parts, frames, windows, mask
        self._held: dict[fx.Node, tuple[Tensor, Frame]] = {}

    def collect(self, rule: Collect, gradient: Tensor) -> None:
        """Add the gradient of a concatenation to its block."""
        frame = self.frames[rule.node]
        held = self._held.get(rule.block)
        if held is None:
            count, channels = gradient.shape[:2]
            shape = (count, *rule.buffer.size, channels)
            buffer = gradient.new_zeros(shape).permute(0, 3, 1, 2)
        else:
            buffer, before = held
            buffer = self.windows.reframe(buffer[:, : rule.count], before, rule.buffer)
        self._held[rule.block] = buffer, rule.buffer
        into = _crop(buffer, rule.buffer, frame)[:, : rule.count]
        if rule.gate is None:
            into.add_(gradient)
            return
        mask = self.mask(rule.gate)
        if frame.whole and not mask.is_cuda:
            # All decisions of an image see the same map, which need not be copied for each of them.
            for rows, image in self.windows.images():
                into[rows].addcmul_(gradient[rows], mask[image : image + 1])
        else:
            into.addcmul_(gradient, self.windows.read(mask, frame))

    def of(self, node: fx.Node) -> Tensor | None:
        """The gradient of a part of a block, in the node's frame; None for any other operation."""
        part = self.parts.get(node)
        if part is None or part.block not in self._held:
            return None
        buffer, frame = self._held[part.block]
        return _crop(buffer, frame, self.frames[node])[:, part.start : part.start + part.count]


def _crop(buffer: Tensor, frame: Frame, inner: Frame) -> Tensor:
    """The part of windows that lies in a smaller frame."""
    top, left = inner.y.start - frame.y.start, inner.x.start - frame.x.start
    return buffer[:, :, top : top + inner.y.size, left : left + inner.x.size]
