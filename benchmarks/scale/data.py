"""A run of the size of a dataset, written through the real shard writer: 18 million edges by default.

    python -m benchmarks.scale.data [--images N] [--seed 0] [--name scale] [--out DIR]

No network is involved; `benchmarks/scale/rows.py` says what is drawn. The run is kept between calls: where the folder
holds the run that was asked for, only missing or damaged shards are made.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.scale.levels import LEVELS
from benchmarks.scale.preferences import CLASSES, CONTEXT_LABELS, Preferences
from benchmarks.scale.rows import Scale
from benchmarks.scale.trees import TOP_N
from evigraph.indexer.shards.folder import ClassRow, ContextLabelRow, LayerRow, RunDescription, RunFolder
from evigraph.schema.errors import EvidenceError

IMAGES = 43_000
"""Of the default run: about 18 million edges."""
SHARD_SIZE = 128
"""As `evigraph index` has it."""
_GENERATOR = 5
"""Raised whenever other rows are drawn, or written otherwise, so that a run of before is not taken for one of now."""


def describe(images: int, seed: int = 0, name: str = "scale") -> RunDescription:
    """The description of a run; two of one image count and seed have equal rows."""
    layers = [
        LayerRow(i, level.name, level.module, level.channels, level.side, level.side, level.stride,
                 level.receptive_field)
        for i, level in enumerate(LEVELS)
    ]  # fmt: skip
    layers.append(LayerRow(len(LEVELS), "logits", "", CLASSES, 1, 1, None, None))
    keys = Preferences(seed).keys
    return RunDescription(
        name=name,
        model="vgg16",
        weights_sha256="0" * 64,
        dataset="drawn:imagenet",
        dataset_sha256=f"{seed:064x}",
        top_n=TOP_N,
        mask_threshold=0.5,
        settings={"root": "/data/imagenet/val", "seed": seed, "generator": _GENERATOR, "max_nodes": None},
        indexer_version="0.1.0",
        layers=tuple(layers),
        classes=tuple(ClassRow(i, key, f"class {i:03d}") for i, key in enumerate(keys)),
        context_labels=tuple(ContextLabelRow(i + 1, f"context {i:02d}") for i in range(CONTEXT_LABELS)),
        image_total=images,
        shard_size=SHARD_SIZE,
    )


def cache_folder() -> Path:
    """Where runs and databases are kept between calls: $EVIGRAPH_BENCHMARK_CACHE or ~/.cache/evigraph."""
    return Path(os.environ.get("EVIGRAPH_BENCHMARK_CACHE") or Path.home() / ".cache" / "evigraph")


def kept_at(images: int, seed: int, name: str, folder: Path) -> Path:
    """The run folder that a run has in a folder of several."""
    return folder / f"{name}-{images}-{seed}-v{_GENERATOR}"


def make(images: int = IMAGES, seed: int = 0, name: str = "scale", out: Path | None = None) -> Path:
    """Make a run, or complete the one that is kept; gives its folder.

    Args:
        images: How many.
        seed: Two runs of one seed and size have equal rows.
        name: As a database shows the run.
        out: The run folder; one in `cache_folder` by default.

    Raises:
        RunFolderError: The folder holds another run, is in use, or cannot be written.
    """
    out = out or kept_at(images, seed, name, cache_folder())
    with RunFolder.open_for_writing(out, describe(images, seed, name)) as folder:
        scale = Scale(images, seed)
        for shard in folder.pending_shards():
            folder.write_shard(shard, scale.shard(shard, folder.image_range(shard)))
        folder.finish()
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help=f"default {IMAGES}, about 18 million edges")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="scale", help="of the run")
    parser.add_argument("--out", type=Path, help="the run folder; default: kept under ~/.cache/evigraph")
    options = parser.parse_args()
    if options.images < 1 or options.seed < 0:
        parser.error(f"--images {options.images} must be 1 or more, --seed {options.seed} 0 or more")
    started = time.monotonic()
    try:
        out = make(options.images, options.seed, options.name, options.out)
        with RunFolder.open_for_reading(out) as folder:
            edges = sum((folder.manifest(s) or {})["files"]["edge"]["rows"] for s in range(folder.shard_count))
    except EvidenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {options.images} images, {edges} edges ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
