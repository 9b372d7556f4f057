"""Where a place of a layer lies in the network's input, and how an activation map is stored as bytes.

The indexer writes pictures and the service draws from them, so both read these.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_RAW_DEFLATE = -15
"""zlib's name for DEFLATE without a header and checksum: a map is of some 30 bytes, of which those would be 6."""


class Box(NamedTuple):
    """Part of the input in whole pixels; bottom and right are not within."""

    top: int
    left: int
    bottom: int
    right: int


Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LayerGeometry:
    """How the places of a layer lie in the network's input, in its pixels, down and across.

    Attributes:
        centre: the middle of the receptive field of the place (0, 0); 0.5 is the middle of the first pixel.
        stride: from one place to the next.
        field: length of a receptive field; None where the network could not be traced, which stands for all of it.
        spans: [begin, end) of the fields of each row and of each column of places; None where they follow from the
            rest.
        turned: whether the spans of rows are those of the map's columns, and the other way round.
    """

    centre: tuple[float, float]
    stride: tuple[float, float]
    field: int | None
    spans: tuple[Spans, Spans] | None = None
    turned: bool = False

    def box(self, y: int, x: int, side: int | tuple[int, int]) -> Box:
        """The receptive field of a place, as far as it lies within an input of (height, width), or of a square one."""
        height, width = (side, side) if isinstance(side, int) else side
        if self.field is None:
            return Box(0, 0, height, width)
        if self.spans is not None:
            down, across = (x, y) if self.turned else (y, x)
            (top, bottom), (left, right) = self.spans[0][down], self.spans[1][across]
            return Box(top, left, bottom, right)
        starts = [c + s * at - self.field / 2 for c, s, at in zip(self.centre, self.stride, (y, x), strict=True)]
        (top, bottom), (left, right) = (
            (min(max(0, round(start)), length - 1), min(length, max(round(start + self.field), 1)))
            for start, length in zip(starts, (height, width), strict=True)
        )
        return Box(top, left, max(bottom, top + 1), max(right, left + 1))

    def to_json(self) -> list[Any]:
        """As JSON values; the spans only where there are any."""
        more = [] if self.spans is None else [[[list(span) for span in spans] for spans in self.spans], self.turned]
        return [*self.centre, *self.stride, self.field, *more]

    @classmethod
    def from_json(cls, record: Sequence[Any]) -> LayerGeometry:
        """The inverse of `to_json`."""
        top, left, down, across, field, *more = record
        if not more:
            return cls((top, left), (down, across), field)
        rows, columns = (tuple((int(begin), int(end)) for begin, end in spans) for spans in more[0])
        return cls((top, left), (down, across), field, (rows, columns), bool(more[1]))


@dataclass(frozen=True)
class PictureSettings:
    """What pictures a run holds; None of what it does not.

    Attributes:
        side: of the network's input, in pixels; its height and width where they differ.
        layers: of S1..SL.
        thumbnails: longest side in pixels.
        maps: the most edges of a decision whose activation map is kept.
        guided: how many peaks of each channel have a guided crop.
    """

    side: int | tuple[int, int]
    layers: tuple[LayerGeometry, ...]
    thumbnails: int | None = None
    maps: int | None = None
    guided: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels."""
        return (self.side, self.side) if isinstance(self.side, int) else self.side

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the run's settings."""
        return asdict(self) | {"layers": [layer.to_json() for layer in self.layers]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PictureSettings:
        """The inverse of `to_json`."""
        layers = tuple(LayerGeometry.from_json(layer) for layer in record["layers"])
        side = record["side"] if isinstance(record["side"], int) else tuple(record["side"])
        return cls(**{**record, "side": side, "layers": layers})


def encoded_map(values: NDArray[np.uint8]) -> bytes:
    """An activation map (height, width) as bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _RAW_DEFLATE)
    return packer.compress(np.ascontiguousarray(values).tobytes()) + packer.flush()


def decoded_map(content: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The inverse of `encoded_map`."""
    return np.frombuffer(zlib.decompress(content, _RAW_DEFLATE), dtype=np.uint8).reshape(height, width)
