"""`evigraph.open`, its lists by their names: arguments and types are the schema's, and a newer version is noticed."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import duckdb
import networkx as nx
import pyarrow as pa
import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, get_named_type

import evigraph
from evigraph.graphapi.service import lists
from evigraph.indexer.publish.publish import publish
from evigraph.reading import Channel, Cohort, Database, Run, words
from evigraph.reading.lists import Lists
from evigraph.schema.errors import AmbiguousError, EvidenceError, NotFoundError, UsageError
from tests.graphapi.conftest import Ask, Sql
from tests.support.synthetic import synthetic_run

LISTS_OF_RUN = {
    "classes": "classes",
    "images": "images",
    "confusions": "confusions",
    "channel_support": "channelSupport",
    "context_labels": "contextLabels",
    "channels_localizing": "channelsLocalizing",
    "contrast": "contrast",
    "failures": "failures",
    "failure_modes": "failureModes",
    "verification": "verification",
    "verified_channels": "verifiedChannels",
    "verified_pairs": "verifiedPairs",
    "evidence_graph": "evidenceGraph",
}
LISTS_OF_CHANNEL = {
    "peaks": "peaks",
    "support": "support",
    "context_labels": "contextLabels",
    "supporters": "supporters",
    "supports": "supports",
    "verification": "verification",
}
NAMED = [
    *((Run, method, "Run", field) for method, field in LISTS_OF_RUN.items()),
    *((Channel, method, "Channel", field) for method, field in LISTS_OF_CHANNEL.items()),
]
PYTHON_NAMES = {"class": "cls"}


@pytest.fixture(scope="module")
def opened(database: Path) -> Iterator[Database]:
    with evigraph.open(database) as one:
        yield one


@pytest.fixture(scope="module")
def scenes(opened: Database) -> Run:
    return opened.run("scenes")


@pytest.mark.parametrize(("owner", "method", "kind", "field"), NAMED)
def test_a_method_has_the_arguments_of_its_list(owner: type[Lists], method: str, kind: str, field: str) -> None:
    """All of them, with the same defaults, but for paging, for which there is `limit`."""
    of: Any = lists._schema().type_map[kind]
    assert isinstance(of, GraphQLObjectType)
    stated = {name: one for name, one in of.fields[field].args.items() if name not in ("first", "after")}
    signature = inspect.signature(getattr(owner, method))
    own = {name: one for name, one in signature.parameters.items() if name not in ("self", "limit")}
    assert set(own) == {PYTHON_NAMES.get(name, lists._snake(name)) for name in stated}
    for name, argument in stated.items():
        default = own[PYTHON_NAMES.get(name, lists._snake(name))].default
        stands = argument.ast_node.default_value
        if stands is None:
            assert default in (None, inspect.Parameter.empty)
        else:
            assert str(default).upper().replace(" ", "_") == stands.value


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("DecisionRole", words.Role),
        ("Outcome", words.Outcome),
        ("SupportOrder", words.SupportOrder),
        ("ClassOrder", words.ClassOrder),
        ("ContextOrder", words.ContextOrder),
        ("ContrastRoot", words.ContrastRoot),
        ("ContrastItem", words.ContrastItem),
        ("VerificationMethod", words.Method),
        ("VerificationFill", words.Fill),
        ("ComparedOutcome", words.ComparedOutcome),
    ],
)
def test_words_are_the_schemas(kind: str, word: Any) -> None:
    of = lists._schema().type_map[kind]
    assert isinstance(of, GraphQLEnumType)
    assert {one.upper().replace(" ", "_") for one in get_args(word)} == set(of.values)


def test_a_cohort_has_the_schemas_fields() -> None:
    of = lists._schema().type_map["CohortInput"]
    assert isinstance(of, GraphQLInputObjectType)
    assert set(Cohort.__annotations__) == {lists._snake(name) for name in of.fields}


def test_lists_by_their_names_are_those_of_graphql(scenes: Run, ask: Ask) -> None:
    """One of each kind: an object within a row, a list within a row, a value that takes arguments."""
    layer = scenes.layers[-2]
    asked = """query ($layer: String!) { run(name: "scenes") {
      channelSupport(layer: $layer, first: 100) { nodes { rate channel { index discriminativeDegree } } }
      failures(layer: $layer, top: 2, first: 100) { nodes { image { uri } true { evidence { importance } } } }
      layers { name discriminativeDegree(bins: 4) { histogram } } } }"""
    run = ask(asked, layer=layer)["data"]["run"]
    support = scenes.channel_support(layer)
    assert list(zip(support["rate"], support["channel"], support["channel_discriminative_degree"], strict=True)) == [
        (node["rate"], node["channel"]["index"], node["channel"]["discriminativeDegree"])
        for node in run["channelSupport"]["nodes"]
    ]
    failures = scenes.failures(layer, top=2)
    assert [(row["image"], [one["importance"] for one in row["true_evidence"]]) for row in failures] == [
        (node["image"]["uri"], [one["importance"] for one in node["true"]["evidence"]])
        for node in run["failures"]["nodes"]
    ]
    degrees = scenes.degrees(bins=4)
    assert [(row["name"], row["discriminative_degree_histogram"]) for row in degrees] == [
        (one["name"], one["discriminativeDegree"]["histogram"]) for one in run["layers"]
    ]


def test_none_is_asked_as_null_where_that_is_something_else(tmp_path: Path) -> None:
    """`outcome` of a verification is WRONG where it is left out."""
    synthetic_run(tmp_path / "run", images=40, verified=True)
    publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    with evigraph.open(tmp_path / "evidence.duckdb") as opened:
        run = opened.run()
        layer = run.layers[-2]
        asked = """query ($layer: String!) { run { verification(layer: $layer, outcome: null) { tested }
            wrong: verification(layer: $layer) { tested } } }"""
        found = opened.query(asked, layer=layer)["run"]
        assert run.verification(layer, outcome=None).select("tested").to_pylist() == found["verification"]
        assert run.verification(layer).select("tested").to_pylist() == found["wrong"] != found["verification"]
        assert run.table("verification", layer=layer, outcome=None)["tested"] == [
            one["tested"] for one in found["verification"]
        ]


def test_columns_have_the_schemas_types_whatever_is_in_them(scenes: Run) -> None:
    """So that an empty answer, and one of nulls alone, can be put beside another."""
    full, empty = scenes.images(), scenes.images(search="no such uri")
    assert full.table.schema == empty.table.schema
    assert len(empty) == 0 < len(full)
    assert full.table.schema.field("probability").type == pa.float64()
    assert full.table.schema.field("correct").type == pa.bool_()


def test_two_runs_are_compared(tmp_path: Path) -> None:
    for name in ("one", "two"):
        synthetic_run(tmp_path / name, images=40, name=name)
    publish([tmp_path / "one", tmp_path / "two"], tmp_path / "evidence.duckdb")
    with evigraph.open(tmp_path / "evidence.duckdb") as both:
        compared = both.run("one").compare("two")
        assert compared.totals["images_compared"] > 0 == compared.totals["only_this_right"]
        assert sum(compared["images"]) == compared.totals["images_compared"]
        assert len(both.run("one").compared_images("two", "both")) == compared.totals["both_right"]
        with pytest.raises(NotFoundError, match="'two'"):
            both.run("one").compare("tow")


def test_a_class_graph_has_names_for_nodes(scenes: Run, ask: Ask) -> None:
    graph = scenes.evidence_graph(1, min_rate=0.2)
    asked = """{ run(name: "scenes") { evidenceGraph(class: "1", minRate: 0.2) {
        nodes { layer channel rate } edges { share } } } }"""
    found = ask(asked)["data"]["run"]["evidenceGraph"]
    assert graph.number_of_edges() == len(found["edges"]) > 0
    assert [values["rate"] for _, values in graph.nodes(data=True)] == [node["rate"] for node in found["nodes"]]
    root, *rest = graph.nodes
    assert root == f"class {graph.graph['class']}"
    assert set(rest) == {f"{node['layer']}/{node['channel']}" for node in found["nodes"][1:]}
    assert nx.is_directed_acyclic_graph(graph)


def test_evidence_holds_what_graphql_holds(scenes: Run, ask: Ask) -> None:
    uri = scenes.images(outcome="wrong", limit=1)["uri"][0]
    graph = scenes.evidence(uri)
    asked = """query ($uri: String!) { run(name: "scenes") { image(uri: $uri) { decisions { role evidence {
        edges { target source share contextLabel } nodes { y x layer } } } } } }"""
    decisions = ask(asked, uri=uri)["data"]["run"]["image"]["decisions"]
    found = next(one["evidence"] for one in decisions if one["role"] == "PREDICTED")
    assert {(edge["target"], edge["source"]): edge["share"] for edge in found["edges"]} == {
        (target, source): values["share"] for target, source, values in graph.edges(data=True)
    }
    assert [values["context_label"] for *_, values in graph.edges(data=True)].count(None) == sum(
        edge["contextLabel"] is None for edge in found["edges"]
    )
    assert graph.subgraph([0]).copy().number_of_nodes() == 1  # networkx makes graphs of the same class
    with pytest.raises(UsageError, match=r"run\.evidence"):
        graph.reverse().subgraph([0]).copy().draw()


@pytest.mark.parametrize(
    ("question", "kind", "told"),
    [
        (lambda run: run.evidence("images/0001.png"), NotFoundError, "images/0000"),
        (lambda run: run.channel_support("conv2"), NotFoundError, "did you mean"),
        (lambda run: run.channel_support(run.layers[-2], "car"), AmbiguousError, "index:"),
        (lambda run: run.edges("clas_0"), NotFoundError, "no class"),
        (lambda run: run.images(limit=1)["url"], NotFoundError, "'uri'"),
        (lambda run: run.images(limit=-1), UsageError, "first"),
        (lambda run: run.database.query("{ rum { name } }"), UsageError, "rum"),
        (lambda run: run.database.picture("/media/none/images/0"), NotFoundError, "URL fields"),
    ],
)
def test_errors_are_evigraphs(
    scenes: Run, question: Callable[[Run], object], kind: type[EvidenceError], told: str
) -> None:
    with pytest.raises(kind) as refusal:
        question(scenes)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)
    if isinstance(refusal.value, NotFoundError) and "did you mean" in told:
        assert refusal.value.near


def test_a_newer_version_answers_and_is_named(tmp_path: Path) -> None:
    pointer = tmp_path / "evidence.duckdb"
    synthetic_run(tmp_path / "one", images=20, name="one")
    synthetic_run(tmp_path / "two", images=30, name="two")
    publish([tmp_path / "one"], pointer)
    with evigraph.open(pointer) as opened:
        run, first = opened.run(), opened.version
        assert [one.name for one in opened.runs] == ["one"]
        publish([tmp_path / "two"], pointer)
        assert {one.name for one in opened.runs} == {"one", "two"}
        assert opened.version != first
        assert opened.version == pointer.resolve().name
        assert len(run.images()) > 0  # a run goes by its name, which the newer version has too


def test_a_table_is_never_of_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`publish` comes between two pages: it is read anew."""
    pointer = tmp_path / "evidence.duckdb"
    for name, images in (("before", 20), ("after", 50)):
        synthetic_run(tmp_path / name, images=images, name="scenes", seed=images)
    publish([tmp_path / "before"], pointer)
    monkeypatch.setattr("evigraph.reading.lists.PAGE", 8)
    with evigraph.open(pointer) as opened:
        run, query, asked = opened.run(), opened.query, []

        def published_meanwhile(text: str, variables: Any = None, /, **more: Any) -> Any:
            asked.append(variables)
            if len(asked) == 2:
                publish([tmp_path / "after"], pointer, replace_others=True)
            return query(text, variables, **more)

        monkeypatch.setattr(opened, "query", published_meanwhile)
        read = run.images()
        assert len(read) == read.totals["total_count"]
    with evigraph.open(pointer) as opened:
        assert read.to_pylist() == opened.run().images().to_pylist()


