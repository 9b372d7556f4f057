"""The explorer's page over HTTP: where it is, what it may load, what a service without it does.

What the page shows in a browser: tests/explorer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from evigraph.graphapi.http.app import create_app
from evigraph.graphapi.http.graphiql import STATIC
from evigraph.graphapi.store.settings import Settings
from tests.graphapi.conftest import Ask

ADDRESSES = ("/", "/compare?a=x", "/runs/scenes", "/runs/a%2Fb/class/3", "/runs/scenes/channel/conv4_3/15")


@pytest.fixture(scope="module")
def client(database: Path) -> Iterator[TestClient]:
    with TestClient(create_app(database)) as client:
        yield client


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_is_the_same_page(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text == client.get("/").text


def test_nothing_inline_and_nothing_from_elsewhere_may_run(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert "frame-ancestors" not in client.get("/?embed=runs").headers["content-security-policy"]


def test_the_page_names_only_files_that_are_here(client: TestClient) -> None:
    named = re.findall(r'(?:src|href)="(static/[^"]+)"', client.get("/").text)
    assert len(named) >= 8
    for path in named:
        answer = client.get(f"/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-cache"
    for module in (STATIC / "explorer").rglob("*.js"):
        for path in re.findall(r'(?:from|import\()\s*"(\.[^"]+)"', module.read_text(encoding="utf-8")):
            assert (module.parent / path).is_file(), f"{module.name} imports {path}"


def test_a_mounted_service_has_its_addresses_below_its_own(database: Path) -> None:
    inner = create_app(database)
    with TestClient(inner), TestClient(Starlette(routes=[Mount("/evidence", inner)])) as client:
        page = client.get("/evidence/runs/scenes").text
        assert '<base href="/evidence/" />' in page
        assert client.get("/evidence/static/explorer/app.js").status_code == 200


def test_a_service_without_the_explorer_leads_to_graphql(database: Path) -> None:
    with TestClient(create_app(database, settings=Settings(explorer=False))) as client:
        assert client.get("/", follow_redirects=False).headers["location"] == "graphql"
        assert client.get("/runs/scenes").status_code == 404


def test_answers_name_the_version_that_gave_them(client: TestClient) -> None:
    answer = client.post("/graphql", json={"query": "{ runs { totalCount } }"})
    assert answer.headers["evigraph-database"] == client.get("/healthz").json()["database"]


def _classes(ask: Ask, arguments: str) -> list[dict[str, object]]:
    answer = ask(
        f'{{ run(name: "scenes") {{ classes({arguments}) {{ nodes {{ index name imageCount accuracy }} }} }} }}'
    )
    nodes: list[dict[str, object]] = answer["data"]["run"]["classes"]["nodes"]
    return nodes


def test_classes_are_found_by_words_and_sorted(ask: Ask) -> None:
    everything = _classes(ask, "first: 50")
    assert [node["name"] for node in _classes(ask, 'search: "B"')] == [
        node["name"] for node in everything if "b" in str(node["name"]).casefold()
    ]
    assert _classes(ask, 'search: "boat no"') == []
    by_accuracy = _classes(ask, "orderBy: ACCURACY, first: 50")
    told = [node["accuracy"] for node in by_accuracy]
    having = [value for value in told if value is not None]
    assert having == sorted(having)  # type: ignore[type-var]
    assert told[len(having) :] == [None] * (len(told) - len(having))
    counts = [int(str(node["imageCount"])) for node in _classes(ask, "orderBy: IMAGES, first: 50")]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("order", ["INDEX", "IMAGES", "ACCURACY"])
def test_pages_of_sorted_classes_go_on_where_the_last_ended(ask: Ask, order: str) -> None:
    names: list[str] = []
    after = "null"
    for _ in range(20):
        answer = ask(
            f'{{ run(name: "scenes") {{ classes(orderBy: {order}, first: 2, after: {after}) '
            "{ edges { node { index } } pageInfo { hasNextPage endCursor } } } }"
        )["data"]["run"]["classes"]
        names += [edge["node"]["index"] for edge in answer["edges"]]
        if not answer["pageInfo"]["hasNextPage"]:
            break
        after = f'"{answer["pageInfo"]["endCursor"]}"'
    assert names == [node["index"] for node in _classes(ask, f"orderBy: {order}, first: 50")]
