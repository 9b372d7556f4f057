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
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

import torch

from evigraph.indexer.data.loader import iterate_chunks, unnamed_note
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.pictures.guided import make_guided
from evigraph.indexer.run.attack import Attacker
from evigraph.indexer.run.batch import NOT_FINITE, PRECISIONS, Arithmetic, BatchIndexer, precision
from evigraph.indexer.run.cores import cores_for, threads_of
from evigraph.indexer.run.describe import describe
from evigraph.indexer.run.first_look import FirstLook, Prepare
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
from evigraph.indexer.shards.folder import RunDescription, RunFolder
from evigraph.indexer.weights.loading import importable_here, load_model
from evigraph.schema.errors import DataError, ModelError


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
    execution = settings.execution
    arithmetic = Arithmetic(_device(execution.device), PRECISIONS[execution.precision])
    loaded = load_model(settings.model, settings.weights)
    model = loaded.model.to(arithmetic.device, arithmetic.dtype)
    cores = cores_for(execution)
    with importable_here(), threads_of(cores), precision(execution.precision, arithmetic.device):
        preprocessing = preprocessing_of(settings.preprocessing, loaded.preprocessing, model)

        def prepared(layers: Sequence[str] | None) -> Network:
            return prepare(model, preprocessing.size, layers, preprocessing.channels, settings.output)

        network = prepared(settings.layers)
        classes = classes_of(settings.classes, settings.data, loaded, network)
        arrays = takes_arrays(preprocessing)
        source = open_source(settings.data, classes, network.class_count, arrays=arrays)
        check_data(preprocessing, source)
        description = describe(settings, loaded, preprocessing, network, source)
        run = Run(settings, network, source, preprocessing, arithmetic, description.image_total)
        notes = (*notes_of(settings, preprocessing, loaded.notes), default_note(settings, preprocessing, loaded))
        said = Said(
            tuple(note for note in notes if note),
            preprocessing_line(settings.preprocessing, preprocessing, loaded),
            str(cores),
        )
        report = _index(run, description, progress, said, cores.workers, prepared)
    if not settings.attack and source.labels_by != "tags":
        report = with_accuracy_notes(report, network.class_count, loaded.promised_accuracy)
    _require_some(report, settings.data)
    return report


def _index(
    run: Run,
    description: RunDescription,
    progress: Progress | None,
    said: Said,
    workers: int,
    prepared: Prepare,
) -> IndexReport:
    settings, network, preprocessing = run.settings, run.network, run.preprocessing
    attacker = None
    if settings.attack:
        attacker = Attacker(
            network.model, settings.attack, preprocessing, network.class_count, sigmoid=network.head.sigmoid
        )
    indexer = BatchIndexer(
        network, run.source, settings.method, measurements_of(run), run.arithmetic, attacker=attacker
    )
    started = time.perf_counter()
    first = FirstLook(indexer, preprocessing, prepared)
    with RunFolder.open_for_writing(settings.run, description) as folder, frozen(network.model):
        batch_size = settings.execution.batch_size or indexer.automatic_batch_size(
            preprocessing.channels, preprocessing.size
        )
        pending = folder.pending_shards()
        waiting = sum(len(folder.image_range(shard)) for shard in pending)
        if progress:
            progress.start(run.image_total, run.image_total - waiting)
        chunks = [(shard, ids) for shard in pending for ids in _batches(folder.image_range(shard), batch_size)]
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


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device can be used here; give --device cpu, or install its driver")
    return torch.device(name)
