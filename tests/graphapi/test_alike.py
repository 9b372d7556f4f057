"""Channels that are alike, and their groups: against loops over the edges and over the overlap groups."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.schema.database import open_read_only
from tests.graphapi.conftest import Ask, Sql
from tests.indexer.test_overlaps import settings_of

Pairs = dict[tuple[int, int], float]
ALIKE_BY_MASKS = """{ run { channel(layer: "%s", index: %d) { alike(by: MASKS, minEdges: 3, first: 100) {
    likeness overlaps edges kept { index } channel { index } } } } }"""
GROUPS_BY_MASKS = """{ run { channelGroups(layer: "%s", by: MASKS, minEdges: 3, threshold: 0.2) {
    channels { index } } } }"""


def _profiles(sql: Sql, layer_id: int, role: str, min_edges: int) -> dict[int, dict[tuple[str, int], float]]:
    """The profile of each channel of `scenes`, of length 1, from its edges."""
    rows = sql(
        "SELECT target_layer, target_channel, source_channel, importance FROM edge JOIN decision "
        "USING (run_id, decision_id) WHERE run_id = 1 AND role = $role AND target_layer IN ($layer, $layer + 1)",
        role=role,
        layer=layer_id,
    )
    upper: defaultdict[int, Counter[int]] = defaultdict(Counter)
    lower: defaultdict[int, Counter[int]] = defaultdict(Counter)
    edges: dict[str, Counter[int]] = {"upper": Counter(), "lower": Counter()}
    for row in rows:
        if row["target_layer"] > layer_id:
            upper[row["source_channel"]][row["target_channel"]] += row["importance"]
            edges["upper"][row["source_channel"]] += 1
        else:
            lower[row["target_channel"]][row["source_channel"]] += row["importance"]
            edges["lower"][row["target_channel"]] += 1
    counted = edges["upper"] or edges["lower"]
    profiles = {}
    for channel in {*upper, *lower}:
        if counted[channel] < min_edges:
            continue
        halves = [(name, sums[channel]) for name, sums in (("upper", upper), ("lower", lower)) if sums[channel]]
        profiles[channel] = {
            (name, other): math.sqrt(value / sum(half.values()) / len(halves))
            for name, half in halves
            for other, value in half.items()
        }
    return profiles


def _cosines(profiles: dict[int, dict[tuple[str, int], float]]) -> Pairs:
    return {
        (a, b): sum(value * profiles[b].get(key, 0.0) for key, value in profiles[a].items())
        for a in profiles
        for b in profiles
        if a != b
    }


def _components(pairs: Pairs, threshold: float) -> set[frozenset[int]]:
    """Groups of two or more, by joining sets until nothing changes."""
    groups = [{a, b} for (a, b), value in pairs.items() if value >= threshold]
    for _ in groups:
        for group in groups:
            for other in groups:
                if group is not other and group & other:
                    group |= other
                    other.clear()
    return {frozenset(group) for group in groups if group}


@pytest.mark.parametrize(
    ("layer", "layer_id", "role", "min_edges"),
    [
        ("conv1_2", 0, "predicted", 10),
        ("conv3_3", 2, "predicted", 1),
        ("conv3_3", 2, "label", 3),
        ("logits", 3, "predicted", 1),
    ],
)
def test_by_edges(run: Ask, sql: Sql, layer: str, layer_id: int, role: str, min_edges: int) -> None:
    channels = {entry["name"]: entry for entry in run("layers { name index channels }")["layers"]}[layer]
    assert channels["index"] == layer_id
    pairs = _cosines(_profiles(sql, layer_id, role, min_edges))
    assert len(pairs) > 10
    arguments = f"role: {role.upper()}, minEdges: {min_edges}"
    found: Pairs = {}
    for index_ in range(channels["channels"]):
        channel = run(f'channel(layer: "{layer}", index: {index_}) {{ alike({arguments}, first: 100) {{ likeness '
                      "channel { index layer { name } } kept { index } overlaps edges } }")["channel"]  # fmt: skip
        values = [row["likeness"] for row in channel["alike"]]
        assert values == sorted(values, reverse=True)
        for row in channel["alike"]:
            assert row["channel"]["layer"]["name"] == layer
            assert row["kept"] is row["overlaps"] is row["edges"] is None
            found[index_, row["channel"]["index"]] = row["likeness"]
    assert found == pytest.approx({pair: value for pair, value in pairs.items() if value > 0}, abs=1e-5)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_groups(run: Ask, sql: Sql, threshold: float) -> None:
    pairs = _cosines(_profiles(sql, 2, "predicted", 10))
    wanted = _components(pairs, threshold)
    arguments = f"threshold: {threshold}"
    groups = run(f'channelGroups(layer: "conv3_3", {arguments}, first: 100) '
                 "{ size least mean channels(first: 100) { index } }")["channelGroups"]  # fmt: skip
    found = [[channel["index"] for channel in group["channels"]] for group in groups]
    assert {frozenset(group) for group in found} == wanted
    if threshold < 0.8:
        assert wanted
    edges = {
        row["channel"]: row["edges"]
        for row in sql(
            "SELECT source_channel AS channel, count(*) AS edges FROM edge JOIN decision USING (run_id, decision_id) "
            "WHERE run_id = 1 AND source_layer = 2 AND role = 'predicted' GROUP BY ALL"
        )
    }
    for group, members in zip(groups, found, strict=True):
        of_pairs = [pairs[a, b] for a in members for b in members if a < b]
        assert group["size"] == len(members)
        assert group["least"] == pytest.approx(min(of_pairs), abs=1e-5)
        assert group["mean"] == pytest.approx(sum(of_pairs) / len(of_pairs), abs=1e-5)
        assert [edges[channel] for channel in members] == sorted((edges[channel] for channel in members), reverse=True)
        one = run(f'channel(layer: "conv3_3", index: {members[-1]}) {{ group({arguments}) '
                  "{ size channels(first: 100) { index } } }")["channel"]["group"]  # fmt: skip
        assert [channel["index"] for channel in one["channels"]] == members
    for alone in {a for a, _ in pairs} - {channel for group in found for channel in group}:
        answer = run(f'channel(layer: "conv3_3", index: {alone}) {{ group({arguments}) {{ size }} }}')
        assert answer["channel"]["group"] is None


def test_one_statement_a_layer(ask: Ask, statements: list[str]) -> None:
    """Whatever is asked of its channels."""
    answer = ask(
        '{ run(name: "scenes") { channelGroups(layer: "conv3_3") { size } channelSupport(layer: "conv3_3", first: 5) '
        "{ nodes { channel { alike { likeness } group(threshold: 0.4) { size } degreeRank { lower } } } } } }"
    )
    assert "errors" not in answer, answer
    assert len(statements) == 3  # channels, edges between channels, degrees


def test_degree_rank(run: Ask, sql: Sql) -> None:
    degrees = {row["channel"]: row for row in sql("SELECT * FROM channel_degree WHERE run_id = 1 AND layer_id = 2")}
    layer = next(layer for layer in run("layers { index channels }")["layers"] if layer["index"] == 2)
    ranks = {}
    for index_ in range(layer["channels"]):
        answer = run(f'channel(layer: "conv3_3", index: {index_}) {{ degreeRank {{ edges lower channels }} }}')
        ranks[index_] = answer["channel"]["degreeRank"]
    assert ranks == {
        index_: None
        if index_ not in degrees
        else {
            "edges": degrees[index_]["edges"],
            "lower": sum(
                other["discriminative_degree"] < degrees[index_]["discriminative_degree"] for other in degrees.values()
            ),
            "channels": len(degrees),
        }
        for index_ in ranks
    }
    assert run('channel(layer: "conv3_3", index: 0) { class { name } }')["channel"]["class"] is None
    assert run('channel(layer: "logits", index: 1) { class { index } }')["channel"]["class"] == {"index": 1}


def test_by_masks(tmp_path: Path, make_ask: Callable[[Path, Settings], Ask]) -> None:
    index(settings_of(tmp_path, run=tmp_path / "run", limit=12, method=Method(top_n=4, overlaps=True)))
    publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    engine = open_read_only(tmp_path / "evidence.duckdb")
    with engine.connect() as connection:
        overlaps = [dict(row) for row in connection.exec_driver_sql("SELECT * FROM overlap").mappings()]
        edges = [dict(row) for row in connection.exec_driver_sql("SELECT * FROM edge").mappings()]
        rollup = connection.exec_driver_sql("FROM channel_overlap").all()
    engine.dispose()
    wanted: Counter[tuple[Any, ...]] = Counter()
    for row in overlaps:
        role = "label" if row["decision_id"] % 2 else "predicted"
        wanted[1, row["layer_id"] - 1, row["representative"], row["member"], role] += 1
    assert Counter({tuple(row[:5]): row[5] for row in rollup}) == wanted
    ask = make_ask(tmp_path / "evidence.duckdb", Settings())
    names = [layer["name"] for layer in ask("{ run { layers { name } } }")["data"]["run"]["layers"]]
    checked = 0
    for layer_id, name in enumerate(names[:2]):
        kept = Counter(
            row["source_channel"] for row in edges if row["source_layer"] == layer_id and row["decision_id"] % 2 == 0
        )
        rates: Pairs = {
            (key[2], key[3]): count / kept[key[2]]
            for key, count in wanted.items()
            if key[1] == layer_id and key[4] == "predicted" and kept[key[2]] >= 3
        }
        both = {pair for a, b in rates for pair in ((a, b), (b, a))}
        likeness = {(a, b): max(rates.get((a, b), 0), rates.get((b, a), 0)) for a, b in both}
        for channel in {a for a, _ in likeness}:
            rows = ask(ALIKE_BY_MASKS % (name, channel))["data"]["run"]["channel"]["alike"]
            found = {(channel, row["channel"]["index"]): row["likeness"] for row in rows}
            assert found == pytest.approx({pair: rate for pair, rate in likeness.items() if pair[0] == channel})
            for row in rows:
                holder = row["kept"]["index"]
                (member,) = {channel, row["channel"]["index"]} - {holder}
                assert row["edges"] == kept[holder]
                assert row["overlaps"] == wanted[1, layer_id, holder, member, "predicted"]
                assert row["likeness"] == pytest.approx(row["overlaps"] / row["edges"])
                checked += 1
        groups = ask(GROUPS_BY_MASKS % name)["data"]["run"]["channelGroups"]
        members = {frozenset(channel["index"] for channel in group["channels"]) for group in groups}
        assert members == _components(likeness, 0.2)
    assert checked > 10


def test_without_overlaps_masks_are_not_known(run: Ask) -> None:
    """Null, not an empty list, which would say that no masks overlap."""
    answer = run('channelGroups(layer: "conv3_3", by: MASKS) { size } channel(layer: "conv3_3", index: 0) { '
                 "alike(by: MASKS) { likeness } group(by: MASKS) { size } }")  # fmt: skip
    assert answer == {"channelGroups": None, "channel": {"alike": None, "group": None}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("alike(first: 101)", "first: 101 is not within 0 and 100"),
        ("alike(minEdges: 0)", "minEdges: 0"),
        ("group(threshold: 0.01)", "threshold: 0.01 is not within 0.05 and 1"),
    ],
)
def test_refused(ask: Ask, arguments: str, said: str) -> None:
    answer = ask(f'{{ run {{ channel(layer: "conv3_3", index: 0) {{ {arguments} {{ __typename }} }} }} }}')
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert said in answer["errors"][0]["message"]
