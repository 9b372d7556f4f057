"""Near names of what is unknown: the most like first."""

from __future__ import annotations

import pytest

from evigraph.schema.errors import near_matches

CLASSES = (
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "trench coat",
    "golden retriever",
    "Labrador retriever",
    "crane",
    "crane, machine",
    "hourglass",
    "conv4_3",
    "conv4_2",
)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("tench", "tench, Tinca tinca"),  # a synonym
        ("TINCA TINCA", "tench, Tinca tinca"),
        ("CRANE", "crane"),  # another case
        ("machine", "crane, machine"),
        ("auratus", "goldfish, Carassius auratus"),  # a word
        ("gold", "golden retriever"),  # a prefix; the shorter name first
        ("retr", "golden retriever"),  # a word's prefix
        ("glass", "hourglass"),  # a part
        ("golden retreiver", "golden retriever"),  # edits
        ("conv43", "conv4_3"),
    ],
)
def test_the_most_like_comes_first(name: str, first: str) -> None:
    assert near_matches(name, CLASSES)[0] == first


def test_each_is_named_once_and_few_are() -> None:
    assert near_matches("crane", CLASSES)[:2] == ["crane", "crane, machine"]
    assert len(near_matches("c", [f"c{number}" for number in range(50)])) <= 3
    assert near_matches("zzz", CLASSES) == []
