"""How the gradient passes back through each operation, on windows.

A rule says, for one kind of operation, which part of its input a window of its output depends on (`frame`), which
recorded maps it needs (`reads`), and how the gradient of the output becomes that of the input (`pull`). The function
that makes the rules of a call stands below the class of the rule, under `rule_of`, which enters it for an operation of
the registry (`indexer.model.registry`); an operation may also be declared there. Operations without a rule are not
local, or not known: their segment falls back to autograd.

    engine.elementwise   each value by itself             engine.channels   between the channels of a place
    engine.spatial       between places
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, fx

from evigraph.indexer.engine.folding import Convolution
from evigraph.indexer.engine.windows import Frame, Windows
from evigraph.indexer.model.graph import Graph
from evigraph.indexer.model.registry import Call, Operation, Pair, Shapes
from evigraph.schema.errors import ModelError

Values = dict[fx.Node, Tensor]


class NotLocalError(ModelError):
    """An operation that windows cannot pass through; its segment falls back to autograd over whole maps."""


def space(shape: tuple[int, ...]) -> Pair:
    """Height and width of a map; (1, 1) for values without space."""
    return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)


@dataclass(frozen=True)
class OneChannel:
    """A gradient with values in one channel only: how every decision begins.

    Attributes:
        channel: (decisions,) int64.
        value: (decisions, height, width).
        channels: of the map.
    """

    channel: Tensor
    value: Tensor
    channels: int

    def dense(self) -> Tensor:
        """(decisions, channels, height, width)."""
        count, height, width = self.value.shape
        gradient = self.value.new_zeros(count, height, width, self.channels)
        index = self.channel[:, None, None, None].expand(-1, height, width, 1)
        return gradient.scatter_(3, index, self.value[..., None]).permute(0, 3, 1, 2)

    def times(self, factor: Tensor) -> OneChannel:
        """With its values multiplied by (decisions,) or (decisions, height, width)."""
        factor = factor[:, None, None] if factor.ndim == 1 else factor
        return OneChannel(self.channel, self.value * factor, self.channels)


@dataclass(frozen=True)
class Rule:
    """The way back through one operation, from its output to one of its inputs.

    Attributes:
        node: the operation.
        source: the input that the gradient goes to.
        shape: (height, width) of that input's map; (1, 1) where it has no space.
    """

    node: fx.Node
    source: fx.Node
    shape: Pair

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        """The nodes whose recorded values `pull` needs."""
        return ()

    def frame(self, out: Frame) -> Frame:
        """The window of the input for a window of the output."""
        return out

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        """The gradient of the input.

        Args:
            gradient: (decisions, channels, *out.size), owned: it may be written into.
            out: its frame.
            values: recorded maps by node.
            windows: of the decisions.

        Returns:
            (decisions, input channels, *self.frame(out).size).
        """
        raise NotImplementedError

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> Tensor | OneChannel:
        """The same for the gradient that decisions begin with."""
        return self.pull(gradient.dense(), out, values, windows)


@dataclass(frozen=True)
class RuleContext:
    """What the rules of a segment are made from.

    Attributes:
        graph: the traced network.
        shapes: of every operation's output, for a batch of one.
        convolutions: of the whole network.
        inner: the operations of the segment, without its source.
        scaled: the batch normalisations whose scale a convolution behind them has taken in.
    """

    graph: Graph
    shapes: Shapes
    convolutions: dict[fx.Node, Convolution]
    inner: set[fx.Node]
    scaled: set[fx.Node] = field(default_factory=set)

    def ends(self, node: fx.Node, source: fx.Node) -> tuple[fx.Node, fx.Node, Pair]:
        """What each rule begins with: the operation, its input, and that input's height and width."""
        return node, source, space(self.shapes.get(source, ()))

    def like(self) -> Tensor:
        """A tensor on the device of the network and in its precision."""
        return next(convolution.weight for convolution in self.convolutions.values())

    def not_local(self, call: Call) -> NotLocalError:
        """The error that says of an operation that windows cannot pass through it."""
        target = call.node.target
        name = type(call.module).__name__ if call.module is not None else getattr(target, "__name__", str(target))
        return NotLocalError(f"{name} at {self.graph.names[call.node]} has no rule for windows")


RuleMaker = Callable[[RuleContext, Call, list[fx.Node]], list[Rule]]
"""Makes the rules of a call, one for each of its inputs that lie on a path; raises NotLocalError where it has none."""

_MAKERS: dict[Operation, RuleMaker] = {}


def rule_of(*operations: Operation) -> Callable[[RuleMaker], RuleMaker]:
    """Enter a function as the one that makes the rules of these operations."""

    def enter(maker: RuleMaker) -> RuleMaker:
        _MAKERS.update(dict.fromkeys(operations, maker))
        return maker

    return enter


def maker_of(operation: Operation) -> RuleMaker | None:
    """What makes the rules of an operation; None for one without."""
    return _MAKERS.get(operation)
