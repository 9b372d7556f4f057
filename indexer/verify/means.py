"""The means of channels over a run's images: what a channel is set to where its evidence is taken away.

They are over all places of some images of the run, MEAN_IMAGES spread evenly over its listing, as they are in the data:
so a shard still depends on nothing but the run's description. The mean over the image's own map would change nothing at
all where global average pooling follows.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from evigraph.indexer.data.loader import Batch
from evigraph.indexer.engine.network import Network

MEAN_IMAGES = 64
MEAN_BATCH = 16


def sample_ids(total: int, count: int = MEAN_IMAGES) -> list[int]:
    """Some image ids, spread evenly over a listing."""
    return sorted({index * total // count for index in range(count)})


def channel_means(network: Network, batches: Iterable[Batch], device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """The mean of each channel of each layer over all places of some images: per layer (channels,) float32."""
    sums = [torch.zeros(layer.channels, dtype=torch.float64, device=device) for layer in network.layers]
    images = 0
    for batch in batches:
        if not len(batch.image_ids):
            continue
        record = network.recorder.record(batch.pixels.to(device).to(dtype))
        sound = torch.stack(
            [record.logits.isfinite().all(1), *(f.isfinite().all(3).all(2).all(1) for f in record.features)]
        )
        images += int(sound.all(0).sum())
        for total, features in zip(sums, record.features, strict=True):
            total += features[sound.all(0)].double().mean((2, 3)).sum(0)
    return [(total / max(1, images)).float() for total in sums]
