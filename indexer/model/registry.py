"""The registry of operations: what everyone needs to know of one is declared once, as HIPS/autograd's `defvjp` does.

An `Operation` says by which modules, functions and methods it is called, how its parameters are read, and what it does
to places and values. `indexer.model.operations` declares those of torch; `indexer.engine` adds the way of a gradient
back through them (`engine.rules.rule_of`), and may declare further ones beside their rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn

from evigraph.indexer.model.geometry import Places
from evigraph.indexer.model.reach import Reach

Pair = tuple[int, int]
"""Of a height and a width."""
Shapes = Mapping[fx.Node, tuple[int, ...]]


@dataclass(frozen=True)
class Source:
    """An input of an operation that depends on the pixels.

    Attributes:
        shape: of the tensor, or of the first of several.
        places: where its places lie; None for no places.
        reach: the pixels that its values depend on; a list for several tensors.
        node: that makes it.
    """

    shape: tuple[int, ...]
    places: Places | None
    reach: Reach | list[Reach]
    node: fx.Node


Found = Reach | list[Reach] | None
Run = Callable[[Sequence[Tensor]], Any]
"""A call as a function of its inputs that depend on the pixels."""


@dataclass(frozen=True)
class Movement:
    """What a kind of operation does to places; the kinds are in `indexer.model.movements`.

    Attributes:
        places: where the places of an output lie, from the call, its inputs and the output's shape; None for a kind
            that has none, and where this function cannot say.
        reach: the pixels that its values depend on, from the same and from the call as a function; None where each
            depends on all of the inputs.
    """

    places: Callable[[Call, Sequence[Source], tuple[int, ...]], Places | None] | None
    reach: Callable[[Call, Sequence[Source], tuple[int, ...], Run], Found]


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation, under all the names that it is called by.

    Attributes:
        name: for people.
        modules: classes of modules; of a module's classes the most special one that is declared counts.
        functions: functions, those that write into their input not among them.
        methods: names of methods of a tensor.
        in_place: each function that writes into its input, and the one that does the same without.
        parameters: name and default of what a function takes after its input, in order; modules have them as
            attributes.
        places: what it does to places; None where each value depends on all of the inputs.
        activation: whether it is an activation function, which makes a map post-activation.
        guided: whether guided backpropagation lets only positive gradients back through it.
        rearranges: whether it only moves values, so that a post-activation map stays one.
        fresh: whether its output is memory of its own, which the operation behind it may write into.
    """

    name: str
    modules: tuple[type[nn.Module], ...] = ()
    functions: tuple[Callable[..., Any], ...] = ()
    methods: tuple[str, ...] = ()
    in_place: Mapping[Callable[..., Any], Callable[..., Any]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    places: Movement | None = None
    activation: bool = False
    guided: bool = False
    rearranges: bool = False
    fresh: bool = False


UNKNOWN = Operation("unknown")
_VALUE = "evigraph_value"

OPERATIONS: list[Operation] = []
_BY_KEY: dict[Any, Operation] = {}
"""By class of a module, by function, and by name of a method."""
OUT_OF_PLACE: dict[Callable[..., Any], Callable[..., Any]] = {}
"""Each function that writes into its input, and the one that does the same without."""


def declare(operation: Operation) -> Operation:
    """Add an operation to the registry.

    Raises:
        ValueError: one of its names already stands for another.
    """
    keys = [*operation.modules, *operation.functions, *operation.methods]
    for key in keys:
        if key in _BY_KEY:
            raise ValueError(f"{key!r} is declared as {_BY_KEY[key].name!r} and as {operation.name!r}; remove one")
    _BY_KEY.update(dict.fromkeys(keys, operation))
    OUT_OF_PLACE.update(operation.in_place)
    OPERATIONS.append(operation)
    return operation


def operation_of_module(module: nn.Module) -> Operation:
    """The operation that a module is; UNKNOWN for any other."""
    return next((_BY_KEY[kind] for kind in type(module).__mro__ if kind in _BY_KEY), UNKNOWN)


@dataclass(frozen=True)
class Window:
    """What one value of a convolution or pooling sees of each axis, (down, across).

    Attributes:
        kernel: values seen.
        stride: from one window to the next.
        padding: values before the first of the map that the first window sees.
        dilation: from one value seen to the next.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)


@dataclass(frozen=True)
class Call:
    """One call of an operation in a traced network: its parameters read alike, however it is called.

    Attributes:
        node: the call.
        operation: that it calls.
        module: that it calls, for a module.
        shapes: of other nodes' values, as far as they are known.
    """

    node: fx.Node
    operation: Operation
    module: nn.Module | None = None
    shapes: Shapes = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """A parameter of the call, by its name in the operation's `parameters`."""
        default = self.operation.parameters[name]
        if self.module is not None:
            return getattr(self.module, name, default)
        place = list(self.operation.parameters).index(name) + 1
        given = self.node.args[place] if place < len(self.node.args) else self.node.kwargs.get(name, default)
        return known(given)

    @property
    def rest(self) -> Sequence[Any]:
        """The arguments after the input, which may be given one by one or as one sequence: x.permute(0, 2, 1)."""
        rest: Any = known(self.node.args[1:] or tuple(self.node.kwargs.values()))
        return rest[0] if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest

    @property
    def window(self) -> Window:
        """The window of a convolution or pooling."""
        parameters = self.operation.parameters
        if "kernel_size" in parameters:
            kernel = pair(self["kernel_size"])
        else:
            weight = getattr(self.module, "weight", None)
            shape = self.shapes[self["weight"]] if weight is None else weight.shape
            kernel = (int(shape[-2]), int(shape[-1]))
        dilation = pair(self["dilation"]) if "dilation" in parameters else (1, 1)
        padding = self["padding"]
        if padding == "same":
            padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
        padding = (0, 0) if padding == "valid" else pair(padding)
        stride = self["stride"]
        # Pooling steps by its kernel where nothing else is said; [] is how torch's own functions say nothing.
        return Window(kernel, kernel if stride is None or stride == [] else pair(stride), padding, dilation)

    def of_its_input(self) -> Callable[[Any], Any] | None:
        """The call as a function of its input alone; None where anything else that it takes is computed."""
        node = self.node
        if self.module is not None:
            return self.module
        rest, kwargs = node.args[1:], dict(node.kwargs)
        if not node.args or len(node.all_input_nodes) != 1 or node.all_input_nodes[0] is not node.args[0]:
            return None
        if isinstance(node.target, str):
            name = node.target
            return lambda value: getattr(value, name)(*rest, **kwargs)
        target = node.target
        return lambda value: target(value, *rest, **kwargs)


def remember(node: fx.Node, value: Any) -> None:
    """Keep what a node gives where it is no tensor, as a size is, so that calls which take it can be read."""
    node.meta[_VALUE] = value


def known(argument: Any) -> Any:
    """An argument of a call, where values that are no tensors (a size) have the place of the nodes that give them."""
    return fx.map_arg(argument, lambda node: node.meta.get(_VALUE, node))


def call_of(node: fx.Node, root: nn.Module, shapes: Shapes | None = None) -> Call:
    """What a node of a traced network calls; its targets are resolved in `root`."""
    module = root.get_submodule(str(node.target)) if node.op == "call_module" else None
    if module is not None:
        operation = operation_of_module(module)
    elif node.op in {"call_function", "call_method"}:
        operation = _BY_KEY.get(node.target, UNKNOWN)
    else:
        operation = UNKNOWN
    return Call(node, operation, module, shapes or {})


def pair(value: Any) -> Pair:
    """Height and width of a setting that may be one number for both."""
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[0])) if len(value) == 1 else (int(value[0]), int(value[1]))
