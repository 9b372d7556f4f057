"""A network with its layers chosen and the way it is recorded: traced where torch.fx can follow it, else by hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from evigraph.indexer.engine.head_graph import trace_logits
from evigraph.indexer.engine.heads import Head, Output, find_head, logit_network, two_class_network
from evigraph.indexer.engine.hooked import HookedRecorder
from evigraph.indexer.engine.two_classes import TwoClassRecorder
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.record import Recorder
from evigraph.indexer.model.graph import evaluating, frozen, out_of_place, writing_modules
from evigraph.indexer.model.layers import FeatureMap, check_logits, choose_layers, default_layers, feature_maps
from evigraph.indexer.model.registry import operation_of_module
from evigraph.schema.errors import ModelError

_REPEATED = 1e-5
"""Of the largest logit: above what the same operations on the same values may differ by."""
_MIXED = 1e-3
"""Of the largest logit: far above what another order of summation changes in float32."""


@dataclass(frozen=True)
class Network:
    """A network to decompose.

    Attributes:
        model: the user's network, unchanged; where it does not give logits (batch, classes), a copy that does and
            shares all with it.
        layers: S1..SL, lowest first.
        class_count: classes that it tells apart: its outputs, or two where it has one.
        recorder: runs and records it.
        fallbacks: per segment, lowest first, why autograd over whole maps decomposes it; None where windows do.
        notes: what the user should know of how it is run, a sentence each.
        head: how its output becomes logits.
    """

    model: nn.Module
    layers: list[FeatureMap]
    class_count: int
    recorder: Recorder
    fallbacks: list[str | None]
    notes: tuple[str, ...] = ()
    head: Head = field(default_factory=lambda: Head(0))


def prepare(
    model: nn.Module,
    size: int | tuple[int, int],
    layers: Sequence[str] | None = None,
    channels: int = 3,
    output: Output = "auto",
) -> Network:
    """Find a network's layers by running it once.

    Args:
        model: any network of one (batch, channels, height, width) input and (batch, classes) output.
        size: height and width of the input in pixels, or the side of a square one.
        layers: names or module paths of the layers, lowest first; None for the default ones.
        channels: of the input.
        output: what the network's output is (`engine.heads`).

    Raises:
        ModelError: the network cannot be run at this size, has no layers, or is another one unless its modules write
            into their inputs.
        UsageError: an unknown layer, or layers out of order.
    """
    like = next(model.parameters(), torch.empty(0))
    height, width = (size, size) if isinstance(size, int) else size
    shape = (1, channels, height, width)
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    with evaluating(model):
        head = find_head(model, _beside(pixels), output)
    network = _prepared(logit_network(model, head), pixels, layers)
    return _with_head(network, model, head)


def _with_head(network: Network, model: nn.Module, head: Head) -> Network:
    """A network that records logits (batch, outputs), as one of its classes."""
    if not head.outputs:  # it does not run on two images
        head = Head(network.class_count, sigmoid=network.class_count == 1)
    network = replace(network, head=head, notes=(*network.notes, *head.notes()))
    if not head.one_logit:
        return network
    recorder = TwoClassRecorder(network.recorder)
    return replace(network, model=two_class_network(model, head), class_count=head.class_count, recorder=recorder)


def _prepared(model: nn.Module, pixels: Tensor, layers: Sequence[str] | None) -> Network:
    with frozen(model):
        network = _recorded(model, pixels, layers)
    _check_in_place(model, pixels)
    return network


def _recorded(model: nn.Module, pixels: Tensor, layers: Sequence[str] | None) -> Network:
    """A frozen network, traced if the trace computes the same, else recorded by hooks."""
    logits = _run_once(model, pixels)
    try:
        graph = trace_logits(model, pixels)
    except ModelError as error:
        return _hooked(model, pixels, layers, logits.shape[1], str(error))
    # What the trace holds, before its maps are looked at; then what is made of it, which calls fewer modules.
    why = _departure(graph.execute, model, pixels)
    if why is None:
        chosen = _chosen(feature_maps(graph, model, pixels), layers)
        recorder = WindowedRecorder(graph, chosen, pixels)
        why = _departure(lambda both: recorder.record(both).logits, model, pixels)
    if why is not None:
        return _hooked(model, pixels, layers, logits.shape[1], why)
    return Network(model, chosen, logits.shape[1], recorder, recorder.fallbacks)


def _chosen(maps: Sequence[FeatureMap], layers: Sequence[str] | None) -> list[FeatureMap]:
    return choose_layers(maps, layers) if layers else default_layers(maps)


def _hooked(model: nn.Module, pixels: Tensor, layers: Sequence[str] | None, class_count: int, why: str) -> Network:
    chosen = _chosen(_hooked_maps(model, pixels), layers)
    return Network(model, chosen, class_count, HookedRecorder(model, chosen), [why] * len(chosen))


def _departure(traced: Callable[[Tensor], Any], model: nn.Module, pixels: Tensor) -> str | None:
    """Why a traced network may not stand for the network itself; None where both give the same logits.

    A trace holds the one way that forward took with stand-ins for tensors, without what else runs around it: it is
    silently another function where forward asks `isinstance(x, Tensor)` or counts its calls, or where the network has
    hooks. Two images show this where it depends on values or on the batch.
    """
    both = _beside(pixels)
    with torch.no_grad():
        own = model(both)
        try:
            logits = traced(both)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return f"the trace of {type(model).__name__} does not run on a batch of two: {reason[:200]}"
    if not isinstance(logits, Tensor) or own.shape != logits.shape:
        return f"the trace of {type(model).__name__} has another output than the network"
    difference, largest = float((own - logits).abs().max()), float(own.abs().max())
    if difference <= 3 * torch.finfo(own.dtype).eps ** 0.5 * largest:
        return None
    return (
        f"the trace of {type(model).__name__} is not the network: logits differ by {difference:.2g} of {largest:.2g} "
        "(forward asks for the type of its input or keeps a state, or the network has hooks)"
    )


@torch.no_grad()
def _check_in_place(model: nn.Module, pixels: Tensor) -> None:
    """Raise ModelError where a module's writing into its input is part of what the network computes.

    Networks are run without it, so that recorded maps stay what they were. That is another network where the input is
    read again afterwards: by a shortcut around a block whose first module is such a ReLU.
    """
    both, writing = _beside(pixels), writing_modules(model)
    if not writing:
        return
    with evaluating(model):
        own = model(both.clone())
        largest = float(own.abs().max())

        def departs(paths: Iterable[str]) -> float:
            with out_of_place([writing[path] for path in paths]):
                difference = float((model(both.clone()) - own).abs().max())
            return difference if difference > _REPEATED * largest else 0.0

        difference = departs(writing)
        # What gives another answer every time says nothing of writing in place.
        if not difference or not torch.equal(own, model(both.clone())):
            return
        path = next((path for path in writing if departs([path])), next(iter(writing)))
    raise ModelError(
        f"module {path} ({type(writing[path]).__name__}) of {type(model).__name__} overwrites its input, which is read "
        f"again afterwards: without that, as evidence is recorded, logits differ by {difference:.2g} of {largest:.2g}; "
        "give the module inplace=False, and where the overwritten value is meant, use the module's output"
    )


def _beside(pixels: Tensor) -> Tensor:
    """A batch of two: an image, and another one of twice the contrast."""
    return torch.cat([pixels, pixels.flip(3) * 2])


def _run_once(model: nn.Module, pixels: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            logits = model(pixels)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{type(model).__name__} cannot run on an input of {tuple(pixels.shape)}: {reason[:200]}; "
            "set --crop, or --channels"
        ) from error
    check_logits(logits, 1)
    _check_images_apart(model, pixels, logits)
    checked: Tensor = logits
    return checked


def _check_images_apart(model: nn.Module, pixels: Tensor, logits: Tensor) -> None:
    """Raise ModelError where an image's logits depend on the other images of its batch."""
    if pixels.dtype != torch.float32:
        return  # coarser types round by as much as a mixture may change
    with torch.no_grad():
        beside = model(_beside(pixels))[:1]
    difference = float((beside - logits).abs().max())
    if difference > _MIXED * float(logits.abs().max()):
        raise ModelError(
            f"{type(model).__name__} mixes the images of a batch: logits change by {difference:.2g} beside another; "
            "give a network whose normalisation has running statistics"
        )


def _hooked_maps(model: nn.Module, pixels: Tensor) -> list[FeatureMap]:
    """The maps that are outputs of modules which run once, in order of execution."""
    seen: dict[str, tuple[Tensor, bool]] = {}
    twice: set[str] = set()
    handles = []
    for path, module in model.named_modules():
        if not path:
            continue

        def note(module: nn.Module, _args: object, output: object, path: str = path) -> None:
            if path in seen:
                twice.add(path)
            elif isinstance(output, Tensor) and output.ndim == 4:
                seen[path] = (output, operation_of_module(module).activation)

        handles.append(module.register_forward_hook(note))
    try:
        with torch.no_grad():
            model(pixels)
    finally:
        for handle in handles:
            handle.remove()
    # Whether a shortcut bypasses a map cannot be told without a trace.
    return [
        FeatureMap(
            module=path,
            name=path,
            aliases=(path,),
            channels=output.shape[1],
            height=output.shape[2],
            width=output.shape[3],
            post_activation=activation,
            cut=True,
        )
        for path, (output, activation) in seen.items()
        if path not in twice
    ]
