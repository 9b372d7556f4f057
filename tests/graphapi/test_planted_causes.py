"""The demo's network errs where a scene's context is another class's: contrasts and modes name that context.

Scenes of two classes: all contradicting ones of the first 1,800, and some ordinary ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.demo import MODEL, scenes
from evigraph.indexer.demo.model import OPTIONS, WEIGHTS
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from tests.graphapi.conftest import Ask

CONTRAST = """contextLabel channel { index contextLabels(class: $predicted, first: 1) { nodes { label } } }
    countA rateA countB rateB logOddsRatio low q examplesA { image { uri } }"""


def _chosen(index: int) -> bool:
    name, turn = scenes.CLASSES[index % len(scenes.CLASSES)], index // len(scenes.CLASSES)
    return name in ("cow", "boat") and (turn % scenes.CONTRADICTING_EVERY["validation"] == 4 or turn % 10 == 0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, make_ask: Callable[[Path, Settings], Ask]) -> Ask:
    """Answers the data of a selection on the demo's run."""
    folder = tmp_path_factory.mktemp("planted")
    drawn = [scenes.draw_scene("validation", number) for number in range(1800) if _chosen(number)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "draw_scenes", lambda *_: drawn)
        scenes.write_scenes(folder / "scenes", "validation", len(drawn))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in scenes.CLASSES))
    settings = IndexSettings(
        model=MODEL,
        weights=str(WEIGHTS),
        data=f"scenes:{folder / 'scenes'}",
        classes=folder / "classes.txt",
        run=folder / "run",
        name="demo",
        execution=Execution(workers=0),
        layers=("features.22", "features.29"),
        preprocessing=OPTIONS,
    )
    index(settings)
    publish([folder / "run"], folder / "evidence.duckdb")
    ask = make_ask(folder / "evidence.duckdb", Settings())

    def data(selection: str, **variables: Any) -> dict[str, Any]:
        declared = ", ".join(f"${name}: String!" for name in variables)
        answer = ask(f"query {f'({declared})' if declared else ''} {{ run {{ {selection} }} }}", **variables)
        assert "errors" not in answer, answer["errors"]
        found: dict[str, Any] = answer["data"]["run"]
        return found

    return data


@pytest.mark.parametrize(
    ("label", "predicted", "layer"),
    [("cow", "bird", "conv4_3"), ("boat", "bird", "conv4_3"), ("boat", "cow", "conv5_3")],
)
def test_the_context_that_misled_comes_first(demo: Ask, label: str, predicted: str, layer: str) -> None:
    """Of a class's decisions, those taken for another against the right ones: the other's usual context."""
    cause = scenes.USUAL_CONTEXT[predicted]
    answer = demo(
        f'contrast(layer: "{layer}", of: CONTEXT_LABELS, a: {{label: $label, predicted: $predicted}}, '
        f"b: {{label: $label, outcome: CORRECT}}) {{ root comparable decisionsA decisionsB nodes {{ {CONTRAST} }} }}",
        label=label,
        predicted=predicted,
    )["contrast"]
    assert (answer["root"], answer["comparable"]) == ("LABEL", True)
    assert answer["decisionsA"] >= 10
    first = answer["nodes"][0]
    assert first["contextLabel"] == cause
    assert first["q"] < 0.05
    assert first["low"] > 0
    assert first["rateA"] > 4 * first["rateB"]
    assert f"_{label}_on_{cause}" in first["examplesA"][0]["image"]["uri"]


def test_channels_that_localize_it_come_first(demo: Ask) -> None:
    """Cows taken for birds: of the first three channels that they have more than right ones, two see branches."""
    answer = demo(
        'contrast(layer: "conv4_3", a: {label: "cow", predicted: $predicted}, b: {label: "cow", outcome: CORRECT}) '
        f"{{ nodes {{ {CONTRAST} }} }}",
        predicted="bird",
    )["contrast"]
    more = [row for row in answer["nodes"] if row["logOddsRatio"] > 0][:3]
    assert all(row["q"] < 0.01 for row in more)
    localized = [node["label"] for row in more for node in row["channel"]["contextLabels"]["nodes"]]
    assert localized[0] == "branch"
    assert localized.count("branch") >= 2


def test_a_mode_for_each_context(demo: Ask) -> None:
    """Boats are taken for cows on grass, and for birds on branches: modes at conv5_3 tell them apart."""
    answer = demo(
        'failureModes(layer: "conv5_3", label: "boat") { failures silhouette modes { size '
        "contextLabels(first: 1) { label rate otherRate rightRate } "
        "confusions(first: 1) { predicted { name } images } } }"
    )["failureModes"]
    assert answer["silhouette"] > 0.5
    assert len(answer["modes"]) >= 2
    for mode in answer["modes"]:
        (pair,) = mode["confusions"]
        assert pair["images"] == mode["size"]  # one prediction each, though modes are made from evidence alone
    grass = [mode for mode in answer["modes"] if mode["contextLabels"][0]["label"] == "grass"]
    (mode,) = grass
    assert mode["confusions"][0]["predicted"]["name"] == "cow"
    assert mode["contextLabels"][0]["rate"] > 0.5 > 0.1 > mode["contextLabels"][0]["rightRate"]


def test_divisions_at_random_find_nothing(demo: Ask) -> None:
    """Right decisions of a class by their uri's first digits, which tell nothing: no discovery."""
    for label in ("cow", "boat"):
        for prefix in ("00", "01", "02", "03"):
            for of in ("CHANNELS", "CONTEXT_LABELS", "EDGES"):
                answer = demo(
                    f'contrast(layer: "conv4_3", of: {of}, a: {{label: $label, outcome: CORRECT, uriPrefix: $a}}, '
                    "b: {label: $label, outcome: CORRECT, uriPrefix: $b}) { discoveries totalCount }",
                    label=label,
                    a=f"images/{prefix}",
                    b="images/1",
                )["contrast"]
                assert answer["totalCount"]
                assert answer["discoveries"] == 0
