"""The labels that semantic maps show, against counting pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from evigraph.indexer.evidence.context import shown_labels


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_areas(dtype: torch.dtype) -> None:
    """Every label of every image once, in order, with its part of all pixels; void has no row but its pixels count."""
    generator = torch.Generator().manual_seed(1)
    maps = torch.randint(0, 5, (3, 7, 6), generator=generator).to(dtype)
    maps[1] = 0  # void alone
    maps[2, 0, 0] = 9
    found = shown_labels(torch.tensor([4, 6, 9]), maps, 10)
    expected = [
        (image_id, label, sum(int(v) == label for v in semantic_map.flatten()) / 42)
        for image_id, semantic_map in zip((4, 6, 9), maps, strict=True)
        for label in range(1, 10)
        if (semantic_map == label).any()
    ]
    rows = list(zip(*(found[name].tolist() for name in ("image_id", "label_id", "area")), strict=True))
    assert [row[:2] for row in rows] == [row[:2] for row in expected]
    assert [row[2] for row in rows] == pytest.approx([row[2] for row in expected])
    assert {row[0] for row in rows} == {4, 9}


def test_of_no_image() -> None:
    found = shown_labels(torch.empty(0, dtype=torch.int64), torch.empty(0, 4, 4, dtype=torch.uint8), 3)
    assert [len(column) for column in found.values()] == [0, 0, 0]
