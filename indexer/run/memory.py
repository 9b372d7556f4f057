"""How many images to run together, and what to do when there were too many."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.record import Record

SHARE = 0.3
"""Of the free memory, for one batch: decompositions, the loader's batches and the writer need the rest."""
MOST_CPU, MOST_CUDA = 32, 256
"""On a CPU larger batches gain nothing: SqueezeNet 1.1 made 119, 135, 110 and 93 images a second at 8, 16, 32 and 64,
ResNet-18 27 to 28 throughout (2 cores); networks with large fully connected layers gain up to 32. The CUDA bound is not
measured.
"""


def automatic_batch_size(network: Network, pixels: Tensor, run: Callable[[Record], object]) -> int:
    """The largest power of two whose batch takes at most `SHARE` of the memory that is free now.

    Args:
        network: to be run.
        pixels: (1, 3, height, width), an input on the network's device.
        run: decomposes a record, as a batch of the run will be.
    """
    if pixels.is_cuda:
        bytes_per_image = _cuda_bytes(network, pixels, run)
        free, most = torch.cuda.mem_get_info(pixels.device)[0], MOST_CUDA
    else:
        bytes_per_image, free, most = _recorded_bytes(network.recorder.record(pixels)), _available_bytes(), MOST_CPU
    fitting = max(1, int(free * SHARE / max(1, bytes_per_image)))
    return min(most, 1 << (fitting.bit_length() - 1))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed for want of memory, on either kind of device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _cuda_bytes(network: Network, pixels: Tensor, run: Callable[[Record], object]) -> int:
    """What a second image adds to the peak of a batch, measured."""
    peaks = []
    for count in (1, 2):
        torch.cuda.reset_peak_memory_stats(pixels.device)
        run(network.recorder.record(pixels.expand(count, -1, -1, -1)))
        peaks.append(torch.cuda.max_memory_allocated(pixels.device))
    return max(1, peaks[1] - peaks[0])


def _recorded_bytes(record: Record) -> int:
    """Twice what is kept of one image: the values that live only for a moment are fewer than those recorded."""
    storages: dict[int, int] = {}
    for segment in record.segments:
        for value in segment.held():
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return 2 * sum(storages.values())


def _available_bytes() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
