"""The evidence graph of a class: counts against plain SQL, paths and throughflow against every path there is."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import pytest

from evigraph.graphapi.questions.class_graph import strongest_paths, throughflow
from tests.graphapi.conftest import ROOTS, Ask, Sql

FIELDS = """decisions truncated class { index }
    nodes { layer channel decisions rate importance throughflow }
    edges { target source decisions rate edges meanShare share importance } paths(first: 7) { share nodes }"""
LAYER_IDS = {"conv1_2": 0, "conv2_2": 1, "conv3_3": 2, "logits": 3}


def _graph(run: Ask, arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = run(f"evidenceGraph({arguments}) {{ {FIELDS} }}")["evidenceGraph"]
    return found


@pytest.mark.parametrize(("role", "outcome"), [("PREDICTED", None), ("PREDICTED", "CORRECT"), ("LABEL", "WRONG")])
@pytest.mark.parametrize("class_id", [0, 2])
@pytest.mark.parametrize(("min_rate", "most"), [(0, 100), (0.2, 4)])
def test_against_sql(
    run: Ask, sql: Sql, class_id: int, role: str, outcome: str | None, min_rate: float, most: int
) -> None:
    """Nodes: the channels that most roots hold. Edges: all of the class between those, with their sums."""
    arguments = f'class: "index:{class_id}", role: {role}, minRate: {min_rate}, maxNodesPerLayer: {most}'
    arguments += f", outcome: {outcome}" if outcome else ""
    found = _graph(run, arguments)
    wanted = f"run_id = 1 AND class_id = {class_id} AND role = '{role.lower()}'"
    wanted += f" AND outcome = '{outcome.lower()}'" if outcome else ""
    of = f"WITH root AS ({ROOTS}), wanted AS (SELECT * FROM root WHERE {wanted})"
    (count,) = (row["n"] for row in sql(f"{of} SELECT count(*) AS n FROM wanted"))
    assert found["decisions"] == count > 0
    held = sql(
        f"""
        {of} SELECT source_layer, source_channel, count(DISTINCT decision_id) AS decisions,
                    sum(importance::DOUBLE) AS importance
        FROM edge JOIN wanted USING (run_id, decision_id) GROUP BY ALL
        ORDER BY source_layer DESC, decisions DESC, importance DESC, source_channel
        """
    )
    frequent = [row for row in held if row["decisions"] >= min_rate * count]
    kept = [row for layer in (2, 1, 0) for row in [r for r in frequent if r["source_layer"] == layer][:most]]
    assert found["truncated"] == (len(kept) < len(frequent))
    root, *nodes = found["nodes"]
    assert (root["layer"], root["channel"], root["rate"], root["importance"]) == ("logits", class_id, 1, 1)
    assert [(LAYER_IDS[n["layer"]], n["channel"], n["decisions"]) for n in nodes] == [
        (row["source_layer"], row["source_channel"], row["decisions"]) for row in kept
    ]
    for node, row in zip(nodes, kept, strict=True):
        assert node["rate"] == pytest.approx(row["decisions"] / count)
        assert node["importance"] == pytest.approx(row["importance"] / count, abs=1e-6)
    total = {(row["source_layer"], row["source_channel"]): row["importance"] for row in held} | {(3, class_id): count}
    keys = {(3, class_id), *((row["source_layer"], row["source_channel"]) for row in kept)}
    expected = {}
    for row in sql(
        f"""
        {of} SELECT target_layer, target_channel, source_layer, source_channel, count(*) AS edges,
                    count(DISTINCT decision_id) AS decisions, avg(share::DOUBLE) AS mean_share,
                    sum(importance::DOUBLE) AS importance
        FROM edge JOIN wanted USING (run_id, decision_id) GROUP BY ALL
        """
    ):
        ends = (row["target_layer"], row["target_channel"]), (row["source_layer"], row["source_channel"])
        if keys.issuperset(ends) and row["decisions"] >= min_rate * count:
            expected[ends] = row
    key_of = [(LAYER_IDS[node["layer"]], node["channel"]) for node in found["nodes"]]
    edges = {(key_of[edge["target"]], key_of[edge["source"]]): edge for edge in found["edges"]}
    assert edges.keys() == expected.keys()
    assert edges
    for ends, row in expected.items():
        edge = edges[ends]
        assert (edge["decisions"], edge["edges"]) == (row["decisions"], row["edges"])
        assert edge["rate"] == pytest.approx(row["decisions"] / count)
        assert edge["meanShare"] == pytest.approx(row["mean_share"], rel=1e-5)
        assert edge["importance"] == pytest.approx(row["importance"] / count, rel=1e-4)
        assert edge["share"] == pytest.approx(row["importance"] / total[ends[0]], rel=1e-4)


def test_shares_leave_no_more_than_there_is(run: Ask) -> None:
    """The shares of a target sum to 1 at most, and a layer's importance to 1 at most."""
    found = _graph(run, 'class: "boat", minRate: 0, maxNodesPerLayer: 100')
    for target in range(len(found["nodes"])):
        assert sum(edge["share"] for edge in found["edges"] if edge["target"] == target) <= 1 + 1e-4
    for layer in LAYER_IDS:
        nodes = [node for node in found["nodes"] if node["layer"] == layer]
        assert sum(node["importance"] for node in nodes) <= 1 + 1e-4
        assert sum(node["throughflow"] for node in nodes) == pytest.approx(1)


