"""Addresses of pictures, relative to the service's root; `graphapi.http.media` answers them.

    /media/RUN/images/IMAGE                                           what the network saw
    /media/RUN/crops/IMAGE/LAYER/Y/X                                  the receptive field of a place, cut from it
    /media/RUN/guided/LAYER/CHANNEL/IMAGE/Y/X                         guided backpropagation at a peak
    /media/RUN/maps/DECISION/LAYER/CHANNEL/Y/X/SOURCE[?overlay=false] the activation map of an edge

RUN is a digest of the run's name and of the moments at which it was made. Layers are numbers, 0 the lowest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from evigraph.graphapi.questions.channels.peaks import PlaceEdgeRow
from evigraph.graphapi.questions.evidence import EvidenceRow
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.rows import MapRow

_RENDERING = "1"
"""Part of every address: to be changed with how pictures are drawn."""


def run_address(run: RunInfo) -> str:
    """What stands for a run in addresses: other for every run that was made anew."""
    made = (_RENDERING, run.name, run.created_at.isoformat(), run.finished_at.isoformat(), run.weights_sha256)
    return hashlib.sha256("\n".join(made).encode()).hexdigest()[:16]


def image_url(run: RunInfo, image_id: int) -> str | None:
    """The address of an image's thumbnail; None where the run keeps none."""
    if run.pictures is None or run.pictures.thumbnails is None:
        return None
    return _url(run, "images", image_id)


def crop_url(run: RunInfo, image_id: int, layer_id: int, y: int, x: int) -> str | None:
    """The address of the receptive field of a place; None without thumbnails, of logits, and of networks whose fields
    are not known.
    """
    if run.pictures is None or run.pictures.thumbnails is None or layer_id >= len(run.pictures.layers):
        return None
    if run.pictures.layers[layer_id].field is None:
        return None
    return _url(run, "crops", image_id, layer_id, y, x)


def guided_url(run: RunInfo, layer_id: int, channel: int, image_id: int, y: int, x: int) -> str:
    """The address of the guided crop of a peak, which must have one."""
    return _url(run, "guided", layer_id, channel, image_id, y, x)


def map_url(run: RunInfo, decision_id: int, edge: Sequence[int]) -> str:
    """The address of an edge's activation map, which must be there; `edge` as `edge_of` has it."""
    return _url(run, "maps", decision_id, *edge)


def edge_of(row: MapRow | EvidenceRow | PlaceEdgeRow) -> tuple[int, ...]:
    """Target layer, channel, y, x and source channel of a stored map or of an edge of the same decision."""
    return (row.target_layer, row.target_channel, row.target_y, row.target_x, row.source_channel)


def _url(run: RunInfo, *parts: str | int) -> str:
    return "/".join(("/media", run_address(run), *map(str, parts)))
