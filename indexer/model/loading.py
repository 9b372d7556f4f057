"""Networks and their weights.

A network is a torchvision name, `timm:NAME`, or `package.module:factory`, a function without arguments that returns an
nn.Module. Weights are a name that the network's library knows, a .safetensors or .pth state dict, or `random`. State
dicts are read without running pickled code, and half precision is cast to float32.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision import models as zoo

from evigraph.indexer.data.preprocess import IMAGENET, Preprocessing
from evigraph.schema.errors import ModelError, NotFoundError, UsageError

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run.

    Attributes:
        model: float32, in evaluation mode.
        weights_sha256: of the weights' file, or of the parameters where they came from none.
        preprocessing: what the weights ask for, else ImageNet's.
        class_names: in output order, where the weights carry them.
        notes: what was done with the network and its weights that the user should know, a sentence each.
        promised_accuracy: top-1 accuracy from 0 to 1 that the weights are published with, where they say so.
    """

    model: nn.Module
    weights_sha256: str
    preprocessing: Preprocessing
    class_names: Sequence[str] | None
    notes: tuple[str, ...] = ()
    promised_accuracy: float | None = None


def load_model(name: str, weights: str) -> LoadedModel:
    """Build a network and give it its weights.

    Raises:
        NotFoundError: unknown network or weights name, with near matches.
        ModelError: weights that cannot be read, or that do not fit.
    """
    if name.startswith("timm:"):
        return _load_timm(name.removeprefix("timm:"), weights)
    if ":" in name:
        with importable_here():
            return _load_factory(name, weights)
    return _load_torchvision(name, weights)


@contextmanager
def importable_here() -> Iterator[None]:
    """Within the block modules of the working directory can be imported, as under `python -m`: a user's own lie there.

    What was imported stays so. A network that imports when it runs needs the block around its runs too.
    """
    given = "" in sys.path
    if not given:
        sys.path.insert(0, "")
    try:
        yield
    finally:
        if not given and "" in sys.path:
            sys.path.remove("")


