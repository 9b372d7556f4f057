"""`evigraph index`: from a folder of images to a run folder of shards.

1. The network is loaded and its layers found, the data listed, and both written down as the run's description.
2. Shard by shard, what is missing is made: images are decoded in worker processes, the network runs on a batch and is
   recorded, its roots are decomposed down to the lowest layer, and the rows are written.
3. When every shard is there the run is declared finished. A killed run goes on where it stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

import torch

from evigraph.indexer.data.loader import iterate_chunks, unnamed_note
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.evidence.measurement import Measurement
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.pictures.guided import make_guided
from evigraph.indexer.run.attack import Attacker
from evigraph.indexer.run.batch import NOT_FINITE, PRECISIONS, Arithmetic, BatchIndexer, precision
from evigraph.indexer.run.cores import Cores, cores_for, threads_of
from evigraph.indexer.run.describe import describe
from evigraph.indexer.run.first_look import FirstLook, Prepare
from evigraph.indexer.run.growing import change_of, grow, means_note
from evigraph.indexer.run.inputs import (
    check_data,
    classes_of,
    default_note,
    notes_of,
    preprocessing_line,
    preprocessing_of,
    takes_arrays,
)
from evigraph.indexer.run.measurements import Run, measurements_of
from evigraph.indexer.run.report import IndexReport, Said, report_of, with_accuracy_notes
from evigraph.indexer.run.rows import ShardRows
from evigraph.indexer.run.settings import IndexSettings
from evigraph.indexer.run.stored import stored_run, with_extensions
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.weights.loading import LoadedModel, importable_here, load_model
from evigraph.schema.errors import DataError, ModelError

SequenceT = TypeVar("SequenceT", bound=Sequence[int])


class Progress(Protocol):
    """Is told how indexing goes on."""

    def start(self, total: int, done: int) -> None:
        """Images of the listing, and of those already indexed."""

    def advance(self, images: int, skipped: int) -> None:
        """Images just finished, and how many of them were skipped."""

    def note(self, text: str) -> None:
        """What the user should know at once; it is among the report's notes too."""


def index(settings: IndexSettings, progress: Progress | None = None) -> IndexReport:
    """Index a dataset into a run folder, or go on with one.

    Raises:
        EvidenceError: the model, weights, data, layers or run folder cannot be used; the message says why.
    """
    stored = stored_run(settings.run)
    settings = with_extensions(settings, stored)
    with opened(settings) as made:
        loaded, network, preprocessing, source = made.loaded, made.network, made.preprocessing, made.source
        growth = grow(source, stored, settings.limit)
        description = describe(settings, loaded, preprocessing, network, growth.source, growth.grown)
        change = change_of(growth, stored, description, settings.run)
        run = Run(settings, network, growth.source, preprocessing, made.arithmetic, description.totals[0])
        own = (default_note(settings, preprocessing, loaded), growth.note(), means_note(run, growth))
        said = Said(
            tuple(note for note in (*notes_of(settings, preprocessing, loaded.notes), *own) if note),
            preprocessing_line(settings.preprocessing, preprocessing, loaded),
            str(made.cores),
        )
        open_folder = partial(RunFolder.open_for_writing, settings.run, description, growth.listing, change)
        report = _index(run, open_folder, progress, said, made)
    if not settings.attack and source.labels_by != "tags":
        report = with_accuracy_notes(report, network.class_count, loaded.promised_accuracy)
    _require_some(report, settings.data)
    return report


@dataclass(frozen=True)
class Opened:
    """What a run is made of: its network and its data.

    Attributes:
        loaded: the network as it was loaded.
        arithmetic: where it runs, and in what type.
        preprocessing: of the images.
        network: with its layers.
        source: the data, as they are listed.
        cores: what it computes and decodes on.
        prepared: makes the network with other layers.
    """

    loaded: LoadedModel
    arithmetic: Arithmetic
    preprocessing: Preprocessing
    network: Network
    source: DataSource
    cores: Cores
    prepared: Prepare


