"""A network with its layers chosen and the way it is recorded: traced where torch.fx can follow it, else by hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from evigraph.indexer.engine.head_graph import trace_logits
from evigraph.indexer.engine.heads import Head, Output, find_head, logit_network, two_class_network
from evigraph.indexer.engine.hooked import HookedRecorder, no_gradient
from evigraph.indexer.engine.sameness import check_steady, departs, gradient_departure, trace_departure
from evigraph.indexer.engine.two_classes import TwoClassRecorder
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.record import Recorder
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.graph import Graph, frozen
from evigraph.indexer.model.layers import (
    check_convolutional,
    check_logits,
    choose_layers,
    default_layers,
    feature_maps,
    observed_maps,
)
from evigraph.indexer.model.observing import Observation, observe
from evigraph.indexer.model.plain import gradient_hooks
from evigraph.indexer.model.wrappers import answering, picked, unwrapped
from evigraph.schema.errors import ModelError, first_line

_MIXED = 1e-3
"""Of the largest logit: far above what another order of summation changes in float32."""


@dataclass(frozen=True)
class Network:
    """A network to decompose.

    Attributes:
        model: the user's network, without the wrappers that `notes` tell of; where it does not give logits (batch,
            classes), a copy that does and shares all with it.
        layers: S1..SL, lowest first.
        class_count: classes that it tells apart: its outputs, or two where it has one.
        recorder: runs and records it.
        fallbacks: per segment, lowest first, why autograd over whole maps decomposes it; None where windows do.
        notes: what the user should know of how it is run, a sentence each.
        head: what its output is.
        maps: every map that may be a layer, lowest first.
        graph: the trace; None where it could not be traced.
    """

    model: nn.Module
    layers: list[FeatureMap]
    class_count: int
    recorder: Recorder
    fallbacks: list[str | None]
    notes: tuple[str, ...] = ()
    head: Head = field(default_factory=lambda: Head(0))
    maps: tuple[FeatureMap, ...] = ()
    graph: Graph | None = None


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
        ModelError: the network cannot be run at this size, gives another answer each time, has no gradient or no
            layers, or is no convolutional network.
        UsageError: an unknown layer, or layers out of order.
    """
    model, notes = unwrapped(model)
    like = next(model.parameters(), torch.empty(0))
    height, width = (size, size) if isinstance(size, int) else size
    shape = (1, channels, height, width)
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    with frozen(model):
        answer = _run_once(model, pixels)
        own, taken = answering(model, answer)
        values = picked(own, answer)
        _check_finite(own, values)
        check_steady(own, pixels, values)
        head = find_head(own, _beside(pixels), output)
        if values.ndim == 1 and head.outputs > 1 and values.numel() == head.outputs:
            head = replace(head, shaped=False)  # a squeeze without a dimension, of a batch of one
    network = _recorded(logit_network(own, head), pixels, layers)
    return _with_head(replace(network, notes=(*notes, *taken, *network.notes)), own, head)


def _recorded(model: nn.Module, pixels: Tensor, layers: Sequence[str] | None) -> Network:
    """A network that gives logits, with the way it is recorded."""
    with frozen(model):
        with torch.no_grad():
            logits = model(pixels.clone())
            check_logits(logits, 1)
            beside = _run_once(model, _beside(pixels))
        _check_images_apart(type(model).__name__, beside, logits)
        return _Search(model, pixels, logits, beside, observe(model, pixels, logits.shape[1]), layers).network()


def _with_head(network: Network, model: nn.Module, head: Head) -> Network:
    """A network that records logits (batch, outputs), as one of its classes."""
    if not head.outputs:  # it does not run on two images
        head = Head(network.class_count, sigmoid=network.class_count == 1)
    network = replace(network, head=head, notes=(*network.notes, *head.notes()))
    if not head.one_logit:
        return network
    recorder = TwoClassRecorder(network.recorder)
    return replace(network, model=two_class_network(model, head), class_count=head.class_count, recorder=recorder)


