"""The service over HTTP: media types, status codes, limits, the editor, health, CORS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from evigraph.graphapi.http.app import create_app
from evigraph.graphapi.http.graphiql import STATIC
from evigraph.graphapi.service.query import execute
from evigraph.graphapi.store.settings import Settings
from evigraph.schema.database import REVISIONS

NEW = "application/graphql-response+json"
OLD = "application/json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module")
def client(database: Path) -> Iterator[TestClient]:
    """A client of the service with small limits."""
    app = create_app(database, settings=Settings(max_body_bytes=2000, cors_origins=("https://board.example",)))
    with TestClient(app) as found:
        yield found


@pytest.mark.parametrize("accept", [NEW, OLD, "*/*", "", f"{NEW}, {OLD};q=0.9", f"{OLD};q=0.5, {NEW};q=0.4"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_answers(client: TestClient, method: str, accept: str) -> None:
    """GET and POST answer alike, in the media type that is asked for."""
    parameters = {"query": "query Q($n: String) { run(name: $n) { name } }", "operationName": "Q"}
    variables = {"n": "scenes"}
    if method == "GET":
        response = client.get(
            "/graphql", params={**parameters, "variables": json.dumps(variables)}, headers={"accept": accept}
        )
    else:
        response = client.post("/graphql", json={**parameters, "variables": variables}, headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == (NEW if accept.startswith(NEW) else OLD)
    assert response.json() == {"data": {"run": {"name": "scenes"}}}


@pytest.mark.parametrize(("accept", "status"), [(NEW, 400), (OLD, 200)])
@pytest.mark.parametrize(
    "query", ["{ run", "{ nope }", "query ($x: Int!) { run { images(first: $x) { totalCount } } }"]
)
def test_refused_queries(client: TestClient, accept: str, status: int, query: str) -> None:
    """A query that never ran: 400 under the new media type, 200 under the old; no data either way."""
    response = client.post("/graphql", json={"query": query}, headers={"accept": accept})
    assert response.status_code == status
    assert set(response.json()) == {"errors"}


@pytest.mark.parametrize("accept", [NEW, OLD])
def test_errors_of_resolvers(client: TestClient, accept: str) -> None:
    """A query that ran and found nothing is a success of the protocol."""
    response = client.post("/graphql", json={"query": '{ run(name: "x") { name } }'}, headers={"accept": accept})
    assert response.status_code == 200
    assert response.json()["data"] == {"run": None}
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (400, b"{", {}),
        (400, b"\xff\xfe", {}),
        (400, b"[]", {}),
        (400, b"[" * 1999, {}),
        (400, b"{}", {}),
        (400, b'{"query": 7}', {}),
        (400, b'{"query": " "}', {}),
        (400, b'{"query": "{a}", "variables": "x"}', {}),
        (400, b'{"query": "{a}", "variables": [1]}', {}),
        (400, b'{"query": "{a}", "extensions": 1}', {}),
        (400, b'{"query": "{a}", "operationName": 1}', {}),
        (406, b'{"query": "{a}"}', {"accept": "image/png"}),
        (406, b'{"query": "{a}"}', {"accept": f"{NEW};q=0, {OLD};q=zero"}),
        (413, b'{"query": "' + b"x" * 3000 + b'"}', {}),
        (415, b"{a}", {"content-type": "application/graphql"}),
        (415, b"{a}", {"content-type": ""}),
        (415, b"{a}", {"content-type": "application/json; charset=latin-1"}),
    ],
)
def test_bad_requests(client: TestClient, status: int, content: bytes, headers: dict[str, str]) -> None:
    """What is no GraphQL request has a status of its own and the same error shape."""
    response = client.post("/graphql", content=content, headers={"content-type": "application/json", **headers})
    assert response.status_code == status
    (error,) = response.json()["errors"]
    assert error["message"]
    assert error["extensions"]["code"] in {"BAD_USER_INPUT", "LIMIT_EXCEEDED"}


def test_other_methods(client: TestClient) -> None:
    """405 names what is allowed; a mutation by GET is refused since there is none."""
    for method in ("PUT", "DELETE", "PATCH"):
        response = client.request(method, "/graphql")
        assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
        assert response.json()["errors"][0]["message"].startswith(f"method {method}")
    assert client.get("/graphql", headers={"accept": OLD}).status_code == 400
    assert client.get("/graphql", params={"query": "{a}", "variables": "{"}).status_code == 400


def test_other_paths(client: TestClient) -> None:
    """404 has the same shape."""
    response = client.get("/nothing")
    assert response.status_code == 404
    assert response.json()["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert client.get("/static/../app.py").status_code == 404
    assert client.post("/healthz").status_code == 405


def test_health(client: TestClient, database: Path) -> None:
    """The version that is served, its schema revision, and its runs."""
    body = client.get("/healthz").json()
    assert body == {
        "status": "ok",
        "database": database.resolve().name,
        "revision": REVISIONS[-1],
        "runs": [{"name": "plain", "images": 28}, {"name": "scenes", "images": 56}],
    }


def test_cors(client: TestClient, database: Path) -> None:
    """Only the origins of the settings may call, and none by default."""
    allowed = client.post(
        "/graphql", json={"query": "{ run { name } }"}, headers={"origin": "https://board.example"}
    ).headers
    assert allowed["access-control-allow-origin"] == "https://board.example"
    other = client.post("/graphql", json={"query": "{ run { name } }"}, headers={"origin": "https://x.example"})
    assert "access-control-allow-origin" not in other.headers
    with TestClient(create_app(database)) as default:
        response = default.get("/healthz", headers={"origin": "https://board.example"})
        assert "access-control-allow-origin" not in response.headers


def test_editor(client: TestClient, database: Path) -> None:
    """A browser gets the editor, all of whose files are served here, opened on a query that answers."""
    page = client.get("/graphql", headers={"accept": BROWSER})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 7
    assert "//" not in "".join(links)
    for link in links:
        assert link == "data:," or client.get(f"/{link}").status_code == 200
    styles = "".join(path.read_text() for path in STATIC.rglob("*.css"))
    assert {url.strip("\"'")[:5] for url in re.findall(r"url\(([^)]*)\)", styles)} <= {"data:"}
    assert "@import" not in styles
    example = re.search(r"<textarea[^>]*>(.*?)</textarea>", page.text, re.DOTALL)
    assert example is not None
    answer = client.post("/graphql", json={"query": _unescaped(example[1])}).json()
    assert "errors" not in answer
    assert len(answer["data"]["run"]["channelSupport"]["nodes"]) == 5
    assert execute(database, _unescaped(example[1])) == answer


def _unescaped(text: str) -> str:
    import html

    return html.unescape(text)


def test_editor_can_be_switched_off(database: Path) -> None:
    """Without it a browser is a client like others."""
    with TestClient(create_app(database, settings=Settings(graphiql=False))) as plain:
        assert plain.get("/graphql", headers={"accept": BROWSER}).status_code == 400
        assert plain.get("/static/editor.js").status_code == 404
