"""The rules of operations on each value by itself (see `indexer.engine.rules`).

Pass         sums, dropout in evaluation mode, identity                          the gradient as it is
Scale        batch normalisation in evaluation mode                              product by channel
Gate         ReLU, ReLU6                                                         zero where the output is flat
Pointwise    any other activation function                                       its derivative at the input
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from evigraph.indexer.engine.folding import affine
from evigraph.indexer.engine.rules import OneChannel, Rule, RuleContext, Values, rule_of
from evigraph.indexer.engine.windows import Frame, Windows
from evigraph.indexer.model.operations import BATCH_NORM, RELU, RELU6, SUM
from evigraph.indexer.model.registry import OPERATIONS, Call


@dataclass(frozen=True)
class Pass(Rule):
    """Sums, dropout in evaluation mode, identity: the gradient as it is."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return gradient

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        return gradient


@rule_of(SUM)
def _sum(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    node, shapes = call.node, context.shapes
    terms = [term for term in node.args if isinstance(term, fx.Node)]
    alike = all(shapes.get(term) == shapes[node] for term in terms)
    if len(set(terms)) < len(terms) or node.kwargs or not alike:
        raise context.not_local(call)
    return [Pass(*context.ends(node, source)) for source in sources]


@dataclass(frozen=True)
class Scale(Rule):
    """Batch normalisation in evaluation mode: x * scale + shift."""

    scale: Tensor
    """(channels,)."""

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        return gradient.mul_(self.scale[:, None, None])

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        return gradient.times(self.scale[gradient.channel])


@rule_of(BATCH_NORM)
def _batch_norm(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    if call.module is None:
        raise context.not_local(call)
    ends = context.ends(call.node, sources[0])
    folded = context.convolutions.get(sources[0])
    if call.node in context.scaled or (folded is not None and folded.norm is call.node):
        return [Pass(*ends)]
    return [Scale(*ends, scale=affine(call.module)[0])]


@dataclass(frozen=True)
class Gate(Rule):
    """ReLU and ReLU6: the gradient passes where the output lies strictly within its bounds."""

    upper: float | None

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        return (self.node,)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        output = values[self.node]
        output = output if output.ndim == 4 else output[:, :, None, None]
        if out.whole and not output.is_cuda:
            # All decisions of an image see the same map, which need not be copied for each of them.
            for rows, image in windows.images():
                self._pass(gradient[rows], output[image : image + 1].expand_as(gradient[rows]))
            return gradient
        return self._pass(gradient, windows.read(output, out))

    def _pass(self, gradient: Tensor, output: Tensor) -> Tensor:
        """Zero the gradient in place where the output is at a bound."""
        if self.upper is None:
            torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
        else:
            torch.ops.aten.hardtanh_backward.grad_input(gradient, output, 0, self.upper, grad_input=gradient)
        return gradient

    def pull_one(self, gradient: OneChannel, out: Frame, values: Values, windows: Windows) -> OneChannel:
        output, _ = windows.read_channels(values[self.node], out, None, gradient.channel)
        return gradient.times(output > 0 if self.upper is None else (output > 0) & (output < self.upper))


_BOUNDS = {RELU: None, RELU6: 6.0}


@rule_of(*_BOUNDS)
def _gate(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    return [Gate(*context.ends(call.node, sources[0]), upper=_BOUNDS[call.operation])]


@dataclass(frozen=True)
class Pointwise(Rule):
    """Any function of one value: its derivative by autograd, at the recorded input."""

    function: Callable[[Tensor], Tensor]

    @property
    def reads(self) -> tuple[fx.Node, ...]:
        return (self.source,)

    def pull(self, gradient: Tensor, out: Frame, values: Values, windows: Windows) -> Tensor:
        with torch.enable_grad():
            point = windows.read(values[self.source], out).requires_grad_()
            (pulled,) = torch.autograd.grad(self.function(point), point, gradient)
        return pulled


@rule_of(*(operation for operation in OPERATIONS if operation.activation and operation not in _BOUNDS))
def _pointwise(context: RuleContext, call: Call, sources: list[fx.Node]) -> list[Rule]:
    function = call.of_its_input()
    if function is None:
        raise context.not_local(call)
    return [Pointwise(*context.ends(call.node, sources[0]), function=function)]
