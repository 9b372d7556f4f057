"""What classes are confused with, as plain SQL over the images gives it, and intervals as SciPy gives them."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from evigraph.graphapi.questions.support import wilson
from tests.graphapi.conftest import Ask, Sql

PAIR = "label { index } predicted { index } images rate"
WRONG = "run_id = 1 AND label_id <> predicted_id"


@pytest.mark.parametrize(("field", "own"), [("confusedWith", "label_id"), ("confusedFrom", "predicted_id")])
def test_confusions_of_each_class(run: Ask, sql: Sql, statements: list[str], field: str, own: str) -> None:
    found = run(f"classes {{ nodes {{ index {field}(first: 2) {{ totalCount nodes {{ {PAIR} }} }} }} }}")
    assert sum("confusion" in text for text in statements) == 2  # of all classes at once: the pages, and their totals
    seen = 0
    for node in found["classes"]["nodes"]:
        rows = sql(
            f"""
            SELECT label_id, predicted_id, count(*) AS images,
                   count(*) / (SELECT count(*) FROM image j WHERE run_id = 1 AND j.label_id = i.label_id) AS rate
            FROM image i WHERE {WRONG} AND {own} = $of
            GROUP BY label_id, predicted_id ORDER BY images DESC, label_id, predicted_id
            """,
            of=node["index"],
        )
        expected = [
            {
                "label": {"index": row["label_id"]},
                "predicted": {"index": row["predicted_id"]},
                "images": row["images"],
                "rate": pytest.approx(row["rate"]),
            }
            for row in rows
        ]
        assert node[field] == {"totalCount": len(rows), "nodes": expected[:2]}
        seen += len(rows)
    assert seen > 3


@pytest.mark.parametrize("classes", [2, 50])
def test_matrix_of_the_least_accurate_classes(run: Ask, sql: Sql, classes: int) -> None:
    matrix = run(
        f"confusionMatrix(classes: {classes}) {{ totalCount classes {{ index }} cells {{ label predicted images }} }}"
    )["confusionMatrix"]
    images = sql("SELECT label_id, predicted_id FROM image WHERE run_id = 1 AND label_id IS NOT NULL")
    by_label: dict[int, list[int]] = {}
    for row in images:
        by_label.setdefault(row["label_id"], []).append(row["predicted_id"])

    def place(label: int) -> tuple[float, int, int]:
        right = by_label[label].count(label)
        return right / len(by_label[label]), right - len(by_label[label]), label

    worst = sorted((label for label in by_label if set(by_label[label]) != {label}), key=place)
    chosen = worst[:classes]
    assert [node["index"] for node in matrix["classes"]] == chosen
    assert matrix["totalCount"] == len(worst) > 2
    expected: dict[tuple[Any, Any], int] = {}
    for row in images:
        ends = [chosen.index(one) if one in chosen else None for one in (row["label_id"], row["predicted_id"])]
        right_elsewhere = row["label_id"] == row["predicted_id"]
        if ends != [None, None] and not (right_elsewhere and None in ends):
            expected[ends[0], ends[1]] = expected.get((ends[0], ends[1]), 0) + 1
    assert {(cell["label"], cell["predicted"]): cell["images"] for cell in matrix["cells"]} == expected
    others = [cell for cell in matrix["cells"] if None in (cell["label"], cell["predicted"])]
    assert bool(others) == (len(chosen) < len(by_label))


def test_classes_by_how_often_they_are_predicted(run: Ask, sql: Sql) -> None:
    found = run("classes(orderBy: PREDICTED) { nodes { index decisionCount } }")["classes"]["nodes"]
    counts = sql(
        """SELECT class_id, count(image_id) AS images FROM class c
           LEFT JOIN image i ON i.run_id = c.run_id AND predicted_id = class_id
           WHERE c.run_id = 1 GROUP BY class_id ORDER BY images DESC, class_id"""
    )
    assert found == [{"index": row["class_id"], "decisionCount": row["images"]} for row in counts]
    first = run("classes(orderBy: PREDICTED, first: 2) { nodes { index } pageInfo { endCursor } }")["classes"]
    rest = run(f'classes(orderBy: PREDICTED, after: "{first["pageInfo"]["endCursor"]}") {{ nodes {{ index }} }}')
    assert [node["index"] for node in first["nodes"] + rest["classes"]["nodes"]] == [node["index"] for node in found]


def test_matrix_is_bounded(ask: Ask) -> None:
    for count in (0, 101):
        (error,) = ask(f'{{ run(name: "scenes") {{ confusionMatrix(classes: {count}) {{ totalCount }} }} }}')["errors"]
        assert "classes" in error["message"]
        assert str(count) in error["message"]


@pytest.mark.parametrize("role", ["PREDICTED", "LABEL"])
@pytest.mark.parametrize(
    ("outcome", "condition"),
    [
        ("", "true"),
        (", outcome: CORRECT", "label_id = predicted_id"),
        (", outcome: WRONG", "label_id <> predicted_id"),
    ],
)
def test_intervals_of_rates_are_wilsons(run: Ask, sql: Sql, role: str, outcome: str, condition: str) -> None:
    arguments = f"role: {role}{outcome}"
    found = run(
        f'class(name: "index:1") {{ decisionCount({arguments}) }} '
        f'channelSupport(layer: "conv3_3", class: "index:1", first: 100, {arguments}) '
        "{ nodes { decisions roots rate low high } }"
    )
    (row,) = sql(
        "SELECT count(*) AS roots FROM decision JOIN image USING (run_id, image_id) "
        f"WHERE run_id = 1 AND class_id = 1 AND role = '{role.lower()}' AND {condition}"
    )
    assert found["class"]["decisionCount"] == row["roots"]
    for node in found["channelSupport"]["nodes"]:
        interval = stats.binomtest(node["decisions"], row["roots"]).proportion_ci(0.95, method="wilson")
        assert node["roots"] == row["roots"]
        assert (node["low"], node["high"]) == pytest.approx((interval.low, interval.high), abs=1e-12)
        assert 0 <= node["low"] <= node["rate"] <= node["high"] <= 1
    assert bool(found["channelSupport"]["nodes"]) == (row["roots"] > 0)


@pytest.mark.parametrize(("count", "whole"), [(0, 1), (1, 1), (0, 70), (70, 70), (1, 70), (36, 38), (1, 10**6)])
def test_wilson_at_its_ends(count: int, whole: int) -> None:
    interval = stats.binomtest(count, whole).proportion_ci(0.95, method="wilson")
    assert wilson(count, whole) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert (wilson(count, whole)[0] == 0) == (count == 0)
