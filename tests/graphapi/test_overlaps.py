"""The members of an edge's overlap group, of a run made with --overlaps, against plain SQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.schema.database import open_read_only
from tests.graphapi.conftest import Ask
from tests.indexer.test_overlaps import settings_of

NODE = "layer channel y x"
QUERY = f"""{{ run {{ images {{ nodes {{ decisions {{ class {{ index }} evidence {{
    nodes {{ {NODE} }} edges {{ target source overlaps {{ channel contribution iou }} }} }} }} }} }} }} }}"""


def test_members_of_every_edge(
    tmp_path: Path, make_ask: Callable[[Path, Settings], Ask], statements: list[str]
) -> None:
    index(settings_of(tmp_path, run=tmp_path / "run", limit=6, method=Method(top_n=4, overlaps=True)))
    publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    engine = open_read_only(tmp_path / "evidence.duckdb")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            """
            SELECT class_id, l.name, o.channel, y, x, representative, member, contribution, iou
            FROM overlap AS o JOIN layer AS l USING (run_id, layer_id)
            """
        ).all()
    engine.dispose()
    ask = make_ask(tmp_path / "evidence.duckdb", Settings())
    ask("{ run { name } }")
    statements.clear()
    answer: dict[str, Any] = ask(QUERY)
    assert "errors" not in answer, answer
    found = []
    for image in answer["data"]["run"]["images"]["nodes"]:
        for decision in image["decisions"]:
            nodes = decision["evidence"]["nodes"]
            for edge in decision["evidence"]["edges"]:
                target, members = nodes[edge["target"]], edge["overlaps"]
                place = (decision["class"]["index"], *(target[name] for name in NODE.split()))
                representative = nodes[edge["source"]]["channel"]
                found += [(*place, representative, *member.values()) for member in members]
                order = [(-member["contribution"], member["channel"]) for member in members]
                assert order == sorted(order)
    assert sorted(found) == sorted(tuple(row) for row in rows)
    assert len(found) > 10
    # Images, their decisions, evidence, overlaps: whatever their number.
    assert len(statements) == 4
