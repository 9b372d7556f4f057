"""Which peaks of a run get a guided crop, and the files that hold them beside the shards.

    RUN/guided/00003.parquet    the crops of CROPS_PER_FILE peaks
    RUN/guided/00003.json       its entry, written last: the digest of the peaks, bytes and SHA-256

The strongest peaks of a channel are known when every shard is there. They are listed in a fixed order and cut into
files of a fixed number, so that a run that was killed among them ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evigraph.indexer.shards import durable
from evigraph.indexer.shards.files import arrow_schema
from evigraph.indexer.shards.folder import RunFolder
from evigraph.schema.errors import RunFolderError
from evigraph.schema.ids import image_id_of

CROPS_PER_FILE = 256
"""What a kill can cost, some seconds of work; also so many at most are held in memory."""
GUIDED = arrow_schema("guided_crop")
Peaks = NDArray[np.int64]
"""(peaks, 5) layer, channel, image, y, x, sorted so."""


def wanted(folder: RunFolder) -> int:
    """How many peaks of each channel get a guided crop; 0 where the run keeps none."""
    return int((folder.description.settings.get("pictures") or {}).get("guided") or 0)


def strongest_peaks(folder: RunFolder, count: int) -> Peaks:
    """The `count` places of each channel where its contribution is largest, as `channel_peak` orders them.

    A place is an (image, y, x), whose contribution is the largest of all edges into the channel there; among equals the
    first (image, y, x) is taken.
    """
    places = np.empty((0, 5), dtype=np.int64)
    contribution = np.empty(0, dtype=np.float32)
    names = ("source_layer", "source_channel", "decision_id", "source_y", "source_x")
    for shard in range(folder.shard_count):
        edge = folder.read(shard, "edge", [*names, "contribution"])
        columns = [edge[name].to_numpy().astype(np.int64) for name in names]
        columns[2] = image_id_of(columns[2])
        places = np.concatenate([places, np.stack(columns, 1)])
        contribution = np.concatenate([contribution, edge["contribution"].to_numpy()])
        places, contribution = _strongest(places, contribution, count)
    return places[np.lexsort(places.T[::-1])]


def _strongest(places: Peaks, contribution: NDArray[np.float32], count: int) -> tuple[Peaks, NDArray[np.float32]]:
    order = np.lexsort((-contribution, *places.T[::-1]))
    places, contribution = places[order], contribution[order]
    once = np.ones(len(places), dtype=bool)
    once[1:] = (places[1:] != places[:-1]).any(1)
    places, contribution = places[once], contribution[once]
    image, y, x = places[:, 2], places[:, 3], places[:, 4]
    order = np.lexsort((x, y, image, -contribution, places[:, 1], places[:, 0]))
    places, contribution = places[order], contribution[order]
    new = np.ones(len(places), dtype=bool)
    new[1:] = (places[1:, :2] != places[:-1, :2]).any(1)
    position = np.arange(len(places))
    kept = position - np.maximum.accumulate(np.where(new, position, 0)) < count
    return places[kept], contribution[kept]


def guided_file(folder: RunFolder, number: int) -> Path:
    """Where a file of guided crops is."""
    return folder.path / "guided" / f"{number:05d}.parquet"


def file_count(peaks: Peaks) -> int:
    """How many files hold these peaks."""
    return -(-len(peaks) // CROPS_PER_FILE)


def part(peaks: Peaks, number: int) -> Peaks:
    """The peaks of one file."""
    return peaks[number * CROPS_PER_FILE : (number + 1) * CROPS_PER_FILE]


def is_written(folder: RunFolder, peaks: Peaks, number: int) -> bool:
    """Whether a file is there as it was written, for these very peaks."""
    file = guided_file(folder, number)
    with suppress(OSError, ValueError):
        entry = json.loads(file.with_suffix(".json").read_bytes())
        return bool(entry == {**_provenance(folder, peaks, number), "sha256": durable.sha256_of(file)})
    return False


def write(folder: RunFolder, peaks: Peaks, number: int, columns: dict[str, Any]) -> None:
    """Write a file, then its entry.

    Raises:
        RunFolderError: the disk is full or broken.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns).cast(GUIDED), sink, compression="zstd")
    content = memoryview(sink.getvalue())
    file = guided_file(folder, number)
    entry = {**_provenance(folder, peaks, number), "sha256": hashlib.sha256(content).hexdigest()}
    try:
        file.parent.mkdir(exist_ok=True)
        durable.write_bytes(file, content)
        durable.write_bytes(file.with_suffix(".json"), (json.dumps(entry, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise RunFolderError(
            f"guided crops {file.name} of {folder.path} could not be written: {error.strerror}; "
            "what is there is kept: make room and run the same command again"
        ) from error


def guided_files(folder: RunFolder) -> list[Path]:
    """The files of a run's guided crops, each compared with its entry; none where the run keeps none.

    Raises:
        RunFolderError: one is missing, or not as it was written.
    """
    if not wanted(folder):
        return []
    peaks = strongest_peaks(folder, wanted(folder))
    for number in range(file_count(peaks)):
        if not is_written(folder, peaks, number):
            raise RunFolderError(
                f"run folder {folder.path}: guided/{guided_file(folder, number).name} is missing or not as it was "
                "written; run the same `evigraph index` command again to remake it"
            )
    return [guided_file(folder, number) for number in range(file_count(peaks))]


def _provenance(folder: RunFolder, peaks: Peaks, number: int) -> dict[str, str]:
    return {
        "description": folder.description.digest(),
        "peaks_sha256": hashlib.sha256(np.ascontiguousarray(part(peaks, number)).tobytes()).hexdigest(),
    }
