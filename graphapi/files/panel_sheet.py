"""The picture of a panel: a row a channel, with what it supports at the left and its peaks beside that.

A pure function of the answer (`questions.panel`) and of the patches.
"""

from __future__ import annotations

from evigraph.graphapi.files.canvas import (
    FAINT,
    GREY,
    ROLE_COLOURS,
    Box,
    Item,
    Sheet,
    Text,
    counted,
    percent,
    shortened,
)
from evigraph.graphapi.files.cards import end_with, heading, patch_items, where_items
from evigraph.graphapi.files.patches import NO_CROPS, Patches, Place
from evigraph.graphapi.questions.panel import Panel, PanelRow, Peak
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.schema import ids

MARGIN, LABEL, SIDE, PITCH = 20.0, 206.0, 84.0, 98.0
"""Of the sheet, of the text of a row, of a patch, from one patch to the next."""
_ROW = 130.0


def places_of(answer: Panel) -> list[Place]:
    """The places whose patches the picture shows."""
    return [_place(answer, peak) for row in answer.rows for peak in row.peaks]


def classes_of(answer: Panel) -> list[int]:
    """The classes of the decisions that the peaks belong to."""
    classes = {answer.class_of(peak) for row in answer.rows for peak in row.peaks}
    return sorted(class_id for class_id in classes if class_id is not None)


def panel_sheet(run: RunInfo, answer: Panel, patches: Patches, own_peaks: bool) -> Sheet:
    """Lay out the panel of a class and layer."""
    most = max((len(row.peaks) for row in answer.rows), default=0)
    width = 2 * MARGIN + LABEL + max(4, most) * PITCH
    name = answer.of_class.name
    sheet = Sheet(width, 0, f"Channels of {answer.layer.name} that support {name}: run {run.name}")
    title = shortened(f"Channels of {answer.layer.name} that support {name}", 17, width - 2 * MARGIN, bold=True)
    roots = f"{counted(answer.roots, 'decision')} of {name} (role {answer.role})"
    y = heading(sheet, MARGIN, title, [shortened(f"{roots} in run {run.name}", 12, width - 2 * MARGIN)]) + 4
    for place, row in enumerate(answer.rows):
        sheet.add(*_row_items(run, answer, row, patches, y + place * _ROW))
    sheet.height = y + len(answer.rows) * _ROW - (14 if answer.rows else 20)
    return end_with(sheet, _notes(answer, patches, own_peaks), MARGIN)


def _row_items(run: RunInfo, answer: Panel, row: PanelRow, patches: Patches, y: float) -> list[Item]:
    support, colour = row.support, ROLE_COLOURS[answer.role]
    rate = support.decisions / answer.roots
    lines = [
        f"{support.decisions:,} of {counted(answer.roots, 'decision')} ({percent(rate)})",
        f"mean share {percent(support.share_sum / support.edges)} over {counted(support.edges, 'edge')}",
    ]
    if row.context is not None:
        lines.append(f"context: {row.context.name}, {percent(row.context.rate)} of the edges")
    items: list[Item] = [
        Text(MARGIN, y + 14, f"channel {support.channel}", 14, bold=True),
        Box(MARGIN, y + 21, LABEL - 30, 3, FAINT),
        Box(MARGIN, y + 21, (LABEL - 30) * rate, 3, colour),
        *(
            Text(MARGIN, y + 40 + 15 * at, shortened(line, 10.5, LABEL - 10), 10.5, GREY)
            for at, line in enumerate(lines)
        ),
    ]
    for at, peak in enumerate(row.peaks):
        items += _peak_items(run, answer, peak, patches, MARGIN + LABEL + at * PITCH, y)
    return items


def _peak_items(run: RunInfo, answer: Panel, peak: Peak, patches: Patches, x: float, y: float) -> list[Item]:
    image = answer.images[ids.image_id_of(peak.decision_id)]
    place, colour = _place(answer, peak), ROLE_COLOURS[answer.role]
    own = answer.class_of(peak) == answer.of_class.class_id
    labelled = image.label_id is not None
    shown = run.classes[image.label_id if image.label_id is not None else image.predicted_id].name
    title = f"{image.uri}, y {peak.y}, x {peak.x}: contribution {peak.contribution:.3g}"
    where = where_items(patches, place, x + SIDE - 22, y + SIDE + 5, 22, colour)
    name = shortened(shown if labelled else f"({shown})", 9.5, SIDE - (28 if where else 0))
    return [
        *patch_items(patches, place, x, y, SIDE, title),
        *([Box(x, y, SIDE, SIDE, None, colour, 2)] if own else []),
        Text(x, y + SIDE + 15, name, 9.5, GREY),
        Text(x, y + SIDE + 28, f"{peak.contribution:.3g}", 9.5, GREY),
        *where,
    ]


def _place(answer: Panel, peak: Peak) -> Place:
    return Place(peak.decision_id, answer.layer.layer_id, peak.channel, peak.y, peak.x)


_OF_CONTEXT = (
    ", and the context label that they lie on most beyond its area, with the part of their masks that overlap it best"
)


def _notes(answer: Panel, patches: Patches, own_peaks: bool) -> list[str]:
    name = answer.of_class.name
    if not answer.rows:
        return [f"No decision of {name} (role {answer.role}) has evidence in {answer.layer.name}."]
    over = ", grey under the activation map of the edge where that is kept" if patches.has_maps else ""
    of = f"of the class {name} alone" if own_peaks else "of all classes"
    notes = [
        f"At the left: how many decisions of {name} hold the channel, its mean share over their edges into it"
        f"{_OF_CONTEXT if answer.rows[0].context else ''}. Beside "
        f"it: where the channel contributes most, in decisions {of}, the largest contribution first: the crop of its "
        f"receptive field{over}, the image's class label (in brackets: the predicted class, where there is no label), "
        f"the contribution, and where in the image the field lies. A frame marks decisions of {name}."
    ]
    if not patches.has_thumbnails:
        notes.append(NO_CROPS)
    return notes
