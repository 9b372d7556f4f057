"""What is explained: a network and one image, of a file or of a run.

A file is a data set of one image: it is decoded, made the network's input and decomposed by the functions of `index`.
Of a run the network, its weights and the data are loaded as `extend` does it, and refused if they are others by digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from evigraph.indexer.data.classes import ClassList, numbered_classes
from evigraph.indexer.data.loader import Batch, iterate_chunks
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.indexer.engine.network import Network
from evigraph.indexer.engine.sameness import SampleCheck
from evigraph.indexer.evidence.hierarchy import explain
from evigraph.indexer.evidence.measurement import DecomposedBatch, RecordedBatch
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.record import Change
from evigraph.indexer.evidence.roots import Decided, Roots, settle_labels
from evigraph.indexer.explain.settings import ExplainSettings
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.run.batch import NOT_FINITE
from evigraph.indexer.run.describe import describe
from evigraph.indexer.run.extension import described, opened_again, settings_of
from evigraph.indexer.run.inputs import default_note, notes_of, preprocessing_line
from evigraph.indexer.run.measurements import Run
from evigraph.indexer.run.pipeline import Opened, indexer_of, opened
from evigraph.indexer.run.settings import IndexSettings
from evigraph.indexer.run.stored import run_of
from evigraph.indexer.shards.description import RunDescription
from evigraph.schema.errors import DataError, ModelError, NotFoundError, UsageError


@dataclass(frozen=True)
class Subject:
    """A network and one image.

    Attributes:
        uri: what the image is called.
        image_id: of a run; 0 of a file.
        description: of the run, or of what a run over the file would be.
        source: that the image is of.
        network: with its layers, frozen.
        method: how decisions are decomposed.
        preprocessing: of the image.
        preprocessing_line: the same in words.
        pixels: (1, channels, height, width) float32, the network's input.
        inputs: the same on its device and of its type.
        notes: what the user should know, a sentence each.
        run: the run folder, if it is of one.
    """

    uri: str
    image_id: int
    description: RunDescription
    source: DataSource
    network: Network
    method: Method
    preprocessing: Preprocessing
    preprocessing_line: str
    pixels: Tensor
    inputs: Tensor
    notes: tuple[str, ...]
    run: Path | None = None

    @property
    def label_ids(self) -> tuple[int, ...]:
        """The image's right classes."""
        return self.source.samples[self.image_id].label_ids

    def decomposed(
        self, class_id: int | None, pixels: Tensor | None = None, change: Change | None = None
    ) -> DecomposedBatch:
        """The image as a batch of one, with the decision for one class decomposed.

        Args:
            class_id: the class; None for the predicted one.
            pixels: (1, channels, height, width) in the place of the image's own.
            change: what takes the place of maps, if anything.

        Raises:
            ModelError: the network's output is not finite, or what is recorded is not the network.
        """
        pixels = self.pixels if pixels is None else pixels
        inputs = pixels.to(self.inputs)
        record = self.network.recorder.record(inputs, change)
        if not record.logits.isfinite().all():
            raise ModelError(f"{self.uri}: {NOT_FINITE}; check the weights, --pixel-scale, --mean and --std")
        if change is None:
            SampleCheck(self.network.model, self.network.recorder).compare(inputs, record)
        logits = record.logits.float()
        predicted = logits.argmax(1)
        chosen = predicted if class_id is None else torch.full_like(predicted, class_id)
        roots = Roots(torch.zeros_like(predicted), chosen)
        ids, labels = torch.tensor([self.image_id]), settle_labels([self.label_ids], logits)
        probability = self.network.head.probabilities(logits)[0, chosen]
        decided = Decided(ids.to(inputs.device), labels, predicted, roots, logits[0, chosen], probability)
        batch = RecordedBatch(ids, pixels, inputs, None, [self.label_ids], record, decided)
        return DecomposedBatch.of(batch, explain(record, roots, self.method))


