"""Failures with both sides' evidence, as plain SQL gives it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graphapi.conftest import Ask, Sql

SIDE = """class { index } decision { role class { index } } sharedImportance
    evidence { channel { index } importance share edges y x contextLabel contextIou inBoth }"""
NODE = f"image {{ index }} predicted {{ {SIDE} }} true {{ {SIDE} }}"


def test_failures_are_what_sql_gives(run: Ask, sql: Sql) -> None:
    answer = run(f'failures(layer: "conv2_2", top: 50, first: 100) {{ totalCount nodes {{ {NODE} }} }}')["failures"]
    images = sql(
        "SELECT image_id, label_id, predicted_id FROM image WHERE run_id = 1 AND label_id != predicted_id ORDER BY 1"
    )
    assert answer["totalCount"] == len(images) > 5
    assert [node["image"]["index"] for node in answer["nodes"]] == [row["image_id"] for row in images]
    names: dict[Any, Any] = {
        row["label_id"]: row["name"] for row in sql("SELECT * FROM context_label WHERE run_id = 1")
    }
    labels_seen = shared_seen = 0
    for node, row in zip(answer["nodes"], images, strict=True):
        edges = {}
        for role, side, class_id in ((0, "predicted", row["predicted_id"]), (1, "true", row["label_id"])):
            found = node[side]
            assert found["class"]["index"] == found["decision"]["class"]["index"] == class_id
            assert found["decision"]["role"] == ("PREDICTED", "LABEL")[role]
            edges[side] = sql(
                "SELECT * FROM edge WHERE run_id = 1 AND decision_id = $id AND source_layer = 1",
                id=2 * row["image_id"] + role,
            )
        channels = {side: {edge["source_channel"] for edge in of_side} for side, of_side in edges.items()}
        both = channels["predicted"] & channels["true"]
        for side, of_side in edges.items():
            total = sum(edge["importance"] for edge in of_side)
            evidence = node[side]["evidence"]
            assert {one["channel"]["index"] for one in evidence} == channels[side]
            assert [one["importance"] for one in evidence] == sorted((o["importance"] for o in evidence), reverse=True)
            for one in evidence:
                own = [edge for edge in of_side if edge["source_channel"] == one["channel"]["index"]]
                assert one["edges"] == len(own)
                assert one["importance"] == pytest.approx(sum(edge["importance"] for edge in own), rel=1e-5)
                assert one["share"] == pytest.approx(one["importance"] / total, rel=1e-5)
                assert one["inBoth"] == (one["channel"]["index"] in both)
                best = max(edge["importance"] for edge in own)
                of_best = [edge for edge in own if edge["importance"] == best]
                place = (one["y"], one["x"], one["contextLabel"], one["contextIou"])
                assert place in [
                    (e["source_y"], e["source_x"], names.get(e["context_label_id"]), e["context_iou"]) for e in of_best
                ]
                labels_seen += one["contextLabel"] is not None
                shared_seen += one["inBoth"]
            shared = sum(one["share"] for one in evidence if one["inBoth"])
            assert node[side]["sharedImportance"] == pytest.approx(shared)
    assert labels_seen
    assert shared_seen


def test_filters_pages_and_top(run: Ask, sql: Sql) -> None:
    (pair, *_) = sql("SELECT * FROM confusion WHERE run_id = 1 ORDER BY images DESC LIMIT 1")
    names = f'label: "index:{pair["label_id"]}", predicted: "index:{pair["predicted_id"]}"'
    field = f'failures(layer: "conv2_2", top: 2, {names}'
    whole = run(f"{field}) {{ totalCount nodes {{ {NODE} }} }}")["failures"]
    assert whole["totalCount"] == pair["images"] > 1
    assert all(len(node["predicted"]["evidence"]) <= 2 for node in whole["nodes"])
    first = run(f"{field}, first: 1) {{ pageInfo {{ endCursor hasNextPage }} nodes {{ {NODE} }} }}")["failures"]
    assert first["pageInfo"]["hasNextPage"]
    rest = run(f'{field}, after: "{first["pageInfo"]["endCursor"]}") {{ nodes {{ {NODE} }} }}')["failures"]
    assert first["nodes"] + rest["nodes"] == whole["nodes"]


def test_statements(ask: Ask, statements: list[str]) -> None:
    """Two, whatever the page: the images, and the evidence of all of them."""
    for size in (2, 8):
        statements.clear()
        answer = ask(
            f'{{ run(name: "scenes") {{ failures(layer: "conv2_2", first: {size}) '
            "{ nodes { image { uri } predicted { evidence { share } } } } } }"
        )
        assert len(answer["data"]["run"]["failures"]["nodes"]) == size
        assert len(statements) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('layer: "logits"', "what is explained, not evidence"),
        ('layer: "conv2_2", top: 0', "top: 0 is not within 1 and 50"),
        ('layer: "conv2_2", label: "index:1", predicted: "index:1"', "which is no failure"),
        ('layer: "conv9"', "no layer 'conv9'"),
    ],
)
def test_refusals(ask: Ask, arguments: str, said: str) -> None:
    answer = ask(f'{{ run(name: "scenes") {{ failures({arguments}) {{ totalCount }} }} }}')
    assert said in answer["errors"][0]["message"]
