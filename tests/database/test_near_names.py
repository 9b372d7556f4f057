"""Near names of what is unknown: the most like first."""

from __future__ import annotations

import random
import time

import pytest

from evigraph.schema.near import near_matches

CLASSES = (
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "trench coat",
    "golden retriever",
    "Labrador retriever",
    "screwdriver",
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
        ("retriver", "golden retriever"),  # edits of a word, not of "screwdriver"
        ("auratsu", "goldfish, Carassius auratus"),
        ("tinca tinka", "tench, Tinca tinca"),  # edits of a synonym
    ],
)
def test_the_most_like_comes_first(name: str, first: str) -> None:
    assert near_matches(name, CLASSES)[0] == first


def test_each_is_named_once_and_few_are() -> None:
    assert near_matches("crane", CLASSES)[:2] == ["crane", "crane, machine"]
    assert len(near_matches("c", [f"c{number}" for number in range(50)])) <= 3
    assert near_matches("zzz", CLASSES) == []


@pytest.fixture(scope="module")
def many() -> list[str]:
    """As many names as 21,000 classes and their keys have."""
    rng = random.Random(14)
    words = ["".join(rng.choices("abcdefghiklmnoprstuvwy", k=rng.randint(4, 10))) for _ in range(5000)]
    names = [", ".join(" ".join(rng.choices(words, k=2)) for _ in range(rng.randint(1, 3))) for _ in range(20_990)]
    return [*CLASSES, *names, *(f"n{number:08d}" for number in range(21_000))]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("tench", "tench, Tinca tinca"),
        ("Tinca", "tench, Tinca tinca"),
        ("golden retreiver", "golden retriever"),
        ("hourgals", "hourglass"),
        ("n0000x1234", "n00001234"),
        ("n0000", "n00000000"),
    ],
)
def test_of_many_names_few_are_looked_at(many: list[str], name: str, first: str) -> None:
    near_matches("", many)  # the pairs of letters of so many are kept
    started = time.process_time()
    assert near_matches(name, many)[0] == first
    assert time.process_time() - started < 0.1, "all edits of all names take 0.3 s"


def test_a_letter_left_out_of_one_of_many(many: list[str]) -> None:
    """Shortlists find what a look at every name finds, for names with one letter left out."""
    rng = random.Random(3)
    for name in rng.sample(many[:20_000], 20):
        place = rng.randrange(1, len(name) - 1)
        assert near_matches(name[:place] + name[place + 1 :], many)[0] == name
