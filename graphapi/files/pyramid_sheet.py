"""The picture of a pyramid: a row a layer, a card a channel, curves from what is explained to its evidence.

A pure function of the answer (`questions.pyramid`) and of the patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from evigraph.graphapi.files.canvas import (
    FAINT,
    GREY,
    ROLE_COLOURS,
    Box,
    Curve,
    Item,
    Photo,
    Sheet,
    Text,
    percent,
    shortened,
)
from evigraph.graphapi.files.cards import EMPTY, end_with, heading, patch_items, where_items
from evigraph.graphapi.files.patches import NO_CROPS, Patches, Place
from evigraph.graphapi.questions.evidence import GraphNode
from evigraph.graphapi.questions.pyramid import Pyramid, Row
from evigraph.graphapi.store.catalog import Depicted

MARGIN, LABEL, SIDE, PITCH = 20.0, 118.0, 84.0, 100.0
"""Of the sheet, of the names of layers at its left, of a card's patch, from one card to the next."""
_TEXT, _GAP = 36.0, 58.0
"""Height of a card's text, and between a row and the one below it."""
_WIDEST, _NARROWEST = 13.0, 1.2
"""A curve that carries the whole decision, and one that carries next to nothing of it."""
_FEWEST = 4
"""Cards that the sheet is wide enough for, whatever it holds: the class's row needs the room for its text."""


def places_of(answer: Pyramid) -> list[Place]:
    """The places whose patches the picture shows, the class's own left out."""
    return [_place(answer, node) for row in answer.rows[1:] for node in row.nodes]


@dataclass(frozen=True)
class Caption:
    """What a pyramid is of.

    Attributes:
        title: Of the document.
        heading: Of the picture.
        facts: Lines beneath the heading.
        is_explained: Whether notes beneath the picture say how to read it.
    """

    title: str
    heading: str
    facts: Sequence[str]
    is_explained: bool = True


def pyramid_sheet(
    run: Depicted, answer: Pyramid, patches: Patches, top: int | None, caption: Caption | None = None
) -> Sheet:
    """Lay out the pyramid of a decision.

    Args:
        run: Of the decision.
        answer: The pyramid.
        patches: Of `places_of` it.
        top: Edges drawn of each decomposition; None for all that are kept.
        caption: What it is of; None for an image of a run.
    """
    caption = caption or _caption(run, answer)
    colour = ROLE_COLOURS[answer.decision.role]
    cards = max(_FEWEST, *(len(row.nodes) + 1 for row in answer.rows))
    width = 2 * MARGIN + LABEL + cards * PITCH
    sheet = Sheet(width, 0, caption.title)
    room = width - 2 * MARGIN
    facts = [shortened(fact, 12, room) for fact in caption.facts]
    y = heading(sheet, MARGIN, shortened(caption.heading, 17, room, bold=True), facts)
    tops = [y + place * (SIDE + _TEXT + _GAP) for place in range(len(answer.rows))]
    middles = [_middles(row, width) for row in answer.rows]
    for place, row in enumerate(answer.rows[1:], start=1):
        sheet.add(*_curves(row, middles[place - 1], middles[place], tops[place - 1], tops[place], colour))
    _add_root(sheet, run, answer, patches, middles[0][0], tops[0], colour)
    for row, at, top_y in zip(answer.rows[1:], middles[1:], tops[1:], strict=True):
        _add_row(sheet, answer, row, patches, at, top_y, colour)
    sheet.height = tops[-1] + SIDE + _TEXT
    return end_with(sheet, _notes(run, answer, patches, top) if caption.is_explained else [], MARGIN)


def _caption(run: Depicted, answer: Pyramid) -> Caption:
    image, name = answer.image, run.classes[answer.decision.class_id].name
    label = "no label" if image.label_id is None else f"label {run.classes[image.label_id].name}"
    predicted = f"predicted {run.classes[image.predicted_id].name} ({percent(image.probability)})"
    facts = [f"{image.uri} in run {run.name}", f"{label}, {predicted}"]
    return Caption(f"Why {image.uri} is {name}: run {run.name}", f"Evidence for {name}", facts)


def _middles(row: Row, width: float) -> list[float]:
    """The middle of each card across the sheet, and last of the rest's; a short row stands in the middle."""
    count = len(row.nodes) + 1
    room = width - 2 * MARGIN - LABEL
    begin = MARGIN + LABEL + (room - count * PITCH) / 2
    return [begin + (place + 0.5) * PITCH for place in range(count)]


def _curves(row: Row, above: list[float], here: list[float], above_y: float, here_y: float, colour: str) -> list[Item]:
    """The strongest last, so that it lies on top."""
    y0, y1 = above_y + SIDE + _TEXT - 4, here_y
    return [
        Curve(
            above[link.target], y0, here[link.source], y1, _curve_width(link.importance), colour,
            f"share {percent(link.share)}, {percent(link.importance)} of the decision",
        )
        for link in sorted(row.links, key=lambda link: link.importance)
    ]  # fmt: skip


