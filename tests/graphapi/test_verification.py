"""Tested evidence and the shift of peak features: GraphQL against plain SQL on a clean and an attacked run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy.stats import binomtest

from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import AttackSettings, Execution, IndexSettings
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.schema.database import open_read_only
from tests.graphapi.conftest import Ask
from tests.support import tiny

LAYER = "7"


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clean` with tests of all evidence, `pgd` its twin, and `other`, a run of another network."""
    folder = tmp_path_factory.mktemp("paired")
    images = tiny.draw_images(folder / "set", 32)
    for name, attack, weights in (("clean", None, None), ("pgd", AttackSettings("pgd", 0.1), None)):
        index(
            IndexSettings(
                model=tiny.MODEL,
                weights=weights or "random",
                data=f"imagefolder:{images}",
                run=folder / name,
                execution=Execution(workers=0),
                preprocessing=tiny.PREPROCESSING,
                attack=attack,
                verify=VerifySettings("all", top=2),
            )
        )
    publish([folder / "clean", folder / "pgd"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="module")
def clean(paired: Path, make_ask: Callable[[Path, Settings], Ask]) -> Ask:
    ask = make_ask(paired, Settings())

    def data(selection: str, **variables: Any) -> dict[str, Any]:
        answer = ask('{ run(name: "clean") { ' + selection + " } }", **variables)
        assert "errors" not in answer, answer["errors"]
        found: dict[str, Any] = answer["data"]["run"]
        return found

    return data


def rows_of(database: Path, sql: str) -> list[dict[str, Any]]:
    engine = open_read_only(database)
    try:
        with engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql(sql).mappings()]
    finally:
        engine.dispose()


@pytest.mark.parametrize("outcome", ["WRONG", "CORRECT", "null"])
@pytest.mark.parametrize("method", ["REMOVE", "OCCLUDE"])
def test_channels_are_listed_by_what_they_corrected(clean: Ask, paired: Path, method: str, outcome: str) -> None:
    answer = clean(
        f'verifiedChannels(layer: "{LAYER}", method: {method}, outcome: {outcome}, first: 50) '
        "{ totalCount nodes { channel { index } counts { method tested corrected flipped correctedRate "
        "meanLogitChange control { tested corrected flipped correctedRate meanLogitChange onlyEvidence onlyControl p } "
        "} } }"
    )["verifiedChannels"]
    wanted = "TRUE" if outcome == "null" else f"r.outcome = '{outcome.lower()}'"
    expected = rows_of(
        paired,
        f"""
        SELECT source_channel AS channel, count(*) AS tested, count(*) FILTER (corrected) AS corrected,
               count(*) FILTER (v.predicted_id <> i.predicted_id) AS flipped, avg(logit_change::DOUBLE) AS change,
               count(control_predicted_id) AS control_tested,
               count(*) FILTER (control_corrected) AS control_corrected,
               count(*) FILTER (control_predicted_id <> i.predicted_id) AS control_flipped,
               avg(control_logit_change::DOUBLE) AS control_change,
               count(*) FILTER (corrected AND NOT control_corrected) AS only_evidence,
               count(*) FILTER (control_corrected AND NOT corrected) AS only_control
        FROM verification v JOIN root r USING (run_id, decision_id) JOIN image i USING (run_id, image_id)
        WHERE v.run_id = (SELECT run_id FROM run WHERE name = 'clean') AND method = '{method.lower()}'
          AND source_layer = (SELECT layer_id FROM layer WHERE name = '{LAYER}' LIMIT 1) AND role = 'predicted'
          AND {wanted}
        GROUP BY ALL ORDER BY corrected DESC, flipped DESC, tested DESC, channel
        """,
    )
    assert expected
    assert answer["totalCount"] == len(expected)
    for node, row in zip(answer["nodes"], expected, strict=True):
        counts = node["counts"]
        assert (node["channel"]["index"], counts["method"]) == (row["channel"], method)
        assert [counts[name] for name in ("tested", "corrected", "flipped")] == [
            row[name] for name in ("tested", "corrected", "flipped")
        ]
        assert counts["correctedRate"] == row["corrected"] / row["tested"]
        assert counts["meanLogitChange"] == pytest.approx(row["change"], rel=1e-5, abs=1e-6)
        control = counts["control"]
        assert (control is None) == (row["control_tested"] == 0)
        if control is not None:
            assert [control[name] for name in ("tested", "corrected", "flipped", "onlyEvidence", "onlyControl")] == [
                row[name]
                for name in ("control_tested", "control_corrected", "control_flipped", "only_evidence", "only_control")
            ]
            assert control["correctedRate"] == row["control_corrected"] / row["control_tested"]
            assert control["meanLogitChange"] == pytest.approx(row["control_change"], rel=1e-5, abs=1e-6)
            apart = row["only_evidence"] + row["only_control"]
            assert control["p"] == (1 if not apart else pytest.approx(binomtest(row["only_evidence"], apart).pvalue))
    assert any(row["control_tested"] for row in expected)
    one = expected[0]
    channel = clean(
        f'channel(layer: "{LAYER}", index: {one["channel"]}) '
        f"{{ verification(outcome: {outcome}) {{ method tested corrected }} }}"
    )["channel"]["verification"]
    assert {"method": method, "tested": one["tested"], "corrected": one["corrected"]} in channel


