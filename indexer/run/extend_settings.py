"""What `evigraph extend` is asked to add: each setting is a field, and each field an option of the command line."""

# ruff: noqa: RUF009 (options and parts are dataclass fields)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evigraph.indexer.options import Settings, names, option, part
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.run.settings import image_count
from evigraph.indexer.verify.settings import VerifySettings


@dataclass(frozen=True)
class ExtendSettings(Settings):
    """What `evigraph extend` is asked to add.

    Attributes:
        pictures: that the run is to keep besides.
        verify: which evidence is tested, and how; None for none.
        overlaps: store which channels overlap.
        context_layers: further layers where edges get context labels.
        weights, data, classes: where they lie now, if elsewhere than when the run was indexed.
        device, workers, batch_size, threads: as in `Execution`.
    """

    pictures: PictureOptions = part(PictureOptions)
    verify: VerifySettings | None = part(VerifySettings, optional=True)
    overlaps: bool = option("Store which positive channels overlap (masks of IoU > 0.9), and how many.", default=False)
    context_layers: Sequence[str] | None = option(
        "Further layers where edges get context labels.", default=None, parse=names
    )
    weights: str | None = option("Where the run's weights are now, if they moved.", default=None)
    data: str | None = option("Where the run's data are now, if they moved.", default=None)
    classes: Path | None = option("Where the run's file of classes is now, if it moved.", default=None)
    device: Literal["cpu", "cuda"] = option("Where the network runs.", default="cpu")
    workers: int | None = option("Processes that decode images.", default=None, least=0)
    batch_size: int | None = option(
        "Images run together, or `auto`; that of `index` gives its very numbers.",
        default="16",
        parse=image_count,
        least=1,
        hint="or auto",
    )
    threads: int | None = option("Threads of torch on the CPU; its own choice if not given.", default=None, least=1)
