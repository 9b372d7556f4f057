"""The recipes of docs/dashboards: what Grafana, Superset and a page would ask gives the numbers of Python."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from graphql import build_schema, parse, validate
from starlette.testclient import TestClient

import evigraph
from evigraph.graphapi.http.app import create_app
from evigraph.graphapi.service.schema import sdl
from evigraph.reading import Run
from evigraph.schema.database import resolve
from tests.docs.scripts import ROOT

FOLDER = ROOT / "docs" / "dashboards"
BOARD = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
SUPPORT = (FOLDER / "support.sql").read_text(encoding="utf-8")
PAGE = (FOLDER / "panel.html").read_text(encoding="utf-8")
TARGETS = [(panel["title"], panel["targets"][0]) for panel in BOARD["panels"] if "targets" in panel]


@pytest.fixture
def run(demo: Path) -> Iterator[Run]:
    with evigraph.open(demo / "demo" / "evidence.duckdb") as db:
        yield db.run("demo")


def filled(text: str) -> str:
    """A text with the dashboard's variables filled in, as Grafana does it."""
    for variable in BOARD["templating"]["list"]:
        text = text.replace(f"${{{variable['name']}}}", variable["query"])
    return text


def rows_of(target: dict[str, Any], service: TestClient) -> list[list[Any]]:
    """What Infinity makes of a panel's query: a POST, the rows at a path, and columns at paths of a row."""
    options = target["url_options"]
    assert (options["method"], options["body_type"]) == ("POST", "graphql")
    body = {
        "query": filled(options["body_graphql_query"]),
        "variables": json.loads(filled(options["body_graphql_variables"])),
    }
    path = filled(target["url"]).removeprefix("http://127.0.0.1:8000")
    answer = service.post(path, content=json.dumps(body), headers={"content-type": "application/json"}).json()
    rows = at(answer, target["root_selector"])
    return [[at(row, column["selector"]) for column in target["columns"]] for row in rows]


def at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("query", [target["url_options"]["body_graphql_query"] for _, target in TARGETS])
def test_grafanas_queries_fit_the_schema(query: str) -> None:
    assert validate(build_schema(sdl()), parse(query)) == []


def test_the_pages_query_fits_the_schema_and_its_panel_is_one() -> None:
    [query] = re.findall(r"const query = `([^`]+)`", PAGE)
    assert validate(build_schema(sdl()), parse(query)) == []
    assert len(PAGE.splitlines()) == 40
    assert re.search(r'src="http://127\.0\.0\.1:8000/runs/demo/class/\d+\?embed=support"', PAGE)


def test_the_page_has_the_sql_of_the_file() -> None:
    """But for the comment that stands over it in the file."""
    text = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert SUPPORT.split("\n", 1)[1] in text


@pytest.mark.slow
def test_grafanas_panels_show_what_python_gives(demo: Path, run: Run) -> None:
    with TestClient(create_app(demo / "demo" / "evidence.duckdb")) as service:
        shown = {title: rows_of(target, service) for title, target in TARGETS}
    classes, confusions = run.classes(), run.confusions(limit=20)
    support = run.channel_support("conv4_3", "boat", limit=20)
    degrees = support["channel_discriminative_degree"]
    pairs = zip(confusions["label"], confusions["predicted"], confusions["images"], confusions["rate"], strict=True)
    of_channels = zip(support["channel"], support["decisions"], support["rate"], support["mean_share"], strict=True)
    assert shown == {
        "Runs": [[run.name, run.model, run.image_count, run.accuracy, run.edge_count, run.created_at]],
        "Accuracy by class": [list(row) for row in zip(classes["name"], classes["accuracy"], strict=True)],
        "Most frequent confusions": [list(row) for row in pairs],
        "Channels of ${layer} that support ${class}": [
            [*row, degree] for row, degree in zip(of_channels, degrees, strict=True)
        ],
    }


@pytest.mark.slow
def test_supersets_data_set_is_what_python_gives(demo: Path, tmp_path: Path) -> None:
    """Of a copy: DuckDB opens a file once a process with one configuration, and another test may serve it."""
    file = shutil.copy(resolve(demo / "demo" / "evidence.duckdb"), tmp_path / "evidence.duckdb")
    with evigraph.open(demo / "demo" / "evidence.duckdb") as db:
        support = db.run("demo").channel_support("conv4_3", "boat")
    engine = sa.create_engine(f"duckdb:///{file}?access_mode=read_only")
    wanted = "class = 'boat' AND layer = 'conv4_3'"
    chart = f"SELECT channel, decisions, rate, mean_share FROM ({SUPPORT}) AS one WHERE {wanted} ORDER BY channel"
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql(chart)]
    engine.dispose()
    expected = sorted(tuple(row.values()) for row in support.select("channel", "decisions", "rate", "mean_share"))
    assert [row[:2] for row in rows] == [row[:2] for row in expected]
    assert [pytest.approx(row[2:]) for row in expected] == [row[2:] for row in rows]
