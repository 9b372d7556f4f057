"""Unknown and ambiguous names, bad ids, refused queries: one shape, one code, nothing of Python's."""

from __future__ import annotations

import base64
import importlib
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from sqlalchemy import func, literal, select, true

from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.settings import SETTINGS, Settings
from evigraph.graphapi.types import layers_classes
from evigraph.schema.errors import NotFoundError, UsageError
from tests.graphapi.conftest import Ask


def _error(answer: dict[str, Any]) -> dict[str, Any]:
    (error,) = answer["errors"]
    assert set(error) <= {"message", "locations", "path", "extensions"}
    found: dict[str, Any] = error
    return found


NOT_FOUND = [
    ('run(name: "scene") { name }', "run 'scene'", ["scenes"]),
    ('run(name: "") { name }', "run ''", []),
    ('run(name: "scenes") { channel(layer: "conv4_3", index: 0) { index } }', "layer 'conv4_3'", ["conv3_3"]),
    ('run(name: "scenes") { channel(layer: "", index: 0) { index } }', "layer ''", []),
    (
        'run(name: "scenes") { channelSupport(layer: "features.70") { totalCount } }',
        "layer 'features.70'",
        ["features.7"],
    ),
    (
        'run(name: "scenes") { channelSupport(layer: "conv3_3", class: "boar") { totalCount } }',
        "class 'boar'",
        ["boat"],
    ),
    ('run(name: "scenes") { channelSupport(layer: "conv3_3", class: "6") { totalCount } }', "class '6'", []),
    ('run(name: "scenes") { class(name: "99") { name } }', "which has classes 0 to 5", []),
    ('run(name: "scenes") { class(name: "") { name } }', "which has classes 0 to 5", []),
    ('run(name: "scenes") { images(label: "Boat") { totalCount } }', "class 'Boat'", ["boat"]),
    ('run(name: "scenes") { images(predicted: "n0000000") { totalCount } }', "class 'n0000000'", []),
    (
        'run(name: "scenes") { channel(layer: "conv3_3", index: 0) { contextLabels(class: "brd") { totalCount } } }',
        "class 'brd'",
        ["bird"],
    ),
    ('run(name: "scenes") { channel(layer: "conv3_3", index: 16) { index } }', "channels 0 to 15", []),
    ('run(name: "scenes") { channel(layer: "conv3_3", index: -1) { index } }', "channels 0 to 15", []),
]


@pytest.mark.parametrize(("query", "said", "near"), NOT_FOUND)
def test_not_found(ask: Ask, query: str, said: str, near: list[str]) -> None:
    """NOT_FOUND with near matches, in the message and for programs."""
    error = _error(ask("{ " + query + " }"))
    assert error["extensions"]["code"] == "NOT_FOUND"
    assert said in error["message"]
    assert set(near) <= set(error["extensions"]["near"])
    assert all(repr(name) in error["message"] for name in near)


@pytest.mark.parametrize("known", [["class"], ["zzz"]])
@pytest.mark.parametrize("hint", ["", "; there are class", "in run 'x'", "(`runs` lists them)", "in x; go by uri"])
def test_a_hint_continues_the_sentence(known: list[str], hint: str) -> None:
    """Whether or not there is a near name that it follows."""
    message = str(NotFoundError("parameter", "clas", known, hint))
    assert hint.removeprefix("; ") in message
    assert not re.search(r"\s[;?]|\?;|\s\s|\s$", message)


def test_ambiguous_class(ask: Ask, run: Ask) -> None:
    """A shared name lists its candidates; each can be named by key, by index, or by index:N."""
    error = _error(ask('{ run(name: "scenes") { images(label: "car") { totalCount } } }'))
    assert error["extensions"]["code"] == "AMBIGUOUS"
    assert error["extensions"]["candidates"] == ["index:4 (n00000004, car)", "index:5 (n00000005, car)"]
    assert "index:5 (n00000005, car)" in error["message"]
    counts = {
        run(f'images(predicted: "{name}") {{ totalCount }}')["images"]["totalCount"]
        for name in ("n00000004", "4", "index:4", "key:n00000004")
    }
    assert len(counts) == 1


