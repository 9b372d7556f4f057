"""The geometry of windows against plain loops: which cells of a map below one value depends on."""

from __future__ import annotations

import itertools

import pytest
import torch

from evigraph.indexer.engine.windows import DECISION, Frame, Span, Windows, union, whole
from evigraph.indexer.evidence.decisions import Decisions
from evigraph.indexer.model.registry import Window


def decisions_at(places: list[tuple[int, int, int]]) -> Decisions:
    """Decisions of channel 0 at (image, y, x)."""
    image, y, x = torch.tensor(places).T
    return Decisions(image, torch.zeros_like(y), y, x, torch.ones_like(y))


@pytest.mark.parametrize(
    "layers",
    [
        [(3, 1, 1, 1)],
        [(3, 2, 1, 1), (3, 1, 0, 1)],
        [(2, 2, 0, 1), (3, 1, 1, 2), (1, 2, 0, 1)],
        [(7, 2, 3, 1), (3, 2, 1, 1)],
        [(1, 3, 2, 1), (4, 1, 3, 3)],
    ],
)
def test_span_holds_just_the_cells_of_the_operations(layers: list[tuple[int, int, int, int]]) -> None:
    length = 60
    span = Span(1, 0, 1)
    for kernel, stride, padding, dilation in layers:
        span = span.below(kernel, stride, padding, dilation, length)
    for position in range(8):
        cells = {position}
        for kernel, stride, padding, dilation in layers:
            cells = {cell * stride - padding + k * dilation for cell in cells for k in range(kernel)}
        first = span.scale * position + span.start
        assert (min(cells), max(cells)) == (first, first + span.size - 1)


def test_span_as_large_as_the_map_is_the_map() -> None:
    assert Span(1, 0, 1).below(3, 1, 1, 1, 4) == Span(1, -1, 3)
    assert Span(1, 0, 1).below(3, 1, 1, 1, 3) == Span(0, 0, 3)
    assert Span(0, 0, 3).below(3, 2, 1, 1, 6) == Span(0, 0, 6)


def test_frame_is_whole_along_both_axes_or_none() -> None:
    frame = DECISION.below(Window((1, 7), padding=(0, 3)), 20, 6)
    assert frame == whole(20, 6)
    assert frame.whole
    assert frame.size == (20, 6)
    assert not DECISION.below(Window((1, 7), padding=(0, 3)), 20, 8).whole


@pytest.mark.parametrize(("start", "size", "out"), [(0, 3, False), (-1, 3, True), (0, 4, True), (1, 2, False)])
def test_span_sticks_out_where_some_decision_needs_it(start: int, size: int, out: bool) -> None:
    length, positions, scale = 7, 3, 2
    span = Span(scale, start, size)
    touched = {scale * p + start + k for p in range(positions) for k in range(size)}
    assert span.sticks_out(length, positions) == bool(touched - set(range(length)))
    assert span.sticks_out(length, positions) == out


def test_union_holds_every_frame() -> None:
    small = Frame(Span(2, 0, 1), Span(2, 0, 1))
    left = Frame(Span(2, -3, 2), Span(2, 1, 4))
    assert union([small, left], 20, 20) == Frame(Span(2, -3, 4), Span(2, 0, 5))
    assert union([small], 20, 20) == small
    assert union([small, whole(20, 20)], 20, 20) == whole(20, 20)
    # A shortcut of another stride: no window moves with the decision in both.
    assert union([small, Frame(Span(4, 0, 1), Span(4, 0, 1))], 20, 20) == whole(20, 20)


FRAMES = [
    Frame(Span(1, 0, 1), Span(1, 0, 1)),
    Frame(Span(2, -1, 3), Span(1, -2, 5)),
    Frame(Span(2, 1, 4), Span(3, 0, 1)),
    whole(6, 7),
]
PLACES = [(image, y, x) for image in (0, 1) for y, x in itertools.product((0, 1, 2), (0, 1, 2))]


@pytest.mark.parametrize("frame", FRAMES)
def test_read_takes_each_decision_its_own_cells(frame: Frame) -> None:
    torch.manual_seed(0)
    value = torch.randn(2, 3, 6, 7)
    windows = Windows(decisions_at(PLACES), (3, 3))
    read = windows.read(value, frame)
    _, inside = (None, None) if frame.whole else windows.cells(frame, 6, 7)
    assert read.shape == (len(PLACES), 3, *frame.size)
    row = torch.arange(len(PLACES)).repeat_interleave(3)
    channel = torch.arange(3).repeat(len(PLACES))
    single, _ = windows.read_channels(value, frame, row, channel)
    for n, (image, y, x) in enumerate(PLACES):
        for i, j in itertools.product(range(frame.size[0]), range(frame.size[1])):
            at = (frame.y.scale * y + frame.y.start + i, frame.x.scale * x + frame.x.start + j)
            lies_inside = 0 <= at[0] < 6 and 0 <= at[1] < 7
            if inside is not None:
                assert bool(inside[n, 0, i, j]) == lies_inside
            if lies_inside:
                assert torch.equal(read[n, :, i, j], value[image, :, *at])
                assert torch.equal(single.view(len(PLACES), 3, *frame.size)[n, :, i, j], value[image, :, *at])


def test_clip_zeroes_what_sticks_out_and_nothing_else() -> None:
    frame = FRAMES[1]
    windows = Windows(decisions_at(PLACES), (3, 3))
    clipped = windows.clip(torch.ones(len(PLACES), 2, *frame.size), frame, 6, 7)
    _, inside = windows.cells(frame, 6, 7)
    assert inside is not None
    assert torch.equal(clipped, inside.float().expand_as(clipped))


@pytest.mark.parametrize(
    ("old", "larger"), [(FRAMES[1], Frame(Span(2, -2, 6), Span(1, -3, 8))), *((frame, whole(6, 7)) for frame in FRAMES)]
)
def test_reframe_moves_every_value_to_its_own_cell(old: Frame, larger: Frame) -> None:
    torch.manual_seed(0)
    windows = Windows(decisions_at(PLACES), (3, 3))
    before = windows.clip(torch.randn(len(PLACES), 2, *old.size), old, 6, 7)
    after = windows.reframe(before.clone(), old, larger)
    assert after.shape == (len(PLACES), 2, *larger.size)
    assert torch.equal(on_map(after, larger), on_map(before, old))


def on_map(windowed: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Windows of a 6 x 7 map put where they lie, cell by cell."""
    found = torch.zeros(len(PLACES), windowed.shape[1], 6, 7)
    for n, (_, y, x) in enumerate(PLACES):
        for i, j in itertools.product(range(frame.size[0]), range(frame.size[1])):
            at = (frame.y.scale * y + frame.y.start + i, frame.x.scale * x + frame.x.start + j)
            if 0 <= at[0] < 6 and 0 <= at[1] < 7:
                found[n, :, *at] = windowed[n, :, i, j]
    return found
