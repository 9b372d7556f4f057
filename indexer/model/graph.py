"""A network as a list of operations, traced once with torch.fx.

The traced copy shares every parameter and module with the user's network and changes none of them. Operations that
write into their input are replaced in the copy by ones that do not, since a recorded feature map must stay as it was:

    nn.ReLU(inplace=True), F.relu(x, inplace=True)  ->  run with inplace=False
    x.relu_(), x += y, x.add_(y)                    ->  x.relu(), x + y
"""

from __future__ import annotations

import inspect
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torchvision
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

import evigraph.indexer.model.operations  # noqa: F401 - declares them
from evigraph.indexer.model.registry import OUT_OF_PLACE, Call, Shapes, call_of
from evigraph.schema.errors import ModelError


@dataclass(frozen=True)
class Graph:
    """The operations of a network in order of execution.

    Attributes:
        module: the traced copy; node targets are resolved in it.
        nodes: every operation, placeholders and the output included.
        names: node -> its path, as torchvision's `create_feature_extractor` names it ("layer1.0.add", "relu").
        outputs: node -> paths of the modules whose output it is and that run once, the innermost first.
    """

    module: fx.GraphModule
    nodes: tuple[fx.Node, ...]
    names: dict[fx.Node, str]
    outputs: dict[fx.Node, tuple[str, ...]]

    def run(self, node: fx.Node, env: dict[fx.Node, Any]) -> Any:
        """The value of one operation, from the values of its inputs in `env`."""
        args = fx.map_arg(node.args, env.__getitem__)
        kwargs = fx.map_arg(node.kwargs, env.__getitem__)
        if node.op == "call_module":
            return self.module.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.module)
        if node.op == "placeholder":
            return node.args[0]  # an argument of forward that is left at its default
        raise ModelError(f"operation {node.op!r} of node {node.name!r} cannot be run; report it as a bug")

    def call(self, node: fx.Node, shapes: Shapes | None = None) -> Call:
        """What a node calls; `shapes` are of other nodes' values, where they matter."""
        return call_of(node, self.module, shapes)

    def execute(
        self,
        pixels: Tensor,
        visit: Callable[[fx.Node, Any], Any] | None = None,
        *,
        until: fx.Node | None = None,
        given: Mapping[fx.Node, Any] | None = None,
    ) -> Any:
        """Run the network and return its output.

        Args:
            pixels: (batch, 3, height, width), the network's input.
            visit: called with each node and its value; what it returns takes the value's place.
            until: run only what this node needs, and return its value.
            given: values that are not computed but taken from here; what they alone need does not run.

        A value is let go after its last use.
        """
        env: dict[fx.Node, Any] = dict(given or {})
        nodes = self.nodes if until is None and given is None else _needed(self.nodes, until or self.nodes[-1], env)
        last_use = {used: node for node in nodes for used in node.all_input_nodes}
        for node in nodes:
            if node.op == "output":
                return fx.map_arg(node.args[0], env.__getitem__)
            value = pixels if is_input(node) else self.run(node, env)
            env[node] = value if visit is None else visit(node, value)
            if node is until:
                return env[node]
            for used in node.all_input_nodes:
                if last_use[used] is node:
                    del env[used]
        raise ModelError("the traced network has no output; give it as package.module:factory of an nn.Module")


def _needed(nodes: Iterable[fx.Node], end: fx.Node, given: Mapping[fx.Node, Any]) -> list[fx.Node]:
    """The nodes that `end` needs where the values of some are given, in the order of `nodes`."""
    needed = set(given) | {end}
    pending = [end]
    while pending:
        for node in pending.pop().all_input_nodes:
            if node not in needed:
                needed.add(node)
                pending.append(node)
    return [node for node in nodes if node in needed and node not in given]