@contextmanager
def subject_of(path: Path | None, settings: ExplainSettings) -> Iterator[Subject]:
    """Load what is explained; within the block torch computes as the settings say.

    Raises:
        EvidenceError: it cannot be loaded, or it is not said what to explain; the message says why.
    """
    if path is not None:
        if settings.run is not None:
            raise UsageError(f"{path} is given beside --run; give --run with --image URI, or the file with --model")
        asked = settings.of_file(path)
        with opened(asked, listed=_only) as made, frozen(made.network.model):
            yield _of_file(path, asked, made)
        return
    if settings.run is None or settings.image is None:
        lacking = "no image is given" if settings.run is None else "--run is given without --image"
        raise UsageError(f"{lacking}; give IMAGE with --model and --weights, or --run RUN with --image URI")
    with _of_run(settings.run, settings.image, settings) as subject:
        yield subject


def _only(spec: str, classes: ClassList | None, class_count: int, *, arrays: bool = False) -> DataSource:
    """A data set of one image, whose spec is its path."""
    del arrays
    path = Path(spec)
    if not path.is_file():
        raise DataError(f"image {path} {'is no file' if path.exists() else 'does not exist'}; give an image file")
    return DataSource(spec, path.parent, (Sample(path.name),), classes or numbered_classes(class_count))


def _of_file(path: Path, asked: IndexSettings, made: Opened) -> Subject:
    description = describe(asked, made.loaded, made.preprocessing, made.network, made.source)
    own = default_note(asked, made.preprocessing, made.loaded)
    notes = [*notes_of(asked, made.preprocessing, made.loaded.notes), *made.network.notes, *([own] if own else [])]
    line = preprocessing_line(asked.preprocessing, made.preprocessing, made.loaded)
    return _subject(str(path), 0, description, asked, made, line, tuple(notes), None)


@contextmanager
def _of_run(folder: Path, uri: str, settings: ExplainSettings) -> Iterator[Subject]:
    where = settings.of_run()
    stored = run_of(folder)
    asked = settings_of(folder, stored.description, where)
    if settings.top_n is not None and settings.top_n > asked.method.top_n:
        raise UsageError(
            f"--top {settings.top_n} is more than run {stored.description.name!r} keeps of each decomposition, "
            f"{asked.method.top_n}; give that or less"
        )
    with opened_again(stored, asked) as made:
        described(stored.description, asked, made, stored.description.settings.get("grown"), {})
        total = stored.description.image_total
        ids = {sample.uri: place for place, sample in enumerate(made.source.samples[:total])}
        if uri not in ids:
            raise NotFoundError("image", uri, ids, f"in run {stored.description.name!r}")
        line, notes = made.preprocessing.described(), made.network.notes
        yield _subject(uri, ids[uri], stored.description, asked, made, line, notes, folder)


def _subject(
    uri: str,
    image_id: int,
    description: RunDescription,
    asked: IndexSettings,
    made: Opened,
    line: str,
    notes: tuple[str, ...],
    run: Path | None,
) -> Subject:
    # One process is quicker than the start of another.
    (batch,) = iterate_chunks(made.source, made.preprocessing, [[image_id]])
    _require_usable(uri, batch)
    whole = Run(asked, made.network, made.source, made.preprocessing, made.arithmetic, description.totals[0])
    pixels = indexer_of(whole, []).seen(batch).cpu()
    return Subject(
        uri=uri,
        image_id=image_id,
        description=description,
        source=made.source,
        network=made.network,
        method=asked.method,
        preprocessing=made.preprocessing,
        preprocessing_line=line,
        pixels=pixels,
        inputs=pixels.to(made.arithmetic.device).to(made.arithmetic.dtype),
        notes=notes,
        run=run,
    )


def _require_usable(uri: str, batch: Batch) -> None:
    if batch.skipped:
        raise DataError(f"image {uri} cannot be used: {batch.skipped[0][1]}; give another one, or mend it")
