"""A published database of two synthetic runs, and ways to ask it by GraphQL and by plain SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.settings import Settings
from evigraph.graphapi.store.sql import on_statement
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import open_read_only
from tests.support.synthetic import synthetic_run

Ask = Callable[..., dict[str, Any]]
Sql = Callable[..., list[dict[str, Any]]]

ROOTS = """
    SELECT d.*, i.label_id, i.predicted_id,
           CASE WHEN i.label_id IS NULL THEN 'unlabelled'
                WHEN i.label_id = i.predicted_id THEN 'correct' ELSE 'wrong' END AS outcome
    FROM decision d JOIN image i USING (run_id, image_id)
"""
"""Every root with its image's label and outcome: what the rollups are compared with starts here."""


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`scenes` (run 1) has context labels and two classes named "car"; `plain` (run 2) is newer and has neither."""
    folder = tmp_path_factory.mktemp("graphapi")
    synthetic_run(folder / "scenes", images=60, name="scenes", twins=True)
    synthetic_run(folder / "plain", images=30, name="plain", seed=3, context=False)
    publish([folder / "scenes"], folder / "evidence.duckdb")
    publish([folder / "plain"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="session")
def make_ask() -> Iterator[Callable[[Path, Settings], Ask]]:
    """From a database and settings to a function that answers queries on a service kept open."""
    services: list[Service] = []

    def make(path: Path, settings: Settings) -> Ask:
        service = Service(path, settings)
        services.append(service)

        def ask(query: str, **variables: Any) -> dict[str, Any]:
            with ThreadPoolExecutor(1) as thread:
                answer = thread.submit(lambda: asyncio.run(service.answer(query, variables))).result()
            return answer.body

        return ask

    yield make
    for service in services:
        service.close()


@pytest.fixture(scope="session")
def ask(database: Path, make_ask: Callable[[Path, Settings], Ask]) -> Ask:
    """The whole answer to a query, errors included."""
    return make_ask(database, Settings())


@pytest.fixture(scope="session")
def run(ask: Ask) -> Ask:
    """The data of a selection on the run `scenes`; fails on any error."""

    def data(selection: str, **variables: Any) -> dict[str, Any]:
        answer = ask('{ run(name: "scenes") { ' + selection + " } }", **variables)
        assert "errors" not in answer, answer["errors"]
        found: dict[str, Any] = answer["data"]["run"]
        return found

    return data


@pytest.fixture(scope="session")
def sql(database: Path) -> Iterator[Sql]:
    """Rows of plain SQL as dicts, with `$`-parameters."""
    engine = open_read_only(database)

    def rows(statement: str, **parameters: Any) -> list[dict[str, Any]]:
        with engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql(statement, parameters).mappings()]

    yield rows
    engine.dispose()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The SQL that requests run while the test does."""
    seen: list[str] = []
    with on_statement(lambda statement: seen.append(statement.text)):
        yield seen
