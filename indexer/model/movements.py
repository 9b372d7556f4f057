"""The kinds of operations by what they do to places: each says where the places of an output lie, and what they reach.

    LOCAL      each value reads the same place of every input        BY_PLACE   ... and all channels there
    WINDOWED, UNWINDOWED, POOLED, RESIZED, PADDED                    windows of one map
    MOVED      values are moved and nothing else                     REDUCED    one value of all along dimensions
    TRAILING   what mixes the last dimensions alone                  MIXED      what mixes all along one dimension
    PRODUCT    matrix products                                       GROUPED    normalisation by its own map

`places` of a movement gives the strides that are published (`indexer.model.places`), `reach` the pixels that each value
depends on (`indexer.model.reach`); None where either cannot say, and then each value depends on all of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from evigraph.indexer.model import places, taps
from evigraph.indexer.model.reach import LARGEST, Reach, Shape, moved
from evigraph.indexer.model.registry import Call, Found, Movement, Run, Source, known


def _one(sources: Sequence[Source]) -> Reach | None:
    """What the only input reaches; None where there are several, or it is made of several tensors."""
    first = sources[0].reach
    return first if len(sources) == 1 and isinstance(first, Reach) else None


def _map(call: Call, sources: Sequence[Source], shape: Shape) -> Reach | None:
    """The same of a (batch, channels, height, width) map that gives another."""
    fits = len(sources[0].shape) == 4 == len(shape) and call.node.args[:1] == (call.node.all_input_nodes[0],)
    return _one(sources) if fits else None


def _local(_call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    """Inputs aligned as in arithmetic."""
    reaches = []
    for source in sources:
        padded = (1,) * (len(shape) - len(source.shape)) + source.shape
        fits = len(padded) == len(shape) and all(a in {1, b} for a, b in zip(padded, shape, strict=True))
        if not fits or not isinstance(source.reach, Reach):
            return None
        reaches.append(source.reach.aligned(len(shape)))
    return Reach.hull(reaches)


def _normalised(call: Call, sources: Sequence[Source], shape: Shape, run: Run) -> Found:
    """By numbers that do not depend on the pixels."""
    return _local(call, sources, shape, run) if len(sources) == 1 else None


def _by_place(call: Call, sources: Sequence[Source], shape: Shape, run: Run) -> Found:
    found = _normalised(call, sources, shape, run)
    return found.over([1]) if isinstance(found, Reach) and len(shape) > 1 else None


def _windowed(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    reach, window = _map(call, sources, shape), call.window
    if reach is None:
        return None
    mode = str(getattr(call.module, "padding_mode", "zeros")).replace("zeros", "constant")
    if "groups" in call.operation.parameters:
        reach = reach.by_groups(call["groups"], shape[1])
    for axis, dim in enumerate((-2, -1)):
        sizes = (window.kernel[axis], window.stride[axis], window.padding[axis], window.dilation[axis])
        reach = reach.along(dim, taps.window(sources[0].shape[dim], shape[dim], *sizes, mode))
    return reach


def _unwindowed(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    reach, window = _map(call, sources, shape), call.window
    if reach is None:
        return None
    reach = reach.by_groups(call["groups"], shape[1])
    for axis, dim in enumerate((-2, -1)):
        sizes = (window.kernel[axis], window.stride[axis], window.padding[axis], window.dilation[axis])
        reach = reach.along(dim, taps.transposed(sources[0].shape[dim], shape[dim], *sizes))
    return reach


def _pooled(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    reach = _map(call, sources, shape)
    for dim in (-2, -1):
        reach = None if reach is None else reach.along(dim, taps.adaptive(sources[0].shape[dim], shape[dim]))
    return reach


def _resized(call: Call, sources: Sequence[Source], shape: Shape, run: Run) -> Found:
    mode, corners, factor = call["mode"], bool(call["align_corners"]), call["scale_factor"]
    if mode == "area":
        return _pooled(call, sources, shape, run)
    reach = _map(call, sources, shape)
    if reach is None:
        return None
    factors = factor if isinstance(factor, (list, tuple)) else (factor, factor)
    for dim, given in zip((-2, -1), factors, strict=True):
        before, after = sources[0].shape[dim], shape[dim]
        by_size = given is None or call["recompute_scale_factor"]
        scale = before / after if by_size else 1 / float(given)
        antialias = bool(call["antialias"])
        reach = reach.along(dim, taps.resized(before, after, mode, scale, corners=corners, antialias=antialias))
    return reach


def _padded(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    padding = places.padding_counts(call)
    reach = _one(sources)
    if reach is None or padding is None or len(shape) != len(sources[0].shape):
        return None
    mode, counts = padding
    for at in range(len(counts) // 2):
        dim = -1 - at
        places_read = torch.arange(shape[dim])[:, None] - counts[2 * at]
        reach = reach.along(dim, taps.within(places_read, sources[0].shape[dim], mode))
    return reach


def _moved(_call: Call, sources: Sequence[Source], shape: Shape, run: Run) -> Found:
    reaches = [source.reach for source in sources]
    sizes = [math.prod(source.shape) for source in sources]
    if sum(sizes) > LARGEST or math.prod(shape) > LARGEST:
        return None
    if not all(isinstance(reach, Reach) for reach in reaches):
        return None
    try:
        return moved([r for r in reaches if isinstance(r, Reach)], [source.shape for source in sources], run)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
        return None  # of what takes no other numbers


def _got(call: Call, sources: Sequence[Source], shape: Shape, run: Run) -> Found:
    """`x[index]`: one of several tensors, or a part of one."""
    index, first = known(call.node.args[1]), sources[0].reach
    if isinstance(first, list):
        return first[index] if len(sources) == 1 and isinstance(index, int) else None
    return _moved(call, sources, shape, run)


def _dims(call: Call, name: str = "dim") -> list[int] | None:
    given = call[name]
    dims = [given] if isinstance(given, int) else given
    return list(dims) if isinstance(dims, (list, tuple)) and all(type(dim) is int for dim in dims) else None


def _reduced(call: Call, sources: Sequence[Source], shape: Shape, run: Run) -> Found:
    if len(sources) > 1:  # the larger of two tensors
        return _local(call, sources, shape, run)
    reach, dims = _one(sources), _dims(call)
    if reach is None or dims is None:
        return None
    return reach.over(dims, keep=len(shape) == len(sources[0].shape))


def _mixed(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    dims = _dims(call)
    found = None if dims is None else _one(sources)
    return found.over(dims) if found is not None and dims is not None and len(shape) == len(sources[0].shape) else None


def _trailing(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    reach = _one(sources)
    if reach is None or len(shape) != len(sources[0].shape):
        return None
    return reach.over(range(-places.trailing_count(call), 0))


def _product(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    """Of matrices, either of which may be the same for all pixels."""
    by_node = {source.node: source for source in sources}
    if len(call.node.args) != 2 or len(shape) < 2:
        return None
    reaches = []
    for argument, over in zip(call.node.args, (-1, -2), strict=True):
        source = by_node.get(argument)  # type: ignore[arg-type]
        if source is None:
            continue
        if len(source.shape) < 2 or not isinstance(source.reach, Reach):
            return None
        reaches.append(source.reach.over([over]).aligned(len(shape)))
    return Reach.hull(reaches)


def _by_map(call: Call, sources: Sequence[Source], shape: Shape, _run: Run) -> Found:
    """Each map by its own mean and deviation, unless running ones are used."""
    reach = _map(call, sources, shape)
    if reach is None:
        return None
    return reach if getattr(call.module, "track_running_stats", False) else reach.over([-2, -1])


def run_of(call: Call, of_pixels: Sequence[fx.Node], values: Mapping[fx.Node, Any]) -> Run:
    """A call as a function of the tensors that depend on the pixels; all else is as it was.

    Args:
        call: of an operation.
        of_pixels: its inputs that depend on the pixels.
        values: of the other ones.
    """

    def value(node: fx.Node, given: dict[fx.Node, Tensor]) -> Any:
        if node in given:
            return given[node]
        other = values[node]
        if isinstance(other, Tensor):
            # No pixel reaches a number; where something is taken from is said by whole ones.
            return torch.full(other.shape, torch.inf) if other.is_floating_point() else other.cpu()
        return other

    def run(tensors: Sequence[Tensor]) -> Any:
        given = dict(zip(of_pixels, tensors, strict=True))
        args = fx.map_arg(call.node.args, lambda node: value(node, given))
        kwargs = fx.map_arg(call.node.kwargs, lambda node: value(node, given))
        if call.module is not None:
            return call.module(*args, **kwargs)
        if isinstance(call.node.target, str):
            return getattr(args[0], call.node.target)(*args[1:], **kwargs)
        return call.node.target(*args, **kwargs)

    return run


LOCAL = Movement(places.local, _local)
NORMALISED = Movement(places.local, _normalised)
BY_PLACE = Movement(places.local, _by_place)
WINDOWED = Movement(places.windowed, _windowed)
UNWINDOWED = Movement(places.unwindowed, _unwindowed)
POOLED = Movement(places.pooled, _pooled)
RESIZED = Movement(places.resized, _resized)
PADDED = Movement(places.padded, _padded)
REDUCED = Movement(places.reduced, _reduced)
TRAILING = Movement(places.trailing, _trailing)
MIXED = Movement(places.mixed, _mixed)
PRODUCT = Movement(None, _product)
BY_MAP = Movement(None, _by_map)
KEPT = Movement(places.local, _moved)
"""Values that are moved, but for what is moved across a border each to its own place or about as far."""
SLICED = Movement(places.sliced, _got)
RESHAPED = Movement(places.reshaped, _moved)
PERMUTED = Movement(places.permuted, _moved)
SHUFFLED = Movement(places.shuffled, _moved)
MOVED = Movement(None, _moved)
