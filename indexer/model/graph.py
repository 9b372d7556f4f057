"""A network as a list of operations, traced once with torch.fx (`model.tracing`).

The traced copy shares every parameter and module with the user's network and changes none of them. Operations that
write into their input are replaced in the copy by ones that do not, since a recorded feature map must stay as it was;
whoever reads the input afterwards reads the new value, as in the network:

    nn.ReLU(inplace=True), F.relu(x, inplace=True)  ->  run with inplace=False
    x.relu_(), x += y, x.add_(y), x[:, 0] = 0       ->  x.relu(), x + y, a copy of which a part is set
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

import evigraph.indexer.model.operations  # noqa: F401 - declares them
from evigraph.indexer.model.plain import eager, evaluated, traceable, without_checkpoints
from evigraph.indexer.model.registry import Call, Shapes, call_of
from evigraph.indexer.model.tracing import Tracer
from evigraph.schema.errors import ModelError, first_line

_BATCHES = (1, 2)
"""Sizes of the batches that a network is traced with: what differs between them depends on the size of the batch."""


@dataclass(frozen=True)
class Graph:
    """The operations of a network in order of execution.

    Attributes:
        module: the traced copy; node targets are resolved in it.
        nodes: every operation, placeholders and the output included.
        names: node -> its path, as torchvision's `create_feature_extractor` names it ("layer1.0.add", "relu").
        outputs: node -> paths of the modules whose output it is and that run once, the innermost first.
        notes: what was left out of the network's forward, a sentence each.
    """

    module: fx.GraphModule
    nodes: tuple[fx.Node, ...]
    names: dict[fx.Node, str]
    outputs: dict[fx.Node, tuple[str, ...]]
    notes: tuple[str, ...] = ()

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


def trace(model: nn.Module, pixels: Tensor | None = None) -> Graph:
    """Trace a network into its operations.

    Args:
        model: any network of one input.
        pixels: (batch, channels, height, width), an input of the run's size: what forward asks of sizes is answered
            for it. None to trace for inputs of any size, which fewer networks allow.

    Raises:
        ModelError: torch.fx cannot follow its forward (control flow on values, say); the message says why.
    """
    inputs: tuple[Tensor, ...] = ()
    if pixels is not None:
        several = torch.cat([pixels[:1], pixels[:1].flip(3) * 2])
        inputs = tuple(several[:count].detach().requires_grad_().clone() for count in _BATCHES)
    tracer = Tracer(inputs)
    try:
        with traceable(model, tracer):
            traced = tracer.trace(model)
            module = fx.GraphModule(tracer.root, traced)
    except Exception as error:  # torch.fx raises whatever the user's forward raises on stand-ins
        raise ModelError(f"{type(model).__name__} cannot be traced: {first_line(error, 300)}") from error
    for leaf, copy in tracer.leaves.items():
        for path in [path for path, one in module.named_modules(remove_duplicate=False) if one is leaf]:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, copy)
    for node in reversed(list(traced.nodes)):
        if not node.users and node.op not in {"placeholder", "output"}:
            traced.erase_node(node)  # of sizes, most of them
        else:
            _make_plain(node, tracer)
    names = {node: tracer.node_to_qualname.get(node, node.name) for node in traced.nodes}
    kept = set(traced.nodes)
    outputs = {
        node: tuple(path for path in paths if tracer.calls[path] == 1)
        for node, paths in tracer.outputs.items()
        if node in kept
    }
    notes: tuple[str, ...] = ()
    if tracer.guards:
        notes = ("What the network's forward checks of values, to raise an error, is left out of the run.",)
    return Graph(module, tuple(traced.nodes), names, outputs, notes)


def is_input(node: fx.Node) -> bool:
    """Whether a node is the network's input."""
    return node.op == "placeholder"


def _make_plain(node: fx.Node, tracer: Tracer) -> None:
    """Spell alike what does the same: a map made one row an image; a view, which not every memory format allows."""
    if (node.op, node.target) not in _RESHAPING or not isinstance(node.args[0], fx.Node):
        return
    before, after = tracer.shapes.get(node.args[0], ()), tracer.shapes.get(node, ())
    if before and all(
        len(old) > 1 and new == (old[0], math.prod(old[1:])) for old, new in zip(before, after, strict=True)
    ):
        node.op, node.target, node.args, node.kwargs = "call_function", torch.flatten, (node.args[0], 1), {}


_RESHAPING = {("call_method", name) for name in ("view", "reshape", "squeeze")} | {
    ("call_function", function) for function in (torch.reshape, torch.squeeze)
}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within the block a network is in the mode that its own `eval` gives it; afterwards every module is as it was."""
    before = [(module, module.training) for module in model.modules()]
    evaluated(model)
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within the block a network is in evaluation mode and needs no gradient of its parameters; it runs as written, not
    compiled and without checkpoints. Afterwards every module and parameter is as it was.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with ExitStack() as stack:
        for block in (evaluating(model), eager(), without_checkpoints()):
            stack.enter_context(block)
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
