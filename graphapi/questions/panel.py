"""The channels of a layer that most often support a class, each with its strongest peaks and its first context label.

That is the one that `Channel.contextLabels` lists first: the most surely localized; of older runs that of most edges.

Four statements whatever the number of channels: the support, the context labels, the peaks, and the images of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select

from evigraph.graphapi.questions.context import BY_LOCALIZATION, context_labels
from evigraph.graphapi.questions.support import SupportRow, channels_of_class, peaks_of_class
from evigraph.graphapi.questions.support import peaks as peaks_listing
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import ClassInfo, LayerInfo, RunInfo
from evigraph.graphapi.store.names import evidence_layer, find_class
from evigraph.graphapi.store.paging import page_statement
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Template, columns_of, hole
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image
from evigraph.schema.tables.rollups import PEAKS_PER_CHANNEL

MAX_CHANNELS = 50
MAX_PEAKS = 24


class Peak(NamedTuple):
    """A place where a channel contributes much, and the decision that it does so for."""

    channel: int
    decision_id: int
    y: int
    x: int
    contribution: float


class ContextRate(NamedTuple):
    """A context label, and its edges / all edges into the channel of the same class and role."""

    name: str
    rate: float


@dataclass(frozen=True)
class PanelRow:
    """A channel: its support for the class, its peaks, the strongest first, and the label of most of its edges."""

    support: SupportRow
    peaks: Sequence[Peak]
    context: ContextRate | None


@dataclass(frozen=True)
class Panel:
    """Rows, the most decisions first, of a class's roots of one role; `images` by id, of all peaks."""

    layer: LayerInfo
    of_class: ClassInfo
    role: str
    roots: int
    rows: Sequence[PanelRow]
    images: dict[int, ImageRow]

    def class_of(self, peak: Peak) -> int | None:
        """The class of the decision that a peak belongs to."""
        image = self.images[ids.image_id_of(peak.decision_id)]
        return image.label_id if ids.is_label(peak.decision_id) else image.predicted_id


async def panel(
    session: Session,
    run: RunInfo,
    class_name: str,
    layer_name: str,
    role: str,
    *,
    top: int,
    peaks: int,
    own_peaks: bool,
) -> Panel:
    """The panel of a class and layer.

    Args:
        session: Of one request.
        run: Of the class.
        class_name: Its name, key or index.
        layer_name: The layer's name or module path.
        role: Of the roots that count.
        top: Channels, at most.
        peaks: Of each channel, at most.
        own_peaks: Whether peaks are sought in decisions of the class alone, and not in those of all classes.

    Raises:
        NotFoundError, AmbiguousError: A name stands for nothing, or for several things.
        UsageError: A number is out of its bounds, or the layer is the logits.
    """
    bounded("top", top, 1, MAX_CHANNELS)
    bounded("peaks", peaks, 1, MAX_PEAKS)
    of_class, layer = find_class(run, class_name), evidence_layer(run, layer_name)
    key = (run.run_id, layer.layer_id)
    listing = channels_of_class(role, None, "decisions")
    supports = await session.rows(page_statement(listing, [(*key, of_class.class_id)], None, top))
    if not supports:
        return Panel(layer, of_class, role, run.roots(of_class.class_id, role, None), [], {})
    channels = [row.channel for row in supports]
    parents = [(*key, channel, of_class.class_id) for channel in channels]
    order = BY_LOCALIZATION if run.localized_layers else "edges"
    found = await session.rows(page_statement(context_labels(role, order), parents, None, 1))
    labels = {row.channel: row for row in found}
    places = await (_own_peaks if own_peaks else _every_peak)(session, run, layer, of_class, role, channels, peaks)
    rows = []
    for row in supports:
        label = labels.get(row.channel)
        context = label and ContextRate(run.context_labels[label.label_id], label.edges / row.edges)
        rows.append(PanelRow(row, [peak for peak in places if peak.channel == row.channel], context))
    image_ids = tuple(sorted({ids.image_id_of(peak.decision_id) for peak in places}))
    images = await session.rows(_IMAGES.filled(run_id=run.run_id, image_ids=image_ids)) if image_ids else []
    roots = run.roots(of_class.class_id, role, None)
    return Panel(layer, of_class, role, roots, rows, {image.image_id: image for image in images})


async def _every_peak(
    session: Session, run: RunInfo, layer: LayerInfo, _of: ClassInfo, _role: str, channels: list[int], count: int
) -> list[Peak]:
    parents = [(run.run_id, layer.layer_id, channel) for channel in channels]
    rows = await session.rows(page_statement(peaks_listing(), parents, None, min(count, PEAKS_PER_CHANNEL)))
    return [Peak(row.channel, row.decision_id, row.y, row.x, row.contribution) for row in rows]


async def _own_peaks(
    session: Session, run: RunInfo, layer: LayerInfo, of: ClassInfo, role: str, channels: list[int], count: int
) -> list[Peak]:
    parents = [(run.run_id, of.class_id, layer.layer_id + 1, channel) for channel in channels]
    rows = await session.rows(page_statement(peaks_of_class(role), parents, None, count))
    return [Peak(row.channel, row.decision_id, row.y, row.x, row.contribution) for row in rows]


_IMAGES = Template(
    ImageRow,
    select(*columns_of(ImageRow, Image.__table__)).where(
        Image.run_id == hole("run_id"), Image.image_id.op("IN")(hole("image_ids"))
    ),
)