def trace(model: nn.Module) -> Graph:
    """Trace a network into its operations.

    Raises:
        ModelError: torch.fx cannot follow its forward (control flow on values, say); the message says why.
    """
    tracer = _Tracer()
    try:
        traced = tracer.trace(model, concrete_args=_defaults(model))
    except Exception as error:  # torch.fx raises whatever the user's forward raises on proxies
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{type(model).__name__} cannot be traced: {reason}") from error
    module = fx.GraphModule(tracer.root, traced)
    inputs = [node for node in traced.nodes if is_input(node)]
    if len(inputs) != 1:
        raise ModelError(f"{type(model).__name__} takes {len(inputs)} inputs; evigraph decomposes networks of one")
    for node in traced.nodes:
        _make_out_of_place(node)
    names = {node: tracer.node_to_qualname.get(node, node.name) for node in traced.nodes}
    outputs = {node: tuple(path for path in paths if tracer.calls[path] == 1) for node, paths in tracer.outputs.items()}
    return Graph(module, tuple(traced.nodes), names, outputs)


def is_input(node: fx.Node) -> bool:
    """Whether a node is the network's input rather than an argument of forward with a default."""
    return node.op == "placeholder" and not node.args


def _defaults(model: nn.Module) -> dict[str, Any]:
    """The arguments of forward that have a default: traced at it, since `x is None` of a proxy is never true."""
    parameters = inspect.signature(model.forward).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


class _Tracer(NodePathTracer):  # type: ignore[misc]  # torchvision has no types
    """torchvision's tracer, which also notes whose module's output each node is."""

    def __init__(self) -> None:
        super().__init__(autowrap_modules=(math, torchvision.ops), leaf_modules=[torchvision.ops.StochasticDepth])
        self.outputs: dict[fx.Node, list[str]] = {}
        self.calls: Counter[str] = Counter()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path = self.path_of_module(m)
        self.calls[path] += 1
        out = super().call_module(m, forward, args, kwargs)
        if isinstance(out, fx.Proxy):
            self.outputs.setdefault(out.node, []).append(path)
        return out


def _make_out_of_place(node: fx.Node) -> None:
    if node.op == "call_function":
        node.target = OUT_OF_PLACE.get(node.target, node.target)  # type: ignore[arg-type]
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    elif node.op == "call_method" and str(node.target).endswith("_") and not str(node.target).endswith("__"):
        node.target = str(node.target).rstrip("_")


def writing_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that write into their input, by path."""
    return {path: module for path, module in model.named_modules() if getattr(module, "inplace", False) is True}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within the block a network is in evaluation mode; afterwards every module is as it was."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def out_of_place(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within the block these modules, which write into their input, do not."""
    writing = list(modules)
    for module in writing:
        module.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in writing:
            module.inplace = True  # type: ignore[assignment]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within the block a network is in evaluation mode, needs no gradient of its parameters and no module writes into
    its input; afterwards every module and parameter is as it was.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with evaluating(model), out_of_place(writing_modules(model).values()):
        for parameter in trained:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)


def module_of(graph: Graph, node: fx.Node) -> Any:
    """The module that an operation calls; None for one that calls none."""
    return graph.module.get_submodule(str(node.target)) if node.op == "call_module" else None


def reachable_from(sources: Iterable[fx.Node]) -> set[fx.Node]:
    """Every node that depends on one of `sources`, themselves included."""
    reached = set(sources)
    pending = list(reached)
    while pending:
        for user in pending.pop().users:
            if user not in reached:
                reached.add(user)
                pending.append(user)
    return reached


def between(nodes: Iterable[fx.Node], source: fx.Node, target: fx.Node) -> list[fx.Node]:
    """The nodes on paths from `source` to `target`, both included, in the order of `nodes`."""
    above = reachable_from([source])
    below = {target}
    pending = [target]
    while pending:
        for node in pending.pop().all_input_nodes:
            if node in above and node not in below:
                below.add(node)
                pending.append(node)
    return [node for node in nodes if node in above and node in below]


def cuts(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes that every path from the input to the output runs through.

    In any topological order a node is one exactly if no edge between nodes of such paths spans it.
    """
    order = list(nodes)
    source = next(node for node in order if is_input(node))
    path = between(order, source, next(node for node in order if node.op == "output"))
    position = {node: index for index, node in enumerate(path)}
    passed_by_all = set()
    furthest = 0
    for index, node in enumerate(path):
        if furthest <= index:
            passed_by_all.add(node)
        furthest = max([furthest, *(position[user] for user in node.users if user in position)])
    return passed_by_all