def _load_torchvision(name: str, weights: str) -> LoadedModel:
    names = zoo.list_models(module=zoo)
    if name not in names:
        raise NotFoundError("model", name, names, "(a torchvision name, timm:NAME, or package.module:factory)")
    if weights == "random" or _is_file(weights):
        # Auxiliary heads run in training only; a state dict may come with or without them.
        options = {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
        return _built(lambda **given: zoo.get_model(name, weights=None, **options, **given), weights)
    known = [entry.name for entry in zoo.get_model_weights(name)]
    if weights not in known:
        raise _no_weights(name, weights, known)
    entry = zoo.get_model_weights(name)[weights]
    try:
        model = zoo.get_model(name, weights=entry)
    except (OSError, RuntimeError) as error:
        raise _no_download(name, weights, error) from error
    return LoadedModel(
        model.float().eval(),
        digest_of(model),
        Preprocessing.from_weights(entry.transforms()),
        entry.meta.get("categories"),
        promised_accuracy=_promised(entry.meta),
    )


def _promised(meta: Mapping[str, Any]) -> float | None:
    """The top-1 accuracy on ImageNet that torchvision's weights are published with."""
    percent = meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
    return None if percent is None else percent / 100


def _load_timm(name: str, weights: str) -> LoadedModel:
    import timm  # an extra of its own
    from timm.data.config import resolve_data_config

    if not timm.is_model(name):
        raise NotFoundError("timm model", name, timm.list_models())
    if weights == "random" or _is_file(weights):
        loaded = _built(lambda **given: timm.create_model(name, pretrained=False, **given), weights)
    else:
        known = timm.list_pretrained(name + ".*") or [name]
        full = name if weights == "pretrained" else f"{name.split('.')[0]}.{weights}"
        if weights != "pretrained" and full not in known:
            raise _no_weights(name, weights, ["pretrained", *(k.partition(".")[2] for k in known if "." in k)])
        try:
            model = timm.create_model(full, pretrained=True)
        except (OSError, RuntimeError) as error:
            raise _no_download(f"timm:{name}", weights, error) from error
        loaded = LoadedModel(model.float().eval(), digest_of(model), IMAGENET, None)
    preprocessing = Preprocessing.from_timm(resolve_data_config({}, model=loaded.model))  # type: ignore[no-untyped-call]
    return LoadedModel(loaded.model, loaded.weights_sha256, preprocessing, None)


def _load_factory(name: str, weights: str) -> LoadedModel:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise ModelError(
            f"--model {name}: cannot import {module_name!r}: {_one_line(error)}; give package.module:factory"
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        offered = [n for n, value in vars(module).items() if inspect.isfunction(value) or inspect.isclass(value)]
        raise NotFoundError("factory", attribute, offered, f"in {module_name}")
    if not (weights in {"random", "own"} or _is_file(weights)):
        raise _no_weights(name, weights, ["random", "own"])
    try:
        accepts: Mapping[str, inspect.Parameter] = inspect.signature(factory).parameters
    except ValueError:  # of some built-in types
        accepts = {}
    keywords = any(p.kind is p.VAR_KEYWORD for p in accepts.values()) or "num_classes" in accepts

    def build(**given: Any) -> Any:
        try:
            return factory(**(given if keywords else {}))
        except Exception as error:  # a user's factory may raise anything
            raise ModelError(
                f"--model {name}: the factory failed, {type(error).__name__}: {_one_line(error)}; --debug shows where"
            ) from error

    return _built(build, weights)


def _built(build: Callable[..., Any], weights: str) -> LoadedModel:
    """A network built without weights, then given those of a file; `random` and `own` leave what `build` made."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
        if not isinstance(model, nn.Module):
            raise ModelError(f"the factory returned {type(model).__name__}; it must return a torch nn.Module")
        if weights in {"random", "own"}:
            model = model.float().eval()
            return LoadedModel(model, digest_of(model), IMAGENET, None)
        path = Path(weights)
        state = read_state_dict(path)
        classes = _class_count_of(state, model)
        if classes is not None:
            model = build(num_classes=classes)
    _fit(model, state, path)
    return LoadedModel(model.float().eval(), _sha256_of_file(path), IMAGENET, None)


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a .safetensors or .pth file, by name, in float32 where they are of a smaller float type.

    A dict that holds one under "state_dict", "model" or "model_state_dict", and names that begin with "module."
    (DataParallel), are taken as training scripts write them.

    Raises:
        ModelError: the file is neither, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            loaded: Any = safetensors.torch.load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old pickle protocols; what matters is raised
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        # torch would have its user switch the protection against pickled code off.
        pickled = isinstance(error, pickle.UnpicklingError)
        reason = "it is no file of tensors alone" if pickled else _one_line(error)
        raise ModelError(
            f"weights {path} cannot be read as a state dict: {reason}; give a .safetensors file, or a .pth that "
            "torch.save(model.state_dict(), FILE) wrote"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()) or not loaded:
        raise ModelError(f"weights {path} hold no state dict; save one with torch.save(model.state_dict(), FILE)")
    return {
        str(name).removeprefix("module."): value.float() if value.is_floating_point() else value
        for name, value in loaded.items()
    }


def digest_of(model: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _class_count_of(state: StateDict, model: nn.Module) -> int | None:
    """The number of classes of a state dict whose last layer alone is of another size than the network's."""
    own = model.state_dict()
    other = [name for name in own if name in state and own[name].shape != state[name].shape]
    if not other or any(own[name].shape[1:] != state[name].shape[1:] for name in other):
        return None
    counts = {state[name].shape[0] for name in other}
    return counts.pop() if len(counts) == 1 else None


def _fit(model: nn.Module, state: StateDict, path: Path) -> None:
    own = model.state_dict()
    # Heads that only training uses may be missing, or be there without the network having them.
    auxiliary = {name for name in own.keys() | state.keys() if name.lower().startswith("aux")}
    missing = sorted(own.keys() - state.keys() - auxiliary - {n for n in own if n.endswith("num_batches_tracked")})
    unexpected = sorted(state.keys() - own.keys() - auxiliary)
    shapes = [n for n in sorted(own.keys() & state.keys()) if own[n].shape != state[n].shape]
    if missing or unexpected or shapes:
        parts = [
            f"{len(names)} {what} (first: {names[0]})"
            for what, names in (("missing", missing), ("unknown", unexpected))
            if names
        ]
        if shapes:
            first = shapes[0]
            parts.append(f"{len(shapes)} of another shape ({first}: {tuple(state[first].shape)}, "
                         f"not {tuple(own[first].shape)})")  # fmt: skip
        raise ModelError(
            f"weights {path} do not fit {type(model).__name__}: of {len(own)} tensors {', '.join(parts)}; "
            "check that --model and --weights belong together"
        )
    model.load_state_dict(state, strict=False)


def _is_file(weights: str) -> bool:
    path = Path(weights)
    if path.suffix in {".safetensors", ".pth", ".pt", ".bin"} or path.is_file():
        if not path.is_file():
            raise ModelError(f"weights file {weights} does not exist; check the path")
        return True
    return False


def _no_weights(name: str, weights: str, known: Sequence[str]) -> UsageError:
    return NotFoundError(
        f"weights for {name}:",
        weights,
        known,
        f"(give {', '.join([*known, 'a .safetensors or .pth file'])}{'' if 'random' in known else ', or random'})",
    )


def _no_download(name: str, weights: str, error: Exception) -> ModelError:
    return ModelError(
        f"weights {weights} of {name} could not be downloaded: {_one_line(error)}; "
        "fetch the file elsewhere and give its path as --weights"
    )


def _one_line(error: Exception) -> str:
    """The first line of what another's code raised."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
