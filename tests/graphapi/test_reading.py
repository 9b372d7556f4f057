"""`evigraph.open`: the same numbers as GraphQL and as the tables, and every list of the schema."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import evigraph
from evigraph.reading import Database, Run
from evigraph.reading.answers import Answer
from evigraph.schema.errors import EvidenceError, NotFoundError, UsageError
from tests.graphapi.conftest import Ask, Sql


@pytest.fixture(scope="module")
def opened(database: Path) -> Iterator[Database]:
    with evigraph.open(database) as one:
        yield one


@pytest.fixture(scope="module")
def scenes(opened: Database) -> Run:
    return opened.run("scenes")


def test_runs(opened: Database, sql: Sql) -> None:
    assert {run.name for run in opened.runs} == {row["name"] for row in sql("SELECT name FROM run")}
    assert opened.run("scenes").layers[-1] == "logits"
    with pytest.raises(EvidenceError, match="scenes"):
        opened.run("scene")


def test_a_list_is_all_pages_of_graphql(scenes: Run, ask: Ask) -> None:
    answer = scenes.table("images")
    asked = '{ run(name: "scenes") { images(first: 100) { totalCount nodes { uri probability label { name } } } } }'
    wanted = ask(asked)["data"]["run"]["images"]
    rows = [{name: row[name] for name in ("uri", "probability", "label")} for row in answer]
    assert rows == [{**node, "label": node["label"] and node["label"]["name"]} for node in wanted["nodes"]]
    assert answer.totals["total_count"] == len(answer) == wanted["totalCount"] > 0
    short = scenes.table("images", limit=7)
    assert short.to_pylist() == answer.to_pylist()[:7]


def test_pages_are_put_together(scenes: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scenes.table("images").to_pylist()
    monkeypatch.setattr("evigraph.reading.lists.PAGE", 9)
    assert scenes.table("images").to_pylist() == whole
    assert scenes.table("images", limit=10).to_pylist() == whole[:10]


def test_its_query_is_graphql_that_gives_the_same(scenes: Run, ask: Ask) -> None:
    layer = scenes.layers[-2]
    answer = scenes.channel_support(layer, 0, outcome="correct", order_by="share")
    assert answer.query is not None
    again = ask(answer.query, **answer.variables, first=100)["data"]["run"]["channelSupport"]["nodes"]
    assert [row["mean_share"] for row in answer] == [node["meanShare"] for node in again] != []
    assert [row["channel"] for row in answer] == [node["channel"]["index"] for node in again]


def test_a_channel_has_lists_of_its_own(scenes: Run, ask: Ask) -> None:
    layer = scenes.layers[-2]
    index = scenes.channel_support(layer).to_pylist()[0]["channel"]
    peaks = scenes.channel(layer, index).table("peaks")
    asked = """query ($layer: String!, $index: Int!) { run(name: "scenes") { channel(layer: $layer, index: $index) {
        peaks(first: 100) { nodes { y x contribution image { uri } } } } } }"""
    nodes = ask(asked, layer=layer, index=index)["data"]["run"]["channel"]["peaks"]["nodes"]
    assert (
        [(row["y"], row["x"], row["contribution"], row["image"]) for row in peaks]
        == [(node["y"], node["x"], node["contribution"], node["image"]["uri"]) for node in nodes]
        != []
    )


def test_a_contrast_takes_cohorts_as_dicts(scenes: Run) -> None:
    answer = scenes.contrast(scenes.layers[-2], {"outcome": "wrong"}, {"outcome": "CORRECT"}, of="context labels")
    assert answer.totals["decisions_a"] + answer.totals["decisions_b"] <= scenes.image_count
    assert all(row["context_label"] for row in answer)


def test_edges_are_the_view(scenes: Run, sql: Sql) -> None:
    layer = scenes.layers[0]
    [row] = sql(
        """SELECT count(*) AS edges, sum(share) AS share FROM edge JOIN run USING (run_id)
           WHERE run.name = 'scenes' AND source_layer = 0 AND root_class_id = 1"""
    )
    table = pa.table(scenes.edges(1, layer))
    assert table.num_rows == row["edges"] > 0
    assert sum(table["share"].to_pylist()) == pytest.approx(row["share"])
    right = scenes.edges(1, layer, outcome="correct", top=1)
    assert 0 < len(right) < len(table)
    assert {row["label"] == row["predicted"] for row in right} == {True}


def test_evidence_is_a_graph(scenes: Run, sql: Sql) -> None:
    [row] = sql(
        """SELECT uri, decision_id, count(*) AS edges FROM image JOIN decision USING (run_id, image_id)
           JOIN edge USING (run_id, decision_id) JOIN run USING (run_id)
           WHERE run.name = 'scenes' AND role = 'label' GROUP BY ALL ORDER BY decision_id LIMIT 1"""
    )
    graph = scenes.evidence(row["uri"], "label")
    assert graph.number_of_edges() == row["edges"]
    assert graph.nodes[0]["layer"] == "logits"
    assert all(graph.nodes[source]["importance"] > 0 for _, source in graph.edges)
    shallow = scenes.evidence(row["uri"], "label", max_depth=1, top=1)
    assert shallow.number_of_edges() == 1


@pytest.mark.parametrize(
    ("name", "arguments", "error", "told"),
    [
        ("chanelSupport", {}, NotFoundError, "channelSupport"),
        ("channel_support", {}, UsageError, "layer"),
        ("images", {"lable": "boat"}, NotFoundError, "label"),
        ("contrast", {"layer": "conv4_3", "a": {"klass": 1}, "b": {}}, NotFoundError, "CohortInput"),
        ("images", {"label": "no such class"}, EvidenceError, "no such class"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    scenes: Run, name: str, arguments: dict[str, object], error: type[Exception], told: str
) -> None:
    with pytest.raises(error) as refusal:
        scenes.table(name, **arguments)  # type: ignore[arg-type]
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_every_list_of_a_run_can_be_asked(scenes: Run) -> None:
    """But for those that compare with another run."""
    layer = scenes.layers[-2]
    for name in ("classes", "layers", "confusions", "skippedImages", "failures", "verifiedChannels", "verification"):
        arguments = {"layer": layer} if name in ("failures", "verifiedChannels", "verification") else {}
        answer = scenes.table(name, **arguments)  # type: ignore[arg-type]
        assert answer.query is not None
        assert len(answer.table.column_names) > 1


def test_a_notebook_draws_text_as_text(scenes: Run) -> None:
    answer = scenes.table("classes")
    drawn = answer._repr_html_()
    assert drawn.count("<tr>") == len(answer) + 1
    first, *_, last = repr(answer).splitlines()
    assert first.split() == answer.columns
    assert last == f"{len(answer)} rows; total_count: {len(answer)}"
    told = Answer(pa.table({"name": ["<b>"]}), {"said": "<i>"})
    assert "&lt;b&gt;" in told._repr_html_()
    assert "<i>" not in told._repr_html_()
    assert "scenes" in scenes._repr_html_()


def test_it_works_inside_a_running_loop(database: Path) -> None:
    async def inside() -> int:
        with evigraph.open(database) as opened:
            return opened.run("scenes").image_count

    assert asyncio.run(inside()) > 0


def test_neither_a_server_nor_torch_is_loaded(database: Path) -> None:
    program = f"""
import sys, evigraph
with evigraph.open({str(database)!r}) as opened:
    opened.run("scenes").table("images")
print(sorted({{"torch", "starlette", "uvicorn"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