def test_paths_and_throughflow(run: Ask) -> None:
    """Against networkx's list of all paths, each with the product of its shares."""
    found = _graph(run, 'class: "boat", minRate: 0.1, maxNodesPerLayer: 8')
    graph = nx.DiGraph()
    for edge in found["edges"]:
        graph.add_edge(edge["target"], edge["source"], share=edge["share"])
    lowest = [place for place, node in enumerate(found["nodes"]) if node["layer"] == "conv1_2" and place in graph]
    every = {
        tuple(path): math.prod(graph.edges[ends]["share"] for ends in nx.utils.pairwise(path))
        for path in nx.all_simple_paths(graph, 0, lowest)
    }
    assert len(every) > 50
    ranked = sorted(every.values(), reverse=True)
    assert [path["share"] for path in found["paths"]] == pytest.approx(ranked[:7])
    for path in found["paths"]:
        assert path["share"] == pytest.approx(every[tuple(path["nodes"])])
    whole = sum(ranked)
    for place, node in enumerate(found["nodes"]):
        through = sum(share for path, share in every.items() if place in path)
        assert node["throughflow"] == pytest.approx(through / whole)


def test_a_dead_end_carries_nothing() -> None:
    """What does not reach the lowest layer is no throughflow and no path."""
    graph = nx.DiGraph(root=(2, 0))
    graph.add_edge((2, 0), (1, 0), share=0.7)
    graph.add_edge((2, 0), (1, 1), share=0.2)
    graph.add_edge((1, 1), (0, 5), share=0.5)
    assert throughflow(graph) == {(2, 0): 1, (1, 0): 0, (1, 1): 1, (0, 5): 1}
    (path,) = strongest_paths(graph, 3)
    assert path.share == pytest.approx(0.1)
    assert path.nodes == ((2, 0), (1, 1), (0, 5))


def test_of_a_class_without_roots(ask: Ask, sql: Sql) -> None:
    """A node, the class, and no more: the class is known, so it is no error."""
    (row, *_) = sql(
        """
        SELECT name, class_id, role
        FROM (SELECT run_id, class_id, role FROM class, (VALUES ('label'), ('predicted')) AS r(role)) AS each
        ANTI JOIN decision USING (run_id, class_id, role) JOIN (SELECT run_id, name FROM run) USING (run_id)
        """
    )
    arguments = f'class: "index:{row["class_id"]}", role: {row["role"].upper()}'
    answer = ask(f'{{ run(name: "{row["name"]}") {{ evidenceGraph({arguments}) {{ {FIELDS} }} }} }}')
    found = answer["data"]["run"]["evidenceGraph"]
    assert (found["decisions"], len(found["nodes"]), found["edges"], found["paths"]) == (0, 1, [], [])


def test_statements(ask: Ask, statements: list[str]) -> None:
    """Three, of which one reads the edges, of that class alone."""
    ask('{ run(name: "scenes") { evidenceGraph(class: "boat") { nodes { rate } edges { rate } paths { share } } } }')
    assert len(statements) == 2
    (reading,) = [statement for statement in statements if "FROM edge" in statement]
    assert "edge.root_class_id = " in reading


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ('class: "boot"', "NOT_FOUND", "boat"),
        ('class: "car"', "AMBIGUOUS", "index:"),
        ('class: "boat", minRate: 1.5', "BAD_USER_INPUT", "minRate: 1.5"),
        ('class: "boat", maxNodesPerLayer: 101', "BAD_USER_INPUT", "maxNodesPerLayer: 101"),
    ],
)
def test_refused(ask: Ask, arguments: str, code: str, said: str) -> None:
    answer = ask(f'{{ run(name: "scenes") {{ evidenceGraph({arguments}) {{ decisions }} }} }}')
    assert answer["errors"][0]["extensions"]["code"] == code
    assert said in answer["errors"][0]["message"]


def test_too_many_paths(ask: Ask) -> None:
    answer = ask('{ run(name: "scenes") { evidenceGraph(class: "boat") { paths(first: 101) { share } } } }')
    assert "first: 101" in answer["errors"][0]["message"]