@pytest.mark.parametrize("outcome", ["WRONG", "CORRECT", "null"])
def test_of_a_layer_a_decision_counts_once(clean: Ask, paired: Path, outcome: str) -> None:
    answer = clean(
        f'verification(layer: "{LAYER}", outcome: {outcome}) {{ method tested corrected flipped correctedRate '
        "meanLogitChange control { tested corrected flipped meanLogitChange onlyEvidence onlyControl p } }"
    )["verification"]
    tests = rows_of(
        paired,
        f"""
        SELECT v.*, i.predicted_id AS before, i.label_id = i.predicted_id AS correct
        FROM verification v JOIN root r USING (run_id, decision_id) JOIN image i USING (run_id, image_id)
        WHERE v.run_id = (SELECT run_id FROM run WHERE name = 'clean') AND role = 'predicted'
          AND source_layer = (SELECT layer_id FROM layer WHERE name = '{LAYER}' LIMIT 1)
        """,
    )
    assert [node["method"] for node in answer] == ["OCCLUDE", "REMOVE"]
    for node in answer:
        of_decision: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in tests:
            if row["method"] == node["method"].lower() and (
                outcome == "null" or row["correct"] == (outcome == "CORRECT")
            ):
                of_decision[row["decision_id"]].append(row)
        pairs = {i: [r for r in found if r["control_predicted_id"] is not None] for i, found in of_decision.items()}
        pairs = {i: found for i, found in pairs.items() if found}
        by_evidence = {i for i, found in pairs.items() if any(r["corrected"] for r in found)}
        by_control = {i for i, found in pairs.items() if any(r["control_corrected"] for r in found)}
        assert node["tested"] == len(of_decision) > 0
        assert any(len(found) == 2 for found in of_decision.values())
        assert node["corrected"] == sum(any(r["corrected"] for r in found) for found in of_decision.values())
        assert node["flipped"] == sum(
            any(r["predicted_id"] != r["before"] for r in found) for found in of_decision.values()
        )
        means = [fmean(r["logit_change"] for r in found) for found in of_decision.values()]
        assert node["meanLogitChange"] == pytest.approx(fmean(means), rel=1e-5)
        control = node["control"]
        assert control["tested"] == len(pairs) > 0
        assert control["corrected"] == len(by_control)
        assert control["flipped"] == sum(
            any(r["control_predicted_id"] != r["before"] for r in found) for found in pairs.values()
        )
        assert (control["onlyEvidence"], control["onlyControl"]) == (
            len(by_evidence - by_control),
            len(by_control - by_evidence),
        )
        means = [fmean(r["control_logit_change"] for r in found) for found in pairs.values()]
        assert control["meanLogitChange"] == pytest.approx(fmean(means), rel=1e-5)


