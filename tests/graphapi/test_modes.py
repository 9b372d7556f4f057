"""Failure modes: groups are found where there are some, none where there are none, and their rates are SQL's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from evigraph.graphapi.questions import modes
from evigraph.graphapi.questions.clusters import UNASSIGNED, _cut, clusters
from tests.graphapi.conftest import Ask, Sql

BODY = """{ failures right truncated unassigned silhouette modes { size
    channels(first: 10) { channel { index } count rate otherRate rightRate logOddsRatio }
    contextLabels(first: 10) { label count rate }
    confusions { label { index } predicted { index } images } examples(first: 10) { id image { index } } } }"""


def test_planted_groups_are_found() -> None:
    random = np.random.default_rng(0)
    signature = np.zeros((3, 40))
    for group in range(3):
        signature[group, 4 * group : 4 * group + 4] = 1
    truth = random.permutation(np.repeat([0, 1, 2], [40, 25, 15]))
    importance = (signature[truth] + 0.1 * (random.random((80, 40)) < 0.2)) * random.random((80, 40))
    found = clusters(importance, 6, 3)
    assert found.count == 3
    assert found.silhouette is not None
    assert (found.group == truth).all()  # groups are numbered by size, and so are these


@pytest.mark.parametrize("decisions", [12, 40, 150])
def test_unrelated_channels_give_one_group(decisions: int) -> None:
    """In at most 1 of 10 tries there is chance structure (1 of 20 is expected)."""
    random = np.random.default_rng(decisions)
    tries = [random.random((decisions, 50)) * (random.random((decisions, 50)) < 0.1) for _ in range(10)]
    found = [clusters(importance, 4, 3) for importance in tries]
    assert sum(one.count > 1 for one in found) <= 1


def test_small_groups_and_decisions_without_evidence_are_in_none() -> None:
    importance = np.zeros((13, 6))
    importance[:6, 0] = importance[6:11, 1] = importance[11, 2] = 1
    found = clusters(importance, 3, 3)
    assert found.group.tolist() == [0] * 6 + [1] * 5 + [UNASSIGNED] * 2
    assert clusters(np.zeros((5, 3)), 3, 3).count == 0


@pytest.mark.parametrize("count", [2, 3, 7, 29])
def test_cut_is_scikit_learns(count: int) -> None:
    from sklearn.cluster import ward_tree

    vectors = np.random.default_rng(count).random((30, 8))
    ours = _cut(ward_tree(vectors)[0], 30, count)
    theirs = AgglomerativeClustering(n_clusters=count, linkage="ward").fit_predict(vectors)
    assert len(set(zip(ours, theirs, strict=True))) == len(set(ours)) == count


def test_modes_of_a_run(run: Ask, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups cover the failures, and each rate is that of the decisions' own edges."""
    answer = run(f'failureModes(layer: "conv2_2", minSize: 2, maxModes: 4) {BODY}')["failureModes"]
    wrong = {row["image_id"] for row in sql("SELECT * FROM image WHERE run_id = 1 AND label_id != predicted_id")}
    right = {row["image_id"] for row in sql("SELECT * FROM image WHERE run_id = 1 AND label_id = predicted_id")}
    assert (answer["failures"], answer["right"]) == (len(wrong), len(right))
    assert sum(mode["size"] for mode in answer["modes"]) + answer["unassigned"] == len(wrong)
    assert not answer["truncated"]
    held = sql(
        "SELECT DISTINCT decision_id // 2 AS image_id, source_channel AS channel FROM edge "
        "WHERE run_id = 1 AND source_layer = 1 AND decision_id % 2 = 0"
    )
    for mode in answer["modes"]:
        assert sum(pair["images"] for pair in mode["confusions"]) <= mode["size"]
        for channel in mode["channels"]:
            having = {row["image_id"] for row in held if row["channel"] == channel["channel"]["index"]}
            others = len(wrong) - mode["size"]
            assert channel["count"] == round(channel["rate"] * mode["size"])
            assert channel["rightRate"] == pytest.approx(len(having & right) / len(right))
            if others:
                outside = len(having & wrong) - channel["count"]
                assert channel["otherRate"] == pytest.approx(outside / others)
            if mode["size"] <= 10:
                inside = {one["image"]["index"] for one in mode["examples"]}
                assert channel["count"] == len(having & inside)
    monkeypatch.setattr(modes, "MAX_FAILURES", 5)
    sampled = run(f'failureModes(layer: "conv2_2", minSize: 1) {BODY}')["failureModes"]
    assert sampled["truncated"]
    assert sampled["failures"] == len(wrong)
    assert sum(mode["size"] for mode in sampled["modes"]) + sampled["unassigned"] == 5


def test_right_decisions_for_other_classes_are_marked(run: Ask, sql: Sql) -> None:
    """Of a label alone the right decisions explain that label, and its failures never do; of a prediction they do."""
    counted = "SELECT {0} AS class, count(*) FILTER (label_id != predicted_id) AS wrong, " + (
        "count(*) FILTER (label_id = predicted_id) AS correct FROM image WHERE run_id = 1 GROUP BY ALL"
    )
    fields = "{ right comparable reason }"
    seen = set()
    for column, argument in (("label_id", "label"), ("predicted_id", "predicted")):
        for row in sql(counted.format(column)):
            if not row["wrong"]:
                continue
            named = f'failureModes(layer: "conv2_2", {argument}: "index:{row["class"]}") {fields}'
            answer = run(named)["failureModes"]
            comparable = None if not row["correct"] else argument == "predicted"
            assert answer["comparable"] is comparable
            assert answer["right"] == row["correct"]
            assert bool(answer["reason"]) == (comparable is False)
            seen.add(comparable)
    assert {True, False} <= seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('layer: "logits"', "what is explained, not evidence"),
        ('layer: "conv2_2", maxModes: 0', "maxModes: 0 is not within 1 and 20"),
        ('layer: "conv2_2", label: "index:1", predicted: "index:1"', "is empty whatever the data"),
    ],
)
def test_refusals(ask: Ask, arguments: str, said: str) -> None:
    answer = ask(f'{{ run(name: "scenes") {{ failureModes({arguments}) {{ failures }} }} }}')
    assert said in answer["errors"][0]["message"]
