"""Finds the rule of each operation of a traced network."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, fx, nn

from evigraph.indexer.engine.folding import Convolution, affine
from evigraph.indexer.engine.rules import Flatten, Gate, Join, Linear, Pass, Pointwise, Rule, Scale, Shuffle, Take
from evigraph.indexer.engine.spatial import Convolve, Pool, Resample
from evigraph.indexer.model.graph import Graph, module_of
from evigraph.indexer.model.operations import ACTIVATION_MODULES, Pair, is_activation, is_relu, pair
from evigraph.schema.errors import ModelError

Shapes = dict[fx.Node, tuple[int, ...]]


class NotLocalError(ModelError):
    """An operation that windows cannot pass through; its segment falls back to autograd over whole maps."""


def space(shape: tuple[int, ...]) -> Pair:
    """Height and width of a map; (1, 1) for values without space."""
    return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)


_PASSING = (nn.Dropout, nn.Dropout2d, nn.Identity, torchvision.ops.StochasticDepth)
_GATES = {nn.ReLU: None, nn.ReLU6: 6.0}
_GATE_FUNCTIONS: dict[Callable[..., Any], float | None] = {F.relu: None, torch.relu: None, F.relu6: 6.0}
_SUMS = {operator.add, torch.add}


class RuleBuilder:
    """Finds the rules of operations."""

    def __init__(
        self, graph: Graph, shapes: Shapes, convolutions: dict[fx.Node, Convolution], inner: set[fx.Node]
    ) -> None:
        self.graph, self.shapes, self.convolutions = graph, shapes, convolutions
        self.inner = inner
        """The operations of the segment, without its source."""
        self._scaled: set[fx.Node] = set()

    def rules(self, node: fx.Node, on_path: set[fx.Node]) -> list[Rule]:
        """One rule for each input of an operation that lies on a path."""
        sources = [source for source in node.all_input_nodes if source in on_path]
        if node.op == "call_module":
            return [self._of_module(node, sources[0], module_of(self.graph, node))]
        if node.op in {"call_function", "call_method"}:
            return self._of_function(node, sources)
        raise self._not_local(node)

    def _of_module(self, node: fx.Node, source: fx.Node, module: nn.Module) -> Rule:
        shape = space(self.shapes[source])
        common = (node, source, shape)
        if isinstance(module, nn.Conv2d):
            return self._convolve(common, module)
        if isinstance(module, nn.BatchNorm2d):
            folded = self.convolutions.get(source)
            if node in self._scaled or (folded is not None and folded.norm is node):
                return Pass(*common)
            return Scale(*common, scale=affine(module)[0])
        for kind, upper in _GATES.items():
            if type(module) is kind:
                return Gate(*common, upper=upper)
        if isinstance(module, ACTIVATION_MODULES) and not isinstance(module, nn.PReLU):
            return Pointwise(*common, function=module)
        if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
            return self._pool(common, module)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            return self._adaptive(common)
        if isinstance(module, nn.Linear):
            if len(self.shapes[source]) == 2:
                return Linear(*common, weight=module.weight.detach())
        elif isinstance(module, (nn.Flatten, *_PASSING)):
            return self._reshape(common)
        raise self._not_local(node)

    def _of_function(self, node: fx.Node, sources: list[fx.Node]) -> list[Rule]:
        target = node.target
        first = sources[0]
        common = (node, first, space(self.shapes.get(first, ())))
        if target in _SUMS or (node.op, target) == ("call_method", "add"):
            terms = [a for a in node.args if isinstance(a, fx.Node)]
            if (
                len(set(terms)) == len(terms)
                and not node.kwargs
                and all(self.shapes.get(t) == self.shapes[node] for t in terms)
            ):
                return [Pass(node, source, space(self.shapes[source])) for source in sources]
        elif target is torch.cat:
            return self._join(node, sources)
        elif target in _GATE_FUNCTIONS or (node.op, target) == ("call_method", "relu"):
            return [Gate(*common, upper=_GATE_FUNCTIONS.get(target))]  # type: ignore[arg-type]
        elif is_activation(node, self.graph.module) and node.op == "call_function" and len(node.args) == 1:
            return [Pointwise(*common, function=partial(target, **node.kwargs))]  # type: ignore[arg-type, operator, misc]
        elif (
            target is torch.flatten
            or _is_idle_dropout(node)
            or (node.op, target)
            in {
                ("call_method", "flatten"),
                ("call_method", "contiguous"),
            }
        ):
            return [self._reshape(common)]
        elif target is operator.getitem:
            return [self._take(node)]
        elif (node.op, target) == ("call_method", "view"):
            return [self._shuffle(node)]
        elif target is F.adaptive_avg_pool2d or self._is_mean_over_space(node):
            return [self._adaptive(common)]
        elif target in {F.max_pool2d, F.avg_pool2d}:
            return [self._pool(common, _pool_module(node))]
        raise self._not_local(node)

    def _convolve(self, common: tuple[fx.Node, fx.Node, Pair], module: nn.Conv2d) -> Rule:
        if common[0] not in self.convolutions or isinstance(module.padding, str):
            raise self._not_local(common[0])
        weight = self.convolutions[common[0]].weight
        norm = self._norm_before(common[1]) if module.groups == 1 else None
        if norm is not None:
            self._scaled.add(norm)
            weight = weight * affine(module_of(self.graph, norm))[0][:, None, None]
            weight = weight.contiguous(memory_format=torch.channels_last)
        return Convolve(
            *common,
            weight=weight,
            rows=weight.permute(0, 2, 3, 1).reshape(len(weight), -1),
            stride=pair(module.stride),
            padding=pair(module.padding),
            dilation=pair(module.dilation),
            groups=module.groups,
        )

    def _norm_before(self, node: fx.Node) -> fx.Node | None:
        """The batch normalisation of a chain in this segment of it, ReLU and convolution that nothing else reads."""
        if not is_relu(self.graph, node) or len(node.users) > 1:
            return None
        (norm,) = node.all_input_nodes
        if (
            norm not in self.inner
            or norm.op != "call_module"
            or len(norm.users) > 1
            or norm in {c.norm for c in self.convolutions.values()}
        ):
            return None
        return norm if isinstance(module_of(self.graph, norm), nn.BatchNorm2d) else None

    def _pool(self, common: tuple[fx.Node, fx.Node, Pair], module: nn.MaxPool2d | nn.AvgPool2d) -> Rule:
        padding = pair(module.padding)
        largest = isinstance(module, nn.MaxPool2d)
        if isinstance(module, nn.AvgPool2d):
            partly = padding != (0, 0) and not module.count_include_pad
            if partly or module.ceil_mode or module.divisor_override is not None:
                raise self._not_local(common[0])
        dilation = pair(module.dilation) if isinstance(module, nn.MaxPool2d) else (1, 1)
        stride = pair(module.kernel_size if module.stride is None else module.stride)
        return Pool(
            *common,
            kernel=pair(module.kernel_size),
            stride=stride,
            padding=padding,
            dilation=dilation,
            largest=largest,
        )

    def _adaptive(self, common: tuple[fx.Node, fx.Node, Pair]) -> Rule:
        """Adaptive average pooling, or a mean over space."""
        size, out = common[2], space(self.shapes[common[0]])
        if size == out:
            return Pass(*common)
        if size[0] % out[0] or size[1] % out[1]:
            like = next(c.weight for c in self.convolutions.values())
            rows, columns = (_averages(i, o).to(like) for i, o in zip(size, out, strict=True))
            return Resample(*common, rows=rows, columns=columns)
        kernel = (size[0] // out[0], size[1] // out[1])
        return Pool(*common, kernel=kernel, stride=kernel, padding=(0, 0), dilation=(1, 1), largest=False)

    def _reshape(self, common: tuple[fx.Node, fx.Node, Pair]) -> Rule:
        node, source, size = common
        if self.shapes[node] == self.shapes[source]:
            return Pass(*common)
        if len(self.shapes[node]) == 2 and len(self.shapes[source]) == 4:
            return Pass(*common) if size == (1, 1) else Flatten(*common)
        raise self._not_local(node)

    def _join(self, node: fx.Node, sources: list[fx.Node]) -> list[Rule]:
        parts = node.args[0] if node.args else None
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        if axis not in {1, -3} or not isinstance(parts, (list, tuple)) or len(set(parts)) != len(parts):
            raise self._not_local(node)
        rules: list[Rule] = []
        start = 0
        for part in parts:
            count = self.shapes[part][1]
            if part in sources:
                rules.append(Join(node, part, space(self.shapes[part]), start=start, count=count))
            start += count
        return rules

    def _take(self, node: fx.Node) -> Rule:
        """One part of `x.chunk(parts, dim=1)`; the rule skips the operation that makes all the parts."""
        chunk, index = node.args
        if not isinstance(chunk, fx.Node) or not isinstance(index, int) or _name(chunk) != "chunk":
            raise self._not_local(node)
        whole, parts = chunk.args[0], chunk.args[1] if len(chunk.args) > 1 else chunk.kwargs["chunks"]
        axis = chunk.args[2] if len(chunk.args) > 2 else chunk.kwargs.get("dim", 0)
        total = self.shapes[whole][1] if whole in self.shapes else 0  # type: ignore[index]
        if axis != 1 or not isinstance(parts, int) or total % parts:
            raise self._not_local(node)
        size = total // parts
        return Take(node, whole, space(self.shapes[node]), start=size * (index % parts), total=total)  # type: ignore[arg-type]

    def _shuffle(self, node: fx.Node) -> Rule:
        """ShuffleNet's x.view(b, groups, c, h, w).transpose(1, 2).contiguous().view(b, channels, h, w) as one rule."""
        chain = [node]
        for name in ("contiguous", "transpose", "view"):
            chain.append(chain[-1].args[0])  # type: ignore[arg-type]
            if not isinstance(chain[-1], fx.Node) or _name(chain[-1]) != name:
                raise self._not_local(node)
        _, _, transpose, split = chain
        source = split.args[0]
        parts = self.shapes[split]
        if tuple(transpose.args[1:]) != (1, 2) or len(parts) != 5 or self.shapes[node] != self.shapes[source]:  # type: ignore[index]
            raise self._not_local(node)
        order = torch.arange(parts[1] * parts[2]).view(parts[1], parts[2]).T.flatten()
        like = next(c.weight for c in self.convolutions.values())
        return Shuffle(node, source, space(self.shapes[node]), order=order.to(like.device))  # type: ignore[arg-type]

    def _is_mean_over_space(self, node: fx.Node) -> bool:
        if (node.op, node.target) != ("call_method", "mean") and node.target is not torch.mean:
            return False
        dims = node.args[1] if len(node.args) == 2 else node.kwargs.get("dim", node.args[1:])
        return isinstance(dims, (list, tuple)) and sorted(d % 4 for d in dims if isinstance(d, int)) == [2, 3]

    def _not_local(self, node: fx.Node) -> NotLocalError:
        what = type(module_of(self.graph, node)).__name__ if node.op == "call_module" else None
        name = what or getattr(node.target, "__name__", str(node.target))
        return NotLocalError(f"{name} at {self.graph.names[node]} has no rule for windows")


def _name(node: fx.Node) -> str:
    """What an operation is called, as a method or as a function."""
    return str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")


def _is_idle_dropout(node: fx.Node) -> bool:
    """Whether a node is F.dropout as a network in evaluation mode calls it; by default it drops."""
    training = node.args[2] if len(node.args) > 2 else node.kwargs.get("training", True)
    return node.target is F.dropout and training is False


def _pool_module(node: fx.Node) -> nn.MaxPool2d | nn.AvgPool2d:
    """The module that a call of F.max_pool2d or F.avg_pool2d does the same as."""
    kind = nn.MaxPool2d if node.target is F.max_pool2d else nn.AvgPool2d
    kwargs = {name: value for name, value in node.kwargs.items() if name != "input"}
    return kind(*node.args[1:], **kwargs)  # type: ignore[arg-type]


def _averages(size: int, out: int) -> Tensor:
    """Adaptive average pooling along one axis, as an (out, size) matrix."""
    return F.adaptive_avg_pool1d(torch.eye(size)[None], out)[0].T