def test_it_can_be_closed_twice_and_says_that_it_is_closed(database: Path) -> None:
    opened = evigraph.open(database)
    images = opened.run("scenes").images(limit=2)
    opened.close()
    opened.close()
    with pytest.raises(UsageError, match=r"evigraph\.open"):
        opened.run()
    assert "closed" in repr(opened)
    assert "closed" in opened._repr_html_()
    assert len(images) == 2
    assert "images/" in images._repr_html_()


def test_threads_and_loops_may_ask_at_once(opened: Database) -> None:
    """As a notebook does: a cell runs inside the loop of its kernel."""

    async def cell() -> int:
        return len(opened.run("scenes").images())

    with ThreadPoolExecutor(4) as threads:
        counts = set(threads.map(lambda _: asyncio.run(cell()), range(12)))
    assert len(counts) == 1


def test_sql_on_the_open_file(opened: Database, sql: Sql) -> None:
    """DuckDB lets nobody else in the process open it with other settings."""
    asked = "SELECT name, image_count FROM run WHERE image_count > $least ORDER BY name"
    assert opened.sql(asked, {"least": 1}).to_pylist() == sql(asked, least=1)
    assert len(opened.sql("SELECT * FROM run")) == 2
    for wrong in ("SELECT nothing FROM run", "DROP TABLE run", "COPY run TO 'run.csv'", "SELECT * FROM '/etc/passwd'"):
        with pytest.raises(UsageError) as refusal:
            opened.sql(wrong)
        assert "\n" not in str(refusal.value)
    with pytest.raises(duckdb.ConnectionException):
        duckdb.connect(str(opened.path), read_only=True)


