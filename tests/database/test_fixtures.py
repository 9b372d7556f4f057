"""A database of each released revision, brought up to this program's: its rows and its answers stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from evigraph.graphapi.service.query import execute
from evigraph.indexer.publish.manage import migrate, rollback
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import REVISIONS, open_read_only, resolve, revision_of
from evigraph.schema.tables.base import Base
from evigraph.schema.views import edge
from tests.fixtures.make_fixture import answers_of, ask, fixtures, unpack
from tests.support.synthetic import synthetic_run

Rows = dict[str, list[tuple[Any, ...]]]
OLD_TABLES = ("run", "layer", "class", "image", "skipped_image", "decision", "edge", "context_label")
"""What every revision has; `edge` may be a view."""
EDGE = [column.name for column in edge.c if column.name != "root_class_id"]
COARSE = ("feature", "activation")
"""Numbers that revision 0002 stores to 2 parts in 1,000, `schema.encoding`; the others to 7 in 100,000."""


def test_every_revision_has_its_fixture() -> None:
    assert set(fixtures()) | {REVISIONS[-1]} == set(REVISIONS)


def _old_rows(file: Path) -> Rows:
    """The base rows of a file of any revision, by the columns that this program still has."""
    rows: Rows = {}
    with duckdb.connect(str(file), read_only=True) as connection:
        for table in OLD_TABLES:
            there = [row[0] for row in connection.execute(f'DESCRIBE "{table}"').fetchall()]
            known = EDGE if table == "edge" else [c.name for c in Base.metadata.tables[table].columns]
            columns = [f'"{name}"' for name in known if name in there]
            assert columns
            rows[table] = connection.execute(f'SELECT {", ".join(columns)} FROM "{table}" ORDER BY ALL').fetchall()
    return rows


def _assert_same(old: Any, new: Any, path: str = "") -> None:
    """Equal as JSON, but for what the encoding of a later revision may change."""
    if isinstance(old, float) and isinstance(new, (int, float)):
        relative, absolute = 2e-3 if path.endswith(COARSE) else 8e-5, 4e-5 if "iou" in path.lower() else 1e-8
        assert new == pytest.approx(old, rel=relative, abs=absolute), path
    elif isinstance(old, dict):
        assert old.keys() == new.keys(), path
        for key in old:
            _assert_same(old[key], new[key], f"{path}.{key}")
    elif isinstance(old, (list, tuple)):
        assert len(old) == len(new), path
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            _assert_same(one, other, f"{path}[{index}]")
    else:
        assert old == new, path


def _assert_same_rows(old: Rows, new: Rows) -> None:
    assert old.keys() == new.keys()
    for table in old:
        names = EDGE if table == "edge" else [""] * 99
        for row, other in zip(old[table], new[table], strict=True):
            for name, value, now in zip(names, row, other, strict=False):
                _assert_same(value, now, f"{table}.{name}")


@pytest.mark.slow
@pytest.mark.parametrize("revision", sorted(fixtures()))
def test_publish_brings_it_up(tmp_path: Path, revision: str) -> None:
    db = unpack(fixtures()[revision], tmp_path / "evidence.duckdb")
    assert revision_of(db) == revision
    before = _old_rows(db)
    assert all(before.values())  # no table is compared empty
    synthetic_run(tmp_path / "third", name="third", seed=1, images=20)
    publish([tmp_path / "third"], db)
    assert revision_of(db) == REVISIONS[-1]
    after = _old_rows(resolve(db))
    run_ids = {row[0] for row in before["layer"]}
    _assert_same_rows(before, {t: [row for row in rows if row[0] in run_ids] for t, rows in after.items()})
    expected = answers_of(revision)
    answers = ask(db, expected)
    third = answers["runs"]["runs"]["nodes"].pop(0)
    assert third["name"] == "third"
    _assert_same(expected, answers)
    assert not [path.name for path in tmp_path.iterdir() if ".building" in path.name]


@pytest.mark.slow
@pytest.mark.parametrize("revision", sorted(fixtures()))
def test_migrate_brings_it_up(tmp_path: Path, revision: str) -> None:
    db = unpack(fixtures()[revision], tmp_path / "evidence.duckdb")
    content, before = db.read_bytes(), _old_rows(db)
    report = migrate(db)
    assert (report.from_revision, report.revision) == (revision, REVISIONS[-1])
    assert report.changed == (revision != REVISIONS[-1])
    assert revision_of(db) == REVISIONS[-1]
    _assert_same_rows(before, _old_rows(resolve(db)))
    expected = answers_of(revision)
    _assert_same(expected, ask(db, expected))
    assert not [path.name for path in tmp_path.iterdir() if ".building" in path.name]
    assert not migrate(db).changed
    if report.changed:
        # The file of the older revision is kept as it was, and may be returned to.
        assert rollback(db).version.read_bytes() == content
        assert migrate(db).changed


def test_tests_of_before_revision_0003_have_no_control(tmp_path: Path) -> None:
    db = unpack(fixtures()["0002"], tmp_path / "evidence.duckdb")
    migrate(db)
    asked = execute(
        db,
        """{ run(name: "labelled") {
            verifiedChannels(layer: "conv3_3", outcome: null, first: 50) { nodes { counts { control { p } } } }
            images(first: 50) { nodes { decisions { evidence(maxDepth: 1) { edges {
                verification { disturbance control { corrected } } } } } } } } }""",
    )
    run = asked["data"]["run"]
    tests = [
        test
        for image in run["images"]["nodes"]
        for decision in image["decisions"]
        for edge in decision["evidence"]["edges"]
        for test in edge["verification"]
    ]
    counts = [node["counts"] for node in run["verifiedChannels"]["nodes"]]
    assert tests == [{"disturbance": None, "control": None}] * len(tests) != []
    assert counts == [{"control": None}] * len(counts) != []


@pytest.mark.parametrize("fill", ["blur", None])
def test_tests_of_before_revision_0006_were_hidden_as_their_settings_say(tmp_path: Path, fill: str | None) -> None:
    db = unpack(fixtures()["0004"], tmp_path / "evidence.duckdb")
    settings = "{}" if fill is None else f'{{"verify": {{"occlude": "{fill}"}}}}'
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE run SET settings = ? WHERE name = 'labelled'", [settings])
    migrate(db)
    answer = execute(
        db,
        """{ run(name: "labelled") { verification(layer: "conv3_3", method: OCCLUDE, outcome: null) {
            fill tested toEmptyPrediction control { tested toEmptyPrediction } } } }""",
    )
    (counts,) = answer["data"]["run"]["verification"]
    assert counts["fill"] == (None if fill is None else fill.upper())
    assert (counts["toEmptyPrediction"], counts["control"]["toEmptyPrediction"]) == (None, None)
    assert counts["tested"] > counts["control"]["tested"] > 0
    with duckdb.connect(str(resolve(db)), read_only=True) as connection:
        found = connection.execute(
            "SELECT DISTINCT control_shape, control_area = area, empty_predicted_id FROM verification"
        )
        assert set(found.fetchall()) == {("box", True, None), (None, None, None)}


def test_a_difference_would_be_noticed() -> None:
    answers = answers_of(REVISIONS[0])
    other = answers_of(REVISIONS[0])
    changed = other["evidence"]["run"]["images"]["nodes"][0]["decisions"][0]["evidence"]["edges"][-1]
    changed["share"] *= 1.001
    with pytest.raises(AssertionError):
        _assert_same(answers, other)


def test_the_reader_of_a_fixture_reads_this_revision(published: Path) -> None:
    engine = open_read_only(published)
    with engine.connect() as connection:
        edges = connection.exec_driver_sql("SELECT count(*) FROM edge").scalar()
    engine.dispose()
    assert len(_old_rows(resolve(published))["edge"]) == edges
