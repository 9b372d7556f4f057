"""Upgrading, deleting runs and rolling back: what a database holds afterwards, and that a refusal changes nothing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from evigraph.graphapi.service.query import execute
from evigraph.indexer.publish import manage
from evigraph.indexer.publish.manage import delete_runs, list_runs, migrate, rollback
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.publish.versions import VersionedFile
from evigraph.schema.checks.checks import run_checks
from evigraph.schema.database import REVISIONS, open_read_only, resolve, revision_of
from evigraph.schema.errors import DatabaseError, EvidenceError, NotFoundError, UsageError
from tests.database.conftest import copied, rows_of
from tests.support import PATIENCE_S
from tests.support.synthetic import synthetic_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second finished run folder, without context labels."""
    path = tmp_path_factory.mktemp("other") / "run"
    synthetic_run(path, name="other", seed=5, images=20, context=False)
    return path


@pytest.fixture(scope="module")
def of_two_runs(run_dir: Path, other_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of both runs, which were published one after the other; not to be changed."""
    db = tmp_path_factory.mktemp("of_two_runs") / "evidence.duckdb"
    publish([run_dir], db)
    publish([other_dir], db)
    return db


@pytest.fixture
def two(of_two_runs: Path, tmp_path: Path) -> Path:
    """The same as a database of this test's own."""
    return copied(of_two_runs, tmp_path / "two")


def _names(db: Path) -> list[str]:
    return [run.name for run in list_runs(db)]


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.lstat().st_ino, p.lstat().st_mtime_ns) for p in folder.iterdir() if p.suffix != ".lock"}


def _refused(work: Callable[[], object], db: Path, error: type[EvidenceError], message: str) -> None:
    before = _listing(db.parent)
    with pytest.raises(error, match=message) as caught:
        work()
    assert "\n" not in str(caught.value)
    assert _listing(db.parent) == before


def test_the_runs_are_listed(two: Path) -> None:
    first, second = list_runs(two)
    assert (first.name, second.name) == ("synthetic", "other")
    answer = execute(two, '{ run(name: "synthetic") { imageCount edgeCount accuracy createdAt model dataset } }')
    run = answer["data"]["run"]
    assert (first.image_count, first.edge_count, first.model, first.dataset) == (
        run["imageCount"], run["edgeCount"], run["model"], run["dataset"],
    )  # fmt: skip
    assert first.accuracy == pytest.approx(run["accuracy"])
    assert first.created_at.isoformat() == run["createdAt"]


def test_a_run_without_labels_has_no_accuracy(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "run", images=6, shard_size=6)
    publish([tmp_path / "run"], tmp_path / "e.duckdb")
    with duckdb.connect(str(resolve(tmp_path / "e.duckdb"))) as connection:
        connection.execute("UPDATE run SET labelled_count = 0, correct_count = 0")
    assert list_runs(tmp_path / "e.duckdb")[0].accuracy is None


def test_a_deleted_run_is_gone_and_the_others_are_as_if_it_had_never_been(
    two: Path,
) -> None:
    before = rows_of(two)
    report = delete_runs(["synthetic"], two)
    assert (report.deleted, report.kept) == (("synthetic",), ("other",))
    assert report.version == resolve(two)
    after = rows_of(two)
    assert after == {table: [row for row in rows if row[0] == 2] for table, rows in before.items()}
    assert _checks_out(two)
    rollback(two)
    assert rows_of(two) == before


def test_a_new_run_takes_no_id_that_is_in_use(two: Path, run_dir: Path) -> None:
    delete_runs(["synthetic"], two)
    publish([run_dir], two)
    assert sorted(row[:2] for row in rows_of(two)["run"]) == [(2, "other"), (3, "synthetic")]


def test_without_its_last_run_a_database_is_empty_and_valid(two: Path, run_dir: Path) -> None:
    report = delete_runs(["other", "synthetic", "other"], two)
    assert (report.deleted, report.kept) == (("other", "synthetic"), ())
    assert all(rows == [] for rows in rows_of(two).values())
    assert _checks_out(two)
    query = "{ runs(first: 1) { totalCount } run { name } }"
    assert execute(two, query) == {"data": {"runs": {"totalCount": 0}, "run": None}}
    publish([run_dir], two)
    assert _names(two) == ["synthetic"]


def _checks_out(db: Path) -> bool:
    engine = open_read_only(db)
    try:
        with engine.connect() as connection:
            return all(result.ok for result in run_checks(connection))
    finally:
        engine.dispose()


def test_what_cannot_be_deleted_changes_nothing(two: Path, tmp_path: Path) -> None:
    _refused(
        lambda: delete_runs(["othr"], two), two, NotFoundError, r"no run 'othr'; did you mean 'other'\? in .*lists"
    )
    _refused(lambda: delete_runs(["other", "none"], two), two, NotFoundError, "no run 'none' in")
    _refused(lambda: delete_runs([], two), two, UsageError, "no run named; `evigraph runs list")
    _refused(lambda: delete_runs(["other"], tmp_path / "none.duckdb"), two, DatabaseError, "no database")
    assert not (tmp_path / "none.duckdb.lock").exists()


