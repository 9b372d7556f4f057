"""What the pictures of evidence share: a channel's patch, with where in the image it lies, and notes beneath."""

from __future__ import annotations

from evigraph.graphapi.files.canvas import FAINT, GREY, PAPER, Box, Item, Photo, Sheet, Text, lowest, paragraph
from evigraph.graphapi.files.patches import Patches, Place

EMPTY = "#f2f2f2"
"""What stands behind a patch, and where there is none."""


def patch_items(patches: Patches, place: Place, x: float, y: float, side: float, title: str = "") -> list[Item]:
    """A square of `side` with the patch of a place in it, or empty."""
    items: list[Item] = [Box(x, y, side, side, EMPTY, title=title)]
    content = patches.patch(place)
    if content is not None:
        items.append(Photo(x, y, side, side, content, title))
    return items


def where_items(patches: Patches, place: Place, x: float, y: float, side: float, colour: str) -> list[Item]:
    """A small frame of the whole input, with the receptive field of a place in it; nothing where that is not known."""
    known = patches.box(place)
    if known is None:
        return []
    box, (height, width) = known
    scale = side / max(height, width)
    left, top = x + (side - width * scale) / 2, y + (side - height * scale) / 2
    # A field of a few pixels is drawn large enough to be seen, around its middle.
    across, down = (max(2.5, length * scale) for length in (box.right - box.left, box.bottom - box.top))
    middle_x, middle_y = left + (box.left + box.right) / 2 * scale, top + (box.top + box.bottom) / 2 * scale
    return [
        Box(left, top, width * scale, height * scale, PAPER, FAINT),
        Box(middle_x - across / 2, middle_y - down / 2, across, down, colour, title="where its receptive field lies"),
    ]


def end_with(sheet: Sheet, notes: list[str], margin: float) -> Sheet:
    """Put notes beneath everything, and end the sheet below them."""
    y = sheet.height + 26
    for note in notes:
        lines = paragraph(margin, y, note, 10.5, sheet.width - 2 * margin, GREY)
        sheet.add(*lines)
        y = lowest(lines) + 19
    sheet.height = y + margin - 19
    return sheet


def heading(sheet: Sheet, margin: float, title: str, lines: list[str]) -> float:
    """A title and lines beneath it; where the next thing may begin."""
    sheet.add(Text(margin, margin + 15, title, 17, bold=True))
    sheet.add(*(Text(margin, margin + 34 + 16 * place, line, 12, GREY) for place, line in enumerate(lines)))
    return margin + 34 + 16 * len(lines)
