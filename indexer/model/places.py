"""How operations move places: where those of an output lie, from those of the inputs.

Each function takes a call, its inputs that depend on the pixels, and the shape of its output; it gives None where it
cannot say, and then every value is taken to depend on all of the input (`everywhere`).

    local      each place reads the same place of every input: elementwise functions, sums, concatenations, slices
    windowed   a window of the input: convolutions and pooling        unwindowed   transposed convolutions
    padded     places are added or cut off at the borders             pooled       adaptive pooling
    resized    the map with another number of places                  reduced      means and maxima over dimensions
    reshaped   dimensions are cut or put together                     permuted     dimensions change places
    trailing   what mixes the last dimensions alone: linear layers and normalisations of channels-last maps
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from evigraph.indexer.model.geometry import NCHW, TURNED, Axis, Places
from evigraph.indexer.model.registry import Call, Pair, Source, known

Shape = tuple[int, ...]


def places_of(
    call: Call, sources: Sequence[Source], shape: Shape, size: tuple[int, int], dims: tuple[int, int] = NCHW
) -> Places | None:
    """Where the places of an output lie; None where it has none, as behind a flattening.

    Args:
        call: of an operation.
        sources: its inputs that depend on the pixels; not empty.
        shape: of its output.
        size: (height, width) of the network's input.
        dims: that run over places in a value of 4 dimensions of which nothing else is known.
    """
    movement = call.operation.places
    declared = None if movement is None else movement.places
    places = None if declared is None else declared(call, sources, shape)
    return everywhere(sources, shape, size, dims) if places is None else places


def everywhere(sources: Sequence[Source], shape: Shape, size: tuple[int, int], dims: tuple[int, int]) -> Places | None:
    """Of a map each value of which may depend on the whole input; None of values of other than 4 dimensions.

    Where an input has as many places, those of the map lie where its places do.
    """
    if len(shape) != 4:
        return None
    axes = []
    for axis, dim in enumerate(dims):
        like = [
            source.places.axes[axis]
            for source in sources
            if source.places and source.places.dims == dims and source.shape[dim] == shape[dim]
        ]
        axes.append(replace(Axis.hull(like, shape[dim]), whole=True) if like else Axis.spread(size[axis], shape[dim]))
    return Places(dims, (axes[0], axes[1]))


def turns_channels_last(call: Call) -> bool | None:
    """True where a call moves the channels of an NCHW map last, False where it moves them back, else None."""
    if call.operation.name != "permute":
        return None
    return {(0, 2, 3, 1): True, (0, 3, 1, 2): False}.get(tuple(call.rest))


def local(_call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """Each place reads the same place of every input; what has one place alone is spread over the others."""
    dims = next((source.places.dims for source in sources if source.places), None)
    if dims is None or -min(dims) > len(shape):
        return None
    axes = []
    for axis, dim in enumerate(dims):
        own = [
            source.places.axes[axis]
            for source in sources
            if source.places and source.places.dims == dims and source.shape[dim] == shape[dim]
        ]
        if not own:
            return None
        merged = Axis.hull(own, shape[dim])
        axes.append(merged if len(own) == len(sources) else replace(merged, whole=True))
    return Places(dims, (axes[0], axes[1]))


def _map(sources: Sequence[Source], shape: Shape) -> tuple[Axis, Axis] | None:
    """Of the one (batch, channels, height, width) map that an operation makes another of, the axes along its height and
    its width; None for others.
    """
    (source, *others) = sources
    if others or source.places is None or len(source.shape) != 4 or len(shape) != 4:
        return None
    places = source.places
    return places.axes if places.dims == NCHW else places.axes[::-1] if places.dims == TURNED else None


def _made(sources: Sequence[Source], along: Sequence[Axis]) -> Places:
    """The places of that other map, from the axes along its height and its width."""
    turned = sources[0].places is not None and sources[0].places.dims == TURNED
    return Places(TURNED, (along[1], along[0])) if turned else Places(NCHW, (along[0], along[1]))


def windowed(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """A convolution or pooling."""
    axes = _map(sources, shape)
    if axes is None:
        return None
    window = call.window
    made = [
        axis.windowed(*sizes)
        for axis, *sizes in zip(axes, window.kernel, window.stride, window.dilation, window.padding, strict=True)
    ]
    return _made(sources, made)


def unwindowed(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """A transposed convolution."""
    axes = _map(sources, shape)
    if axes is None:
        return None
    window = call.window
    made = [
        axis.unwindowed(*sizes)
        for axis, *sizes in zip(axes, window.kernel, window.stride, window.dilation, window.padding, strict=True)
    ]
    return _made(sources, made)


_PAD_MODES = {nn.ReflectionPad2d: "reflect", nn.ReplicationPad2d: "replicate", nn.CircularPad2d: "circular"}


def padding_counts(call: Call) -> tuple[str, list[int]] | None:
    """How a call pads: the mode, and the counts before and after each dimension, the last one first; None where they
    are not numbers.
    """
    if call.module is None:
        pad, mode = call["pad"], call["mode"]
    else:
        pad, mode = call.module.padding, _PAD_MODES.get(type(call.module), "constant")
    if not isinstance(pad, (list, tuple)) or not all(isinstance(count, int) for count in pad):
        return None
    return str(mode), list(pad)


def padding_of(call: Call) -> tuple[str, Pair, Pair] | None:
    """How a call pads a map: the mode, and the counts (before, after) down and across; None where it does other."""
    padding = padding_counts(call)
    if padding is None or any(padding[1][4:]):
        return None
    left, right, top, bottom = [*padding[1], 0, 0][:4]
    return padding[0], (top, bottom), (left, right)


def padded(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """Places added before and after, or cut off."""
    axes, padding = _map(sources, shape), padding_counts(call)
    if axes is None or padding is None:
        return None
    left, _, top, _ = [*padding[1], 0, 0][:4]
    return _made(sources, (axes[0].windowed(1, 1, 1, top), axes[1].windowed(1, 1, 1, left)))


def pooled(_call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """Adaptive pooling: a window where the sizes divide."""
    axes = _map(sources, shape)
    if axes is None:
        return None
    made = []
    for axis, before, after in zip(axes, sources[0].shape[-2:], shape[-2:], strict=True):
        if before % after == 0:
            made.append(axis.windowed(before // after, before // after, 1, 0))
        else:
            made.append(axis.resized(before, after, (before / after - 1) / 2 + 1 - 1 / after))
    return _made(sources, made)


def resized(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """Interpolation: the values around where the place lies in the smaller or larger map."""
    if call["mode"] == "area":
        return pooled(call, sources, shape)
    axes, scale = _map(sources, shape), call["scale_factor"]
    if axes is None:
        return None
    made = []
    for axis, before, after, factor in zip(
        axes,
        sources[0].shape[-2:],
        shape[-2:],
        scale if isinstance(scale, (list, tuple)) else (scale, scale),
        strict=True,
    ):
        larger = max(1.0, before / after)
        # A factor that is not the ratio of the sizes, and corners that are aligned, move a place by less than a step.
        moved = 0.0 if factor in {None, after / before} and not call["align_corners"] else larger
        if before == after and not moved:
            made.append(axis)
            continue
        reach = {"bicubic": 2.0, "nearest": (larger + 1) / 2}.get(call["mode"], 1.0)
        made.append(axis.resized(before, after, moved + reach * (larger if call["antialias"] else 1)))
    return _made(sources, made)


def reduced(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """A mean or maximum over dimensions: over places it sees all of them, and leaves one where dimensions are kept."""
    (source, *others) = sources
    if others or source.places is None:
        return None
    given = call["dim"]
    dims = {given} if isinstance(given, int) else set(given) if isinstance(given, (list, tuple)) else None
    if dims is None or not all(isinstance(dim, int) for dim in dims):
        return None
    over = {dim if dim < 0 else dim - len(source.shape) for dim in dims}
    kept = len(shape) == len(source.shape)
    axes = []
    for axis, dim in zip(source.places.axes, source.places.dims, strict=True):
        if not kept and any(other >= dim for other in over):
            return None
        count = source.shape[dim]
        axes.append(axis.windowed(count, count, 1, 0) if dim in over else axis)
    return Places(source.places.dims, (axes[0], axes[1]))


def reshaped(_call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """Dimensions cut or put together: those of the places are kept where one of their size has as much behind it."""
    (source, *others) = sources
    if others or source.places is None:
        return None
    dims = []
    for dim in source.places.dims:
        behind = math.prod(source.shape[len(source.shape) + dim + 1 :])
        fit = [
            place - len(shape)
            for place, count in enumerate(shape)
            if count == source.shape[dim] and math.prod(shape[place + 1 :]) == behind
        ]
        if not fit:
            return None
        dims.append(min(fit, key=lambda other: abs(other - dim)))
    return Places((dims[0], dims[1]), source.places.axes) if dims[0] != dims[1] else None


def permuted(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """Dimensions in another order, by `permute` or `transpose`."""
    (source, *others) = sources
    given = call.rest
    if others or source.places is None or not all(isinstance(dim, int) for dim in given):
        return None
    rank = len(shape)
    order = [dim % rank for dim in given]
    if call.operation.name == "transpose":
        first, second = order
        order = list(range(rank))
        order[first], order[second] = second, first
    if sorted(order) != list(range(rank)):
        return None
    down, across = (order.index(dim % rank) - rank for dim in source.places.dims)
    return Places((down, across), source.places.axes)


def trailing_count(call: Call) -> int:
    """How many of the last dimensions a call mixes: a fully connected layer one, a normalisation those it names."""
    if "normalized_shape" not in call.operation.parameters:
        return 1
    named = call["normalized_shape"]
    return 1 if isinstance(named, int) else len(named)


def trailing(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """What mixes the last dimensions alone."""
    count = trailing_count(call)
    places = sources[0].places
    if places is None or any(dim >= -count for dim in places.dims):
        return None
    return local(call, sources, shape)


def mixed(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """What mixes all along dimensions, one or several."""
    given, places = call["dim"], sources[0].places
    dims = [given] if isinstance(given, int) else given
    if places is None or not isinstance(dims, (list, tuple)) or not all(isinstance(dim, int) for dim in dims):
        return None
    over = {dim if dim < 0 else dim - len(sources[0].shape) for dim in dims}
    return None if over & set(places.dims) else local(call, sources, shape)


def shuffled(_call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """Places made of channels, or the other way round."""
    axes = _map(sources, shape)
    if axes is None:
        return None
    before, after = sources[0].shape[-2:], shape[-2:]
    made = [axis.shuffled(b, a) for axis, b, a in zip(axes, before, after, strict=True)]
    return _made(sources, made)


def sliced(call: Call, sources: Sequence[Source], shape: Shape) -> Places | None:
    """One of several maps, or a part of a map."""
    index, source = known(call.node.args[1]), sources[0]
    if isinstance(index, int):
        return local(call, sources, shape) if len(shape) == len(source.shape) else None
    parts = index if isinstance(index, tuple) else (index,)
    if source.places is None or not all(part is Ellipsis or isinstance(part, slice) for part in parts):
        return None
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts = (*parts[:at], *[slice(None)] * (len(source.shape) - len(parts) + 1), *parts[at + 1 :])
    axes = []
    for axis, dim in zip(source.places.axes, source.places.dims, strict=True):
        place = dim + len(source.shape)
        part = parts[place] if place < len(parts) else slice(None)
        if not all(end is None or isinstance(end, int) for end in (part.start, part.stop, part.step)):
            return None
        begin, _, step = part.indices(source.shape[dim])
        axes.append(axis.windowed(1, step, 1, -begin))
    return Places(source.places.dims, (axes[0], axes[1]))
