"""`evigraph index`: from a folder of images to a run folder of shards.

1. The network is loaded and its layers found, the data listed, and both written down as the run's description.
2. Shard by shard, what is missing is made: images are decoded in worker processes, the network runs on a batch and is
   recorded, its roots are decomposed down to the lowest layer, and the rows are written.
3. When every shard is there the run is declared finished. A killed run goes on where it stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from indexer.attack import Attacker, AttackSettings
from indexer.batch import PRECISIONS, BatchIndexer, precision
from indexer.data.classes import ClassList, read_classes
from indexer.data.loader import default_workers, iterate_chunks
from indexer.data.preprocess import Preprocessing
from indexer.data.samples import DataSource
from indexer.data.sources import open_source
from indexer.graph import frozen
from indexer.guided import make_guided
from indexer.layers import find_layers
from indexer.models import LoadedModel, load_model
from indexer.network import Network, prepare
from indexer.overlaps import OverlapSettings
from indexer.pictures import Pictures, picture_settings
from indexer.rows import ShardRows
from indexer.shards import ClassRow, ContextLabelRow, LayerRow, RunDescription, RunFolder
from indexer.verify import MEAN_BATCH, MEAN_IMAGES, Verifier, VerifySettings, channel_means, sample_ids
from schema.errors import ModelError, UsageError
from schema.pictures import PictureSettings


@dataclass(frozen=True)
class IndexSettings:
    """What `evigraph index` is asked to do. Only those of `description` determine rows.

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
    def overlap_settings(self) -> OverlapSettings | None:
        """How overlapping channels are found; None where they are not."""
        if not (self.overlaps or self.merge_overlaps):
            return None
        return OverlapSettings(self.mask_threshold, self.merge_overlaps)


@dataclass(frozen=True)
class IndexReport:
    """What a finished run holds. Counts are of the whole run but for `new_image_count`, what this call indexed.

    `node_count` nodes were decomposed by this call, of which `barren_count` had no positive contribution;
    `fallbacks` says by lower layer why a segment was decomposed by autograd over whole maps.
    """

    run: str
    name: str
    layers: list[str]
    image_total: int
    new_image_count: int
    skipped: dict[str, int]
    labelled_count: int
    correct_count: int
    edge_count: int
    seconds: float
    batch_size: int
    node_count: int
    barren_count: int
    fallbacks: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with the accuracy over the labelled images."""
        accuracy = self.correct_count / self.labelled_count if self.labelled_count else None
        return asdict(self) | {"accuracy": accuracy, "skipped_count": sum(self.skipped.values())}


class Progress(Protocol):
    """Is told how indexing goes on."""

    def start(self, total: int, done: int) -> None:
        """Images of the listing, and of those already indexed."""

    def advance(self, images: int, skipped: int) -> None:
        """Images just finished, and how many of them were skipped."""


def index(settings: IndexSettings, progress: Progress | None = None) -> IndexReport:
    """Index a dataset into a run folder, or go on with one.

    Raises:
        EvidenceError: the model, weights, data, layers or run folder cannot be used; the message says why.
    """
    device = _device(settings.device)
    loaded = load_model(settings.model, settings.weights)
    preprocessing = loaded.preprocessing.with_options(**settings.preprocessing)
    model = loaded.model.to(device, PRECISIONS.get(settings.precision))
    with precision(settings.precision, device):
        network = prepare(model, preprocessing.crop, settings.layers)
        return _index(settings, loaded, preprocessing, network, device, progress)


def _index(
    settings: IndexSettings,
    loaded: LoadedModel,
    preprocessing: Preprocessing,
    network: Network,
    device: torch.device,
    progress: Progress | None,
) -> IndexReport:
    source = open_source(settings.data, _classes(settings, loaded, network), network.class_count)
    context_layers = _context_layers(settings, network, source)
    verify_layers = _verify_layers(settings, network)
    description = describe(settings, loaded, preprocessing, network, source)
    pictures = _pictures(settings, preprocessing, network)
    started = time.perf_counter()
    indexer = BatchIndexer(
        network,
        source,
        settings.top_n,
        settings.mask_threshold,
        settings.max_nodes,
        device,
        settings.precision,
        context_layers,
        settings.overlap_settings,
    )
    with RunFolder.open_for_writing(settings.run, description) as folder, frozen(network.model):
        if settings.attack:
            indexer.attacker = Attacker(network.model, settings.attack, preprocessing, network.class_count)
        if pictures:
            indexer.pictures = Pictures(pictures, preprocessing)
        if settings.verify:
            indexer.verifier = _verifier(settings.verify, verify_layers, indexer, folder, preprocessing)
        batch_size = settings.batch_size or indexer.automatic_batch_size(preprocessing.crop)
        workers = default_workers() if settings.workers is None else settings.workers
        pending = folder.pending_shards()
        total = description.image_total
        waiting = sum(len(folder.image_range(shard)) for shard in pending)
        if progress:
            progress.start(total, total - waiting)
        chunks = [(shard, ids) for shard in pending for ids in _batches(folder.image_range(shard), batch_size)]
        batches = iterate_chunks(
            source,
            preprocessing,
            [ids for _, ids in chunks],
            workers=workers,
            pin_memory=device.type == "cuda",
        )
        with _Writer(folder) as writer:
            rows = ShardRows(source)
            for (shard, ids), batch in zip(chunks, batches, strict=True):
                indexer.add(batch, rows)
                if progress:
                    progress.advance(len(ids), len(batch.skipped))
                if ids.stop == folder.image_range(shard).stop:
                    writer.write(shard, rows)
                    rows = ShardRows(source)
        if pictures and pictures.guided:
            make_guided(folder, network, source, preprocessing, pictures, indexer.inputs, workers)
        folder.finish()
        return _report(folder, indexer, waiting, batch_size, time.perf_counter() - started)


def _batches(ids: range, batch_size: int) -> list[range]:
    """A shard's image ids in batches; none spans two shards, so that a shard depends on its own images alone."""
    return [ids[start : start + batch_size] for start in range(0, len(ids), batch_size)]


