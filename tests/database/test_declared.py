"""A rollup is its declaration and nothing else: declared here, it is made, filled, compared and made anew."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData, SmallInteger, create_engine, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped
from sqlalchemy.pool import NullPool

from evigraph.graphapi.service.query import execute
from evigraph.indexer.publish.manage import list_runs, migrate, rollback
from evigraph.indexer.publish.publish import publish
from evigraph.schema.checks.checks import check_rollups, run_checks
from evigraph.schema.database import REVISIONS, open_read_only, resolve
from evigraph.schema.errors import DatabaseError
from evigraph.schema.tables.declared import (
    ALL_CLASSES,
    ROLLUPS,
    SUM_OF_SHARES,
    Edges,
    Rollup,
    Rows,
    by,
    count,
    roots,
    total,
)
from tests.conftest import Cli
from tests.database.conftest import rows_of
from tests.support.synthetic import synthetic_run

pytestmark = pytest.mark.slow


class _Scratch(Rollup):
    """What is declared on it has tables of its own, beside those of the program."""

    __abstract__ = True
    metadata = MetaData()


class Target(_Scratch):
    """Edges that explain a channel, per class of their roots."""

    __tablename__ = "target"
    source = Edges()

    layer_id: Mapped[int] = by("target_layer", SmallInteger)
    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    channel: Mapped[int] = by("target_channel")
    decisions: Mapped[int] = roots()
    edges: Mapped[int] = count()
    first_edges: Mapped[int] = count('"rank" = 0')
    share_sum: Mapped[Decimal] = total("share", SUM_OF_SHARES)


class _ScratchOfLater(Rollup):
    """The same for a second declaration of a table."""

    __abstract__ = True
    metadata = MetaData()


class TargetOfLabel(_ScratchOfLater):
    """The same table, otherwise: two columns less, and only edges of roots for the label."""

    __tablename__ = "target"
    source = Edges("role = 'label'")

    layer_id: Mapped[int] = by("target_layer", SmallInteger)
    class_id: Mapped[int] = by(overall=ALL_CLASSES)
    channel: Mapped[int] = by("target_channel")
    decisions: Mapped[int] = roots()
    edges: Mapped[int] = count()


del ROLLUPS["target"]  # the other tests know nothing of it


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """What a test declares is forgotten after it."""
    before = dict(ROLLUPS)
    yield
    ROLLUPS.clear()
    ROLLUPS.update(before)


def _rows(db: Path, rollup: type[Rollup]) -> list[tuple[object, ...]]:
    engine = open_read_only(db)
    with engine.connect() as connection:
        rows = connection.execute(select(rollup.table())).all()
    engine.dispose()
    return [tuple(row) for row in rows]


def _wanted(db: Path, role: str | None = None) -> dict[tuple[int, ...], tuple[int, int, int, float]]:
    """(layer, class, channel) to decisions, edges, first edges and the sum of shares, counted edge by edge."""
    engine = open_read_only(db)
    with engine.connect() as connection:
        sql = "SELECT e.*, d.role FROM edge AS e JOIN decision AS d USING (run_id, decision_id)"
        edges = connection.exec_driver_sql(sql).mappings().all()
    engine.dispose()
    decisions: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
    counts, first = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    shares: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for edge in edges:
        for class_id in (edge["root_class_id"], ALL_CLASSES) if role in (None, edge["role"]) else ():
            group = edge["target_layer"], class_id, edge["target_channel"]
            decisions[group].add(edge["decision_id"])
            counts[group] += 1
            first[group] += edge["rank"] == 0
            shares[group] += edge["share"]
    return {group: (len(decisions[group]), counts[group], first[group], shares[group]) for group in sorted(counts)}


@pytest.mark.parametrize("edges_at_a_time", [120, 3_000_000])
def test_it_is_made_filled_and_compared(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edges_at_a_time: int
) -> None:
    monkeypatch.setattr("evigraph.schema.rollups.filling.EDGES_AT_A_TIME", edges_at_a_time)
    ROLLUPS["target"], db = Target, tmp_path / "evidence.duckdb"
    publish([run_dir], db)
    rows, wanted = _rows(db, Target), _wanted(db)
    assert [row[:4] for row in rows] == [(1, *group) for group in wanted]  # in the order of the columns
    for row, measures in zip(rows, wanted.values(), strict=True):
        assert row[4:7] == measures[:3]
        assert float(str(row[7])) == pytest.approx(measures[3], abs=1.2e-7)
    assert len({row[2] for row in rows}) > 3
    with _writing(db) as connection:
        assert {result.name: result.ok for result in run_checks(connection)}["rollup-target"]
        connection.exec_driver_sql("UPDATE target SET share_sum = share_sum + 0.1")
        for sample in (300, 10**9):
            broken = [result.name for result in check_rollups(connection, sample_edges=sample) if not result.ok]
            assert broken == ["rollup-target"]


@pytest.mark.parametrize("measure", ["decisions", "edges", "share_sum"])
def test_the_sum_over_all_classes_is_compared_in_a_sample(run_dir: Path, tmp_path: Path, measure: str) -> None:
    ROLLUPS["target"] = Target
    publish([run_dir], tmp_path / "evidence.duckdb")
    with _writing(tmp_path / "evidence.duckdb") as connection:
        change = f"UPDATE target SET {measure} = {measure} + 1 WHERE class_id = -1"
        assert connection.exec_driver_sql(change).rowcount
        broken = [result.name for result in check_rollups(connection, sample_edges=300) if not result.ok]
        assert broken == ["rollup-target"]


def _refused(work: Callable[[], object], message: str) -> None:
    with pytest.raises(DatabaseError, match=message) as caught:
        work()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_changed_declaration_is_said_and_made_anew_by_migrate(run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([run_dir], db)
    others, older = rows_of(db), resolve(db)
    for target, role in ((Target, None), (TargetOfLabel, "label")):  # new to the database, then changed
        ROLLUPS["target"] = target
        for attempt in (lambda: open_read_only(db), lambda: list_runs(db), lambda: execute(db, "{ run { name } }")):
            _refused(attempt, r"rollups that this program declares otherwise \(target\); bring it .*`evigraph migrate")
        report = migrate(db)
        assert (report.changed, report.rollups) == (True, ("target",))
        assert (report.from_revision, report.revision) == (REVISIONS[-1], REVISIONS[-1])
        assert [row[1:6] for row in _rows(db, target)] == [(*g, *m[:2]) for g, m in _wanted(db, role).items()]
        assert rows_of(db) == others
        assert not migrate(db).changed
        assert not list(db.parent.glob("*.building*"))
        with _writing(db) as connection:
            assert all(result.ok for result in run_checks(connection))
    del ROLLUPS["target"]
    _refused(lambda: open_read_only(db), r"declares otherwise \(target\)")
    assert migrate(db).rollups == ("target",)
    assert rows_of(db) == others
    assert not older.exists()
    # The version before has the rollup still, and may be returned to.
    assert rollback(db).runs is None
    assert migrate(db).changed


def test_the_command_line_says_so(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([run_dir], db)
    ROLLUPS["target"] = Target
    for words in (("check",), ("serve",), ("query", "{ run { name } }"), ("runs", "list")):
        outcome = cli(*words, "--db", db)
        assert (outcome.code, outcome.stdout) == (1, "")
        assert f"(target); bring it up to date with `evigraph migrate --db {db}`" in outcome.error
    report = cli("migrate", "--db", db)
    assert report.code == 0
    assert report.stdout.startswith(f"{db} has its rollups made anew: target\n")
    assert cli("check", "--db", db, "--quiet").code == 0
    assert json.loads(cli("migrate", "--db", db, "--json").stdout)["rollups"] == []


@pytest.mark.slow
def test_publish_makes_stale_rollups_anew(run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([run_dir], db)
    ROLLUPS["target"] = Target
    synthetic_run(tmp_path / "second", name="second", seed=1, images=20)
    publish([tmp_path / "second"], db)
    assert {row[0] for row in _rows(db, Target)} == {1, 2}
    publish([run_dir], db)  # replaces a run: the other is copied, its rollups too
    rows = _rows(db, Target)
    publish([run_dir, tmp_path / "second"], tmp_path / "new.duckdb")
    assert sorted(rows) == sorted(_rows(tmp_path / "new.duckdb", Target))


def _writing(db: Path) -> Connection:
    """A connection to the served version itself; a test that uses it has the database to itself."""
    return create_engine(URL.create("duckdb", database=str(resolve(db))), poolclass=NullPool).connect()


def test_what_cannot_be_rolled_up_is_refused_when_it_is_declared() -> None:
    with pytest.raises(TypeError, match=r"by_place\.y is by source_y; edges are by \('class_id', .*"):

        class ByPlace(_Scratch):
            __tablename__ = "by_place"
            source = Edges()
            y: Mapped[int] = by("source_y")

    with pytest.raises(TypeError, match=r"by_role\.role has rows over all values; of edges class_id alone has"):

        class ByRole(_Scratch):
            __tablename__ = "by_role"
            source = Edges()
            role: Mapped[str] = by(overall="any")

    assert not {"by_place", "by_role"} & set(ROLLUPS)

    class ByOutcome(_Scratch):
        __tablename__ = "by_outcome"
        source = Rows("root WHERE run_id = $run_id")
        outcome: Mapped[str] = by(overall="any")

    assert ROLLUPS["by_outcome"] is ByOutcome