def test_rollback_returns_to_the_version_before_and_forward_again(two: Path) -> None:
    newer = resolve(two)
    report = rollback(two)
    assert (report.runs, report.from_version, report.version) == (("synthetic",), newer, resolve(two))
    assert _names(two) == ["synthetic"]
    assert str(two.readlink()) == resolve(two).name
    _refused(lambda: rollback(two), two, DatabaseError, rf"nothing to go back to; .*--forward .*{newer.name}")
    assert rollback(two, forward=True).runs == ("synthetic", "other")
    assert resolve(two) == newer
    _refused(lambda: rollback(two, forward=True), two, DatabaseError, "newest version .*nothing to go forward to")


def test_the_version_that_was_left_is_kept_until_the_next_publish(two: Path, run_dir: Path) -> None:
    newer = resolve(two)
    rollback(two)
    older = resolve(two)

    def interrupt(stage: str, _done: int, _total: int) -> None:
        if stage == "scan":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish([run_dir], two, interrupt)
    assert newer.exists()
    publish([run_dir], two)
    assert _names(two) == ["synthetic"]
    assert VersionedFile(two).versions() == [older, resolve(two)]
    assert not newer.exists()


def test_rollback_from_a_version_that_is_damaged_or_gone(two: Path) -> None:
    newer = resolve(two)
    newer.write_bytes(b"zeros")
    with pytest.raises(DatabaseError, match="is not a DuckDB database"):
        list_runs(two)
    assert rollback(two).runs == ("synthetic",)
    _refused(lambda: rollback(two, forward=True), two, DatabaseError, "is not a DuckDB database")
    two.unlink()
    two.symlink_to(newer.name)
    newer.unlink()
    with pytest.raises(DatabaseError, match="which is gone; return to the version before it with `evigraph rollback"):
        list_runs(two)
    assert rollback(two).runs == ("synthetic",)


def test_a_stale_log_is_not_replayed_into_the_version_returned_to(two: Path) -> None:
    foreign = two.parent / "foreign.duckdb"
    with duckdb.connect(str(foreign)) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("CREATE TABLE intruder AS SELECT 1 AS x")
        shutil.copyfile(foreign.with_name("foreign.duckdb.wal"), two.with_name("evidence.duckdb.wal"))
    rollback(two)
    assert not list(two.parent.glob("evidence*.wal"))
    with duckdb.connect(str(two), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'intruder'").fetchone() == (0,)


def test_rollback_without_a_version_to_return_to(run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    _refused(lambda: rollback(db), db, DatabaseError, "no database")
    publish([run_dir], db)
    _refused(lambda: rollback(db), db, DatabaseError, "nothing to go back to; only the one before the last publish is")
    plain = tmp_path / "plain.duckdb"
    shutil.copyfile(resolve(db), plain)
    _refused(lambda: rollback(plain), plain, DatabaseError, "is a plain file without versions")
    link = tmp_path / "link.duckdb"
    link.symlink_to(plain.name)
    _refused(lambda: rollback(link), link, DatabaseError, "no version before plain.duckdb is kept")


def test_a_plain_file_that_was_taken_over_is_returned_to(run_dir: Path, other_dir: Path, tmp_path: Path) -> None:
    publish([run_dir], tmp_path / "first.duckdb")
    db = tmp_path / "evidence.duckdb"
    shutil.copyfile(resolve(tmp_path / "first.duckdb"), db)
    publish([other_dir], db)
    assert rollback(db).runs == ("synthetic",)


def test_versions_follow_each_other_though_the_clock_runs_back(two: Path, run_dir: Path) -> None:
    ahead = two.with_name("evidence.29980101T000000.000000-abcdef.duckdb")
    resolve(two).rename(ahead)
    two.unlink()
    two.symlink_to(ahead.name)
    publish([run_dir], two)
    assert resolve(two) > ahead
    assert rollback(two).version == ahead


def test_migrating_what_is_up_to_date_changes_nothing(two: Path) -> None:
    before = _listing(two.parent)
    for _ in range(2):
        report = migrate(two)
        assert not report.changed
        assert (report.from_revision, report.version) == (REVISIONS[-1], resolve(two))
    assert _listing(two.parent) == before


def test_migrating_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"no database .*make one with"):
        migrate(tmp_path / "folder" / "none.duckdb")
    (tmp_path / "notes.duckdb").write_text("notes")
    with pytest.raises(DatabaseError, match="is not a DuckDB database"):
        migrate(tmp_path / "notes.duckdb")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.duckdb"]


def test_each_change_excludes_every_other(two: Path, run_dir: Path) -> None:
    building, go_on = threading.Event(), threading.Event()

    def stop(stage: str, _done: int, _total: int) -> None:
        if stage == "rollups":
            building.set()
            assert go_on.wait(PATIENCE_S)

    thread = threading.Thread(target=publish, args=([run_dir], two, stop))
    thread.start()
    try:
        assert building.wait(PATIENCE_S)
        for work in (lambda: delete_runs(["other"], two), lambda: rollback(two), lambda: publish([run_dir], two)):
            with pytest.raises(DatabaseError, match=r"another publish to .* is at work"):
                work()
    finally:
        go_on.set()
        thread.join()
    assert _names(two) == ["synthetic", "other"]


def test_a_rollback_to_an_older_revision_says_so(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version before an upgrade is of the older revision: it may be returned to, and upgraded again."""
    monkeypatch.setattr(manage, "REVISIONS", (*REVISIONS, "9998"))
    report = rollback(two)
    assert (report.runs, report.revision) == (None, revision_of(two))