def test_an_edge_tells_of_its_own_tests(clean: Ask, paired: Path) -> None:
    nodes = clean(
        "images(first: 32) { nodes { index decisions { role class { index } evidence { nodes { layer channel y x } "
        "edges { target source verification { method logit logitChange labelLogitChange corrected area disturbance "
        "predicted { index } control { channel top left logitChange labelLogitChange corrected disturbance "
        "predicted { index } } } } } } } }"
    )["images"]["nodes"]
    names = {row["layer_id"]: row["name"] for row in rows_of(paired, "FROM layer WHERE run_id = 1")}
    found = {}
    for image in nodes:
        for decision in image["decisions"]:
            places = decision["evidence"]["nodes"]
            for edge in decision["evidence"]["edges"]:
                target, source = (tuple(places[edge[end]].values()) for end in ("target", "source"))
                for test in edge["verification"]:
                    key = (2 * image["index"] + (decision["role"] == "LABEL"), target, source, test["method"].lower())
                    found[key] = test
    expected = rows_of(paired, "FROM verification WHERE run_id = (SELECT run_id FROM run WHERE name = 'clean')")
    assert len(found) == len(expected) > 0
    for row in expected:
        target, source = (
            (names[row[f"{end}_layer"]], *(row[f"{end}_{part}"] for part in ("channel", "y", "x")))
            for end in ("target", "source")
        )
        test = found[row["decision_id"], target, source, row["method"]]
        assert test["predicted"]["index"] == row["predicted_id"]
        assert test["corrected"] == row["corrected"]
        for name, column in (("logit", "logit"), ("logitChange", "logit_change"), ("area", "area")):
            assert test[name] == (None if row[column] is None else pytest.approx(row[column], rel=1e-6))
        assert test["disturbance"] == pytest.approx(row["disturbance"], rel=1e-6)
        control = test["control"]
        assert (control is None) == (row["control_predicted_id"] is None)
        if control is not None:
            assert control["predicted"]["index"] == row["control_predicted_id"]
            for name, column in (
                *((name, name) for name in ("channel", "top", "left", "corrected", "disturbance")),
                *(("logitChange", "logit_change"), ("labelLogitChange", "label_logit_change")),
            ):
                assert control[name] == row[f"control_{column}"], name
    assert {row["method"] for row in expected if row["control_predicted_id"] is not None} == {"occlude", "remove"}


PAIRS = "pairs(first: 50) { nodes { image { index } otherImage { index } trueClass { index } wrongClass { index } "
CHANGE = "{ channels matched before after change }"


@pytest.mark.parametrize("top", [None, 2])
@pytest.mark.parametrize("outcome", ["WRONG", "CORRECT", "null"])
def test_peak_shift_is_that_of_the_edges(clean: Ask, paired: Path, top: int | None, outcome: str) -> None:
    limit = "" if top is None else f", top: {top}"
    answer = clean(
        f'peakShift(other: "pgd", layer: "{LAYER}", outcome: {outcome}{limit}) {{ '
        f"{PAIRS} true {CHANGE} wrong {CHANGE} }} }} "
        "true { images matchedImages change standardError rose } wrong { images matchedImages change rose } }"
    )["peakShift"]
    expected = by_hand(paired, top, outcome)
    assert expected
    assert [node["image"]["index"] for node in answer["pairs"]["nodes"]] == sorted(expected)
    changes: dict[str, list[float]] = defaultdict(list)
    for node in answer["pairs"]["nodes"]:
        assert node["otherImage"]["index"] == node["image"]["index"]
        sides = expected[node["image"]["index"]]
        for side in ("true", "wrong"):
            if side not in sides:
                assert node[side] is None
                continue
            channels, matched, before, after = sides[side]
            assert (node[side]["channels"], node[side]["matched"]) == (channels, matched)
            assert node[side]["before"] == (None if before is None else pytest.approx(before, rel=1e-5))
            assert node[side]["after"] == (None if after is None else pytest.approx(after, rel=1e-5))
            if before is not None and after is not None:
                changes[side].append(after - before)
    assert changes["true"]
    for side, values in changes.items():
        mean = answer[side]
        assert mean["matchedImages"] == len(values)
        assert mean["change"] == pytest.approx(fmean(values), rel=1e-4, abs=1e-7)
        assert mean["rose"] == sum(value > 0 for value in values)
        if side == "true" and len(values) > 1:
            assert mean["standardError"] == pytest.approx(stdev(values) / len(values) ** 0.5, rel=1e-4)


