"""Files of weights as people have them, and the state dicts in them.

1. What the file is, is told from its first bytes; what holds no tensors of torch is refused by its kind.
2. It is read without running pickled code (`unpickling`).
3. Training scripts keep a state dict beside other things, one or two levels down, and often several of them; every
   mapping that holds tensors is a candidate, and `fitting` takes the one that is the network's.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from evigraph.indexer.weights.unpickling import Placeholder, load_pickled
from evigraph.schema.errors import ModelError, NotFoundError, first_line

StateDict = dict[str, Tensor]

SUFFIXES = frozenset(
    {".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl", ".pickle", ".th", ".t7", ".model", ".weights"}
    | {".pt2", ".onnx", ".h5", ".hdf5", ".keras", ".pb", ".tflite", ".npz", ".npy", ".msgpack", ".json"}
)
"""What `--weights` names as a file, whether it is there or not."""

_DAMAGED = ("central directory", "unexpected EOF", "truncated", "not fully covered", "InvalidHeader")
"""Of what readers say of files that are not whole."""
_GIVE = "give a .safetensors file, or a .pth that torch.save(model.state_dict(), FILE) wrote"
_SAVE = "save one with torch.save(model.state_dict(), FILE)"
_DEPTH = 4
_NOT_WEIGHTS = ("optim", "sched", "lr_", "scaler", "amp", "callback", "loops", "hyper_param", "rng", "args", "config")
"""Beginnings of the names under which training scripts keep other tensors than a network's."""
_ARCHITECTURE = ("arch", "architecture", "model_name")
"""Names under which training scripts keep that of the network."""
_SHOWN = 6


@dataclass(frozen=True)
class Held:
    """A state dict in a file.

    Attributes:
        keys: where it lies, outermost first; empty where the file is the state dict.
        tensors: by name.
    """

    keys: tuple[str, ...]
    tensors: StateDict


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights.

    Attributes:
        path: of the file.
        part: the part that was asked for as FILE#PART; None for the network's.
        keys: the outermost keys of the file.
        held: every state dict in it, outermost first.
        architecture: that the file says it is of; None where it says nothing.
    """

    path: Path
    part: str | None
    keys: tuple[str, ...]
    held: tuple[Held, ...]
    architecture: str | None = None

    def shown_keys(self) -> str:
        """The outermost keys as a message has them."""
        return _shown(self.keys)


def weights_file(weights: str) -> tuple[Path, str | None] | None:
    """The file, and the part of it, that `--weights` names as FILE or FILE#PART; None where it names none.

    Raises:
        ModelError: it names a file that is not there, or a folder.
    """
    if "://" in weights:
        raise ModelError(f"weights {weights} are at an address, which is not fetched; download the file and give that")
    path, part = Path(weights), None
    name, hash_, after = weights.rpartition("#")
    try:
        if hash_ and not path.is_file() and (Path(name).is_file() or Path(name).suffix.lower() in SUFFIXES):
            path, part = Path(name), after
        if path.is_file():
            return path, part
        folder, there = path.is_dir(), path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise ModelError(f"weights file {weights} cannot be opened: {error.strerror}; check the path") from error
    if folder and (path.suffix or len(path.parts) > 1):
        raise ModelError(f"weights {weights} is a folder; give the file of weights in it")
    if there and not folder:
        raise ModelError(f"weights {weights} is a pipe or a device, which cannot be read twice; give a file")
    if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        raise ModelError(f"weights file {path} does not exist; check the path")
    return None


def read_checkpoint(path: Path, part: str | None = None) -> Checkpoint:
    """The state dicts of a file.

    Args:
        path: of a .safetensors file, or of one that torch.save wrote, by whatever name.
        part: where in it to look: keys, outermost first, with / between them; the last may be the first words of names.

    Raises:
        ModelError: the file is no such one, is damaged, asks for code to be run, or holds no tensors.
        NotFoundError: no such part.
    """
    content = _read(path)
    if isinstance(content, Placeholder) and not content:
        raise ModelError(
            f"weights {path} cannot be read as a state dict: it is no file of tensors alone; {_GIVE}: it is a whole "
            f"pickled object ({_kind(content)}), whose code is not run"
        )
    keys = tuple(map(str, content)) if isinstance(content, Mapping) else ()
    inner = content if part is None else _part_of(content, part, path)
    prefix = () if part is None else tuple(part.split("/"))
    dicts = list(_state_dicts(inner, ())) or list(_state_dicts(_with_tensors(inner), ()))
    held = tuple(Held(prefix + one.keys, one.tensors) for one in dicts)
    if not held:
        pickled = sorted({_kind(value) for value in _values(inner) if isinstance(value, Placeholder)})
        within = f", and pickled objects ({', '.join(pickled[:3])}), which are not made here," if pickled else ""
        raise ModelError(
            f"weights {path} hold no state dict{f' in {part!r}' if part else ''}: "
            f"{_shown(keys)}{within} {'but' if keys else 'nor'} {'no ' if keys else ''}tensors; {_SAVE}"
        )
    named = next((content[key] for key in _ARCHITECTURE if key in keys and isinstance(content[key], str)), None)
    return Checkpoint(path, part, keys, held, named)


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _values(content: Any) -> Sequence[Any]:
    return list(content.values()) if isinstance(content, Mapping) else [content]


def _shown(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"the file has the keys {', '.join(map(repr, keys[:_SHOWN]))}{more}" if keys else "the file has neither keys"


def _part_of(content: Any, part: str, path: Path) -> Any:
    for key in part.split("/"):
        names = [str(name) for name in content] if isinstance(content, Mapping) else []
        if key in names:
            content = next(value for name, value in content.items() if str(name) == key)
            continue
        start = key.removesuffix(".") + "."
        inside = {name.removeprefix(start): content[name] for name in names if name.startswith(start)}
        if not inside:
            firsts = dict.fromkeys(name.partition(".")[0] for name in names)
            raise NotFoundError(f"part of {path}:", part, firsts, f"({_shown(list(firsts))})")
        content = inside
    return content


def _with_tensors(content: Any, depth: int = 0) -> Any:
    """A mapping whose arrays of numpy are tensors, as are those of the mappings in it."""
    if isinstance(content, np.ndarray) and content.dtype.kind in "fiub" and content.dtype.isnative:
        return torch.from_numpy(np.array(content))
    if isinstance(content, Mapping) and depth <= _DEPTH:
        return {name: _with_tensors(value, depth + 1) for name, value in content.items()}
    return content


def _state_dicts(content: Any, keys: tuple[str, ...]) -> Iterator[Held]:
    """Every mapping to tensors, outermost first."""
    if isinstance(content, list | tuple):
        content = {str(index): value for index, value in enumerate(content)}
    if not isinstance(content, Mapping):
        return
    tensors = {str(name): value.detach() for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield Held(keys, tensors)
    if len(keys) < _DEPTH:
        for name, value in content.items():
            if isinstance(name, str | int) and not _is_beside(str(name).lower()):
                yield from _state_dicts(value, (*keys, str(name)))


def _is_beside(name: str) -> bool:
    return name.startswith(_NOT_WEIGHTS) or name in ("opt", "opt_state", "opt_state_dict")


def _read(path: Path) -> Any:
    try:
        head = _head(path)
        foreign = _foreign(path, head)
        if foreign is None:
            return safetensors.torch.load_file(path) if _is_safetensors(head) else load_pickled(path)
    except ModelError:
        raise
    except Exception as error:  # whoever reads a damaged file may raise anything
        raise ModelError(f"weights {path} cannot be read as a state dict: {_reason(error)}; {_GIVE}") from error
    raise ModelError(f"weights {path} cannot be read as a state dict: {foreign}")


def _reason(error: Exception) -> str:
    """The first line of what a reader raised; torch's further ones would have its protection switched off."""
    line = first_line(error).rstrip(" .")
    if isinstance(error, EOFError | struct.error) or any(words in line for words in _DAMAGED) or not line:
        return f"it is damaged, or only partly copied or downloaded ({line or type(error).__name__})"
    return "it is no file of tensors alone" if line.startswith("Weights only load failed") else line


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins as safetensors does: the length of a header of JSON, and the header."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32


