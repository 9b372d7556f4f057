"""What forward sees of a tensor while it is traced: a stand-in that knows the values it stands for.

The network runs on batches of two sizes while it is traced. A question that both answer alike and that is not about
values (a size, a type, how many dimensions) is answered with what is so for the run's input; what differs is the size
of the batch, and stays an operation of the graph. A question about values ends the trace, unless all that it decides
is whether an error is raised.

Writing in place: the stand-in then stands for the new value, and so does every other one of the same memory; whoever
reads a part of that memory under another shape afterwards ends the trace.
"""

from __future__ import annotations

import dis
import operator
import sys
from bisect import bisect_left
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor, fx


class UntraceableError(ValueError):
    """Why a graph cannot stand for the network; in the words of a user."""


class StandIn(fx.Proxy):
    """Stands for the output of an operation.

    Attributes:
        values: of each batch that the network is traced with; empty where it is traced without.
        of_data: whether they depend on the values of tensors, as the size of a batch does not.
        detached: whether the way of the gradient ends here.
        stale: why it may not be read any more; empty where it may.
    """

    def __init__(self, node: fx.Node, tracer: Any) -> None:
        self.values: tuple[Any, ...] = ()
        self.of_data, self.detached, self.stale = True, False, ""
        super().__init__(node, tracer)

    @property
    def node(self) -> fx.Node:
        """The operation whose output it is."""
        if self.stale:
            raise UntraceableError(self.stale)
        return self._node

    @node.setter
    def node(self, node: fx.Node) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        if name == "_node" or not self.values:
            return super().__getattr__(name)
        found = getattr(self.values[0], name)
        if callable(found) and not isinstance(found, Tensor):
            return fx.proxy.Attribute(self, name)
        if name == "data":
            return self.tracer.create_proxy("call_method", "detach", (self,), {})
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"data", "grad", "requires_grad"}:
            raise UntraceableError(f"forward sets .{name} of a tensor")
        super().__setattr__(name, value)

    def __bool__(self) -> bool:
        return self._truth(sys._getframe(1))

    def _truth(self, frame: FrameType) -> bool:
        if not self.values:
            return super().__bool__()
        if not self.of_data:
            raise UntraceableError("forward asks for the size of its batch")
        if any(isinstance(value, Tensor) and value.numel() != 1 for value in self.values):
            raise UntraceableError("forward asks whether a whole tensor is true")
        truths = {bool(value) for value in self.values}
        if len(truths) > 1 or not _only_raises(frame):
            raise UntraceableError("forward decides by values which way it takes")
        self.tracer.guards += 1  # type: ignore[attr-defined]
        return truths.pop()

    def _number(self) -> Any:
        what = "values as numbers" if self.of_data else "the size of its batch"
        raise UntraceableError(f"forward asks for {what}")

    __int__ = __float__ = __index__ = __complex__ = _number

    def __len__(self) -> int:
        lengths = {len(value) for value in self.values}
        if len(lengths) != 1:
            raise UntraceableError("forward asks for the size of its batch")
        return lengths.pop()

    def __iter__(self) -> Iterator[Any]:
        if not self.values:
            code, at = _waiting(sys._getframe(1))
            if code[at].opname != "UNPACK_SEQUENCE":
                return super().__iter__()
            return iter([self[index] for index in range(int(code[at].argval))])  # type: ignore[index]
        return iter([self[index] for index in range(len(self))])  # type: ignore[index]

    def __contains__(self, item: Any) -> bool:
        raise UntraceableError("forward asks which values a tensor holds")

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})

    def shares_memory_with(self, other: Any) -> bool:
        """Whether any of its values lies in the memory of a tensor."""
        return any(_memory(one) == _memory(other) for one in _tensors(self.values[:1]))

    def is_the_same_memory(self, other: Any) -> bool:
        """Whether its value is a tensor of exactly the memory of another, in the same order."""
        own = self.values[0]
        return (
            isinstance(own, Tensor)
            and own.shape == other.shape
            and own.stride() == other.stride()
            and own.storage_offset() == other.storage_offset()
        )


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def write(self: StandIn, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return write


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor"):
    setattr(StandIn, f"__{_name}__", _in_place(_name))


def _tensors(values: Any) -> list[Tensor]:
    """The tensors among values and in their lists."""
    if isinstance(values, Tensor):
        return [values]
    return [t for value in values for t in _tensors(value)] if isinstance(values, (list, tuple)) else []


def _memory(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


def _waiting(frame: FrameType) -> tuple[list[dis.Instruction], int]:
    """The instructions of a frame, and the place of the one that it is at."""
    code = list(dis.get_instructions(frame.f_code))
    return code, bisect_left(code, frame.f_lasti, key=lambda instruction: instruction.offset)


def _only_raises(frame: FrameType) -> bool:
    """Whether the answer that a frame is waiting for decides only if it raises an error."""
    code, at = _waiting(frame)
    while at < len(code) and code[at].opname in {"TO_BOOL", "CACHE", "NOP", "CALL", "PRECALL", "UNARY_NOT"}:
        at += 1
    if at == len(code) or not ("JUMP" in code[at].opname and "IF" in code[at].opname):
        return False
    target = bisect_left(code, int(code[at].argval), key=lambda instruction: instruction.offset)
    return any(_raises(code, begin) for begin in (at + 1, target))


def _raises(code: list[dis.Instruction], at: int) -> bool:
    for instruction in code[at:]:
        if instruction.opname == "RAISE_VARARGS":
            return True
        if "JUMP" in instruction.opname or instruction.opname.startswith(("RETURN", "FOR_ITER", "YIELD")):
            return False
    return False


def settled(value: Any) -> bool:
    """Whether a value is no tensor and holds none: a size, a type, a number, text."""
    if isinstance(value, (list, tuple)):
        return all(settled(part) for part in value)
    kinds = (bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format)
    return value is None or isinstance(value, kinds)
