"""Recording a network that torch.fx cannot trace: it runs as it is, and hooks look at the outputs of modules.

Nothing is changed in its forward pass, so that whatever it does with gradients counts: a backward pass of its own,
hooks on gradients, what it detaches. A gradient from one layer to the next is taken between the two places in
autograd's graph, which stay what they were when something later writes over a map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions, WholeMaps, occurrences
from evigraph.indexer.evidence.record import Box, Change, Record
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.layers import check_logits
from evigraph.indexer.model.observing import CUT_OFF, differentiable, watched
from evigraph.schema.errors import ModelError


class AutogradSegment:
    """Decomposes by backward passes over whole maps: exact for any differentiable operations.

    One pass carries one decision of every image of the batch, since in evaluation mode images do not mix.
    """

    def __init__(self, source: Tensor, target: Tensor, ends: tuple[Any, Any] | None = None) -> None:
        """Keep the ends of a segment.

        Args:
            source: (batch, channels, height, width), the values that the segment begins with.
            target: (batch, channels', height', width') or (batch, classes), computed from it.
            ends: where the gradient arrives and where it starts; None where `source` is a leaf, and `target` computed
                from it.
        """
        self.source = source
        self.target = target if target.ndim == 4 else target[:, :, None, None]
        self._shape = target.shape
        self._ends = ends

    def held(self) -> tuple[Tensor, ...]:
        """The ends of the segment; autograd keeps about as much again of what lies between."""
        return self.source, self.target

    def gradient(self, seed: Tensor) -> Tensor | None:
        """Of the target, times `seed` of its shape in 4 dimensions, over the source; None where there is no way."""
        begin, end = self._ends or (self.source, self.target)
        seed = seed.reshape(self._shape) if self._ends else seed
        (gradient,) = torch.autograd.grad(end, begin, seed, retain_graph=True, allow_unused=True)
        return gradient

    def activation_maps(self, decisions: Decisions) -> Iterator[ActivationMaps]:
        features = self.source.detach()
        turn = occurrences(decisions.image)
        for current in range(int(turn.max()) + 1 if len(turn) else 0):
            rows = torch.nonzero(turn == current)[:, 0]
            d = decisions.at(rows)
            seed = torch.zeros_like(self.target, requires_grad=False)
            seed[d.image, d.channel, d.y, d.x] = d.sign.to(seed.dtype)
            gradient = self.gradient(seed)
            # Not in place: the gradient may be a tensor that a backward pass of the user's own keeps.
            maps = torch.zeros_like(features) if gradient is None else gradient.detach() * features
            yield WholeMaps(rows, maps if len(rows) == len(maps) else maps[d.image])


class HookedRecorder:
    """Records a network that was not traced, by forward hooks on the modules whose outputs its layers are."""

    def __init__(self, model: nn.Module, layers: Sequence[FeatureMap]) -> None:
        self.model, self._layers = model, layers
        self._level = {layer.call: level for level, layer in enumerate(layers)}

    def record(self, pixels: Tensor, change: Change | None = None) -> Record:
        """Record a batch (batch, channels, height, width).

        Raises:
            ModelError: a layer was not reached, or no gradient runs through it.
        """
        features: dict[int, Tensor] = {}
        edges: dict[int, GradientEdge] = {}
        copies: dict[int, Tensor] = {}

        def keep(path: str, call: int, _module: nn.Module, output: Any) -> Tensor | None:
            level = self._level.get((path, call))
            if level is None:
                return None
            if not output.requires_grad:
                raise no_gradient(self._layers[level].module)
            with torch.enable_grad():
                kept: Tensor = output if change is None else change(level, output)
                edges[level] = get_gradient_edge(kept)
                # A copy, since code between modules may write into it; a gradient starts there as it would at the map.
                copies[level] = kept.clone()
            features[level] = copies[level].detach()
            return None if change is None else kept

        _, logits = differentiable(self.model, pixels, keep)
        check_logits(logits, len(pixels))
        for level, layer in enumerate(self._layers):
            if level not in features:
                raise _not_reached(layer.module)
            if len(features[level]) != len(pixels):
                raise ModelError(
                    f"layer {layer.module} has {len(features[level])} maps for {len(pixels)} images: forward takes a "
                    "batch apart, or runs parts of the network on several views of an image; give a network that runs "
                    "on whole batches, or leave the layer out of --layers"
                )
        if not logits.requires_grad:
            raise no_gradient(self._layers[-1].module)
        levels = range(len(self._layers))
        uppers = [*((features[level], copies[level]) for level in levels[1:]), (logits.detach(), logits)]
        segments = [
            AutogradSegment(features[level], upper, (edges[level], end))
            for level, (upper, end) in zip(levels, uppers, strict=True)
        ]
        return Record([features[level] for level in levels], logits.detach(), segments)

    def checked(self, pixels: Tensor) -> Record:
        """A record of a batch; ModelError where no gradient runs from a layer, or the logits, to the one below."""
        record = self.record(pixels)
        for layer, segment in zip(self._layers, record.segments, strict=True):
            if isinstance(segment, AutogradSegment) and segment.gradient(torch.ones_like(segment.target)) is None:
                raise no_gradient(layer.module)
        return record

    def features_at(self, level: int, pixels: Tensor) -> Tensor:
        layer = self._layers[level]

        def stop(path: str, call: int, _module: nn.Module, output: Tensor) -> None:
            if (path, call) == layer.call:
                raise _Reached(output)

        try:
            with watched(self.model, stop):
                self.model(pixels.clone())
        except _Reached as reached:
            return reached.features
        raise _not_reached(layer.module)

    def logits_from(self, level: int, maps: Tensor, pixels: Tensor) -> Tensor:
        place = self._layers[level].call

        def put(path: str, call: int, _module: nn.Module, output: Tensor) -> Tensor | None:
            if (path, call) != place:
                return None
            if output._base is not None or output.shape != maps.shape:
                return maps.clone()
            # Into the map itself, which others may have taken already; it is read again, under whatever name.
            output.copy_(maps)
            return None

        with torch.no_grad(), watched(self.model, put):
            logits: Tensor = self.model(pixels.clone())
        return logits

    def receptive_fields(
        self, level: int, pixels: Tensor, image: Tensor, channel: Tensor, y: Tensor, x: Tensor
    ) -> list[Box]:
        """Where the gradient reaches in these very images."""
        boxes: list[Box] = []
        for start in range(0, len(image), len(pixels)):
            part = slice(start, start + len(pixels))
            leaf = pixels[image[part]].detach().requires_grad_()
            with torch.enable_grad():
                features = self.features_at(level, leaf)
                rows = torch.arange(len(leaf), device=leaf.device)
                chosen = features[rows, channel[part], y[part], x[part]].sum()
                gradient = torch.zeros_like(leaf)  # where it is cut off, so that nothing is known
                if chosen.requires_grad:
                    (gradient,) = torch.autograd.grad(chosen, leaf, materialize_grads=True)
            boxes += [(*_span(one.any(1)), *_span(one.any(0))) for one in (gradient != 0).any(1).cpu()]
        return boxes


def _span(flags: Tensor) -> tuple[int, int]:
    """[begin, end) of the flags that are set; all of them where none is."""
    places: Sequence[int] = torch.nonzero(flags)[:, 0].tolist()
    return (places[0], places[-1] + 1) if places else (0, len(flags))


class _Reached(Exception):  # noqa: N818 - nothing else ends the forward pass of a network that is not traced
    def __init__(self, features: Tensor) -> None:
        self.features = features


def _not_reached(module: str) -> ModelError:
    return ModelError(f"layer {module} was not reached in this forward pass; leave it out of --layers")


def no_gradient(module: str) -> ModelError:
    """For a layer that nothing can be decomposed over."""
    return ModelError(
        f"no gradient runs through layer {module}: {CUT_OFF}; leave the layer out of --layers, or give a network "
        "without"
    )
