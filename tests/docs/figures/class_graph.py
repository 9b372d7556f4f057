"""docs/class-graph.md: paths, nodes, and how often low channels are held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.docs.figures.reading import answer, rows, unlike_table, unsaid

PAGE = "class-graph.md"
SHOWN = {"features.17": 3, "features.13": 2, "features.6": 2, "features.3": 1, "features.1": 1}
"""Nodes of a layer in the page's table."""


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its run."""
    graph = answer(place / "graph.json")["evidenceGraph"]
    nodes = graph["nodes"]
    yield from unsaid(PAGE, [f"has {len(nodes)} nodes and {len(graph['edges']):,} edges of {graph['decisions']} roots"])
    paths = [[_power(p["share"]), ", ".join(_name(nodes[at]) for at in p["nodes"])] for p in graph["paths"]]
    yield from unlike_table(PAGE, [["share", "path"], *paths])
    yield from unlike_table(PAGE, [["node", "rate"], *_strongest(nodes)])
    yield from unsaid(PAGE, _held(place / "evidence.duckdb"))
    cut = answer(place / "cut.json")["evidenceGraph"]
    if cut["paths"] or any(node["throughflow"] for node in cut["nodes"]):
        yield f"the graph that is cut in two has {cut['paths']}"
    linked = {tuple(nodes_of(cut, edge)) for edge in cut["edges"]}
    if ("features.17", "features.13") in linked:
        yield "it has an edge between features.17 and features.13"


def nodes_of(graph: dict[str, Any], edge: dict[str, Any]) -> Iterator[str]:
    """The layers of an edge's target and source."""
    return (graph["nodes"][edge[end]]["layer"] for end in ("target", "source"))


def _strongest(nodes: list[dict[str, Any]]) -> Iterator[list[str]]:
    for layer, count in SHOWN.items():
        for node in sorted((n for n in nodes if n["layer"] == layer), key=lambda n: -n["throughflow"])[:count]:
            yield [
                _name(node),
                f"{node['rate']:.0%}",
                f"{node['importance']:.4f}",
                f"{node['throughflow']:.3f}",
            ]


def _held(database: Path) -> Iterator[str]:
    for layer, channel in (("features.3", 14), ("features.6", 21), ("features.13", 22)):
        ((part,),) = rows(
            database,
            f"""SELECT count(DISTINCT decision_id) FILTER (source_channel = {channel} AND name = '{layer}')
                    / (SELECT count(*) FROM root)
                FROM edge JOIN layer ON layer_id = source_layer""",
        )
        yield f"{layer}/{channel} in {100 * part:.0f} %"
    kept = dict(
        rows(
            database,
            """SELECT layer.name, sum(importance) / count(DISTINCT decision_id) FROM edge
               JOIN layer ON layer_id = source_layer JOIN class ON class_id = root_class_id
               WHERE class.name = 'ox' GROUP BY ALL""",
        )
    )
    upper, lowest = 100 * kept["features.17"], 100 * kept["features.1"]
    yield f"keep {upper:.0f} % of it at features.17 and {lowest:.1f} % at features.1"


def _name(node: dict[str, Any]) -> str:
    return "ox" if node["layer"] == "logits" else f"{node['layer']}/{node['channel']}"


def _power(value: float) -> str:
    return f"{value:.2e}".replace("e-0", "e-")