def _global(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def test_ids(ask: Ask, run: Ask) -> None:
    """Every node is found again by its id."""
    found = run(
        """id layers { id name } classes { nodes { id name } } channel(layer: "conv3_3", index: 3) { id }
           images(first: 2) { nodes { id uri decisions { id logit } } }"""
    )
    image = found["images"]["nodes"][1]
    wanted = {
        found["id"]: ("Run", "scenes"),
        found["layers"][1]["id"]: ("Layer", "conv2_2"),
        found["classes"]["nodes"][2]["id"]: ("Class", "train"),
        found["channel"]["id"]: ("Channel", 3),
        image["id"]: ("Image", image["uri"]),
        image["decisions"][0]["id"]: ("Decision", image["decisions"][0]["logit"]),
    }
    query = """query ($id: ID!) { node(id: $id) { __typename id ... on Run { v: name } ... on Layer { v: name }
        ... on Class { v: name } ... on Channel { w: index } ... on Image { v: uri } ... on Decision { x: logit } } }"""
    for global_id, (type_name, value) in wanted.items():
        node = ask(query, id=global_id)["data"]["node"]
        assert (node["__typename"], node["id"]) == (type_name, global_id)
        assert node.get("v", node.get("w", node.get("x"))) == value


@pytest.mark.parametrize(
    "global_id",
    [
        "",
        "zz",
        "ü",
        "UnVu==",
        "A" * 9999,
        _global("Run"),
        _global("Edge:scenes/1"),
        *(_global(f"Image:scenes/{rest}") for rest in ("x", "1/2", "-1", "99999999999")),
    ],
)
def test_bad_ids(ask: Ask, global_id: str) -> None:
    """What `id` never gives is refused as such."""
    answer = ask("query ($id: ID!) { node(id: $id) { id } }", id=global_id)
    assert answer["data"] == {"node": None}
    assert _error(answer)["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "text",
    [
        "Run:nope",
        "Image:scenes/3",
        "Image:scenes/4000",
        "Decision:scenes/1",
        "Class:scenes/77",
        "Channel:scenes/conv3_3/16",
        "Channel:scenes/conv9/1",
        "Layer:scenes/conv9",
    ],
)
def test_ids_of_nothing(ask: Ask, text: str) -> None:
    """A well-formed id of what is not there: null and NOT_FOUND."""
    answer = ask("query ($id: ID!) { node(id: $id) { id } }", id=_global(text))
    assert answer["data"] == {"node": None}
    assert _error(answer)["extensions"]["code"] == "NOT_FOUND"


REFUSED = [
    ("{ run { name ", "GRAPHQL_PARSE_FAILED"),
    ("query Q { run { nam } }", "GRAPHQL_VALIDATION_FAILED"),
    ("mutation { x }", "GRAPHQL_VALIDATION_FAILED"),
    ("{ run { ...nowhere } }", "GRAPHQL_VALIDATION_FAILED"),
    ("fragment F on Run { name }", "BAD_USER_INPUT"),
    ("query A { run { name } } query B { run { name } }", "BAD_USER_INPUT"),
    ("query ($n: Int!) { run { images(first: $n) { totalCount } } }", "BAD_USER_INPUT"),
    ("{ run { images(first: 99999999999) { totalCount } } }", "GRAPHQL_VALIDATION_FAILED"),
    ("{ run " * 100 + "{ name }" + " }" * 100, "LIMIT_EXCEEDED"),
    ("{ a " * 2000, "GRAPHQL_PARSE_FAILED"),
    ("{ run { " + " ".join(f"a{i}: name" for i in range(1001)) + " } }", "LIMIT_EXCEEDED"),
    ("{ " + "a " * 6000 + "}", "GRAPHQL_PARSE_FAILED"),
    ("{ run { ...A } } fragment A on Run { ...B } fragment B on Run { ...A }", "GRAPHQL_VALIDATION_FAILED"),
]


@pytest.mark.parametrize(("query", "code"), REFUSED, ids=range(len(REFUSED)))
def test_refused_queries(ask: Ask, query: str, code: str) -> None:
    """Queries that never run, each with its code and without data."""
    answer = ask(query)
    assert "data" not in answer
    assert code in {error["extensions"]["code"] for error in answer["errors"]}
    assert all(error["message"] and "Traceback" not in error["message"] for error in answer["errors"])


def test_fragments_count_as_often_as_they_are_spread(ask: Ask) -> None:
    """Nested fragments that double fourteen times are refused, fast; an introspection query is not."""
    doubling = "".join(f"fragment F{i} on Run {{ a: __typename ...F{i + 1} ...F{i + 1} }} " for i in range(14))
    error = _error(ask("{ run { ...F0 } } " + doubling + "fragment F14 on Run { name }"))
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    from graphql import get_introspection_query

    answer = ask(get_introspection_query())
    assert "errors" not in answer
    assert answer["data"]["__schema"]["queryType"]["name"] == "Query"


def test_too_large_an_answer(database: Path, make_ask: Callable[[Path, Settings], Ask]) -> None:
    """Rows and statements of one request are bounded."""
    ask = make_ask(database, Settings(max_objects=100, max_statements=3))
    answer = ask("{ run { images(first: 20) { nodes { decisions { evidence { truncated } } } } } }")
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"LIMIT_EXCEEDED"}
    assert "more than 100 objects" in answer["errors"][0]["message"]
    fields = " ".join(f'f{i}: images(first: 1, label: "{i}") {{ totalCount }}' for i in range(5))
    answer = ask("{ run { " + fields + " } }")
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"LIMIT_EXCEEDED"}
    assert "more than 3 SQL statements" in answer["errors"][0]["message"]


