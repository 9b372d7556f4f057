"""The masks of a shard's edges and the semantic maps of its images, of which `publish` makes `localization`.

context_map.parquet      a row an image: its map as the network saw it, void where the image has none
context_mask.parquet     a row a cell of an edge's mask; (decision, layer, channel) name the edge's source, and one row
                         of each edge is its peak

They stay in the run folder: per edge they would be larger than all else that a database holds.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SCHEMAS: dict[str, pa.Schema] = {
    "context_map": pa.schema(
        [
            pa.field("image_id", pa.int32(), nullable=False),
            pa.field("height", pa.int16(), nullable=False),
            pa.field("width", pa.int16(), nullable=False),
            pa.field("labels", pa.binary(), nullable=False),
        ]
    ),
    "context_mask": pa.schema(
        [
            pa.field("decision_id", pa.int32(), nullable=False),
            pa.field("layer_id", pa.int16(), nullable=False),
            pa.field("channel", pa.int32(), nullable=False),
            pa.field("cell", pa.int32(), nullable=False),
            pa.field("at_peak", pa.bool_(), nullable=False),
            pa.field("mass", pa.float32(), nullable=False),
        ]
    ),
}
"""`labels` is the map row by row, uint8 or int32, deflated (zlib). `cell` counts the places of the layer's map row by
row; `mass` is the part of the mask's activation in it."""


def unpacked(stored: bytes, height: int, width: int) -> NDArray[Any]:
    """(height, width) context label ids, uint8 or int32; 0 is void."""
    labels = zlib.decompress(stored)
    kind = np.uint8 if len(labels) == height * width else np.int32
    return np.frombuffer(labels, dtype=kind).reshape(height, width)
