"""What a bound on the hierarchy cut, as the service tells it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import open_read_only
from tests.graphapi.conftest import Ask
from tests.support.synthetic import synthetic_run

QUERY = """{ runs { nodes { name maxNodes
    images(first: 100) { nodes { decisions { cutNodeCount cutImportance evidence { nodes { layer } } } } } } } }"""


def test_cut_of_each_run(tmp_path: Path, make_ask: Callable[[Path, Settings], Ask]) -> None:
    """A bounded run and one without a bound, in one database."""
    synthetic_run(tmp_path / "all", images=20, name="all")
    synthetic_run(tmp_path / "bounded", images=20, name="bounded", max_nodes=4)
    db = tmp_path / "evidence.duckdb"
    publish([tmp_path / "all", tmp_path / "bounded"], db)
    answer = make_ask(db, Settings())(QUERY)
    assert "errors" not in answer, answer["errors"]
    runs = {run["name"]: run for run in answer["data"]["runs"]["nodes"]}
    assert {name: run["maxNodes"] for name, run in runs.items()} == {"all": None, "bounded": 4}
    engine = open_read_only(db)
    with engine.connect() as connection:
        for name, run in runs.items():
            stored = connection.exec_driver_sql(
                "SELECT cut_node_count, cut_importance FROM decision JOIN run USING (run_id) WHERE name = $name "
                "ORDER BY decision_id",
                {"name": name},
            ).all()
            decisions = [d for image in run["images"]["nodes"] for d in image["decisions"]]
            assert [d["cutNodeCount"] for d in decisions] == [row.cut_node_count for row in stored]
            assert [d["cutImportance"] for d in decisions] == pytest.approx([row.cut_importance for row in stored])
            assert any(row.cut_node_count > 0 for row in stored) == (name == "bounded")
            assert any(0 < row.cut_importance < 1 for row in stored) == (name == "bounded")
    engine.dispose()
