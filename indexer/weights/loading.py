"""Networks and their weights.

A network is a torchvision name, `timm:NAME`, or `package.module:factory`, a function without arguments that returns an
nn.Module. Weights are a name that the network's library knows, a file (`checkpoints` reads it, `fitting` finds the
network's state dict in it), or `random`. What a torchvision architecture is made with for a file is that of its
published weights (`published`).
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models as zoo

from evigraph.indexer.data.preprocess import IMAGENET, Preprocessing
from evigraph.indexer.model.plain import evaluated
from evigraph.indexer.weights.checkpoints import StateDict, read_checkpoint, weights_file
from evigraph.indexer.weights.downloads import is_download_error, quick_to_fail
from evigraph.indexer.weights.fitting import fitted
from evigraph.indexer.weights.published import (
    ABOUT_PREPROCESSING,
    build_options,
    categories_of,
    described,
    input_note,
    origin_of,
    preprocessing_of,
)
from evigraph.indexer.weights.usable import check_finite, check_module
from evigraph.schema.errors import ModelError, NotFoundError, UsageError, raised_by_user


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run.

    Attributes:
        model: float32, in evaluation mode.
        weights_sha256: of the weights' file, or of the parameters where they came from none.
        preprocessing: what the weights ask for, else ImageNet's.
        class_names: in output order, where the weights carry them.
        notes: what was done with the network and its weights that the user should know, a sentence each.
        changes_input: whether it was made to change its input first (transform_input), for the weights of a file.
        promised_accuracy: top-1 accuracy from 0 to 1 that the weights are published with, where they say so.
        preprocessing_from: what asks for the preprocessing; None where it is ImageNet's for want of anything better.
    """

    model: nn.Module
    weights_sha256: str
    preprocessing: Preprocessing
    class_names: Sequence[str] | None
    notes: tuple[str, ...] = ()
    changes_input: bool = False
    promised_accuracy: float | None = None
    preprocessing_from: str | None = None


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
    if weights == "random":
        options = {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
        return _built(lambda **given: zoo.get_model(name, weights=None, **options, **given), weights)
    file = weights_file(weights)
    if file is not None:
        return _load_torchvision_file(name, weights, file[0])
    known = [entry.name for entry in zoo.get_model_weights(name)]
    if weights not in known:
        raise _no_weights(name, weights, known)
    entry = zoo.get_model_weights(name)[weights]
    try:
        with quick_to_fail():
            model = zoo.get_model(name, weights=entry)
    except (OSError, RuntimeError) as error:
        raise _no_download(name, weights, error) from error
    check_finite(model, model.state_dict(), f"weights {weights} of {name}")
    return LoadedModel(
        model.float().eval(),
        digest_of(model),
        Preprocessing.from_weights(entry.transforms()),
        entry.meta.get("categories"),
        promised_accuracy=_promised(entry.meta),
        preprocessing_from=f"the weights {weights}",
    )


def _promised(meta: Mapping[str, Any]) -> float | None:
    """The top-1 accuracy on ImageNet that torchvision's weights are published with."""
    percent = meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
    return None if percent is None else percent / 100


def _load_torchvision_file(name: str, weights: str, path: Path) -> LoadedModel:
    """An architecture made as for its published weights, with those of a file and their preprocessing."""
    origin = origin_of(name, path, _sha256_of_file(path))
    options = build_options(name, origin.entry)
    loaded = _built(lambda **given: zoo.get_model(name, weights=None, **options, **given), weights, name)
    preprocessing, note = preprocessing_of(name, origin)
    notes = [*loaded.notes, note, input_note(name, origin)]
    return replace(
        loaded,
        preprocessing=preprocessing,
        preprocessing_from=f"the published weights {origin.entry}",
        class_names=categories_of(origin),
        promised_accuracy=_promised(origin.entry.meta) if origin.exact else None,
        changes_input="transform_input" in options,
        notes=tuple(one for one in notes if one is not None),
    )


def _load_timm(name: str, weights: str) -> LoadedModel:
    import timm  # an extra of its own
    from timm.data.config import resolve_data_config

    if not timm.is_model(name):
        raise NotFoundError("timm model", name, timm.list_models())
    file = None if weights == "random" else weights_file(weights)
    if weights == "random" or file is not None:
        loaded = _built(lambda **given: timm.create_model(name, pretrained=False, **given), weights, name)
    else:
        known = timm.list_pretrained(name + ".*") or [name]
        full = name if weights == "pretrained" else f"{name.split('.')[0]}.{weights}"
        if weights != "pretrained" and full not in known:
            raise _no_weights(name, weights, ["pretrained", *(k.partition(".")[2] for k in known if "." in k)])
        try:
            with quick_to_fail():
                model = timm.create_model(full, pretrained=True)
        except Exception as error:  # of whichever client fetches them
            if not isinstance(error, OSError | RuntimeError) and not is_download_error(error):
                raise
            raise _no_download(f"timm:{name}", weights, error) from error
        check_finite(model, model.state_dict(), f"weights {weights} of timm:{name}")
        loaded = LoadedModel(model.float().eval(), digest_of(model), IMAGENET, None)
    config = resolve_data_config({}, model=loaded.model)  # type: ignore[no-untyped-call]
    preprocessing = Preprocessing.from_timm(config)
    notes = loaded.notes
    if file is not None:
        entry: Any = loaded.model.pretrained_cfg
        tag = ".".join(str(entry[key]) for key in ("architecture", "tag") if entry.get(key))
        notes += (
            f"{ABOUT_PREPROCESSING}that of timm's {tag or name} ({described(preprocessing)}), since the file does not "
            "say its own; timm:ARCHITECTURE.TAG names another, and options such as --resize and --crop set it",
        )
    return replace(loaded, preprocessing=preprocessing, preprocessing_from="timm's configuration", notes=notes)


def _load_factory(name: str, weights: str) -> LoadedModel:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ModelError(
            f"--model {name}: cannot import {module_name!r}: {raised_by_user(error)}; give package.module:factory"
        ) from error
    factory = getattr(module, attribute, None)
    if isinstance(factory, nn.Module):
        raise ModelError(f"--model {name} is a network itself; give a function without arguments that returns it")
    if not callable(factory):
        offered = [n for n, value in vars(module).items() if inspect.isfunction(value) or inspect.isclass(value)]
        raise NotFoundError("factory", attribute, offered, f"in {module_name}")
    if weights not in {"random", "own"} and weights_file(weights) is None:
        raise _no_weights(name, weights, ["random", "own"])
    try:
        accepts: Mapping[str, inspect.Parameter] = inspect.signature(factory).parameters
    except ValueError:  # of some built-in types
        accepts = {}
    keywords = any(p.kind is p.VAR_KEYWORD for p in accepts.values()) or "num_classes" in accepts

    def build(**given: Any) -> Any:
        try:
            with quick_to_fail():
                return factory(**(given if keywords else {}))
        except (Exception, SystemExit) as error:  # a user's factory may raise anything
            if is_download_error(error):
                raise ModelError(
                    f"--model {name}: the factory could not download what it needs: {raised_by_user(error)}; fetch it "
                    "where there is a network, or make the network without weights and give them as --weights FILE"
                ) from error
            raise ModelError(
                f"--model {name}: the factory failed, {type(error).__name__}: {raised_by_user(error)}; "
                "--debug shows where"
            ) from error

    return _built(build, weights)


def _built(build: Callable[..., Any], weights: str, name: str | None = None) -> LoadedModel:
    """A network built without weights, then given those of a file; `random` and `own` leave what `build` made.

    Args:
        build: makes the network; may be given `num_classes`.
        weights: as `--weights`.
        name: of the architecture, where it is one that training scripts know by that name.
    """

    def checked(**given: Any) -> nn.Module:
        model = build(**given)
        check_module(model)
        made: nn.Module = model
        return made

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if weights in {"random", "own"}:
            model = checked()
            check_finite(model, model.state_dict(), f"weights of {type(model).__name__} itself")
            evaluated(model.float())
            return LoadedModel(model, digest_of(model), IMAGENET, None)
        file = weights_file(weights)
        if file is None:
            raise ModelError(f"weights file {weights} does not exist; check the path")
        path, part = file
        checkpoint = read_checkpoint(path, part)
        model, notes = fitted(checked, checkpoint)
    evaluated(model.float())
    # A part of a file is not told from another part of it by the file's digest.
    digest = _sha256_of_file(path) if part is None else digest_of(model)
    said = checkpoint.architecture
    if name is not None and said and said.rpartition("/")[2].partition(".")[0] != name.partition(".")[0]:
        notes += (f"the file says that its network is {said!r}, not {name!r}: its tensors fit both; check --model",)
    return LoadedModel(model, digest, IMAGENET, None, notes)


def read_state_dict(path: Path) -> StateDict:
    """The outermost tensors of a file, by name.

    Raises:
        ModelError: it holds none, or cannot be read.
    """
    return read_checkpoint(path).held[0].tensors


def digest_of(model: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if not isinstance(value, Tensor):  # what a module keeps as its extra state
            digest.update(f"{name} {value!r}\n".encode())
            continue
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _no_weights(name: str, weights: str, known: Sequence[str]) -> UsageError:
    return NotFoundError(
        f"weights for {name}:",
        weights,
        known,
        f"(give {', '.join([*known, 'a .safetensors or .pth file'])}{'' if 'random' in known else ', or random'})",
    )


def _no_download(name: str, weights: str, error: Exception) -> ModelError:
    return ModelError(
        f"weights {weights} of {name} could not be downloaded: {raised_by_user(error)}; "
        "fetch the file elsewhere and give its path as --weights"
    )


def _sha256_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"weights file {path} cannot be read: {error.strerror}; check its permissions") from error
