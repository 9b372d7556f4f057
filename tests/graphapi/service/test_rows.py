"""What mypy is told of the rows of a statement is what DuckDB gives."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any

import pytest

from evigraph.graphapi.store import sql
from evigraph.graphapi.store.settings import Settings
from evigraph.schema.database import open_read_only
from tests.graphapi.conftest import Ask

LISTED = """nodes { channel { discriminativeDegree contextLabels(class: "boat", first: 2) { nodes { lift } }
    supporters(first: 2, class: "boat") { totalCount nodes { rate } } supports(first: 2) { nodes { rate } }
    support(first: 2) { nodes { rate } } peaks(first: 2) { nodes { y image { uri } decision { logit } } } } }"""
COHORTS = 'a: {outcome: WRONG, label: "boat"}, b: {outcome: CORRECT}'
NAMED = 'a: {outcome: WRONG, uriPrefix: "images"}, b: {outcome: CORRECT, uriPrefix: "images"}'
QUERIES = {
    "channels": 'channelSupport(layer: "conv2_2", first: 3) { ' + LISTED + " }",
    "channels by rate": 'channelSupport(layer: "conv2_2", orderBy: RATE, first: 3) { nodes { rate } }',
    "images": """images(first: 20) { totalCount nodes { label { name } decisions { evidence { nodes { feature } edges {
        share overlaps { iou } verification { logit } } } } } } skippedImages { nodes { uri } }
        confusions { nodes { rate } }""",
    "labels": """contextLabels(layer: "conv2_2", first: 3) { nodes { lift } }
        byLift: contextLabels(orderBy: LIFT, first: 3) { nodes { decisions baseRate } }""",
    "graph": 'evidenceGraph(class: "boat") { nodes { rate } edges { share } }',
    "layers": """layers { discriminativeDegree { mean quantiles histogram } profile { shares }
        positiveProfile { meanPositive positive { value } } }""",
    "failures": 'failures(layer: "conv2_2", first: 3) { nodes { predicted { evidence { share y contextLabel } } } }',
    "modes": 'failureModes(layer: "conv2_2") { modes { examples { logit } channels { rate } } }',
    "contrast": f"""contrast(layer: "conv2_2", {COHORTS}, of: EDGES, first: 3) {{ nodes {{ p examplesA {{ logit }} }} }}
        named: contrast(layer: "conv2_2", {NAMED}, first: 3) {{ sharedImages nodes {{ p }} }}""",
    "verification": """verification(layer: "conv2_2", outcome: null) { tested control { tested } }
        verifiedChannels(layer: "conv2_2", outcome: null) { nodes { counts { meanLogitChange } } }""",
}


@pytest.mark.parametrize("name", QUERIES)
def test_values_are_of_their_types(make_ask: Callable[[Path, Settings], Ask], database: Path, name: str) -> None:
    """Of every row of every statement that a query runs."""
    seen: list[sql.Statement[Any]] = []
    ask = make_ask(database, Settings(time_limit_ms=60_000))
    with sql.on_statement(seen.append):
        answer = ask('{ run(name: "scenes") { ' + QUERIES[name] + " } }")
    assert "errors" not in answer, answer["errors"]
    engine = open_read_only(database)
    connection: Any = engine.raw_connection().driver_connection
    for statement in seen:
        hints = typing.get_type_hints(statement.kind)
        for row in sql.run(connection, statement):
            wrong = {name: value for name, value in row._asdict().items() if not _fits(value, hints[name])}
            assert not wrong, f"{statement.kind.__name__}: {wrong}"
    engine.dispose()
    assert seen


def _fits(value: object, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return isinstance(value, list) and all(_fits(part, inner[0]) for part in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    return type(value) is hint