class _Writer:
    """Writes shards on a thread of its own, one at a time, while the next one is computed."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._last: Future[None] | None = None

    def write(self, shard: int, rows: ShardRows) -> None:
        """Begin to write a shard; waits for the one before, and raises what went wrong with it."""
        self._settle()
        self._last = self._pool.submit(lambda: self._folder.write_shard(shard, rows.tables()))

    def _settle(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._settle()
        finally:
            self._pool.shutdown()


def _report(
    folder: RunFolder, indexer: BatchIndexer, new_image_count: int, batch_size: int, seconds: float
) -> IndexReport:
    network = indexer.network
    labelled = correct = edges = 0
    skipped: Counter[str] = Counter()
    for shard in range(folder.shard_count):
        image = pq.read_table(folder.shard_file(shard, "image"), columns=["label_id", "predicted_id"])
        labelled += image.num_rows - image["label_id"].null_count
        correct += pc.sum(pc.equal(image["label_id"], image["predicted_id"])).as_py() or 0
        edges += pq.read_metadata(folder.shard_file(shard, "edge")).num_rows
        skipped.update(pq.read_table(folder.shard_file(shard, "skipped_image"))["reason"].to_pylist())
    return IndexReport(
        run=str(folder.path),
        name=folder.description.name,
        layers=[layer.name for layer in network.layers],
        image_total=folder.description.image_total,
        new_image_count=new_image_count,
        skipped=dict(skipped.most_common()),
        labelled_count=labelled,
        correct_count=correct,
        edge_count=edges,
        seconds=seconds,
        batch_size=batch_size,
        node_count=indexer.node_count,
        barren_count=indexer.barren_count,
        fallbacks={
            layer.name: why for layer, why in zip(network.layers, network.fallbacks, strict=True) if why is not None
        },
    )


def describe(
    settings: IndexSettings,
    loaded: LoadedModel,
    preprocessing: Preprocessing,
    network: Network,
    source: DataSource,
) -> RunDescription:
    """Everything that determines the rows of a run."""
    pictures = _pictures(settings, preprocessing, network)
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
            "overlaps": settings.overlap_settings is not None,
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


def _device(name: str) -> torch.device:
    if name not in {"cpu", "cuda"}:
        raise UsageError(f"unknown device {name!r}; give cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device can be used here; give --device cpu, or install its driver")
    return torch.device(name)


def _context_layers(settings: IndexSettings, network: Network, source: DataSource) -> frozenset[int] | None:
    """The layers where edges get context labels, as places in the network's layers; None for all."""
    if settings.context_layers is None:
        return None
    if not source.has_maps:
        raise UsageError(
            f"--context-layers is given, but the data {settings.data!r} has no semantic maps; leave it out, or give "
            "data with maps, such as scenes:DIR"
        )
    return find_layers(network.layers, settings.context_layers, "context layer")


def _pictures(settings: IndexSettings, preprocessing: Preprocessing, network: Network) -> PictureSettings | None:
    return picture_settings(network, preprocessing.crop, settings.thumbnails, settings.maps, settings.guided)


def _verify_layers(settings: IndexSettings, network: Network) -> frozenset[int] | None:
    """The layers whose evidence is tested, as places in the network's layers; None for all."""
    if settings.verify is None or settings.verify.layers is None:
        return None
    return find_layers(network.layers, settings.verify.layers, "layer to verify")


def _verifier(
    settings: VerifySettings,
    layers: frozenset[int] | None,
    indexer: BatchIndexer,
    folder: RunFolder,
    preprocessing: Preprocessing,
) -> Verifier | None:
    """What tests the evidence; None where every shard is there already."""
    if not folder.pending_shards():
        return None
    # Of the data as they are, attacked or not, and in batches of one size: so that the means never differ.
    chunks = _batches(range(MEAN_IMAGES), MEAN_BATCH)
    ids = sample_ids(folder.description.image_total)
    batches = iterate_chunks(indexer.source, preprocessing, [ids[c.start : c.stop] for c in chunks if ids[c.start :]])
    means = channel_means(indexer.network, batches, indexer.device, PRECISIONS[indexer.precision])
    return Verifier(indexer.network, settings, layers, means)


def _classes(settings: IndexSettings, loaded: LoadedModel, network: Network) -> ClassList | None:
    if settings.classes is not None:
        return read_classes(settings.classes, network.class_count)
    if loaded.class_names is not None and len(loaded.class_names) == network.class_count:
        return ClassList.from_names(loaded.class_names)
    return None
