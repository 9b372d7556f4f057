"""Recording a network that torch.fx cannot trace, by hooks at the modules whose outputs its layers are.

At each layer the map is cut off, and what follows sees a copy that begins a new autograd graph, so that a gradient
never runs further down than the layer below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from evigraph.indexer.evidence.decisions import ActivationMaps, Decisions, WholeMaps, occurrences
from evigraph.indexer.evidence.record import Box, Record
from evigraph.indexer.model.geometry import gradient_boxes
from evigraph.indexer.model.layers import FeatureMap, check_logits
from evigraph.schema.errors import ModelError


class AutogradSegment:
    """Decomposes by backward passes over whole maps: exact for any differentiable operations.

    One pass carries one decision of every image of the batch, since in evaluation mode images do not mix.
    """

    def __init__(self, source: Tensor, target: Tensor) -> None:
        """Keep the ends of a segment.

        Args:
            source: (batch, channels, height, width), the leaf that the segment begins with.
            target: (batch, channels', height', width') or (batch, classes), computed from it.
        """
        self.source = source
        self.target = target if target.ndim == 4 else target[:, :, None, None]

    def held(self) -> tuple[Tensor, ...]:
        """The ends of the segment; autograd keeps about as much again of what lies between."""
        return self.source, self.target

    def activation_maps(self, decisions: Decisions) -> Iterator[ActivationMaps]:
        features = self.source.detach()
        turn = occurrences(decisions.image)
        for current in range(int(turn.max()) + 1 if len(turn) else 0):
            rows = torch.nonzero(turn == current)[:, 0]
            d = decisions.at(rows)
            seed = torch.zeros_like(self.target)
            seed[d.image, d.channel, d.y, d.x] = d.sign.to(seed.dtype)
            (gradient,) = torch.autograd.grad(self.target, self.source, seed, retain_graph=True, materialize_grads=True)
            maps = gradient.mul_(features)
            yield WholeMaps(rows, maps if len(rows) == len(maps) else maps[d.image])


class HookedRecorder:
    """Records a network that was not traced, by forward hooks on the modules whose outputs its layers are."""

    def __init__(self, model: nn.Module, layers: Sequence[FeatureMap]) -> None:
        self.model, self._layers = model, layers
        self._level = {layer.module: level for level, layer in enumerate(layers)}

    def record(self, pixels: Tensor) -> Record:
        targets: dict[int, Tensor] = {}
        sources: dict[int, Tensor] = {}
        with ExitStack() as hooks, torch.enable_grad():
            for path, level in self._level.items():

                def cut(_module: nn.Module, _args: Any, output: Tensor, level: int = level) -> Tensor:
                    targets[level] = output
                    sources[level] = output.detach().requires_grad_()
                    # A copy goes on, since code between modules may write into it.
                    return sources[level].clone()

                hooks.callback(self.model.get_submodule(path).register_forward_hook(cut).remove)
            logits = self.model(pixels)
        check_logits(logits, len(pixels))
        for path, level in self._level.items():
            if level not in sources:
                raise _not_reached(path)
        levels = range(len(self._level))
        uppers = [*(targets[level] for level in levels[1:]), logits]
        segments = [AutogradSegment(sources[level], upper) for level, upper in zip(levels, uppers, strict=True)]
        return Record([sources[level].detach() for level in levels], logits.detach(), segments)

    def features_at(self, level: int, pixels: Tensor) -> Tensor:
        layer = self._layers[level]

        def stop(_module: nn.Module, _args: Any, output: Tensor) -> None:
            raise _Reached(output)

        handle = self.model.get_submodule(layer.module).register_forward_hook(stop)
        try:
            self.model(pixels)
        except _Reached as reached:
            return reached.features
        finally:
            handle.remove()
        raise _not_reached(layer.module)

    def logits_from(self, level: int, maps: Tensor, pixels: Tensor) -> Tensor:
        module = self.model.get_submodule(self._layers[level].module)
        # A copy, since code between modules may write into it.
        handle = module.register_forward_hook(lambda _module, _args, _output: maps.clone())
        try:
            with torch.no_grad():
                logits: Tensor = self.model(pixels)
        finally:
            handle.remove()
        return logits

    def receptive_fields(
        self, level: int, pixels: Tensor, image: Tensor, channel: Tensor, y: Tensor, x: Tensor
    ) -> list[Box]:
        """Where the gradient reaches in these very images."""
        boxes: list[Box] = []
        for start in range(0, len(image), len(pixels)):
            part = slice(start, start + len(pixels))
            where = (channel[part], y[part], x[part])
            boxes += gradient_boxes(self.model, self._layers[level].module, pixels[image[part]], *where)
        return boxes


class _Reached(Exception):  # noqa: N818 - nothing else ends the forward pass of a network that is not traced
    def __init__(self, features: Tensor) -> None:
        self.features = features


def _not_reached(module: str) -> ModelError:
    return ModelError(f"layer {module} was not reached in this forward pass; leave it out of --layers")
