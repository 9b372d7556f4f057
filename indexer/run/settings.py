"""What `evigraph index` is asked to do, and what of it determines the rows of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.loading import LoadedModel
from evigraph.indexer.pictures.thumbnails import picture_settings
from evigraph.indexer.run.attack import AttackSettings
from evigraph.indexer.shards.folder import ClassRow, ContextLabelRow, LayerRow, RunDescription
from evigraph.indexer.verify.verifier import VerifySettings
from evigraph.schema.errors import UsageError
from evigraph.schema.pictures import PictureSettings


@dataclass(frozen=True)
class IndexSettings:
    """What `evigraph index` is asked to do. What of it determines rows, `describe` says.

    Attributes:
        model, weights, data, classes: as on the command line.
        run: the run folder.
        layers: names or module paths, lowest first; None for the default ones.
        top_n: channels kept of each decomposition.
        max_nodes: nodes decomposed of each root in each layer; None for all.
        context_layers: names or module paths of the layers where edges get context labels; None for all.
        overlaps: store the overlap groups of kept channels, and how many positive channels overlap.
        merge_overlaps: let `top_n` count groups instead of channels; it stores them too.
        mask_threshold: of the largest activation.
        device: "cpu" or "cuda".
        limit: index only the first images of the listing.
        workers: processes that decode images; None for one a core beside the first.
        batch_size: images that are run together; None for as many as the free memory suggests.
        precision: of the network's arithmetic: "fp32", "tf32" (CUDA) or "bf16".
        shard_size: images a shard: what a kill can cost.
        name: of the run; None for the run folder's name.
        attack: how images are attacked before they are indexed; None for not at all.
        verify: which evidence is tested, and how; None for none.
        thumbnails: longest side of the pictures of images to keep, in pixels; None for none.
        maps: edges of each decision whose activation map is kept, the most important ones; None for none.
        guided: peaks of each channel, the strongest ones, to keep a guided crop of; None for none.
        preprocessing: parts to set otherwise than the weights ask for (`Preprocessing.with_options`).
    """

    model: str
    weights: str
    data: str
    run: Path
    layers: Sequence[str] | None = None
    top_n: int = 3
    max_nodes: int | None = None
    context_layers: Sequence[str] | None = None
    overlaps: bool = False
    merge_overlaps: bool = False
    mask_threshold: float = 0.5
    device: str = "cpu"
    limit: int | None = None
    workers: int | None = None
    batch_size: int | None = 16
    precision: str = "fp32"
    shard_size: int = 128
    name: str | None = None
    classes: Path | None = None
    attack: AttackSettings | None = None
    verify: VerifySettings | None = None
    thumbnails: int | None = None
    maps: int | None = None
    guided: int | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check numbers that no later step would name.

        Raises:
            UsageError: one is out of range.
        """
        for option, value, low in (
            ("--top", self.top_n, 1),
            ("--max-nodes", self.max_nodes, 1),
            ("--limit", self.limit, 1),
            ("--workers", self.workers, 0),
            ("--batch-size", self.batch_size, 1),
            ("--shard-size", self.shard_size, 1),
            ("--thumbnails", self.thumbnails, 16),
            ("--max-maps", self.maps, 1),
            ("--guided", self.guided, 1),
        ):
            if value is not None and value < low:
                raise UsageError(f"{option} {value} is too small; give {low} or more")
        if not 0 <= self.mask_threshold < 1:
            raise UsageError(f"--mask-threshold {self.mask_threshold} is out of range; give 0 or more and less than 1")

    @property
    def method(self) -> Method:
        """How decisions are decomposed."""
        return Method(self.top_n, self.mask_threshold, self.max_nodes, self.overlaps, self.merge_overlaps)

    def pictures(self, network: Network, preprocessing: Preprocessing) -> PictureSettings | None:
        """Which pictures are kept; None for none."""
        return picture_settings(network, preprocessing.crop, self.thumbnails, self.maps, self.guided)


def describe(
    settings: IndexSettings,
    loaded: LoadedModel,
    preprocessing: Preprocessing,
    network: Network,
    source: DataSource,
) -> RunDescription:
    """Everything that determines the rows of a run, from the settings and from what they name."""
    pictures = settings.pictures(network, preprocessing)
    layers = [
        LayerRow(level, m.name, m.module, m.channels, m.height, m.width, m.stride, m.receptive_field)
        for level, m in enumerate(network.layers)
    ]
    side = preprocessing.crop
    layers.append(LayerRow(len(layers), "logits", "", network.class_count, 1, 1, side, side))
    total = len(source.samples) if settings.limit is None else min(settings.limit, len(source.samples))
    return RunDescription(
        name=settings.name or settings.run.resolve().name,
        model=settings.model,
        weights_sha256=loaded.weights_sha256,
        dataset=settings.data,
        dataset_sha256=source.digest(),
        top_n=settings.top_n,
        mask_threshold=settings.mask_threshold,
        settings={
            "weights": settings.weights,
            "data": {"root": str(source.root.resolve()), "labels_by": source.labels_by},
            "classes": str(settings.classes) if settings.classes else None,
            "limit": settings.limit,
            "max_nodes": settings.max_nodes,
            "context_layers": list(settings.context_layers) if settings.context_layers is not None else None,
            "overlaps": settings.method.finds_overlaps,
            "merge_overlaps": settings.merge_overlaps,
            "precision": settings.precision,
            "preprocessing": preprocessing.to_settings(),
            "torch": version("torch"),
        }
        | ({"attack": settings.attack.to_json()} if settings.attack else {})
        | ({"verify": settings.verify.to_json()} if settings.verify else {})
        | ({"pictures": pictures.to_json()} if pictures else {}),
        indexer_version=version("evigraph"),
        layers=tuple(layers),
        classes=tuple(ClassRow(e.index, e.key, e.name) for e in source.class_list.entries),
        context_labels=tuple(ContextLabelRow(i, name) for i, name in sorted(source.context_labels.items())),
        image_total=total,
        shard_size=settings.shard_size,
    )
