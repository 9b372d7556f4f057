"""What is taken as the control of a test: each rule on its own. That the network is asked rightly is in test_verify."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from evigraph.indexer.evidence.decompose import Evidence
from evigraph.indexer.evidence.hierarchy import Cut, LevelEdges, Nodes
from evigraph.indexer.verify.controls import control_channels
from evigraph.indexer.verify.disturb import NO_CHANNEL
from evigraph.indexer.verify.regions import BOX, ROWS, Region, control_region


def level_of(edges: list[tuple[int, int]]) -> LevelEdges:
    """Edges into (root, channel), each from a node of its own."""
    root, channel = torch.tensor(edges).T
    zero, ones = torch.zeros_like(root), torch.ones(len(edges), dtype=torch.float64)
    of_edge = dict.fromkeys(Evidence.__dataclass_fields__, zero) | {"channel": channel}
    cut = Cut(torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.float64))
    node = torch.arange(len(edges))
    return LevelEdges(0, Nodes(root, zero, zero, zero, ones), cut, node, Evidence(**of_edge), ones, ones.float(), zero)


def chosen(features: Tensor, edges: list[tuple[int, int]], root: int = 0, image: int = 0, tested: int = 0) -> int:
    """The control of one test, where every channel's mean over the dataset is 1."""
    tests = [torch.tensor([number]) for number in (image, root, tested)]
    (found,) = control_channels(features, torch.ones(features.shape[1]), level_of(edges), *tests).tolist()
    return int(found)


def maps(*values: float) -> Tensor:
    """One image of flat maps of 2 x 2."""
    return torch.tensor(values)[None, :, None, None].expand(1, -1, 2, 2).clone()


def test_it_is_disturbed_as_much_up_or_down() -> None:
    assert chosen(maps(5.0, 2.0, 4.5, 6.0, 9.0), [(0, 0)]) == 2
    assert chosen(maps(5.0, 2.0, 4.5, 5.1, 9.0), [(0, 0)]) == 3
    assert chosen(maps(5.0, 2.0, 3.0, 2.5), [(0, 0)]) == 2


def test_evidence_of_the_same_root_is_none() -> None:
    features = maps(5.0, 2.0, 4.5, 6.0)
    assert chosen(features, [(0, 0), (0, 2)]) == 3
    assert chosen(features, [(0, 0), (1, 2)]) == 2
    assert chosen(features, [(0, 0), (1, 2), (1, 0)], root=1) == 3
    assert chosen(features, [(0, 0), (0, 1), (0, 2), (0, 3)]) == NO_CHANNEL


def test_it_is_moved_the_same_way() -> None:
    assert chosen(maps(1.8, 0.2, 4.0), [(0, 0)]) == 2
    assert chosen(maps(0.2, 1.8, 0.6), [(0, 0)]) == 2
    assert chosen(maps(0.2, 1.8), [(0, 0)]) == NO_CHANNEL


def test_a_channel_that_is_silent_in_the_image_is_none() -> None:
    assert chosen(maps(0.1, 0.0, 0.9), [(0, 0)]) == 2
    both = torch.cat([maps(0.1, 0.0, 0.9), maps(0.1, 0.2, 0.9)])
    assert chosen(both, [(0, 0)], image=0) == 2
    assert chosen(both, [(0, 0)], image=1) == 1


def test_among_equals_it_is_the_lower_one() -> None:
    assert chosen(maps(5.0, 3.0, 3.0, 3.0), [(0, 0)]) == 1


@pytest.mark.parametrize("box", [(2, 5, 1, 3), (0, 3, 0, 2), (5, 8, 3, 6), (3, 6, 0, 6)])
def test_a_region_is_anywhere_else_with_equal_chance(box: tuple[int, int, int, int]) -> None:
    height, width = box[1] - box[0], box[3] - box[2]
    apart = {
        (y, x)
        for y in range(8 - height + 1)
        for x in range(6 - width + 1)
        if abs(y - box[0]) >= height or abs(x - box[2]) >= width
    }
    draws = 200 * len(apart)
    drawn = [control_region(box, (8, 6), draw, 3) for draw in range(draws)]
    assert all(region is not None and region.shape == BOX for region in drawn)
    count = Counter(region.box for region in drawn if region)
    assert set(count) == {(y, y + height, x, x + width) for y, x in apart}
    # A chi-squared of as many degrees of freedom as places, less one, is nearly never above twice that and 20.
    assert sum((seen - 200) ** 2 / 200 for seen in count.values()) < 2 * len(apart) + 20


def test_a_region_depends_on_its_key_alone() -> None:
    assert control_region((0, 4, 0, 4), (200, 200), 7, 1, 5) == control_region((0, 4, 0, 4), (200, 200), 7, 1, 5)
    keys = [(7, 1, 5), (8, 1, 5), (7, 2, 5), (7, 1, 6)]
    assert len({control_region((0, 4, 0, 4), (200, 200), *key) for key in keys}) == len(keys)


@pytest.mark.parametrize("box", [(0, 8, 0, 6), (2, 7, 1, 6), (0, 5, 0, 5)])
def test_there_is_no_region_beside_more_than_half_of_the_image(box: tuple[int, int, int, int]) -> None:
    assert control_region(box, (8, 6), 1) is None


@pytest.mark.parametrize("box", [(2, 7, 1, 5), (0, 5, 0, 4), (1, 7, 1, 5), (2, 7, 2, 6)])
def test_where_no_box_has_room_it_is_as_many_pixels_in_rows(box: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = box
    around = [(y, x) for y in range(8) for x in range(6) if not (top <= y < bottom and left <= x < right)]
    starts = set()
    for draw in range(60):
        region = control_region(box, (8, 6), draw)
        assert region is not None
        assert region.shape == ROWS
        first = around.index(region.start)
        expected = {around[(first + step) % len(around)] for step in range((bottom - top) * (right - left))}
        mask = region.mask((8, 6))
        assert {tuple(place) for place in mask.nonzero().tolist()} == expected
        assert int(mask.sum()) == region.area == Region.of(box).area
        assert not bool((mask & Region.of(box).mask((8, 6))).any())
        starts.add(region.start)
    assert len(starts) > len(around) // 2