_BEGINNINGS = {
    b"version https://git-lfs": "it is a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`",
    b"\x89HDF": "it is an HDF5 file, as Keras writes it; give weights of a torch network",
    b"\x93NUMPY": "it is a numpy array; " + _SAVE,
    b"\x1f\x8b": "it is packed with gzip; unpack it first",
    b"7z\xbc\xaf": "it is packed with 7-Zip; unpack it first",
    b"Rar!": "it is packed with RAR; unpack it first",
    b"%PDF": "it is a PDF; give the file of weights",
}


def _foreign(path: Path, head: bytes) -> str | None:
    """What a file is that holds no state dict of torch, and what to do; None where it may hold one."""
    if not head:
        return "it is empty; copy or download it again"
    for beginning, what in _BEGINNINGS.items():
        if head.startswith(beginning):
            return what
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a web page, such as a failed download leaves; download the file itself"
    if text.startswith((b"{", b"[")):
        if b"weight_map" in text or path.name.endswith(".index.json"):
            return f"it lists weights that lie in several files{_shards(path)}; give one file that holds them all"
        return "it is JSON, a configuration or an error page; give the file of weights"
    if head[4:8] == b"TFL3" or path.suffix.lower() == ".onnx" or b"onnx" in head[:64] or b"pytorch" in head[:32]:
        kind = "TensorFlow Lite" if head[4:8] == b"TFL3" else "ONNX"
        return f"it is a network of {kind}, whose operations are no torch modules; give the torch network's weights"
    if path.name.endswith((".index", ".pb", ".meta")) or ".ckpt.data-" in path.name or ".ckpt-" in path.name:
        return "it is a file of TensorFlow; give weights of a torch network"
    return _foreign_zip(path) if head.startswith(b"PK\x03\x04") else None


def _shards(path: Path) -> str:
    try:
        files = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, OSError, AttributeError, TypeError):
        return ""
    return f" ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})"


def _foreign_zip(path: Path) -> str | None:
    """What an archive is that torch.save did not write."""
    if not zipfile.is_zipfile(path):
        return "it is damaged, or only partly copied or downloaded; fetch it again"
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    leaves = {name.rpartition("/")[2] for name in members}
    if "constants.pkl" in leaves:
        return (
            "it is a TorchScript archive, a program; "
            "torch.save(torch.jit.load(FILE).state_dict(), NEW) makes a state dict of it"
        )
    if any(name.startswith("serialized_exported_program") or name == "archive_format" for name in leaves):
        return (
            "it is an exported program (.pt2); torch.save(dict(torch.export.load(FILE).state_dict), NEW) makes a state "
            "dict of it"
        )
    if "model.weights.h5" in leaves:
        return "it is a network of Keras; give weights of a torch network"
    if "data.pkl" in leaves:
        return None
    if leaves and all(name.endswith(".npy") for name in leaves):
        return "it is an archive of numpy arrays (.npz); load them into the torch network and " + _SAVE.replace(
            "one", "it"
        )
    inside = ", ".join(members[:3]) + (", ..." if len(members) > 3 else "")
    return f"it is an archive of {inside}; unpack it and give the file of weights in it"