@contextmanager
def opened(
    settings: IndexSettings,
    preprocessing: Preprocessing | None = None,
    listed: Callable[..., DataSource] = open_source,
) -> Iterator[Opened]:
    """Load the network and list the data; within the block torch computes as the settings say.

    Args:
        settings: of the run.
        preprocessing: of the images; None for what the settings and the weights say.
        listed: lists the data, as `open_source` does.

    Raises:
        EvidenceError: one of them cannot be used; the message says why.
    """
    execution = settings.execution
    arithmetic = Arithmetic(_device(execution.device), PRECISIONS[execution.precision])
    loaded = load_model(settings.model, settings.weights)
    model = loaded.model.to(arithmetic.device, arithmetic.dtype)
    cores = cores_for(execution)
    with importable_here(), threads_of(cores), precision(execution.precision, arithmetic.device):
        shown = preprocessing or preprocessing_of(settings.preprocessing, loaded.preprocessing, model)

        def prepared(layers: Sequence[str] | None) -> Network:
            return prepare(model, shown.size, layers, shown.channels, settings.output)

        network = prepared(settings.layers)
        classes = classes_of(settings.classes, settings.data, loaded, network)
        source = listed(settings.data, classes, network.class_count, arrays=takes_arrays(shown))
        check_data(shown, source)
        yield Opened(loaded, arithmetic, shown, network, source, cores, prepared)


def indexer_of(run: Run, measurements: Sequence[Measurement]) -> BatchIndexer:
    """What makes rows of a run's batches."""
    attacker = None
    if run.settings.attack:
        network = run.network
        attacker = Attacker(
            network.model, run.settings.attack, run.preprocessing, network.class_count, sigmoid=network.head.sigmoid
        )
    return BatchIndexer(run.network, run.source, run.settings.method, measurements, run.arithmetic, attacker=attacker)


def _index(
    run: Run, open_folder: Callable[[], RunFolder], progress: Progress | None, said: Said, made: Opened
) -> IndexReport:
    settings, network, preprocessing = run.settings, run.network, run.preprocessing
    indexer = indexer_of(run, measurements_of(run))
    started = time.perf_counter()
    workers, first = made.cores.workers, FirstLook(indexer, preprocessing, made.prepared)
    with open_folder() as folder, frozen(network.model):
        batch_size = settings.execution.batch_size or indexer.automatic_batch_size(
            preprocessing.channels, preprocessing.size
        )
        pending = folder.pending_shards()
        waiting = sum(len(folder.image_range(shard)) for shard in pending)
        if progress:
            total = folder.description.image_total
            progress.start(total, total - waiting)
        chunks = [(shard, ids) for shard in pending for ids in in_batches(folder.image_range(shard), batch_size)]
        batches = iterate_chunks(
            run.source,
            preprocessing,
            [ids for _, ids in chunks],
            workers=workers,
            pin_memory=run.arithmetic.device.type == "cuda",
        )
        with _Writer(folder) as writer:
            rows, unnamed = ShardRows(), Counter[int]()
            for (shard, ids), batch in zip(chunks, batches, strict=True):
                indexer.add(batch, rows)
                first.look(batch, progress.note if progress else None)
                unnamed.update(dict(batch.unnamed))
                if progress:
                    progress.advance(len(ids), len(batch.skipped))
                if ids.stop == folder.image_range(shard).stop:
                    writer.write(shard, rows)
                    rows = ShardRows()
        if run.pictures and run.pictures.guided:
            make_guided(folder, network, run.source, preprocessing, run.pictures, indexer.inputs, workers)
        folder.finish()
        told = unnamed_note(unnamed, run.source)
        said = replace(said, notes=(*said.notes, *first.notes, *([told] if told else [])))
        return report_of(folder, indexer, waiting, batch_size, time.perf_counter() - started, said)


def _require_some(report: IndexReport, data: str) -> None:
    """Refuse a run without a single image: who runs `index` in a script would take it for done."""
    if report.skipped.get(NOT_FINITE) == report.image_total:
        raise ModelError(
            f"the network's output is not finite for any of the {report.image_total} images: it overflows, as where a "
            "training diverged or pixels are on another scale; check the weights, --pixel-scale, --mean and --std"
        )
    if sum(report.skipped.values()) == report.image_total:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.skipped.items())
        raise DataError(
            f"none of the {report.image_total} images of {data} could be used ({reasons}); mend or replace them, and "
            "index into a new run folder"
        )


def in_batches(ids: SequenceT, batch_size: int) -> list[SequenceT]:
    """A shard's image ids in batches; none spans two shards, so that a shard depends on its own images alone."""
    return [ids[start : start + batch_size] for start in range(0, len(ids), batch_size)]  # type: ignore[misc]


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


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device can be used here; give --device cpu, or install its driver")
    return torch.device(name)