def _curve_width(importance: float) -> float:
    return max(_NARROWEST, _WIDEST * sqrt(max(0.0, importance)))


def _add_root(
    sheet: Sheet, run: Depicted, answer: Pyramid, patches: Patches, middle: float, y: float, colour: str
) -> None:
    decision = answer.decision
    x = middle - SIDE / 2
    name = shortened(run.classes[decision.class_id].name, 11, 3.5 * PITCH, bold=True)
    picture = patches.whole(answer.image.image_id)
    sheet.add(Box(x, y, SIDE, SIDE, EMPTY))
    if picture is not None:
        sheet.add(Photo(x, y, SIDE, SIDE, picture, answer.image.uri))
    sheet.add(
        Box(x, y, SIDE, SIDE, None, colour, 2),
        Text(middle, y + SIDE + 14, name, 11, anchor="middle", bold=True),
        Text(middle, y + SIDE + 27, f"logit {decision.logit:.2f}, {decision.role}", 10, GREY, "middle"),
    )
    sheet.add(*_layer_name(run.layers[-1].name, y, f"{run.layers[-1].channels} classes"))


def _add_row(
    sheet: Sheet, answer: Pyramid, row: Row, patches: Patches, middles: list[float], y: float, colour: str
) -> None:
    layer = row.layer
    sheet.add(*_layer_name(layer.name, y, f"{layer.channels} channels", f"{layer.height} x {layer.width} places"))
    for node, middle in zip(row.nodes, middles[:-1], strict=True):
        x, place = middle - SIDE / 2, _place(answer, node)
        title = f"{layer.name} channel {node.key[1]} at y {node.key[2]}, x {node.key[3]}: {percent(node.importance)}"
        sheet.add(*patch_items(patches, place, x, y, SIDE, title))
        sheet.add(
            Box(x, y + SIDE + 3, SIDE, 3, FAINT),
            Box(x, y + SIDE + 3, SIDE * min(1.0, max(0.0, node.importance)), 3, colour),
            Text(x, y + SIDE + 19, f"{node.key[1]}", 11, bold=True),
            Text(x, y + SIDE + 32, percent(node.importance), 10, GREY),
            *where_items(patches, place, x + SIDE - 24, y + SIDE + 9, 24, colour),
        )
    _add_rest(sheet, row, middles[-1], y)


def _add_rest(sheet: Sheet, row: Row, middle: float, y: float) -> None:
    x = middle - SIDE / 2
    sheet.add(
        Box(x, y, SIDE, SIDE, None, GREY, 1, dashed=True),
        Text(middle, y + SIDE / 2 - 5, "rest", 11, GREY, "middle"),
        Text(middle, y + SIDE / 2 + 13, percent(row.rest), 14, GREY, "middle", bold=True),
        Text(middle, y + SIDE + 14, f"not kept {percent(row.not_kept)}", 9.5, GREY, "middle"),
        Text(middle, y + SIDE + 26, f"not drawn {percent(row.not_drawn)}", 9.5, GREY, "middle"),
    )


def _layer_name(name: str, y: float, *lines: str) -> list[Item]:
    middle = y + SIDE / 2
    return [
        Text(MARGIN, middle - 6, shortened(name, 12, LABEL - 8, bold=True), 12, bold=True),
        *(Text(MARGIN, middle + 9 + 13 * place, line, 10, GREY) for place, line in enumerate(lines)),
    ]


def _place(answer: Pyramid, node: GraphNode) -> Place:
    return Place(answer.decision.decision_id, *node.key)


def _notes(run: Depicted, answer: Pyramid, patches: Patches, top: int | None) -> list[str]:
    card = "A card is a channel at its peak: the crop of its receptive field"
    over = ", grey under the activation map of its strongest edge where that is kept" if patches.has_maps else ""
    kept = f"the top {run.top_n} of each decomposition are kept"
    drawn = f", of which {top} are drawn" if top is not None and top < run.top_n else ""
    notes = [
        f"{card}{over}; its number, its importance (the part of the decision that rests on it), and where in the image "
        f"the field lies. Curves lead from what is explained to its evidence; their width is the root of the part of "
        f"the decision that they carry ({kept}{drawn}).",
        "rest: what the cards of a row leave of the decision. Not kept: what the decompositions of this layer and of "
        "those above it leave out. Not drawn: kept, and in no card.",
    ]
    if not patches.has_thumbnails:
        notes.append(NO_CROPS)
    if answer.truncated:
        notes.append("The decision has more evidence than one answer holds: low layers are incomplete.")
    return notes
