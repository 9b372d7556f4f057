"""Exports, read back: over HTTP and by the command, and what they hold on to."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from starlette.testclient import TestClient

from evigraph.graphapi.files import edge_images, edges, formats
from evigraph.graphapi.http.app import create_app
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.publish.publish import publish
from tests.graphapi.conftest import Ask, Sql
from tests.support import PATIENCE_S
from tests.support.synthetic import synthetic_run


@pytest.fixture(scope="module")
def client(database: Path) -> Iterator[TestClient]:
    with TestClient(create_app(database)) as found:
        yield found


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every export has many."""
    monkeypatch.setattr(edges, "BATCH_ROWS", 2048)


def _read(content: bytes, format_name: str) -> pa.Table:
    if format_name == "parquet":
        return pyarrow.parquet.read_table(io.BytesIO(content))
    if format_name == "arrow":
        return pa.ipc.open_stream(content).read_all()
    if format_name == "feather":
        return pa.ipc.open_file(content).read_all()
    return pyarrow.csv.read_csv(io.BytesIO(content))


EXPECTED = """
    SELECT run.name AS run, e.decision_id, d.image_id, d.role, d.class_id, t.name AS target_layer, target_channel,
           target_y, target_x, s.name AS source_layer, source_channel, source_y, source_x, contribution, share, rank,
           feature, activation, importance, l.name AS context_label, context_iou,
           p.name AS context_label_at_peak, context_peak_mass AS context_activation_share, c.name AS class,
           i.uri AS image_uri, i.label_id, own.name AS label, i.predicted_id, other.name AS predicted
    FROM edge e JOIN decision d USING (run_id, decision_id) JOIN run USING (run_id)
    JOIN layer t ON t.run_id = e.run_id AND t.layer_id = target_layer
    JOIN layer s ON s.run_id = e.run_id AND s.layer_id = source_layer
    JOIN class c ON c.run_id = e.run_id AND c.class_id = d.class_id
    JOIN image i ON i.run_id = e.run_id AND i.image_id = d.image_id
    JOIN class other ON other.run_id = e.run_id AND other.class_id = i.predicted_id
    LEFT JOIN class own ON own.run_id = e.run_id AND own.class_id = i.label_id
    LEFT JOIN context_label l ON l.run_id = e.run_id AND l.label_id = context_label_id
    LEFT JOIN context_label p ON p.run_id = e.run_id AND p.label_id = context_peak_label_id
    WHERE {} ORDER BY e.run_id, d.class_id, e.target_layer, decision_id, target_channel, target_y, target_x, rank
"""
FILTERS = {
    "": "true",
    "run=scenes": "run.name = 'scenes'",
    "run=scenes&class=boat&role=label": "run.name = 'scenes' AND d.class_id = 0 AND role = 'label'",
    "run=plain&class=index:2&layer=features.7": "run.name = 'plain' AND d.class_id = 2 AND e.source_layer = 1",
    "run=plain&source_layer=conv1_2&target_layer=conv2_2": "run.name = 'plain' AND e.source_layer = 0",
    "target_layer=logits&run=scenes": "run.name = 'scenes' AND e.target_layer = 3",
    "outcome=wrong&top=1": "i.label_id <> i.predicted_id AND rank < 1",
    "run=scenes&label=boat&outcome=correct": "run.name = 'scenes' AND i.label_id = 0 AND i.predicted_id = 0",
    "run=scenes&predicted=bird": "run.name = 'scenes' AND i.predicted_id = 1",
    "run=scenes&image=images/00007.png": "run.name = 'scenes' AND i.uri = 'images/00007.png'",
    "image=images/00007.png&role=predicted": "i.uri = 'images/00007.png' AND role = 'predicted'",
}


CASES = [(query, "arrow") for query in FILTERS] + [("", "csv"), ("", "parquet"), ("", "feather")]


