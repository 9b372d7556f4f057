"""Context labels against a plain re-derivation: masks blown up pixel by pixel, sets of pixels compared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from evigraph.indexer.evidence.context import ContextMaps


def plain_label(semantic: Tensor, activation: Tensor, threshold: float) -> tuple[int, float]:
    """Label and IoU of one whole activation map by sets of pixels; (-1, 0.0) where no region overlaps."""
    height, width = semantic.shape
    rows, columns = activation.shape
    highest = float(activation.max())
    mask = {
        (y, x)
        for y in range(height)
        for x in range(width)
        # The nearest cell of a pixel, by integers.
        if float(activation[y * rows // height, x * columns // width]) > threshold * highest
    }
    regions: dict[int, set[tuple[int, int]]] = {}
    for y in range(height):
        for x in range(width):
            if semantic[y, x]:
                regions.setdefault(int(semantic[y, x]), set()).add((y, x))
    best = (-1, 0.0)
    for label in sorted(regions):
        overlap = len(regions[label] & mask)
        iou = overlap / len(regions[label] | mask)
        if overlap and iou > best[1]:
            best = (label, iou)
    return best


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((4, 4), (32, 32)),
        ((7, 5), (23, 31)),
        pytest.param((14, 14), (225, 225), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_labels_equal_the_plain_ones(grid: tuple[int, int], size: tuple[int, int], threshold: float) -> None:
    random = torch.Generator().manual_seed(hash((grid, size)) % 1000)
    maps = torch.randint(0, 5, (2, 6, 6), generator=random)
    maps = torch.nn.functional.interpolate(maps[:, None].float(), size=size, mode="nearest")[:, 0].to(torch.uint8)
    activations = torch.randn(6, *grid, generator=random)
    image = torch.tensor([0, 0, 1, 1, 0, 1])
    origin = torch.zeros(6, dtype=torch.int64)
    labels, ious = ContextMaps(maps, grid, threshold, 5).label(image, activations, origin, origin)
    for edge in range(6):
        label, iou = plain_label(maps[image[edge]], activations[edge], threshold)
        assert int(labels[edge]) == label
        assert float(ious[edge]) == pytest.approx(iou, rel=1e-5)


def test_images_of_other_labels_and_many_of_them_equal_the_plain_ones() -> None:
    """Label ids are sparse, up to 459, and no two images have the same ones, nor as many."""
    random = torch.Generator().manual_seed(7)
    own = ([459, 3], [0, 7, 8, 250, 300], [12], [0])
    maps = torch.stack([torch.tensor(ids)[torch.randint(0, len(ids), (16, 16), generator=random)] for ids in own])
    activations = torch.randn(8, 4, 4, generator=random)
    image = torch.arange(4).repeat(2)
    origin = torch.zeros_like(image)
    labels, ious = ContextMaps(maps.int(), (4, 4), 0.5, 460).label(image, activations, origin, origin)
    expected = [plain_label(maps[i], a, 0.5) for i, a in zip(image.tolist(), activations, strict=True)]
    assert labels.tolist() == [label for label, _ in expected]
    assert ious.tolist() == pytest.approx([iou for _, iou in expected], rel=1e-5)
    assert set(labels.tolist()) - {-1} <= {3, 7, 8, 12, 250, 300, 459}
    assert labels.tolist()[3::4] == [-1, -1]


def test_windows_that_hang_over_the_border_equal_whole_maps() -> None:
    random = torch.Generator().manual_seed(3)
    maps = torch.randint(0, 4, (1, 24, 24), generator=random, dtype=torch.uint8)
    image, whole = torch.zeros(4, dtype=torch.int64), torch.zeros(4, 8, 8)
    windows = torch.zeros(4, 3, 3)
    places = [(-1, -1), (0, 3), (6, 6), (-1, 6)]
    for edge, (first_y, first_x) in enumerate(places):
        for y in range(3):
            for x in range(3):
                if 0 <= first_y + y < 8 and 0 <= first_x + x < 8:
                    value = torch.rand((), generator=random)
                    windows[edge, y, x] = whole[edge, first_y + y, first_x + x] = value
    top, left = (torch.tensor(column) for column in zip(*places, strict=True))
    context = ContextMaps(maps, (8, 8), 0.5, 4)
    origin = torch.zeros_like(image)
    expected, found = context.label(image, whole, origin, origin), context.label(image, windows, top, left)
    assert expected[0].tolist() == found[0].tolist()
    torch.testing.assert_close(expected[1], found[1])


def label_of(maps: Tensor, activation: Tensor) -> tuple[int, float]:
    zero = torch.zeros(1, dtype=torch.int64)
    grid = (activation.shape[0], activation.shape[1])
    label, iou = ContextMaps(maps[None], grid, 0.5, 4).label(zero, activation[None], zero, zero)
    return int(label), float(iou)


def test_the_lower_label_wins_among_equals() -> None:
    maps = torch.tensor([[3, 2], [3, 2]], dtype=torch.uint8)
    assert label_of(maps, torch.ones(2, 2)) == (2, 0.5)


def test_void_is_no_region_but_counts_in_the_mask() -> None:
    maps = torch.tensor([[0, 0], [0, 1]], dtype=torch.uint8)
    assert label_of(maps, torch.ones(2, 2)) == (1, 0.25)
    assert label_of(torch.zeros(2, 2, dtype=torch.uint8), torch.ones(2, 2)) == (-1, 0.0)


def test_no_label_where_no_region_lies_under_the_mask() -> None:
    maps = torch.tensor([[0, 2], [0, 2]], dtype=torch.uint8)
    assert label_of(maps, torch.tensor([[1.0, 0.5], [0.6, 0.1]])) == (-1, 0.0)


def test_a_region_is_all_pixels_of_its_label() -> None:
    """The mask covers one of two far parts of label 1: IoU 1/2, not 1."""
    maps = torch.tensor([[1, 0, 0, 1]], dtype=torch.uint8)
    assert label_of(maps, torch.tensor([[1.0, 0.0, 0.0, 0.0]])) == (1, 0.5)


def plain_peak(semantic: Tensor, activation: Tensor, threshold: float) -> tuple[int, float]:
    """The label at the peak and the part of the mask's activation on it, in float64, cell by cell of pixels."""
    height, width = semantic.shape
    rows, columns = activation.shape
    pixels: dict[tuple[int, int], list[int]] = {}
    for y in range(height):
        for x in range(width):
            pixels.setdefault((y * rows // height, x * columns // width), []).append(int(semantic[y, x]))
    top = max(range(rows * columns), key=lambda place: (float(activation.flatten()[place]), -place))
    peak = divmod(top, columns)
    label = min(set(pixels[peak]), key=lambda one: (-pixels[peak].count(one), one))
    highest = float(activation[peak])
    inside = [(c, float(activation[c])) for c in pixels if float(activation[c]) > threshold * highest or c == peak]
    mass = sum(a * pixels[cell].count(label) / len(pixels[cell]) for cell, a in inside)
    return label, mass / sum(a for _, a in inside)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("grid", "size"), [((4, 4), (32, 32)), ((7, 5), (23, 31))])
def test_labels_at_peaks_equal_the_plain_ones(grid: tuple[int, int], size: tuple[int, int], threshold: float) -> None:
    random = torch.Generator().manual_seed(5)
    maps = torch.randint(0, 4, (2, *size), generator=random)
    activations = torch.randn(6, *grid, generator=random)
    image = torch.tensor([0, 0, 1, 1, 0, 1])
    origin = torch.zeros(6, dtype=torch.int64)
    context = ContextMaps(maps, grid, threshold, 4)
    masks = context.masks(activations, origin, origin)
    labels, masses = context.peak_label(image, *masks)
    for edge in range(6):
        label, mass = plain_peak(maps[image[edge]], activations[edge], threshold)
        assert int(labels[edge]) == (label or -1)
        assert float(masses[edge]) == pytest.approx(mass, rel=1e-5)
    assert masks[3].sum() == 6  # one peak an edge
    torch.testing.assert_close(torch.zeros(6).index_add_(0, masks[0], masks[2]), torch.ones(6))


def test_masks_of_windows_equal_those_of_whole_maps() -> None:
    whole, window = torch.zeros(1, 6, 5), torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(1))
    whole[0, 2:5, 1:4] = window[0]
    context = ContextMaps(torch.ones(1, 12, 10, dtype=torch.uint8), (6, 5), 0.3, 2)
    zero = torch.zeros(1, dtype=torch.int64)
    for own, other in zip(context.masks(whole, zero, zero), context.masks(window, zero + 2, zero + 1), strict=True):
        torch.testing.assert_close(own, other)
