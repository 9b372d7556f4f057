"""Files that torch.save or pickle wrote, read without running anything that they ask for.

A pickle is a program: it names functions, and reading it calls them. Here tensors and plain containers are made; every
other name becomes a placeholder that does nothing (an argparse.Namespace, a numpy number, a configuration), and a file
that names what only an attack needs is refused.

1. torch reads the file with weights_only=True, its own protection.
2. What that refuses is read again by the unpickler below.
"""

from __future__ import annotations

import collections
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import torch
from torch import Tensor


class Placeholder(dict[Any, Any]):
    """What a file names and nobody makes here; of a class for each name. Keeps the items of a mapping, nothing else."""

    def __init__(self, *_args: object, **_options: object) -> None:
        super().__init__()

    def __call__(self, *_args: object, **_options: object) -> Placeholder:
        """The same."""
        return self

    def __setstate__(self, _state: object) -> None:
        """Nothing."""

    def append(self, _item: object) -> None:
        """Nothing."""

    def extend(self, _items: object) -> None:
        """Nothing."""

    def add(self, _item: object) -> None:
        """Nothing."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a key of a mapping may be one
    __eq__ = object.__eq__


_ATTACKS = frozenset(
    {"os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "importlib", "runpy", "pty", "code", "ctypes"}
    | {"webbrowser", "pickle", "marshal", "commands", "platform", "pdb", "bdb", "timeit"}
)
_ATTACKING = frozenset({"eval", "exec", "execfile", "compile", "open", "__import__", "input", "breakpoint"})
"""Of the builtins."""
_BUILTINS = ("builtins", "__builtin__")


def _data(data: Tensor, *_rest: object) -> Tensor:
    """A parameter's tensor, without its hooks and state."""
    return data


def _typed(make: Callable[..., Any], _kind: object, arguments: tuple[Any, ...], *_state: object) -> Any:
    """A tensor of a subclass, as a plain one."""
    return make(*arguments)


def _encoded(text: str, encoding: str = "latin1", *_errors: str) -> bytes:
    """Bytes as protocol 2 writes them."""
    return text.encode(encoding)


def _storage(content: bytes) -> Any:
    """The values of a tensor within a plain pickle."""
    return _load(io.BytesIO(content))


def _made(kind: type, *_rest: object) -> Any:
    """An object of protocol 1."""
    return kind() if issubclass(kind, Placeholder) else Placeholder()


def _array(kind: type, *_rest: object) -> Any:
    """An array of numpy, whose state fills it; of a kind of its own, nothing."""
    return np.empty(0) if kind is np.ndarray else _made(kind)


def _values(content: bytes, kind: np.dtype[Any], shape: tuple[int, ...], order: Any, *_rest: object) -> Any:
    """An array of numpy as protocol 5 writes it."""
    return np.frombuffer(content, kind).reshape(shape, order=order)


_SAFE: dict[str, Any] = {
    "collections.OrderedDict": collections.OrderedDict,
    "collections.defaultdict": collections.defaultdict,
    "collections.Counter": collections.Counter,
    "collections.deque": collections.deque,
    "_codecs.encode": _encoded,
    "copyreg._reconstructor": _made,
    "copy_reg._reconstructor": _made,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "numpy.core.multiarray._reconstruct": _array,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy.core.numeric._frombuffer": _values,
    "numpy._core.numeric._frombuffer": _values,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "torch.Tensor": torch.Tensor,
    "torch.nn.parameter.Parameter": torch.nn.Parameter,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "torch._utils._rebuild_parameter": _data,
    "torch._utils._rebuild_parameter_with_state": _data,
    "torch.storage._load_from_bytes": _storage,
}
_SAFE |= {
    f"{module}.{kind.__name__}": kind
    for module in _BUILTINS
    for kind in (set, frozenset, dict, list, tuple, int, float, bool, str, bytes, bytearray, complex, slice)
}
_SAFE |= {f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
for _name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"):
    if hasattr(torch._utils, _name):
        _SAFE[f"torch._utils.{_name}"] = getattr(torch._utils, _name)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module.partition(".")[0] in _ATTACKS or (module in _BUILTINS and name in _ATTACKING):
            raise pickle.UnpicklingError(f"it asks for {full} to be called, which no weights need; nothing was run")
        if full in _SAFE:
            return _SAFE[full]
        return type(name, (Placeholder,), {"__module__": module, "__qualname__": name})


class _Pickles:
    """What torch.load takes in place of the module pickle."""

    Unpickler = _Unpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(file: IO[bytes], **options: Any) -> Any:
        """Read one pickle."""
        return _Unpickler(file, **options).load()

    @staticmethod
    def loads(content: bytes, **options: Any) -> Any:
        """Read one pickle from bytes."""
        return _Unpickler(io.BytesIO(content), **options).load()

    @staticmethod
    def dump(*_args: object) -> NoReturn:
        """Never: this reads."""
        raise pickle.PicklingError("this module only reads")


def _load(file: IO[bytes]) -> Any:
    """What torch.save wrote.

    Raises:
        Exception: torch raises anything on a damaged file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old protocols and storages; what matters is raised
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=False, pickle_module=_Pickles)


def load_pickled(path: Path) -> Any:
    """What torch.save, or pickle.dump, wrote into a file: containers, tensors and placeholders.

    Raises:
        Exception: the file is no such one, or damaged; torch raises anything then.
    """
    with path.open("rb") as file:  # by its content: torch goes by the suffix of a name
        try:
            return _load(file)
        except RuntimeError as error:
            # A dict that pickle alone wrote has no number that says "torch".
            if "magic number" not in str(error):
                raise
            file.seek(0)
            return _Pickles.load(file)
