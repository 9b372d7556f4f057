"""docs/degree.md: both of its tables, and the figures of the text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

import evigraph
from evigraph.reading import Database
from tests.docs.figures.stated import Figures
from tests.docs.scripts import ROOT

Row = dict[str, Any]

EDGES = """SELECT run.name, layer.name, median(edges) FILTER (edges >= 10) AS median, sum(edges)::int AS edges,
  max(abs(discriminative_degree - 1 / edges)) AS furthest, count(*) FILTER (discriminative_degree = 0.5) AS halves,
  count(*) FILTER (discriminative_degree > 0.5) AS above
FROM channel_degree JOIN layer USING (run_id, layer_id) JOIN run USING (run_id) GROUP BY ALL"""
NEARLY_THE_SAME_MAP = (
    ("conv1", "features.1"),
    ("fire3", "features.3"),
    ("fire5", "features.6"),
    ("fire9", "features.13"),
)


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its runs."""
    figures = Figures(ROOT / "docs" / "degree.md")
    file = place / "runs" / "degree" / "evidence.duckdb"
    with duckdb.connect(file, read_only=True) as tables:
        answer = tables.execute(EDGES)
        names = [column[0] for column in answer.description or []]
        edges = {(run, layer): dict(zip(names[2:], rest, strict=True)) for run, layer, *rest in answer.fetchall()}
    with evigraph.open(file) as database:
        runs = _by_run(database.query(figures.asked("minEdges: 10")))
        _trained_and_not(figures, runs)
        _scenes(figures, database)
        _real(figures, runs, edges)
        _few_edges(figures, database, edges["squeezenet", "fire9"])
    yield from figures.wrong


def _by_run(data: Row) -> dict[str, Row]:
    """Runs by name, with their layers by name but for `logits`, which has no degree."""
    found = {}
    for run in data["runs"]["nodes"]:
        layers = {layer["name"]: layer for layer in run["layers"] if layer["name"] != "logits"}
        found[run["name"]] = run | {"layers": layers}
    return found


def _trained_and_not(figures: Figures, runs: dict[str, Row]) -> None:
    made = []
    for name in ("demo", "untrained"):
        head = f"{name}, right on {100 * runs[name]['accuracy']} %"
        for layer in runs[name]["layers"].values():
            degree = layer["discriminativeDegree"]
            histogram = " ".join(map(str, degree["histogram"]))
            made.append(
                [head, layer["name"], str(layer["channels"]), *_statistics(degree), str(degree["above"]), histogram]
            )
            head = ""
    figures.table("run", "layer", made)
    medians = [layer["discriminativeDegree"]["median"] for layer in runs["demo"]["layers"].values()]
    if not all(below < above for below, above in pairwise(medians)):
        figures.wrong.append(f"the medians do not rise from layer to layer: {medians}")
    figures.says(f"from {medians[0]} to {medians[-1]}: the higher the layer")


def _statistics(degree: Row) -> list[str]:
    quantiles = " ".join(map(str, degree["quantiles"]))
    return [str(degree["count"]), str(degree["mean"]), str(degree["median"]), quantiles]


def _scenes(figures: Figures, database: Database) -> None:
    counts = [row["image_count"] for row in database.run("demo").table("classes")]
    figures.says(f"The demo's {sum(counts)} scenes, {min(counts)} or {max(counts)} of each of six classes")
    figures.says(f"would have 1/{len(counts)} = {1 / len(counts)}")


def _real(figures: Figures, runs: dict[str, Row], edges: dict[tuple[str, str], Row]) -> None:
    made = []
    for name in ("squeezenet", "mobilenet"):
        head = name
        for layer in runs[name]["layers"].values():
            cells = _statistics(layer["discriminativeDegree"])
            size = [layer["name"], str(layer["height"]), str(layer["channels"])]
            made.append([head, *size, *cells, str(edges[name, layer["name"]]["median"])])
            head = ""
    figures.table("network", "layer", made)
    accuracies = [100 * runs[name]["accuracy"] for name in ("squeezenet", "mobilenet")]
    figures.says(
        f"SqueezeNet 1.1 (right on {accuracies[0]} %) and MobileNetV2 (right on {accuracies[1]} %) on one image"
    )
    _what_it_does_not_show(figures, runs, edges)


def _few_edges(figures: Figures, database: Database, fire9: Row) -> None:
    asked, layers = figures.asked("minEdges: 10"), {}
    for least in (1, 10, 30):
        runs = _by_run(database.query(asked.replace("minEdges: 10", f"minEdges: {least}")))
        layers[least] = runs["squeezenet"]["layers"]["fire9"]
    few, more, most = (layers[least]["discriminativeDegree"] for least in (1, 10, 30))
    figures.says(f"With minEdges: 1 squeezenet shows {few['count']} channels in fire9, a mean of {few['mean']}")
    figures.says(f"a mean of {few['mean']}, {fire9['halves']} at 0.5 and {few['above']} above it")
    figures.says(f"with 10 edges it is {more['count']} channels and {more['above']} above.")
    figures.says(f"so {fire9['edges']} edges lie on {layers[1]['channels']} channels")
    figures.says(f"at 30 edges {most['count']} channels are left")


def _what_it_does_not_show(figures: Figures, runs: dict[str, Row], edges: dict[tuple[str, str], Row]) -> None:
    """That SqueezeNet's channels are more specific: in the highest layer of either each degree is 1 / edges."""
    squeezenet, mobilenet = (
        {layer["name"]: layer["discriminativeDegree"] for layer in runs[name]["layers"].values()}
        for name in ("squeezenet", "mobilenet")
    )
    ratio = max(squeezenet[one]["median"] / mobilenet[other]["median"] for one, other in NEARLY_THE_SAME_MAP)
    figures.says(f"SqueezeNet's channels were up to {ratio} times as class-specific")
    if any(layer["above"] for layers in (squeezenet, mobilenet) for layer in layers.values()):
        figures.wrong.append("a degree is above 0.5")
    highest = edges["mobilenet", "features.17"], edges["squeezenet", "fire9"]
    if max(layer["furthest"] for layer in highest) > 1e-6:
        figures.wrong.append(f"degrees of the highest layers are not 1 / edges: {highest}")
    one, other = (layer["median"] for layer in highest)
    figures.says(f"({one} edges give {1 / one}, {other} give {1 / other})")
