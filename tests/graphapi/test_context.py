"""Context labels of runs, classes and channels against plain SQL: counts, rates, base rates and lift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.publish.publish import publish
from tests.graphapi.conftest import ROOTS, Ask, Sql
from tests.support.synthetic import synthetic_run

FIELDS = "label edges decisions rate meanIou baseRate presence lift"
LAYERS: list[tuple[int | None, str | None]] = [(None, None), (0, "conv1_2"), (1, "features.7"), (2, "conv3_3")]


def _where(role: str, outcome: str | None, class_id: int | None) -> str:
    condition = f"run_id = 1 AND role = '{role.lower()}'"
    condition += f" AND outcome = '{outcome.lower()}'" if outcome else ""
    return condition + (f" AND class_id = {class_id}" if class_id is not None else "")


def _expected(sql: Sql, roots: str, edges: str) -> list[dict[str, Any]]:
    """The rows of a listing from the base tables: `roots` and `edges` are conditions."""
    return sql(
        f"""
        WITH root AS ({ROOTS}), wanted AS (SELECT * FROM root WHERE {roots}),
             found AS (SELECT e.* FROM edge e JOIN wanted USING (run_id, decision_id) WHERE {edges}),
             base AS (SELECT c.label_id, sum(area::DOUBLE) / (SELECT count(*) FROM wanted) AS base_rate,
                             count(*) / (SELECT count(*) FROM wanted) AS presence
                      FROM wanted JOIN image_context c USING (run_id, image_id) GROUP BY c.label_id)
        SELECT name AS label, count(*) AS edges, count(DISTINCT decision_id) AS decisions,
               count(*) / (SELECT count(*) FROM found) AS rate, avg(context_iou::DOUBLE) AS "meanIou",
               any_value(base_rate) AS "baseRate", any_value(presence) AS presence,
               count(*) / (SELECT count(*) FROM found) / any_value(base_rate) AS lift
        FROM found JOIN context_label l ON l.run_id = found.run_id AND l.label_id = context_label_id
        JOIN base USING (label_id) GROUP BY name, label_id ORDER BY edges DESC, label_id
        """
    )


def _same(nodes: list[dict[str, Any]], rows: list[dict[str, Any]], decisions: bool) -> None:
    for row in rows:
        row["decisions"] = row["decisions"] if decisions else None
    assert [node["label"] for node in nodes] == [row["label"] for row in rows]
    for node, row in zip(nodes, rows, strict=True):
        assert node == {
            name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()
        }


@pytest.mark.parametrize(("layer_id", "layer"), LAYERS)
@pytest.mark.parametrize("class_id", [None, 0, 4])
@pytest.mark.parametrize(
    ("role", "outcome"), [("PREDICTED", None), ("PREDICTED", "WRONG"), ("LABEL", None), ("PREDICTED", "CORRECT")]
)
def test_of_a_run(
    run: Ask, sql: Sql, role: str, outcome: str | None, class_id: int | None, layer_id: int | None, layer: str | None
) -> None:
    """Run.contextLabels of one class or all, in one layer or all; Class.contextLabels gives the same."""
    arguments = f"orderBy: EDGES, role: {role}" + (f", outcome: {outcome}" if outcome else "")
    arguments += f', layer: "{layer}"' if layer else ""
    of_class = f', class: "index:{class_id}"' if class_id is not None else ""
    found = run(f"contextLabels({arguments}{of_class}) {{ totalCount nodes {{ {FIELDS} }} }}")["contextLabels"]
    edges = "true" if layer_id is None else f"source_layer = {layer_id}"
    expected = _expected(sql, _where(role, outcome, class_id), edges)
    assert found["totalCount"] == len(expected)
    _same(found["nodes"], expected, decisions=layer is not None)
    if role == "PREDICTED":
        assert len(expected) >= 2
    if class_id is not None:
        classes = run(
            f"classes(first: 6) {{ nodes {{ index contextLabels({arguments}) {{ nodes {{ {FIELDS} }} }} }} }}"
        )
        (same,) = (node for node in classes["classes"]["nodes"] if node["index"] == class_id)
        assert same["contextLabels"]["nodes"] == found["nodes"]


@pytest.mark.parametrize("class_id", [None, 1])
@pytest.mark.parametrize("role", ["PREDICTED", "LABEL"])
def test_of_a_channel(run: Ask, sql: Sql, role: str, class_id: int | None) -> None:
    """Channel.contextLabels: base and lift beside what it had."""
    arguments = f"orderBy: EDGES, role: {role}" + (f', class: "index:{class_id}"' if class_id is not None else "")
    selection = f"contextLabels({arguments}) {{ nodes {{ {FIELDS} }} }}"
    found = run(f'channel(layer: "conv2_2", index: 1) {{ {selection} }}')["channel"]["contextLabels"]["nodes"]
    edges = "source_layer = 1 AND source_channel = 1"
    _same(found, _expected(sql, _where(role, None, class_id), edges), decisions=False)
    assert found or role == "LABEL"


def test_all_layers_are_those_with_labels(tmp_path: Path, make_ask: Any) -> None:
    """Edges of layers that have no labels do not dilute the rate."""
    import duckdb

    synthetic_run(tmp_path / "run", images=20)
    publish([tmp_path / "run"], tmp_path / "db.duckdb")
    file = (tmp_path / "db.duckdb").resolve()
    with duckdb.connect(str(file)) as connection:
        connection.execute("DELETE FROM class_context WHERE layer_id = 0")
    ask = make_ask(file, Settings())
    query = "{ run { all: contextLabels { nodes { label edges rate } } %s } }"
    one = " ".join(f'l{i}: contextLabels(layer: "{name}") {{ nodes {{ label edges rate }} }}' for i, name in LAYERS[2:])
    found = ask(query % one.replace("features.7", "conv2_2"))["data"]["run"]
    labels = {node["label"]: node for node in found["all"]["nodes"]}
    total = sum(found[layer]["nodes"][0]["edges"] / found[layer]["nodes"][0]["rate"] for layer in ("l1", "l2"))
    for label, node in labels.items():
        edges = sum(n["edges"] for layer in ("l1", "l2") for n in found[layer]["nodes"] if n["label"] == label)
        assert (node["edges"], node["rate"]) == (edges, pytest.approx(edges / total))


def test_by_lift(run: Ask) -> None:
    """The order by lift, and its pages, which follow each other without gap."""
    arguments = 'class: "boat", layer: "conv3_3", orderBy: LIFT'
    whole = run(f"contextLabels({arguments}) {{ nodes {{ label lift }} }}")["contextLabels"]["nodes"]
    assert [node["lift"] for node in whole] == sorted((node["lift"] for node in whole), reverse=True)
    assert len(whole) > 3
    pages: list[dict[str, Any]] = []
    after = "null"
    while True:
        page = run(
            f"contextLabels({arguments}, first: 2, after: {after}) {{ nodes {{ label lift }}"
            " pageInfo { hasNextPage endCursor } }"
        )["contextLabels"]
        pages += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = f'"{page["pageInfo"]["endCursor"]}"'
    assert pages == whole


def test_without_areas(ask: Ask, tmp_path: Path) -> None:
    """A run of an older revision has no areas: no base and no lift, all else as before."""
    import asyncio

    import duckdb

    assert ask('{ run(name: "plain") { contextLabels { totalCount nodes { label } } } }')["data"]["run"] == {
        "contextLabels": {"totalCount": 0, "nodes": []}
    }
    synthetic_run(tmp_path / "run", images=20)
    publish([tmp_path / "run"], tmp_path / "db.duckdb")
    file = (tmp_path / "db.duckdb").resolve()
    with duckdb.connect(str(file)) as connection:
        connection.execute("DELETE FROM class_label")
    service = Service(file, Settings())
    try:
        query = "{ run { contextLabels(orderBy: LIFT) { nodes { label edges baseRate presence lift } } } }"
        nodes = asyncio.run(service.answer(query)).body["data"]["run"]["contextLabels"]["nodes"]
    finally:
        service.close()
    assert nodes
    assert {(node["baseRate"], node["presence"], node["lift"]) for node in nodes} == {(None, None, None)}


@pytest.mark.parametrize(
    ("selection", "code", "near"),
    [
        ('contextLabels(layer: "conv3") { totalCount }', "NOT_FOUND", "conv3_3"),
        ('contextLabels(class: "boot") { totalCount }', "NOT_FOUND", "boat"),
        (
            'classes(first: 2) { nodes { contextLabels(layer: "features.8") { totalCount } } }',
            "NOT_FOUND",
            "features.7",
        ),
    ],
)
def test_unknown_names(ask: Ask, selection: str, code: str, near: str) -> None:
    answer = ask(f'{{ run(name: "scenes") {{ {selection} }} }}')
    assert answer["errors"][0]["extensions"]["code"] == code
    assert near in answer["errors"][0]["extensions"]["near"]


def test_one_statement_for_all_classes(ask: Ask, statements: list[str]) -> None:
    """However many classes are asked, and without a look at the edges."""
    for first in (2, 6):
        statements.clear()
        selection = 'contextLabels(layer: "conv3_3", first: 2) { nodes { lift } }'
        answer = ask(f'{{ run(name: "scenes") {{ classes(first: {first}) {{ nodes {{ {selection} }} }} }} }}')
        assert "errors" not in answer
        assert len(statements) == 2  # the labels, their areas
        assert not any("FROM edge" in statement for statement in statements)
