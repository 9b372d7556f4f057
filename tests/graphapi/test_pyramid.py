"""Pyramids and panels against the database's own edges, read by plain SQL."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from evigraph.graphapi.questions.evidence import Graph, GraphNode
from evigraph.graphapi.questions.panel import Panel, panel
from evigraph.graphapi.questions.pyramid import Pyramid, Row, chosen_rows, pyramid
from evigraph.graphapi.store.names import chosen_run
from evigraph.graphapi.store.session import Session
from evigraph.local import asked
from evigraph.schema.errors import NotFoundError, UsageError
from tests.graphapi.conftest import Ask, Sql

NodeKey = tuple[int, int, int, int]


def drawn(database: Path, uri: str, role: str = "predicted", **given: Any) -> Pyramid:
    numbers = {"top": None, "depth": None, "nodes": 4} | given

    async def ask(session: Session) -> Pyramid:
        return await pyramid(session, chosen_run(session.runs, "scenes")[0], uri, role, **numbers)

    return asked(database, ask)


def listed(database: Path, name: str, layer: str, role: str = "predicted", **given: Any) -> Panel:
    numbers = {"top": 5, "peaks": 4, "own_peaks": False} | given

    async def ask(session: Session) -> Panel:
        return await panel(session, chosen_run(session.runs, "scenes")[0], name, layer, role, **numbers)

    return asked(database, ask)


def source(row: dict[str, Any]) -> NodeKey:
    return (row["source_layer"], row["source_channel"], row["source_y"], row["source_x"])


def target(row: dict[str, Any]) -> NodeKey:
    return (row["target_layer"], row["target_channel"], row["target_y"], row["target_x"])


@pytest.mark.parametrize(("top", "nodes"), [(None, 4), (2, 3), (None, 40), (1, 1)])
@pytest.mark.parametrize(("uri", "role"), [("images/00001.png", "label"), ("images/00007.png", "predicted")])
def test_rows_and_rests(database: Path, sql: Sql, uri: str, role: str, top: int | None, nodes: int) -> None:
    """From the root down the most important nodes that the row above leads to; the rest is all that they leave."""
    answer = drawn(database, uri, role, top=top, nodes=nodes)
    edges = sql(
        """SELECT e.* FROM edge e JOIN decision USING (run_id, decision_id) JOIN image USING (run_id, image_id)
           WHERE e.run_id = 1 AND uri = $uri AND role = $role""",
        uri=uri,
        role=role,
    )
    importance: dict[NodeKey, float] = defaultdict(float)
    for edge in edges:
        importance[source(edge)] += edge["importance"]
    above = [(3, answer.decision.class_id, 0, 0)]
    assert [row.layer.name for row in answer.rows] == ["logits", "conv3_3", "conv2_2", "conv1_2"]
    for row in answer.rows[1:]:
        layer = row.layer.layer_id
        links = [edge for edge in edges if target(edge) in above and edge["rank"] < (top or 99)]
        reached = sorted({source(edge) for edge in links}, key=lambda key: (-importance[key], key))
        assert [node.key for node in row.nodes] == reached[:nodes]
        assert [node.importance for node in row.nodes] == pytest.approx([importance[key] for key in reached[:nodes]])
        expected = {
            (above.index(target(edge)), reached.index(source(edge)), round(edge["importance"], 6))
            for edge in links
            if source(edge) in reached[:nodes]
        }
        assert {(link.target, link.source, round(link.importance, 6)) for link in row.links} == expected
        stored = sum(edge["importance"] for edge in edges if edge["source_layer"] == layer)
        assert row.not_kept == pytest.approx(1 - stored)
        assert row.rest == pytest.approx(1 - sum(importance[key] for key in reached[:nodes]))
        assert row.rest == pytest.approx(row.not_kept + row.not_drawn)
        assert row.not_drawn > -1e-6
        if top is None and nodes == 40:
            assert row.not_drawn == pytest.approx(0, abs=1e-6)
        above = reached[:nodes]


def test_depth(database: Path) -> None:
    rows = drawn(database, "images/00007.png", depth=2).rows
    assert [row.layer.name for row in rows] == ["logits", "conv3_3", "conv2_2"]
    assert len(drawn(database, "images/00007.png", depth=99).rows) == 4


def test_what_is_not_there(database: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no image 'images/0007\.png'; did you mean .*'images/00007\.png'"):
        drawn(database, "images/0007.png")
    with pytest.raises(UsageError, match="its label is the predicted class"):
        drawn(database, "images/00000.png", "label")
    with pytest.raises(UsageError, match="it has no label"):
        drawn(database, "images/00005.png", "label")
    with pytest.raises(UsageError, match="nodes: 0 is not within 1 and 40"):
        drawn(database, "images/00007.png", nodes=0)
    with pytest.raises(UsageError, match="take one of conv1_2"):
        listed(database, "boat", "logits")


@pytest.mark.parametrize("role", ["predicted", "label"])
def test_panel_is_as_graphql_has_it(database: Path, run: Ask, role: str) -> None:
    answer = listed(database, "boat", "conv2_2", role)
    fields = "decisions edges meanShare channel { index peaks(first: 4) { nodes { y x contribution image { uri } } } }"
    given = f'layer: "conv2_2", class: "boat", role: {role.upper()}, first: 5'
    expected = run(f"channelSupport({given}) {{ nodes {{ rate {fields} }} }}")["channelSupport"]["nodes"]
    assert len(answer.rows) == len(expected) == 5
    for row, node in zip(answer.rows, expected, strict=True):
        support = row.support
        shown = (support.channel, support.decisions, support.edges)
        assert shown == (node["channel"]["index"], node["decisions"], node["edges"])
        assert support.decisions / answer.roots == node["rate"]
        peaks = [(peak.y, peak.x, answer.images[peak.decision_id // 2].uri) for peak in row.peaks]
        assert peaks == [(peak["y"], peak["x"], peak["image"]["uri"]) for peak in node["channel"]["peaks"]["nodes"]]
        labels = f'contextLabels(class: "boat", role: {role.upper()}) {{ nodes {{ label rate }} }}'
        channel = run(f'channel(layer: "conv2_2", index: {support.channel}) {{ {labels} }}')["channel"]
        first = channel["contextLabels"]["nodes"][0]
        assert row.context is not None
        assert [row.context.name, row.context.rate] == [first["label"], first["rate"]]


def test_own_peaks(database: Path, sql: Sql) -> None:
    """Those of decisions of the class alone, each place once."""
    answer = listed(database, "boat", "conv2_2", own_peaks=True)
    for row in answer.rows:
        expected = sql(
            """SELECT decision_id, source_y AS y, source_x AS x, max(contribution) AS contribution
               FROM edge JOIN decision USING (run_id, decision_id)
               WHERE run_id = 1 AND class_id = 0 AND role = 'predicted' AND source_layer = 1 AND source_channel = $c
               GROUP BY ALL ORDER BY contribution DESC, decision_id, y, x LIMIT 4""",
            c=row.support.channel,
        )
        assert [peak._asdict() for peak in row.peaks] == [{"channel": row.support.channel, **e} for e in expected]
        assert {answer.class_of(peak) for peak in row.peaks} == {0}


def test_statements(database: Path, statements: list[str]) -> None:
    """None for a channel, a node or a peak alone."""
    drawn(database, "images/00007.png", nodes=40)
    assert len(statements) == 4
    listed(database, "boat", "conv2_2", top=10, peaks=8)
    assert len(statements) == 8
    listed(database, "boat", "conv2_2", own_peaks=True)
    assert len(statements) == 12


def test_a_decision_without_evidence(database: Path) -> None:
    """All of it is the rest of every row."""
    root = GraphNode((3, 0, 0, 0), 1.5, 1.0)

    async def ask(session: Session) -> list[Row]:
        return chosen_rows(chosen_run(session.runs, "scenes")[0], Graph([root], [], truncated=False), {}, 3, 8)

    rows = asked(database, ask)
    assert [(len(row.nodes), row.rest, row.not_kept, row.not_drawn) for row in rows[1:]] == [(0, 1.0, 1.0, 0.0)] * 3
