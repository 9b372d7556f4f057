"""docs/failures.md: every figure of its demo, made again by the questions that the page asks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import evigraph
from evigraph.reading import Run
from tests.docs.scripts import ROOT
from tests.docs.tables import shortened, table_of

PAGE = ROOT / "docs" / "failures.md"
COW_AS_BIRD = {"label": "cow", "predicted": "bird"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif("EVIGRAPH_DOCS" not in os.environ, reason="set EVIGRAPH_DOCS=1 to run every page"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The 1,800 scenes of the page."""
    folder = tmp_path_factory.mktemp("failures")
    words = [sys.executable, "-m", "evigraph", "demo", "--dir", str(folder / "demo"), "--images", "1800", "--quiet"]
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
    with evigraph.open(folder / "demo" / "evidence.duckdb") as opened:
        yield opened.run()


def compared(
    run: Run, a: dict[str, Any], b: dict[str, Any], layer: str = "conv4_3", **more: Any
) -> list[dict[str, Any]]:
    return run.contrast(layer, a, b, of="context labels", **more).to_pylist()


def test_why_cows_were_lost(run: Run) -> None:
    answer = run.contrast("conv4_3", COW_AS_BIRD, {"label": "cow", "outcome": "correct"}, of="context labels")
    assert (answer.totals["root"], answer.totals["comparable"]) == ("LABEL", True)
    made = [
        [
            row["context_label"],
            str(row["count_a"]),
            str(row["count_b"]),
            f"{row['log_odds_ratio']:.1f}",
            shortened(row["q"]),
        ]
        for row in answer
    ]
    of_a, of_b = answer.totals["decisions_a"], answer.totals["decisions_b"]
    stated = table_of(PAGE, "context label", f"of {of_a} taken for birds")
    assert made[: len(stated)] == stated
    assert f"and in the {of_b} that were recognized" in PAGE.read_text(encoding="utf-8").replace("\n", " ")


def test_what_they_share_with_birds(run: Run) -> None:
    rows = {row["context_label"]: row for row in compared(run, COW_AS_BIRD, {"label": "bird", "predicted": "bird"})}
    for label, count_a, count_b, q in table_of(PAGE, "context label", "of 19 cows called birds"):
        row = rows[label]
        assert [str(row["count_a"]), str(row["count_b"]), shortened(row["q"])] == [count_a, count_b, q], label


def test_boats_on_grass_and_what_not_to_do(run: Run) -> None:
    first = compared(run, {"label": "boat", "predicted": "cow"}, {"label": "boat", "outcome": "correct"}, "conv5_3")[0]
    text = PAGE.read_text(encoding="utf-8").replace("\n", " ")
    counts = f"{first['count_a']} of 12 against {first['count_b']} of 278"
    assert f"have {first['context_label']} at conv5_3 ({counts}, q 0.0002)" in text
    assert shortened(first["q"]) == "0.0002"
    own = run.contrast("conv5_3", COW_AS_BIRD, {"label": "cow", "outcome": "correct"}, root="own")
    assert f"{own.totals['discoveries']} of {len(own)} channels" in text
    assert f'"{own.totals["reason"]}"' in text


def test_the_modes(run: Run) -> None:
    asked = """{ run { failureModes(layer: "conv4_3") { failures silhouette modes { size
        channels(first: 1) { channel { index } rate otherRate } contextLabels(first: 1) { label rate otherRate }
        confusions(first: 3) { label { name } predicted { name } images } } } } }"""
    answer = run.database.query(asked)["run"]["failureModes"]

    def percent(value: float) -> str:
        return f"{100 * value:.0f} %"

    made = []
    for mode in answer["modes"]:
        (label,), (channel,) = mode["contextLabels"], mode["channels"]
        confusions = (f"{c['label']['name']} as {c['predicted']['name']} {c['images']}" for c in mode["confusions"])
        context = f"{label['label']} {percent(label['rate'])}, {percent(label['otherRate'])}"
        of_channel = f"{channel['channel']['index']}: {percent(channel['rate'])}, {percent(channel['otherRate'])}"
        made.append([str(mode["size"]), ", ".join(confusions), context, of_channel])
    assert made == table_of(PAGE, "failures", "most frequent confusions")
    assert f"All {answer['failures']} failures" in PAGE.read_text(encoding="utf-8")
