"""Contrasts of decisions for different classes, which differ by the last layer's weights alone, are marked so.

"ant" is decided on channels 0 to 3 of the network and "bee" on 4 to 7, and the images are noise, with labels that were
drawn at random: nothing but chance makes an ant be taken for a bee.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from evigraph.graphapi.questions.cohorts import Members
from evigraph.graphapi.questions.likeness import ALIKE, likeness
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from tests.graphapi.conftest import Ask

ASKED = """root comparable reason rootClassDistance discoveries totalCount decisionsA decisionsB
    rootClassesA { class { name } decisions } rootClassesB { class { name } decisions }"""
LOST = '{label: "ant", predicted: "bee"}, b: {label: "ant", outcome: CORRECT}'


def separate() -> nn.Sequential:
    """Two classes on four channels each; all channels are alike."""
    seen, decided = nn.Conv2d(3, 8, 3, bias=False), nn.Linear(8, 2, bias=False)
    with torch.no_grad():
        seen.weight.copy_(torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(5)))
        decided.weight.copy_(torch.kron(torch.eye(2), torch.ones(1, 4)))
    return nn.Sequential(seen, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), decided)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, make_ask: Callable[[Path, Settings], Ask]) -> Callable[..., Any]:
    folder = tmp_path_factory.mktemp("like")
    drawn = np.random.default_rng(7)
    for name in ("ant", "bee"):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(160):
            pixels = drawn.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "data" / name / f"{number:03}.png")
    settings = IndexSettings(
        model="tests.graphapi.test_like_with_like:separate",
        weights="random",
        data=f"imagefolder:{folder / 'data'}",
        run=folder / "run",
        layers=("1",),
        execution=Execution(workers=0),
        preprocessing=PreprocessingOptions(resize=0, crop=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    )
    index(settings)
    publish([folder / "run"], folder / "evidence.duckdb")
    ask = make_ask(folder / "evidence.duckdb", Settings())

    def contrast(cohorts: str) -> Any:
        answer = ask(f'{{ run {{ contrast(layer: "1", a: {cohorts}) {{ {ASKED} }} }} }}')
        assert "errors" not in answer, answer["errors"]
        return answer["data"]["run"]["contrast"]

    return contrast


def test_what_only_the_weights_tell_apart_is_marked(asked: Callable[..., Any]) -> None:
    """Decisions for bees against decisions for ants: nearly every channel is a discovery, and none a finding."""
    answer = asked(f"{LOST}, root: OWN")
    assert answer["discoveries"] == answer["totalCount"] == 8
    assert answer["comparable"] is False
    assert answer["rootClassDistance"] == 1
    assert "a explains bee" in answer["reason"]
    assert "b ant" in answer["reason"]
    assert [one["class"]["name"] for one in answer["rootClassesA"]] == ["bee"]


def test_like_with_like_finds_nothing_where_there_is_nothing(asked: Callable[..., Any]) -> None:
    answer = asked(LOST)
    assert answer["root"] == "LABEL"
    assert min(answer["decisionsA"], answer["decisionsB"]) > 20
    assert answer["discoveries"] == 0
    assert (answer["comparable"], answer["reason"]) == (True, None)
    assert {one["class"]["name"] for one in answer["rootClassesA"] + answer["rootClassesB"]} == {"ant"}


def test_a_prediction_is_compared_by_its_own_class(asked: Callable[..., Any]) -> None:
    """Bees rightly called so against ants called bees."""
    answer = asked('{label: "ant", predicted: "bee"}, b: {label: "bee", predicted: "bee"}')
    assert (answer["root"], answer["comparable"], answer["discoveries"]) == ("PREDICTED", True, 0)


def members(*mix: int) -> Any:
    """A cohort with so many decisions for each class."""
    classes = {place: SimpleNamespace(key=f"k{place}", name=f"class {place}") for place in range(len(mix))}
    cohort: Any = SimpleNamespace(run=SimpleNamespace(classes=classes))
    return Members(cohort, sum(mix), None, (), Counter({place: count for place, count in enumerate(mix) if count}))


@pytest.mark.parametrize(
    ("a", "b", "distance", "comparable"),
    [
        ((50, 50), (50, 50), 0.0, True),
        ((50, 50), (46, 54), 0.04, True),
        ((500, 500), (300, 700), 0.2, False),
        ((10, 0), (0, 10), 1.0, False),
        ((1, 0, 1, 0, 1, 0, 1, 0), (0, 1, 0, 1, 0, 1, 0, 1), 1.0, True),  # hardly two of one class: chance does that
        ((3, 2), (2, 3), 0.2, True),
    ],
)
def test_how_like_two_mixes_are(a: tuple[int, ...], b: tuple[int, ...], distance: float, comparable: bool) -> None:
    told = likeness(members(*a), members(*b))
    assert told.distance == pytest.approx(distance)
    assert (told.reason is None) is comparable
    assert comparable or told.distance > ALIKE


def test_random_divisions_are_seldom_marked() -> None:
    """One in a hundred is by the rule; 3 of 100 would be rare."""
    drawn = np.random.default_rng(3)
    pooled = drawn.integers(1, 30, 40)
    halves = drawn.multivariate_hypergeometric(pooled, int(pooled.sum() // 3), size=100)
    marked = sum(likeness(members(*half), members(*(pooled - half))).reason is not None for half in halves)
    assert marked <= 4
