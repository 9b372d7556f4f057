"""What a client names is found in one step: classes, images, runs, peaks of a class, crops; and the default run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy import stats

import evigraph
from evigraph.graphapi.questions.images import compare
from evigraph.graphapi.store.catalog import read_catalog
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.publish.manage import delete_runs, list_runs, rollback, set_default
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import open_read_only
from evigraph.schema.errors import NotFoundError, UsageError
from tests.graphapi.conftest import Ask, Sql
from tests.support.synthetic import synthetic_run


def test_a_class_and_an_image(ask: Ask, sql: Sql) -> None:
    (row,) = sql("SELECT uri, image_id FROM image WHERE run_id = 1 ORDER BY image_id LIMIT 1 OFFSET 7")
    found = ask(
        'query ($uri: String!) { run(name: "scenes") { class(name: "boat") { index } image(uri: $uri) { index } } }',
        uri=row["uri"],
    )["data"]["run"]
    assert found == {"class": {"index": 0}, "image": {"index": row["image_id"]}}


def test_an_unknown_image_has_near_ones(ask: Ask) -> None:
    (error,) = ask('{ run(name: "scenes") { image(uri: "00012.png") { index } } }')["errors"]
    assert error["extensions"]["code"] == "NOT_FOUND"
    assert "'images/00012.png'" in error["message"]


def test_an_image_by_its_index(ask: Ask, sql: Sql) -> None:
    (row,) = sql("SELECT uri FROM image WHERE run_id = 1 AND image_id = 7")
    answer = ask('{ run(name: "scenes") { image(index: 7) { uri index } } }')
    assert answer["data"]["run"]["image"] == {"uri": row["uri"], "index": 7}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("index: 100000", "NOT_FOUND", "'100000'"),
        ("index: -1", "NOT_FOUND", "'-1'"),
        ('index: 7, uri: "images/00007.png"', "BAD_USER_INPUT", "both given"),
        ("", "BAD_USER_INPUT", "not given"),
    ],
)
def test_what_names_no_image(ask: Ask, arguments: str, code: str, says: str) -> None:
    (error,) = ask(f'{{ run(name: "scenes") {{ image{arguments and f"({arguments})"} {{ uri }} }} }}')["errors"]
    assert error["extensions"]["code"] == code
    assert says in error["message"]


@pytest.mark.parametrize("way", ["preceding", "following"])
@pytest.mark.parametrize("arguments", ["", "sameLabel: true", "outcome: WRONG", "sameLabel: true, outcome: CORRECT"])
def test_images_near_one(run: Ask, sql: Sql, way: str, arguments: str) -> None:
    rows = sql("SELECT image_id, label_id, predicted_id FROM image WHERE run_id = 1 ORDER BY image_id")
    near = f"{way}(first: 3{arguments and f', {arguments}'}) {{ index }}"
    for node, row in zip(
        run(f"images(first: 100) {{ nodes {{ index {near} }} }}")["images"]["nodes"], rows, strict=True
    ):
        step = 1 if way == "following" else -1
        wanted = [
            other["image_id"]
            for other in rows[::step]
            if (other["image_id"] - row["image_id"]) * step > 0
            and ("sameLabel" not in arguments or other["label_id"] == row["label_id"] is not None)
            and ("WRONG" not in arguments or None is not other["label_id"] != other["predicted_id"])
            and ("CORRECT" not in arguments or other["label_id"] == other["predicted_id"])
        ]
        assert [image["index"] for image in node[way]] == wanted[:3]
        assert node["index"] == row["image_id"]


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ('uriPrefix: "images/0001"', "starts_with(uri, 'images/0001')"),
        ('search: "GES/0000"', "contains(uri, 'ges/0000')"),
        ('search: "3.p", outcome: CORRECT', "contains(uri, '3.p') AND label_id = predicted_id"),
        ('search: "%"', "false"),
        ('search: "\'"', "false"),
    ],
)
def test_images_by_part_of_their_uri(ask: Ask, sql: Sql, arguments: str, where: str) -> None:
    found = ask(f'{{ run(name: "scenes") {{ images(first: 100, {arguments}) {{ totalCount nodes {{ uri }} }} }} }}')
    wanted = [row["uri"] for row in sql(f"SELECT uri FROM image WHERE run_id = 1 AND {where} ORDER BY image_id")]
    answer = found["data"]["run"]["images"]
    assert [node["uri"] for node in answer["nodes"]] == wanted
    assert answer["totalCount"] == len(wanted)
    assert wanted or where == "false"


@pytest.mark.parametrize("role", ["predicted", "label"])
def test_peaks_of_a_class(ask: Ask, sql: Sql, role: str) -> None:
    """Each place once, by its strongest edge of the class's roots; against a loop over the edges."""
    (top,) = sql(
        f"""SELECT root_class_id, source_channel FROM edge JOIN decision USING (run_id, decision_id)
            WHERE run_id = 1 AND source_layer = 1 AND role = '{role}' GROUP BY ALL ORDER BY count(*) DESC LIMIT 1"""
    )
    best: dict[tuple[int, int, int], float] = {}
    for row in sql(
        f"""SELECT decision_id, source_y, source_x, contribution FROM edge JOIN decision USING (run_id, decision_id)
            WHERE run_id = 1 AND source_layer = 1 AND role = '{role}' AND root_class_id = {top["root_class_id"]}
              AND source_channel = {top["source_channel"]}"""
    ):
        place = (row["decision_id"], row["source_y"], row["source_x"])
        best[place] = max(best.get(place, 0.0), row["contribution"])
    asked = f"""{{ run(name: "scenes") {{ channel(layer: "conv2_2", index: {top["source_channel"]}) {{
        peaks(class: "index:{top["root_class_id"]}", role: {role.upper()}, first: 100) {{ totalCount
            nodes {{ y x contribution image {{ index }} decision {{ role class {{ index }} }} }} }} }} }} }}"""
    answer = ask(asked)["data"]["run"]["channel"]["peaks"]
    assert answer["totalCount"] == len(best) > 3
    wanted = sorted((-value, place) for place, value in best.items())[:100]
    places = [(node["image"]["index"], node["y"], node["x"]) for node in answer["nodes"]]
    assert places == [(place[0] // 2, *place[1:]) for _, place in wanted]
    assert [node["contribution"] for node in answer["nodes"]] == [-value for value, _ in wanted]
    assert {(node["decision"]["role"], node["decision"]["class"]["index"]) for node in answer["nodes"]} == {
        (role.upper(), top["root_class_id"])
    }


def test_runs_by_name(ask: Ask) -> None:
    def names(arguments: str) -> list[str]:
        return [node["name"] for node in ask(f"{{ runs{arguments} {{ nodes {{ name }} }} }}")["data"]["runs"]["nodes"]]

    assert names("") == ["plain", "scenes"]
    assert names('(names: ["scenes"])') == ["scenes"]
    assert names('(names: ["scenes", "plain", "scenes"])') == ["plain", "scenes"]
    assert names('(search: "CEN")') == ["scenes"]
    assert names('(model: "no such")') == []
    (error,) = ask('{ runs(names: ["scenes", "plane"]) { totalCount } }')["errors"]
    assert "plain" in error["message"]


Made = tuple[Path, Callable[[], Ask]]


@pytest.fixture
def two(tmp_path: Path, make_ask: Callable[[Path, Settings], Ask]) -> Made:
    """A database of `first`, and later `second`, which is newer; and a service on it as it is now."""
    synthetic_run(tmp_path / "first", images=40, name="first")
    synthetic_run(tmp_path / "second", images=50, name="second", seed=5)
    publish([tmp_path / "first"], tmp_path / "evidence.duckdb")
    return tmp_path / "evidence.duckdb", lambda: make_ask(tmp_path / "evidence.duckdb", Settings())


def asked_of(ask: Ask) -> tuple[str, str, Any]:
    """Which run answers without a name, why, and what is noted."""
    answer = ask("{ run { name chosenBy isDefault } }")
    run = answer["data"]["run"]
    assert run["isDefault"] == (run["chosenBy"] == "DEFAULT")
    return run["name"], run["chosenBy"], answer.get("extensions")


def test_the_only_run_needs_no_word(two: Made) -> None:
    assert asked_of(two[1]()) == ("first", "ONLY", None)


def test_the_newest_of_several_is_marked(two: Made) -> None:
    db, asks = two
    report = publish([db.parent / "second"], db)
    assert (report.asked, report.asked_as) == ("second", "newest")
    name, why, said = asked_of(asks())
    assert (name, why) == ("second", "NEWEST")
    assert "'second' is the newest of 2 runs" in said["notes"][0]
    named = asks()('{ run(name: "first") { chosenBy } }')
    assert named == {"data": {"run": {"chosenBy": "NAME"}}}


def test_a_default_is_kept_whatever_is_published(two: Made) -> None:
    db, asks = two
    set_default("first", db)
    publish([db.parent / "second"], db)
    name, why, said = asked_of(asks())
    assert (name, why) == ("first", "DEFAULT")
    assert "'first' is the default of 2 runs" in said["notes"][0]
    publish([db.parent / "first"], db)  # again, in its own place
    assert asked_of(asks())[:2] == ("first", "DEFAULT")
    assert [(run.name, run.is_default) for run in list_runs(db)] == [("first", True), ("second", False)]
    assert delete_runs(["second"], db).asked is None
    assert asked_of(asks())[:2] == ("first", "DEFAULT")
    rollback(db)
    publish([db.parent / "second"], db, default=True)
    assert asked_of(asks())[:2] == ("second", "DEFAULT")
    assert delete_runs(["second"], db).asked == "first"
    assert asked_of(asks())[:2] == ("first", "ONLY")


def test_what_cannot_be_the_default(two: Made) -> None:
    db, _ = two
    with pytest.raises(NotFoundError, match="first"):
        set_default("frist", db)
    with pytest.raises(UsageError, match="of which one can be it"):
        publish([db.parent / "first", db.parent / "second"], db, default=True)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    synthetic_run(folder / "first", images=100, name="first", shard_size=100)
    synthetic_run(folder / "second", images=90, name="second", seed=5, shard_size=100)
    publish([folder / "first", folder / "second"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="module")
def ask_of_two(compared: Path, make_ask: Callable[[Path, Settings], Ask]) -> Ask:
    return make_ask(compared, Settings())


def test_two_runs_compared(compared: Path, ask_of_two: Ask) -> None:
    """Every number against a loop over the images of both."""
    ask = ask_of_two
    with evigraph.open(compared) as opened:
        images = {name: {row["uri"]: row for row in opened.run(name).images()} for name in ("first", "second")}
    both = [uri for uri in images["first"] if uri in images["second"]]
    same = [uri for uri in both if (label := images["first"][uri]["label"]) and label == images["second"][uri]["label"]]
    right = {uri: tuple(images[name][uri]["correct"] for name in ("first", "second")) for uri in same}
    answer = ask(
        """{ run(name: "first") { compare(other: "second") { matched imagesCompared onlyInThis onlyInOther bothRight
            bothWrong onlyThisRight onlyOtherRight p
            byClass(first: 100) { totalCount nodes { class { name } images onlyThis onlyOther accuracy otherAccuracy } }
            lost: images(outcome: ONLY_THIS, first: 100) { nodes { image { uri } otherImage { uri correct } } }
            every: images(first: 3) { totalCount pageInfo { endCursor hasNextPage } } } } }"""
    )["data"]["run"]["compare"]
    assert (answer["matched"], answer["imagesCompared"]) == (len(both), len(same))
    assert (answer["onlyInThis"], answer["onlyInOther"]) == (
        len(images["first"]) - len(both),
        len(images["second"]) - len(both),
    )
    told = (answer["bothRight"], answer["onlyThisRight"], answer["onlyOtherRight"], answer["bothWrong"])
    assert told == tuple(
        list(right.values()).count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))
    )
    assert min(told[1:3]) > 0
    assert answer["p"] == pytest.approx(stats.binomtest(told[1], told[1] + told[2]).pvalue)
    assert [node["image"]["uri"] for node in answer["lost"]["nodes"]] == [
        uri for uri in same if right[uri] == (True, False)
    ]
    assert not any(node["otherImage"]["correct"] for node in answer["lost"]["nodes"])
    assert all(node["image"]["uri"] == node["otherImage"]["uri"] for node in answer["lost"]["nodes"])
    assert answer["every"]["totalCount"] == len(same)
    for node in answer["byClass"]["nodes"]:
        own = [pair for uri, pair in right.items() if images["first"][uri]["label"] == node["class"]["name"]]
        assert node["images"] == len(own)
        assert node["accuracy"] == pytest.approx(sum(pair[0] for pair in own) / len(own))
        assert node["otherAccuracy"] == pytest.approx(sum(pair[1] for pair in own) / len(own))
        assert node["onlyThis"] == own.count((True, False))
    changes = [abs(node["accuracy"] - node["otherAccuracy"]) for node in answer["byClass"]["nodes"]]
    assert changes == sorted(changes, reverse=True)


@pytest.mark.parametrize(("matched", "why"), [(0, "no uri is in both"), (5, "no image has a label in common")])
def test_runs_with_nothing_in_common(compared: Path, matched: int, why: str) -> None:
    class Answers:
        async def rows(self, _: object) -> list[Any]:
            return [SimpleNamespace(image_ids=None, other_ids=None, label_ids=None, outcomes=None, matched=matched)]

    engine = open_read_only(compared)
    with engine.connect() as connection:
        first, second = read_catalog(connection)
    engine.dispose()
    with pytest.raises(UsageError, match=f"cannot be compared: {why}; index the same labelled data"):
        asyncio.run(compare(Answers(), first, second))  # type: ignore[arg-type]


def test_what_cannot_be_compared(ask_of_two: Ask) -> None:
    (error,) = ask_of_two('{ run(name: "first") { compare(other: "frist") { p } } }')["errors"]
    assert "first" in error["message"]
    with_itself = ask_of_two('{ run(name: "first") { compare(other: "first") { onlyThisRight p bothRight } } }')
    assert with_itself["data"]["run"]["compare"]["onlyThisRight"] == 0
    assert with_itself["data"]["run"]["compare"]["p"] == 1
