"""The evidence graph of a decision against its own edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evigraph.graphapi.store.settings import Settings
from tests.graphapi.conftest import Ask, Sql

GRAPH = """truncated nodes { layer channel y x feature importance }
    edges { target source contribution share rank activation importance contextLabel contextIou
      contextLabelAtPeak contextActivationShare }"""
LAYERS = ["conv1_2", "conv2_2", "conv3_3", "logits"]
NodeKey = tuple[str, int, int, int]


def _graphs(run: Ask, arguments: str = "") -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(decision, evidence) of the first images."""
    decision = f"id logit class {{ index }} evidence{arguments} {{ {GRAPH} }}"
    selection = f"images(first: 12) {{ nodes {{ decisions {{ {decision} }} }} }}"
    images = run(selection)["images"]["nodes"]
    return [(decision, decision["evidence"]) for image in images for decision in image["decisions"]]


def _rows(sql: Sql) -> list[list[dict[str, Any]]]:
    """The edges of each decision of the first images, in the same order."""
    decisions = sql(
        """SELECT decision_id FROM decision WHERE run_id = 1 AND image_id IN
           (SELECT image_id FROM image WHERE run_id = 1 ORDER BY image_id LIMIT 12) ORDER BY decision_id"""
    )
    return [
        sql(
            """SELECT e.*, l.name AS context_label, p.name AS label_at_peak FROM edge e
               LEFT JOIN context_label p ON p.run_id = e.run_id AND p.label_id = e.context_peak_label_id
               LEFT JOIN context_label l ON l.run_id = e.run_id AND l.label_id = e.context_label_id
               WHERE e.run_id = 1 AND decision_id = $d""",
            d=row["decision_id"],
        )
        for row in decisions
    ]


def _target(row: dict[str, Any]) -> NodeKey:
    return (LAYERS[row["target_layer"]], row["target_channel"], row["target_y"], row["target_x"])


def _source(row: dict[str, Any]) -> NodeKey:
    return (LAYERS[row["source_layer"]], row["source_channel"], row["source_y"], row["source_x"])


def _key(node: dict[str, Any]) -> NodeKey:
    return (node["layer"], node["channel"], node["y"], node["x"])


def _check(
    graph: dict[str, Any], decision: dict[str, Any], rows: list[dict[str, Any]], all_rows: list[dict[str, Any]]
) -> None:
    """The graph holds exactly `rows`; importances are those of the whole hierarchy."""
    nodes = graph["nodes"]
    assert nodes[0] == {
        "layer": "logits", "channel": decision["class"]["index"], "y": 0, "x": 0,
        "feature": decision["logit"], "importance": 1.0,
    }  # fmt: skip
    assert {_key(node) for node in nodes[1:]} == {_source(row) for row in rows}
    assert len({_key(node) for node in nodes}) == len(nodes)
    for node in nodes[1:]:
        incoming = [row for row in all_rows if _source(row) == _key(node)]
        assert node["importance"] == pytest.approx(sum(row["importance"] for row in incoming))
        assert node["feature"] in [row["feature"] for row in incoming]
    found = {(_key(nodes[e["target"]]), e["rank"]): (_key(nodes[e["source"]]), e) for e in graph["edges"]}
    assert len(found) == len(graph["edges"])
    assert set(found) == {(_target(row), row["rank"]) for row in rows}
    for row in rows:
        source, edge = found[(_target(row), row["rank"])]
        assert source == _source(row)
        for name, column in [
            ("contextLabel", "context_label"),
            ("contextIou", "context_iou"),
            ("contextLabelAtPeak", "label_at_peak"),
            ("contextActivationShare", "context_peak_mass"),
        ]:
            assert edge[name] == row[column]
        for name in ("contribution", "share", "activation", "importance"):
            assert edge[name] == row[name]


def test_whole_graph(run: Ask, sql: Sql) -> None:
    """Every edge of the decision, nothing truncated."""
    graphs = _graphs(run)
    assert len(graphs) > 12  # label roots among them
    for (decision, graph), rows in zip(graphs, _rows(sql), strict=True):
        assert graph["truncated"] is False
        _check(graph, decision, rows, rows)


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_max_depth(run: Ask, sql: Sql, depth: int) -> None:
    """Only so many layers below the root."""
    for (decision, graph), rows in zip(_graphs(run, f"(maxDepth: {depth})"), _rows(sql), strict=True):
        kept = [row for row in rows if row["target_layer"] > 3 - depth]
        assert graph["truncated"] is (len(kept) < len(rows))
        _check(graph, decision, kept, rows)


@pytest.mark.parametrize("top", [1, 2, 3])
def test_top(run: Ask, sql: Sql, top: int) -> None:
    """Only edges of rank below `top`, and only what the root still reaches."""
    for (decision, graph), rows in zip(_graphs(run, f"(top: {top})"), _rows(sql), strict=True):
        reached: set[NodeKey] = {("logits", decision["class"]["index"], 0, 0)}
        kept = []
        for row in sorted(rows, key=lambda row: -int(row["target_layer"])):
            if row["rank"] < top and _target(row) in reached:
                reached.add(_source(row))
                kept.append(row)
        assert graph["truncated"] is (len(kept) < len(rows))
        _check(graph, decision, kept, rows)


def test_size_bound(database: Path, make_ask: Callable[[Path, Settings], Ask], sql: Sql) -> None:
    """A bound on the edges keeps the upper and most important ones, connected, and says truncated."""
    ask = make_ask(database, Settings(max_evidence_edges=7))

    def run(selection: str) -> dict[str, Any]:
        data: dict[str, Any] = ask('{ run(name: "scenes") { ' + selection + " } }")["data"]["run"]
        return data

    for (decision, graph), rows in zip(_graphs(run), _rows(sql), strict=True):
        kept = sorted(rows, key=lambda row: (-row["target_layer"], -row["importance"]))[:7]
        assert graph["truncated"] is (len(rows) > 7)
        assert len(graph["edges"]) == len(kept)
        _check(graph, decision, kept, rows)


@pytest.mark.parametrize("argument", ["maxDepth: 0", "maxDepth: -1", "top: 0"])
def test_bad_arguments(ask: Ask, argument: str) -> None:
    """Below one is refused."""
    answer = ask(
        f"{{ run {{ images(first: 1) {{ nodes {{ decisions {{ evidence({argument}) {{ truncated }} }} }} }} }} }}"
    )
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert "is below 1" in answer["errors"][0]["message"]