def test_pages_shrink_to_what_one_answer_may_hold(database: Path) -> None:
    """Rows of `failures` hold lists of up to 2 x 50 channels, and nobody could lower `first` here."""
    with evigraph.open(database) as opened:
        run = opened.run("scenes")
        whole = run.failures(run.layers[-2], top=50).to_pylist()
        most = 20 + sum(2 + len(row["predicted_evidence"]) + len(row["true_evidence"]) for row in whole) // 2
        opened._service.settings = replace(opened._service.settings, max_objects=most)
        with pytest.raises(UsageError, match="objects"):
            opened.query(
                """{ run(name: "scenes") { failures(layer: "conv3_3", top: 50, first: 1000) { nodes {
                  image { uri } predicted { evidence { share } } true { evidence { share } } } } } }"""
            )
        assert run.failures(run.layers[-2], top=50).to_pylist() == whole


def test_limits_of_the_service_can_be_given(database: Path, opened: Database) -> None:
    uri = opened.run("scenes").images(limit=1)["uri"][0]
    assert not opened.run("scenes").evidence(uri).graph["truncated"]
    with evigraph.open(database, max_evidence_edges=3) as limited:
        assert limited.run("scenes").evidence(uri).graph["truncated"]
    with pytest.raises(UsageError, match="time_limit_ms"):
        evigraph.open(database, time_limit_ms=0)


def test_importing_it_is_quick_and_loads_little() -> None:
    """`import evigraph` alone brings the errors, and nothing that takes time."""
    program = """
import sys, evigraph
print(sorted({"torch", "duckdb", "pyarrow", "strawberry", "graphql", "networkx"} & sys.modules.keys()))
try:
    evigraph.open("none.duckdb")
except evigraph.DatabaseError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "[]"
    assert "none.duckdb" in second


def test_every_argument_that_is_a_word_has_its_type() -> None:
    """What an editor offers: no method of a list takes a role, an outcome or an order as any text."""
    for owner, method, kind, field in NAMED:
        of: Any = lists._schema().type_map[kind]
        notes = inspect.signature(getattr(owner, method)).parameters
        for name, argument in of.fields[field].args.items():
            if isinstance(get_named_type(argument.type), GraphQLEnumType):
                assert "str" not in notes[lists._snake(name)].annotation, (method, name)
