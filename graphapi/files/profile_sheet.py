"""How the evidence of each layer falls off with rank (Fig. 6), as a picture or as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

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
from evigraph.graphapi.files.cards import end_with, heading
from evigraph.graphapi.questions.profiles import Profile, key_of, profile, shares_statement
from evigraph.graphapi.store.catalog import ClassInfo, LayerInfo, RunInfo
from evigraph.graphapi.store.names import find_class
from evigraph.graphapi.store.session import Session

MARGIN, WIDTH, HEIGHT, PER_ROW = 20.0, 190.0, 150.0, 5
"""Of the sheet, of the chart of a layer, and how many of these stand side by side."""
_AXIS, _GAP, _TEXT = 34.0, 24.0, 58.0
_NUMBERED = 6
"""Bars that have room for a number each."""


@dataclass(frozen=True)
class LayerProfiles:
    """The profile of each layer that is decomposed, the highest first; of a class, or of all if None, and of a role."""

    of_class: ClassInfo | None
    role: str
    layers: Sequence[tuple[LayerInfo, Profile]]


async def layer_profiles(session: Session, run: RunInfo, class_name: str | None, role: str) -> LayerProfiles:
    """The profiles of all layers; one statement.

    Raises:
        NotFoundError, AmbiguousError: No such class, or several.
    """
    of_class = None if class_name is None else find_class(run, class_name)
    class_id = None if of_class is None else of_class.class_id
    decomposed = run.layers[:0:-1]
    keys = [key_of(class_id, role, None, run.run_id, layer.layer_id) for layer in decomposed]
    rows = await session.rows(shares_statement(keys)) if keys else []
    profiles = [profile([row for row in rows if row.layer_id == layer.layer_id]) for layer in decomposed]
    return LayerProfiles(of_class, role, list(zip(decomposed, profiles, strict=True)))


def profile_csv(run: RunInfo, answer: LayerProfiles) -> str:
    """A row for each layer and rank, from 0; `residual` is what the shares of all ranks leave."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(
        ("run", "class", "role", "target_layer", "source_layer", "decompositions", "rank", "mean_share", "residual")
    )
    name = "" if answer.of_class is None else answer.of_class.name
    for layer, of_layer in answer.layers:
        below = run.layer(layer.layer_id - 1).name
        for rank, share in enumerate(of_layer.shares):
            writer.writerow(
                (
                    run.name,
                    name,
                    answer.role,
                    layer.name,
                    below,
                    of_layer.decompositions,
                    rank,
                    share,
                    of_layer.residual,
                )
            )
    return sink.getvalue()


def profile_sheet(run: RunInfo, answer: LayerProfiles) -> Sheet:
    """Lay out a chart for each layer, the highest first."""
    across = min(PER_ROW, max(2, len(answer.layers)))
    sheet = Sheet(2 * MARGIN + across * (WIDTH + _GAP) - _GAP, 0, f"Evidence by rank: run {run.name}")
    of = "all classes" if answer.of_class is None else answer.of_class.name
    facts = [shortened(f"run {run.name}, decisions of {of} (role {answer.role})", 12, sheet.width - 2 * MARGIN)]
    y = heading(sheet, MARGIN, "Mean share of evidence by rank", facts) + 8
    largest = max((value for _, of_layer in answer.layers for value in _bars(of_layer)), default=0.0)
    top = next(step for step in (0.2, 0.4, 0.6, 0.8, 1.0) if largest <= step or step == 1.0)
    for place, (layer, of_layer) in enumerate(answer.layers):
        x = MARGIN + place % across * (WIDTH + _GAP)
        below = run.layer(layer.layer_id - 1).name
        chart = (x, y + place // across * (HEIGHT + _TEXT + _GAP))
        sheet.add(*_chart(*chart, f"{below} for {layer.name}", of_layer, top, ROLE_COLOURS[answer.role]))
    sheet.height = y + -(-len(answer.layers) // across) * (HEIGHT + _TEXT + _GAP) - _GAP
    note = (
        f"Each chart is of the decompositions of one layer's channels into the layer below: the mean share of the "
        f"positive contributions that the channel of each rank has (the run keeps the top {run.top_n}), and dashed "
        f"what is left for all others."
    )
    return end_with(sheet, [note], MARGIN)


def _bars(of_layer: Profile) -> list[float]:
    return [*of_layer.shares, *([] if of_layer.residual is None else [of_layer.residual])]


def _chart(x: float, y: float, name: str, of_layer: Profile, top: float, colour: str) -> list[Item]:
    begin, floor, room = x + _AXIS, y + 18 + HEIGHT, WIDTH - _AXIS
    items: list[Item] = [Text(x, y + 4, shortened(name, 12, WIDTH, bold=True), 12, bold=True)]
    for part in (0.0, 0.5, 1.0):
        at = floor - part * HEIGHT
        items.append(Box(begin, at, room, 0.5, FAINT))
        items.append(Text(begin - 5, at + 3.5, percent(part * top), 9.5, GREY, "end"))
    bars = _bars(of_layer)
    if not bars:
        return [*items, Text(begin + room / 2, floor - HEIGHT / 2, "no evidence", 10.5, GREY, "middle")]
    pitch = room / len(bars)
    for place, value in enumerate(bars):
        is_rest = place == len(of_layer.shares)
        height = HEIGHT * min(1.0, max(0.0, value) / top)
        left, width = begin + (place + 0.14) * pitch, 0.72 * pitch
        fill, line = (None, GREY) if is_rest else (colour, None)
        items.append(Box(left, floor - height, width, height, fill, line, dashed=is_rest, title=percent(value)))
        middle = left + width / 2
        if len(bars) <= _NUMBERED:
            items.append(Text(middle, floor - height - 4, percent(value), 9.5, GREY, "middle"))
        if is_rest or len(bars) <= _NUMBERED or place % -(-len(bars) // _NUMBERED) == 0:
            items.append(Text(middle, floor + 13, "rest" if is_rest else str(place + 1), 9.5, GREY, "middle"))
    count = counted(of_layer.decompositions, "decomposition")
    return [*items, Text(begin + room / 2, floor + 28, count, 9.5, GREY, "middle")]