def by_hand(database: Path, top: int | None, outcome: str) -> dict[int, dict[str, tuple[int, int, Any, Any]]]:
    """Per image and side: channels, matched, before, after."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in rows_of(database, sql)]

    (one,), (two,) = (ask(f"SELECT run_id FROM run WHERE name = '{name}'")[0] for name in ("clean", "pgd"))
    said = {run: dict(ask(f"SELECT image_id, predicted_id FROM image WHERE run_id = {run}")) for run in (one, two)}
    labels = dict(ask(f"SELECT image_id, label_id FROM image WHERE run_id = {one}"))
    (layer,) = ask(f"SELECT layer_id FROM layer WHERE run_id = {one} AND name = '{LAYER}'")[0]
    places: dict[tuple[int, int, int], dict[tuple[int, int], float]] = defaultdict(dict)
    importance: dict[tuple[int, int, int], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for run, decision, class_id, channel, y, x, feature, weight in ask(
        "SELECT run_id, decision_id, root_class_id, source_channel, source_y, source_x, feature, importance "
        f"FROM edge WHERE source_layer = {layer}"
    ):
        places[run, decision // 2, channel][y, x] = feature
        importance[run, decision // 2, class_id][channel] += weight
    found: dict[int, dict[str, tuple[int, int, Any, Any]]] = {}
    for image, label in labels.items():
        wrong = said[two][image] != label
        if outcome != "null" and wrong != (outcome == "WRONG"):
            continue
        found[image] = {}
        for side, run, class_id in (("true", one, label), ("wrong", two, said[two][image])):
            if side == "wrong" and not wrong:
                continue
            held = importance[run, image, class_id]
            channels = sorted(held, key=lambda channel: (-held[channel], channel))[:top]
            both = [c for c in channels if (one, image, c) in places and (two, image, c) in places]
            means = [[fmean(places[r, image, c].values()) for c in both] for r in (one, two)]
            before, after = (fmean(values) if values else None for values in means)
            found[image][side] = (len(channels), len(both), before, after)
    return found


def test_peak_shift_takes_as_many_statements_for_any_page(clean: Ask, statements: list[str]) -> None:
    def count(first: int) -> int:
        statements.clear()
        clean(f'peakShift(other: "pgd", layer: "{LAYER}") {{ pairs(first: {first}) {{ nodes {{ true {CHANGE} }} }} }}')
        return len(statements)

    assert count(2) == count(20) == 2


def test_what_cannot_be_compared_is_refused(paired: Path, make_ask: Callable[[Path, Settings], Ask]) -> None:
    ask = make_ask(paired, Settings())
    for arguments, said in (
        ('other: "nothing", layer: "7"', "nothing"),
        ('other: "pgd", layer: "logits"', "what is explained, not evidence"),
        ('other: "pgd", layer: "7", top: 0', "top: 0"),
        ('other: "pgd", layer: "conv9"', "conv9"),
    ):
        answer = ask(f'{{ run(name: "clean") {{ peakShift({arguments}) {{ true {{ images }} }} }} }}')
        assert said in answer["errors"][0]["message"]
