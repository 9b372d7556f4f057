"""Which measurements a run makes: those that every run has, then one function for each that a setting asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from evigraph.indexer.data.loader import Batch, iterate_chunks
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.context import ContextLabels
from evigraph.indexer.evidence.measurement import Measurement
from evigraph.indexer.evidence.overlaps import Overlaps
from evigraph.indexer.model.layers import find_layers
from evigraph.indexer.pictures.thumbnails import Pictures, picture_settings
from evigraph.indexer.run.batch import Arithmetic
from evigraph.indexer.run.rows import DecisionRows, ListingRows
from evigraph.indexer.run.settings import IndexSettings
from evigraph.indexer.verify.fills import FILL_IMAGES, Pool
from evigraph.indexer.verify.means import MEAN_BATCH, MEAN_IMAGES, channel_means, sample_ids
from evigraph.indexer.verify.verifier import Verification
from evigraph.schema.errors import UsageError
from evigraph.schema.pictures import PictureSettings


@dataclass(frozen=True)
class Run:
    """What measurements are made of.

    Attributes:
        settings: what `index` was asked to do.
        network: on the device of `arithmetic`.
        source: the listing.
        preprocessing: of its images.
        arithmetic: of the network.
        first_total: how many images the run was begun with: the means of channels are over these, so that they stay the
            same where others are added.
    """

    settings: IndexSettings
    network: Network
    source: DataSource
    preprocessing: Preprocessing
    arithmetic: Arithmetic
    first_total: int

    @property
    def pictures(self) -> PictureSettings | None:
        """Which pictures are kept; None for none."""
        return picture_settings(self.network, self.preprocessing.size, self.settings.pictures)


def measurements_of(run: Run) -> list[Measurement]:
    """All measurements of a run.

    Raises:
        UsageError: layers are named that the run does not have, or context layers where the data has no maps.
    """
    wanted = (make(run) for make in MAKERS)
    return [DecisionRows(run.source), ListingRows(run.source), *(measurement for measurement in wanted if measurement)]


def _context_labels(run: Run) -> Measurement | None:
    names, layers = run.settings.context_layers, None
    if names is not None:
        if not run.source.has_maps:
            raise UsageError(
                f"--context-layers is given, but the data {run.settings.data!r} has no semantic maps; leave it out, "
                "or give data with maps, such as scenes:DIR"
            )
        layers = find_layers(run.network.layers, names, "context layer")
    if not run.source.has_maps:
        return None
    return ContextLabels(run.settings.method.mask_threshold, max(run.source.context_labels) + 1, layers)


def _overlaps(run: Run) -> Measurement | None:
    return Overlaps() if run.settings.method.finds_overlaps else None


def _verification(run: Run) -> Measurement | None:
    settings = run.settings.verify
    if settings is None:
        return None
    layers = None
    if settings.layers is not None:
        layers = find_layers(run.network.layers, settings.layers, "layer to verify")

    arithmetic = run.arithmetic

    def sample(count: int) -> Iterator[Batch]:
        # Of the data as they are, attacked or not, and in batches of one size: so that they never differ.
        ids = sample_ids(run.first_total, count)
        chunks = [ids[start : start + MEAN_BATCH] for start in range(0, len(ids), MEAN_BATCH)]
        return iterate_chunks(run.source, run.preprocessing, chunks)

    def means() -> list[Tensor]:
        return channel_means(run.network, sample(MEAN_IMAGES), arithmetic.device, arithmetic.dtype)

    def pool() -> Pool:
        def right_classes(image_id: int) -> tuple[int, ...]:
            return run.source.samples[image_id].label_ids

        return Pool.of(run.network, sample(FILL_IMAGES), right_classes, arithmetic.device, arithmetic.dtype)

    return Verification(run.network, settings, layers, means, pool)


def _pictures(run: Run) -> Measurement | None:
    return Pictures(run.pictures, run.preprocessing) if run.pictures else None


MAKERS: list[Callable[[Run], Measurement | None]] = [_context_labels, _overlaps, _verification, _pictures]
"""One a measurement; None for a run that does not ask for it. Observers look, and rows are made, in this order."""