@dataclass(frozen=True)
class _Search:
    """How a frozen network is recorded: traced if the trace computes the same, else by hooks.

    Attributes:
        model: that gives logits.
        pixels: (1, channels, height, width).
        logits: of them.
        beside: logits of `_beside(pixels)`.
        seen: what autograd saw of them.
        names: of the layers; None for the default ones.
    """

    model: nn.Module
    pixels: Tensor
    logits: Tensor
    beside: Tensor
    seen: Observation
    names: Sequence[str] | None

    def network(self) -> Network:
        if not self.names:
            check_convolutional(self.seen, type(self.model).__name__)
        try:
            why = gradient_hooks(self.model)
            graph = None if why else trace_logits(self.model, self.pixels)
        except ModelError as error:
            graph, why = None, str(error)
        traced = None
        if graph is not None:
            traced, why = self._traced(graph)
        return traced or self._hooked(why or "")

    def _traced(self, graph: Graph) -> tuple[Network | None, str | None]:
        """The network of a trace, or why it may not stand for the network itself."""
        both, name = _beside(self.pixels), type(self.model).__name__
        # What the trace holds, before its maps are looked at; then what is made of it, which calls fewer modules.
        why = trace_departure(graph.execute, name, both, self.beside)
        why = why or gradient_departure(graph, self.model, self.pixels)
        if why is not None:
            return None, why
        maps = feature_maps(graph, self.model, self.pixels)
        chosen = self._chosen(maps)
        recorder = WindowedRecorder(graph, chosen, self.pixels)
        why = trace_departure(lambda pixels: recorder.record(pixels).logits, name, both, self.beside)
        if why is not None:
            return None, why
        network = Network(self.model, chosen, self.logits.shape[1], recorder, recorder.fallbacks, graph.notes)
        return replace(network, maps=self._reached(maps), graph=graph), None

    def _hooked(self, why: str) -> Network:
        maps = observed_maps(self.seen, self.model, self.logits)
        chosen = self._chosen(maps)
        recorder = HookedRecorder(self.model, chosen)
        record = recorder.checked(self.pixels)
        recorder.record(_beside(self.pixels))  # raises where a layer's maps are not those of the images
        difference = departs(record.logits, self.logits, self.pixels)
        if difference:
            raise ModelError(
                f"{type(self.model).__name__} is another network where gradients are needed: logits differ by "
                f"{difference:.2g} of {float(self.logits.abs().max()):.2g}; its forward asks torch.is_grad_enabled or "
                "keeps a state: give a network that does not"
            )
        fallbacks: list[str | None] = [why] * len(chosen)
        return Network(self.model, chosen, self.logits.shape[1], recorder, fallbacks, maps=self._reached(maps))

    def _chosen(self, maps: Sequence[FeatureMap]) -> list[FeatureMap]:
        if not self.names:
            cut_off = self.seen.cut_off
            if cut_off:
                raise no_gradient(cut_off)
            return default_layers(self._reached(maps))
        chosen = choose_layers(maps, self.names)
        for layer in chosen:
            if not self.seen.reaches(layer.aliases):
                raise no_gradient(layer.module)
        return chosen

    def _reached(self, maps: Sequence[FeatureMap]) -> tuple[FeatureMap, ...]:
        """Those that a gradient of the logits comes back to."""
        return tuple(one for one in maps if self.seen.reaches(one.aliases))


def _beside(pixels: Tensor) -> Tensor:
    """A batch of two: an image, and another one of twice the contrast."""
    return torch.cat([pixels, pixels.flip(3) * 2])


def _run_once(model: nn.Module, pixels: Tensor) -> Any:
    try:
        with torch.no_grad():
            return model(pixels.clone())
    except (Exception, SystemExit) as error:  # a user's network may raise anything
        reason = first_line(error)
        what = "set --crop, or --channels"
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
            what = "give a smaller --crop, or --device cpu"
        elif "require grad" in reason:
            what = "forward needs a gradient always: guard what does with `if x.requires_grad:`"
        elif len(pixels) > 1:
            what = "give a network that takes batches of any size"
        raise ModelError(
            f"{type(model).__name__} cannot run on an input of {tuple(pixels.shape)}: {reason}; {what}"
        ) from error


def _check_finite(model: nn.Module, logits: Tensor) -> None:
    """Raise ModelError where weights that are not finite make the logits so."""
    if logits.isfinite().all():
        return
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point() and not value.isfinite().all():
            count = int((~value.isfinite()).sum())
            raise ModelError(
                f"the weights of {type(model).__name__} are not finite: {count} of {value.numel()} values of {name} "
                "are NaN or infinite, and so are its logits; give other --weights"
            )


def _check_images_apart(name: str, beside: Tensor, logits: Tensor) -> None:
    """Raise ModelError where an image's logits depend on the other images of its batch."""
    check_logits(beside, 2)
    if logits.dtype not in {torch.float32, torch.float64}:
        return  # coarser types round by as much as a mixture may change
    difference = float((beside[:1] - logits).abs().max())
    if difference > _MIXED * float(logits.abs().max()):
        raise ModelError(
            f"{name} mixes the images of a batch: logits change by {difference:.2g} beside another; "
            "give a network whose normalisation has running statistics"
        )