def test_timeout(database: Path, make_ask: Callable[[Path, Settings], Ask], monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that would take minutes is interrupted, and its only thread serves on."""
    ask = make_ask(database, Settings(time_limit_ms=1000, threads=1))
    query = '{ run(name: "scenes") { confusions { nodes { images } } } }'

    class Endless(NamedTuple):
        run_id: int
        images: int

    def endless(*_: object) -> Listing[Endless]:
        numbers = [func.range(100_000).table_valued(name).render_derived() for name in ("a", "b")]
        images = func.sum(func.hash(*(table.column for table in numbers))).label("images")
        rows = select(literal(1).label("run_id"), images).select_from(numbers[0].join(numbers[1], true()))
        return Listing("confusions", Endless, rows, ("run_id",), (Order("images", int),))

    with monkeypatch.context() as patch:
        patch.setattr(layers_classes, "confusions", endless)
        error = _error(ask(query))
    assert error["extensions"]["code"] == "TIMEOUT"
    assert "1000 ms" in error["message"]
    assert "errors" not in ask(query)


def test_loading_libraries_is_not_a_query_that_takes_long(
    database: Path, make_ask: Callable[[Path, Settings], Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the first contrast waits for SciPy longer than the limit, and is answered all the same."""
    limit_s = 2.5
    load = importlib.import_module

    def slowly(name: str, package: str | None = None) -> ModuleType:
        if name.startswith("evigraph.graphapi.questions."):
            time.sleep(1.1 * limit_s)
        return load(name, package)

    monkeypatch.setattr(importlib, "import_module", slowly)
    ask = make_ask(database, Settings(time_limit_ms=round(1000 * limit_s)))
    cohorts = "a: { outcome: WRONG }, b: { outcome: CORRECT }"
    begun = time.monotonic()
    answer = ask(f'{{ run(name: "scenes") {{ contrast(layer: "conv2_2", {cohorts}) {{ totalCount }} }} }}')
    assert "errors" not in answer
    assert time.monotonic() - begun > limit_s


def test_unforeseen_errors_are_masked(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What no one foresaw is logged under a correlation id, which is all that the client sees of it."""

    def broken(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(layers_classes, "confusions", broken)
    with caplog.at_level(logging.ERROR, "evigraph.graphapi"):
        error = _error(ask("{ run { confusions { totalCount } } }"))
    assert error["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(error)
    assert error["extensions"]["correlationId"] in caplog.text
    assert "secret" in caplog.text


def test_expected_errors_are_not_logged(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """A client's mistake is no event of the server."""
    ask('{ run(name: "nope") { name } }')
    ask("{ nope }")
    assert caplog.records == []


def test_settings_are_checked_and_described() -> None:
    """Each setting has help; limits below one are refused by name."""
    assert len(SETTINGS) == len(Settings.__dataclass_fields__)
    assert all(setting.help and getattr(Settings(), setting.name) == setting.default for setting in SETTINGS)
    refused: list[dict[str, Any]] = [{"max_depth": 0}, {"threads": 99}, {"page_size": 500}]
    for bad in refused:
        with pytest.raises(UsageError, match=next(iter(bad))):
            Settings(**bad)
