"""Contrasts agree with plain SQL and SciPy, decision by decision; pages, examples and refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scipy import stats

from evigraph.graphapi.questions import contrast
from evigraph.graphapi.store.catalog import read_catalog
from evigraph.graphapi.store.settings import Settings
from evigraph.graphapi.types.contrast import require_comparable
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import open_read_only
from evigraph.schema.errors import UsageError
from tests.graphapi.conftest import ROOTS, Ask, Sql
from tests.support.synthetic import synthetic_run

ROW = """contextLabel channel { index } target { index layer { name } } countA rateA countB rateB logOddsRatio low high
    p q examplesA(first: 2) { id image { index } role class { index } } examplesB(first: 0) { id }"""
ITEMS = {
    "CHANNELS": ("source_channel", "-1"),
    "EDGES": ("source_channel", "target_channel"),
    "CONTEXT_LABELS": ("context_label_id", "-1"),
}


class Pair(NamedTuple):
    """GraphQL of cohorts a and b, SQL over ROOTS of their decisions, and the root: given, and answered."""

    a: str
    b: str
    where_a: str
    where_b: str
    answered: str = "PREDICTED"
    given: str | None = None


def cohorts(sql: Sql) -> dict[str, Pair]:
    """Cohorts that are rolled up, of one class, and such as must be looked up; by each root."""
    (pair, *_) = sql("SELECT label_id, predicted_id FROM confusion WHERE run_id = 1 ORDER BY images DESC LIMIT 1")
    label, predicted = pair["label_id"], pair["predicted_id"]
    own, other = f'label: "index:{label}"', f'predicted: "index:{predicted}"'
    wrong, right, of_prediction = "outcome = 'wrong'", "outcome = 'correct'", "role = 'predicted'"
    of_label = "class_id = label_id"
    return {
        "wrong and right": Pair(
            "{outcome: WRONG}",
            "{outcome: CORRECT}",
            f"{of_prediction} AND {wrong}",
            f"{of_prediction} AND {right}",
        ),
        "wrong and right by label": Pair(
            "{outcome: WRONG}",
            "{outcome: CORRECT}",
            f"{of_label} AND {wrong}",
            f"{of_label} AND {right}",
            "LABEL",
            "LABEL",
        ),
        "one class's decisions": Pair(
            f"{{{other}, outcome: WRONG}}",
            f"{{{other}, outcome: CORRECT}}",
            f"{of_prediction} AND predicted_id = {predicted} AND {wrong}",
            f"{of_prediction} AND predicted_id = {predicted} AND {right}",
        ),
        "one label": Pair(
            f"{{{own}, outcome: WRONG}}",
            f"{{{own}, outcome: CORRECT}}",
            f"{of_label} AND label_id = {label} AND {wrong}",
            f"{of_label} AND label_id = {label} AND {right}",
            "LABEL",
        ),
        "why it lost": Pair(
            f"{{{own}, {other}}}",
            f"{{{own}, outcome: CORRECT}}",
            f"{of_label} AND label_id = {label} AND predicted_id = {predicted}",
            f"{of_label} AND label_id = {label} AND {right}",
            "LABEL",
        ),
        "one label by its own roots": Pair(
            f"{{{own}, outcome: WRONG}}",
            f"{{{own}, outcome: CORRECT}}",
            f"{of_prediction} AND label_id = {label} AND {wrong}",
            f"{of_prediction} AND label_id = {label} AND {right}",
            "OWN",
            "OWN",
        ),
        "all that speaks for two labels": Pair(
            f"{{{own}}}",
            f'{{label: "index:{predicted}"}}',
            f"{of_label} AND label_id = {label}",
            f"{of_label} AND label_id = {predicted}",
            "LABEL",
            "LABEL",
        ),
        "taken for another": Pair(
            f"{{{own}, {other}}}",
            f"{{{other}, outcome: CORRECT}}",
            f"{of_prediction} AND label_id = {label} AND predicted_id = {predicted}",
            f"{of_prediction} AND predicted_id = {predicted} AND {right}",
        ),
        "both decisions of an image": Pair(
            "{role: LABEL}", "{outcome: WRONG}", "role = 'label'", f"{of_prediction} AND {wrong}", "OWN"
        ),
    }


NAMES = (
    "wrong and right",
    "wrong and right by label",
    "one class's decisions",
    "one label",
    "why it lost",
    "one label by its own roots",
    "all that speaks for two labels",
    "taken for another",
    "both decisions of an image",
)


@pytest.mark.parametrize("of", ITEMS)
@pytest.mark.parametrize("name", NAMES)
def test_counts_and_statistics(run: Ask, sql: Sql, name: str, of: str) -> None:
    """Every number of every row, from the decisions' own edges by plain SQL and SciPy one table at a time."""
    a, b, where_a, where_b, answered, given = cohorts(sql)[name]
    root = f", root: {given}" if given else ""
    layer, layer_id = ("conv2_2", 1) if of == "EDGES" else ("conv3_3", 2)
    answer = run(
        f'contrast(layer: "{layer}", of: {of}, minCount: 1, first: 100, a: {a}, b: {b}{root})'
        "{ root rootClassDistance rootClassesA(first: 100) { class { index } decisions } "
        "rootClassesB(first: 1) { decisions } decisionsA decisionsB totalCount "
        f"sharedImages discoveries(q: 0.5) nodes {{ {ROW} }} }}"
    )["contrast"]
    first, second = ITEMS[of]
    roots = sql(
        f"SELECT decision_id, image_id, class_id, {where_a} AS a, {where_b} AS b FROM ({ROOTS}) WHERE run_id = 1"
    )
    in_a = {root["decision_id"] for root in roots if root["a"]}
    in_b = {root["decision_id"] for root in roots if root["b"]}
    assert (answer["decisionsA"], answer["decisionsB"]) == (len(in_a), len(in_b))
    assert answer["root"] == answered
    mixes = [Counter(one["class_id"] for one in roots if one[side]) for side in ("a", "b")]
    assert {one["class"]["index"]: one["decisions"] for one in answer["rootClassesA"]} == mixes[0]
    assert [one["decisions"] for one in answer["rootClassesB"]] == [max(mixes[1].values())]
    shares = [{key: count / mix.total() for key, count in mix.items()} for mix in mixes]
    apart = sum(abs(shares[0].get(key, 0) - shares[1].get(key, 0)) for key in mixes[0] | mixes[1]) / 2
    assert answer["rootClassDistance"] == pytest.approx(apart)
    assert answer["sharedImages"] == len({one // 2 for one in in_a} & {one // 2 for one in in_b})
    held: dict[tuple[int, int], set[int]] = {}
    for row in sql(
        f"SELECT DISTINCT decision_id, {first} AS one, {second} AS other FROM edge "
        f"WHERE run_id = 1 AND source_layer = {layer_id} AND {first} IS NOT NULL"
    ):
        held.setdefault((row["one"], row["other"]), set()).add(row["decision_id"])
    names = {row["name"]: row["label_id"] for row in sql("SELECT * FROM context_label WHERE run_id = 1")}
    expected = {item: (len(of_item & in_a), len(of_item & in_b)) for item, of_item in held.items()}
    expected = {item: counts for item, counts in expected.items() if sum(counts)}
    assert answer["totalCount"] == len(expected) > 2
    tables = {item: [[one, len(in_a) - one], [other, len(in_b) - other]] for item, (one, other) in expected.items()}
    p = {item: stats.fisher_exact(table).pvalue for item, table in tables.items()}
    q = dict(zip(p, stats.false_discovery_control(list(p.values())), strict=True))
    assert answer["discoveries"] == sum(value <= 0.5 for value in q.values())
    for row in answer["nodes"]:
        item = (names[row["contextLabel"]] if of == "CONTEXT_LABELS" else row["channel"]["index"], -1)
        if of == "EDGES":
            item = (item[0], row["target"]["index"])
            assert row["target"]["layer"]["name"] == "conv3_3"
        assert (row["countA"], row["countB"]) == expected[item]
        assert row["rateA"] == row["countA"] / len(in_a)
        assert row["p"] == pytest.approx(p[item], rel=1e-9)
        assert row["q"] == pytest.approx(q[item], rel=1e-9)
        odds = stats.contingency.odds_ratio([[2 * c + 1 for c in pair] for pair in tables[item]], kind="sample")
        assert 2.718281828459045 ** row["logOddsRatio"] == pytest.approx(odds.statistic)
        assert row["low"] < row["logOddsRatio"] < row["high"]
        examples = [2 * one["image"]["index"] + (one["role"] == "LABEL") for one in row["examplesA"]]
        assert len(set(examples)) == len(examples) == min(2, row["countA"])
        assert set(examples) <= held[item] & in_a
        assert row["examplesB"] == []
    keys = [(row["p"], -abs(row["logOddsRatio"])) for row in answer["nodes"]]
    assert keys == sorted(keys)


def test_examples_have_most_importance(run: Ask, sql: Sql) -> None:
    (row, *_) = run(
        'contrast(layer: "conv3_3", a: {outcome: CORRECT}, b: {outcome: WRONG}) '
        "{ nodes { channel { index } countA examplesA(first: 10) { image { index } } } }"
    )["contrast"]["nodes"]
    most = sql(
        f"""SELECT decision_id // 2 AS image_id FROM edge JOIN ({ROOTS}) USING (run_id, decision_id)
            WHERE run_id = 1 AND source_layer = 2 AND source_channel = $channel AND outcome = 'correct'
            GROUP BY decision_id ORDER BY sum(importance) DESC, decision_id LIMIT 10""",
        channel=row["channel"]["index"],
    )
    assert [one["image"]["index"] for one in row["examplesA"]] == [one["image_id"] for one in most]


def test_pages_are_the_whole(run: Ask) -> None:
    question = 'contrast(layer: "conv2_2", of: EDGES, a: {outcome: WRONG}, b: {outcome: CORRECT}, first: %d%s) '
    node = "node { channel { index } target { index } p }"
    body = f"{{ totalCount pageInfo {{ hasNextPage endCursor }} edges {{ cursor {node} }} }}"
    whole = run(question % (100, "") + body)["contrast"]
    assert whole["totalCount"] > 20
    seen: list[Any] = []
    after = ""
    while True:
        page = run(question % (7, after) + body)["contrast"]
        seen += page["edges"]
        after = f', after: "{page["pageInfo"]["endCursor"]}"'
        if not page["pageInfo"]["hasNextPage"] or len(seen) >= 100:
            break
    assert seen[:100] == whole["edges"]


def test_least_count(run: Ask) -> None:
    counts = [
        run(f'contrast(layer: "conv3_3", a: {{outcome: WRONG}}, b: {{outcome: CORRECT}}, minCount: {least}, first: 100)'
            "{ totalCount nodes { countA countB } }")["contrast"]
        for least in (1, 2, 9)
    ]  # fmt: skip
    assert counts[0]["totalCount"] >= counts[1]["totalCount"] > counts[2]["totalCount"]
    assert all(row["countA"] + row["countB"] >= 9 for row in counts[2]["nodes"])


def test_images_of_a_prefix(run: Ask, sql: Sql) -> None:
    (uri,) = sql("SELECT min(uri) AS uri FROM image WHERE run_id = 1")
    prefix = uri["uri"][:-5]
    (count,) = sql("SELECT count(*) AS n FROM image WHERE run_id = 1 AND starts_with(uri, $prefix)", prefix=prefix)
    answer = run(
        f'contrast(layer: "conv3_3", a: {{uriPrefix: "{prefix}"}}, b: {{role: LABEL}}) {{ decisionsA totalCount }}'
    )["contrast"]
    assert answer["decisionsA"] == count["n"] > 0


@pytest.fixture(scope="module")
def ask_of_two_runs(tmp_path_factory: pytest.TempPathFactory, make_ask: Callable[[Path, Settings], Ask]) -> Ask:
    """`first` and `second` are of the same network and different images."""
    folder = tmp_path_factory.mktemp("two")
    synthetic_run(folder / "first", images=40, name="first")
    synthetic_run(folder / "second", images=50, name="second", seed=5)
    publish([folder / "first", folder / "second"], folder / "evidence.duckdb")
    return make_ask(folder / "evidence.duckdb", Settings())


def test_two_runs(ask_of_two_runs: Ask) -> None:
    """Each cohort is counted in its own run; without a run named it is the one that was asked."""
    question = """{ run(name: "first") { id contrast(layer: "conv3_3", of: %s, minCount: 1, first: 100,
        a: {outcome: CORRECT}, b: {outcome: CORRECT, run: "second"}) { decisionsA decisionsB
        nodes { contextLabel channel { index } countA countB examplesB(first: 1) { id } } } } }"""
    support = """{ run(name: "%s") { channelSupport(layer: "conv3_3", outcome: CORRECT, first: 100) {
        nodes { channel { index } decisions } } } }"""
    of_run = {}
    for name in ("first", "second"):
        nodes = ask_of_two_runs(support % name)["data"]["run"]["channelSupport"]["nodes"]
        of_run[name] = {node["channel"]["index"]: node["decisions"] for node in nodes}
    answer = ask_of_two_runs(question % "CHANNELS")
    for row in answer["data"]["run"]["contrast"]["nodes"]:
        index = row["channel"]["index"]
        assert (row["countA"], row["countB"]) == (of_run["first"].get(index, 0), of_run["second"].get(index, 0))
        assert len(row["examplesB"]) == min(1, row["countB"])
    assert "errors" not in ask_of_two_runs(question % "CONTEXT_LABELS")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('layer: "conv3_3", a: {outcome: WRONG}, b: {}', "share"),
        ('layer: "conv3_3", a: {label: "index:0"}, b: {predicted: "index:0", outcome: CORRECT}', "share"),
        ('layer: "conv3_3", a: {tag: "no such"}, b: {}', "cohort a (run scenes, role PREDICTED, tag no such) has no"),
        ('layer: "conv3_3", a: {}, b: {role: LABEL, outcome: CORRECT}', "is empty whatever the data"),
        ('layer: "conv3_3", a: {label: "0", predicted: "1", outcome: CORRECT}, b: {}', "is empty whatever the data"),
        ('layer: "logits", a: {outcome: WRONG}, b: {outcome: CORRECT}', "what is explained, not evidence"),
        ('layer: "conv3_3", root: LABEL, a: {role: LABEL}, b: {outcome: CORRECT}', "drop `role`, or give root: OWN"),
        ('layer: "conv3_3", a: {outcome: WRONG}, b: {outcome: CORRECT}, minCount: 0', "minCount: 0 is below 1"),
        ('layer: "conv3_3", a: {label: "bot"}, b: {}', "no class 'bot'"),
        ('layer: "conv3_3", a: {outcome: WRONG}, b: {outcome: CORRECT}, after: "x"', "is no cursor"),
    ],
)
def test_refusals(ask: Ask, arguments: str, said: str) -> None:
    answer = ask(f'{{ run(name: "scenes") {{ contrast({arguments}) {{ totalCount }} }} }}')
    (error,) = answer["errors"]
    assert said in error["message"]
    assert "\n" not in error["message"]
    assert error["extensions"]["code"] in ("BAD_USER_INPUT", "NOT_FOUND")


def test_channels_of_other_weights_are_not_compared(database: Path) -> None:
    """Context labels are, by name."""
    engine = open_read_only(database)
    with engine.connect() as connection:
        run = read_catalog(connection)[0]
    engine.dispose()
    other = replace(run, name="other", weights_sha256="f" * 64)
    with pytest.raises(UsageError, match="different weights"):
        require_comparable(run, other, run.layers[1], contrast.EDGES)
    require_comparable(run, other, run.layers[1], contrast.CONTEXT_LABELS)


def test_rolled_up_cohorts_read_no_edges(ask: Ask, statements: list[str]) -> None:
    """All wrong against all right is answered from the rollups: at 18 M edges 0.1 s instead of 4."""
    for of in ITEMS:
        statements.clear()
        ask(
            f'{{ run(name: "scenes") {{ contrast(layer: "conv3_3", of: {of}, a: {{outcome: WRONG}}, '
            "b: {outcome: CORRECT}) { totalCount nodes { p } } } }"
        )
        assert len(statements) == 2
        assert not [statement for statement in statements if "decomposition" in statement]