@pytest.mark.parametrize(("query", "format_name"), CASES)
def test_edges(client: TestClient, sql: Sql, query: str, format_name: str) -> None:
    """Every row and column as plain SQL has them, in the order in which they lie."""
    response = client.get(f"/export/edges?{query}&format={format_name}")
    assert response.status_code == 200
    assert response.headers["content-type"] == formats.MEDIA_TYPES[format_name]
    found = _read(response.content, format_name).to_pylist()
    expected = sql(EXPECTED.format(FILTERS[query]))
    assert len(found) == len(expected) > 20
    for row, want in zip(found, expected, strict=True):
        if format_name == "csv":
            want = {name: value if value is not None else row[name] for name, value in want.items()}
            assert row.keys() == want.keys()
            for name, value in want.items():
                assert row[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
        else:
            assert row == want


@pytest.mark.parametrize("query", ["run=scenes&label=boat&outcome=correct", "outcome=wrong&top=1"])
def test_edges_of_many_images(client: TestClient, sql: Sql, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where images are not named one by one, as they are not if there are many, the rows are the same."""
    monkeypatch.setattr(edge_images, "_FEW", 2)
    found = _read(client.get(f"/export/edges?{query}&format=arrow").content, "arrow").to_pylist()
    assert found == sql(EXPECTED.format(FILTERS[query]))


def test_one_run_needs_no_name(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "run", images=10, name="only")
    publish([tmp_path / "run"], tmp_path / "db.duckdb")
    with TestClient(create_app(tmp_path / "db.duckdb")) as client:
        named, unnamed = (client.get(f"/export/edges?class=boat&{run}").content for run in ("run=only", ""))
    assert _read(named, "parquet") == _read(unnamed, "parquet")


def test_parquet_is_the_default_and_has_many_groups(client: TestClient) -> None:
    content = client.get("/export/edges?run=scenes").content
    assert pyarrow.parquet.ParquetFile(io.BytesIO(content)).num_row_groups > 1


def test_of_a_class_without_edges(client: TestClient, sql: Sql) -> None:
    """A file with columns and no rows."""
    (row, *_) = sql("""
        SELECT class_id FROM class ANTI JOIN decision USING (run_id, class_id) WHERE run_id = 2
        UNION ALL SELECT -1""")
    if row["class_id"] < 0:
        query = "run=plain&class=0&role=label&layer=conv3_3"
    else:
        query = f"run=plain&class={row['class_id']}"
    response = client.get(f"/export/edges?{query}")
    assert response.status_code == 200
    assert len(_read(response.content, "parquet").column_names) == 29


@pytest.mark.parametrize(
    ("url", "status", "code", "said"),
    [
        ("/export/edges?run=scene", 404, "NOT_FOUND", "did you mean 'scenes'"),
        ("/export/edges?run=scenes&class=boot", 404, "NOT_FOUND", "did you mean 'boat'"),
        ("/export/edges?run=scenes&class=car", 400, "AMBIGUOUS", "may be index:"),
        ("/export/edges?run=scenes&layer=conv3", 404, "NOT_FOUND", "conv3_3"),
        ("/export/edges?run=scenes&layer=logits", 400, "BAD_USER_INPUT", "take one of conv1_2"),
        (
            "/export/edges?run=scenes&target_layer=conv1_2",
            400,
            "BAD_USER_INPUT",
            "take one of conv2_2, conv3_3, logits",
        ),
        ("/export/edges?run=scenes&source_layer=conv1_2&target_layer=logits", 400, "BAD_USER_INPUT", "take 'conv2_2'"),
        ("/export/edges?run=scenes&source_layer=conv1_2&layer=conv2_2", 400, "BAD_USER_INPUT", "the same parameter"),
        ("/export/edges?run=scenes&source_layer=&layer=", 404, "NOT_FOUND", "no layer ''"),
        ("/export/edges?run=scenes&label=boot", 404, "NOT_FOUND", "did you mean 'boat'"),
        ("/export/edges?predicted=boat", 400, "BAD_USER_INPUT", "without its run"),
        ("/export/edges?image=images/0007.png", 404, "NOT_FOUND", "did you mean 'images/00007.png'"),
        ("/export/edges?outcome=good", 400, "BAD_USER_INPUT", "correct or wrong"),
        ("/export/edges?top=0", 400, "BAD_USER_INPUT", "below 1"),
        ("/export/edges?top=one", 400, "BAD_USER_INPUT", "leave it out for all"),
        ("/export/edges?class=boat", 400, "BAD_USER_INPUT", "without its run"),
        ("/export/edges?role=both", 400, "BAD_USER_INPUT", "role 'both'"),
        ("/export/edges?format=json", 400, "BAD_USER_INPUT", "parquet, csv, arrow, feather"),
        ("/export/edges?clas=boat", 404, "NOT_FOUND", "did you mean 'class'"),
        ("/export/graph?run=scenes", 400, "BAD_USER_INPUT", "class is missing"),
        ("/export/graph?run=scenes&class=boot", 404, "NOT_FOUND", "did you mean 'boat'"),
        ("/export/graph?run=scenes&class=boat&min_rate=much", 400, "BAD_USER_INPUT", "min_rate 'much'"),
        ("/export/graph?run=scenes&class=boat&max_nodes_per_layer=0", 400, "BAD_USER_INPUT", "within 1 and 100"),
        ("/export/graph?run=scenes&class=boat&outcome=any", 400, "BAD_USER_INPUT", "outcome 'any'"),
        ("/export/graph?run=scenes&class=boat&format=png", 400, "BAD_USER_INPUT", "graphml, json, dot"),
    ],
)
def test_refused(client: TestClient, url: str, status: int, code: str, said: str) -> None:
    """Before a byte of the file is sent, in the shape of every other error."""
    response = client.get(url)
    assert response.status_code == status
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert said in error["message"]


def test_only_get(client: TestClient) -> None:
    assert client.post("/export/edges").status_code == 405


def test_too_many_at_once(database: Path) -> None:
    """One more than the limit is refused, and served when another has ended; a client that goes away ends its own."""
    import asyncio

    app = create_app(database, settings=Settings(max_exports=1))

    async def two() -> list[int]:
        started: list[MutableMapping[str, Any]] = []
        gone = asyncio.Event()
        sent = asyncio.Event()

        def scope(path: str) -> dict[str, Any]:
            return {
                "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"run=scenes",
                "headers": [], "http_version": "1.1", "scheme": "http", "root_path": "", "asgi": {"version": "3.0"},
            }  # fmt: skip

        async def receive() -> MutableMapping[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def stay() -> MutableMapping[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        async def send_and_stall(message: MutableMapping[str, Any]) -> None:
            started.append(message)
            if message["type"] == "http.response.body":
                sent.set()
                await asyncio.Event().wait()

        slow = asyncio.create_task(app(scope("/export/edges"), receive, send_and_stall))
        await sent.wait()
        statuses = [started[0]["status"]]

        async def ask() -> int:
            messages: list[MutableMapping[str, Any]] = []

            async def keep(message: MutableMapping[str, Any]) -> None:
                messages.append(message)

            await app(scope("/export/edges"), stay, keep)
            return int(messages[0]["status"])

        statuses.append(await ask())
        gone.set()
        await asyncio.wait([slow], timeout=PATIENCE_S)
        assert slow.done()
        statuses.append(await ask())
        return statuses

    assert asyncio.run(two()) == [200, 429, 200]


def test_out_of_time(database: Path) -> None:
    """An export whose time is up breaks off, or is refused with TIMEOUT if it has not begun."""
    app = create_app(database, settings=Settings(export_time_limit_ms=1))
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/export/edges")
    if response.status_code == 200:
        with pytest.raises(pa.ArrowInvalid):
            _read(response.content, "parquet")
    else:
        assert response.status_code == 504
        assert response.json()["errors"][0]["extensions"]["code"] == "TIMEOUT"


def test_stays_on_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is published meanwhile changes nothing of an export that has begun."""
    synthetic_run(tmp_path / "old", images=40, name="old")
    synthetic_run(tmp_path / "new", images=10, name="new", seed=2)
    db = tmp_path / "db.duckdb"
    publish([tmp_path / "old"], db)
    encoded = formats.encoded

    def replaced_meanwhile(reader: Any, format_name: str) -> Iterator[bytes]:
        for place, part in enumerate(encoded(reader, format_name)):
            if place == 1:
                publish([tmp_path / "new"], db)
                publish([tmp_path / "new"], db)  # removes the file of the version that is read
            yield part

    with TestClient(create_app(db)) as client:
        before = _read(client.get("/export/edges").content, "parquet")
        monkeypatch.setattr(formats, "encoded", replaced_meanwhile)
        assert _read(client.get("/export/edges").content, "parquet") == before
        monkeypatch.setattr(formats, "encoded", encoded)
        assert set(_read(client.get("/export/edges").content, "parquet")["run"].to_pylist()) == {"old", "new"}


@pytest.mark.parametrize("format_name", ["graphml", "json", "dot"])
def test_graph(client: TestClient, ask: Ask, format_name: str) -> None:
    """The file holds the graph that GraphQL gives."""
    response = client.get(
        f"/export/graph?run=scenes&class=boat&min_rate=0.2&max_nodes_per_layer=5&format={format_name}"
    )
    assert response.status_code == 200
    fields = "nodes { layer channel rate throughflow } edges { target source share }"
    query = f'evidenceGraph(class: "boat", minRate: 0.2, maxNodesPerLayer: 5) {{ {fields} }}'
    expected = ask(f'{{ run(name: "scenes") {{ {query} }} }}')["data"]["run"]["evidenceGraph"]
    names = ["class boat", *(f"{node['layer']}/{node['channel']}" for node in expected["nodes"][1:])]
    if format_name == "dot":
        lines = response.text.splitlines()
        assert lines[0] == "digraph evidence {"
        assert lines[-1] == "}"
        assert sum(" -> " in line for line in lines) == len(expected["edges"])
        assert all(f'  "{name}" [label=' in response.text for name in names)
        return
    if format_name == "graphml":
        graph = nx.parse_graphml(response.text)
    else:
        graph = nx.node_link_graph(json.loads(response.text), edges="edges")
    assert list(graph) == names
    for name, node in zip(names, expected["nodes"], strict=True):
        assert graph.nodes[name]["layer"] == node["layer"]
        assert graph.nodes[name]["throughflow"] == pytest.approx(node["throughflow"])
    assert graph.number_of_edges() == len(expected["edges"]) > 5
    for edge in expected["edges"]:
        assert graph.edges[names[edge["target"]], names[edge["source"]]]["share"] == pytest.approx(edge["share"])


def _command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evigraph", "export", *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_commands(database: Path, client: TestClient, tmp_path: Path) -> None:
    """The same bytes as the service's, or the same rows."""
    out = tmp_path / "edges.arrow"
    done = _command("edges", "--db", database, "--run", "scenes", "--class", "boat", "--format", "arrow", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    served = client.get("/export/edges?run=scenes&class=boat&format=arrow").content
    assert _read(out.read_bytes(), "arrow") == _read(served, "arrow")
    done = _command("graph", "--db", database, "--run", "scenes", "--class", "boat", "--format", "graphml")
    assert done.stdout == client.get("/export/graph?run=scenes&class=boat&format=graphml").text
    assert [path.name for path in tmp_path.iterdir()] == ["edges.arrow"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("edges", "--run", "scene", "--out", "x.csv"), 2, "did you mean 'scenes'"),
        (("edges", "--class", "boat", "--out", "x.csv"), 2, "name the run"),
        (("edges", "--out", "missing/x.csv"), 1, "missing/x.csv cannot be written"),
        (("graph", "--run", "scenes", "--class", "boot"), 2, "did you mean 'boat'"),
        (("graph", "--run", "scenes", "--class", "boat", "--min-rate", "2"), 2, "within 0 and 1"),
    ],
)
def test_wrong_commands(database: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = _command(*words, "--db", database)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
