"""Publishing: what a database holds afterwards, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evigraph.graphapi.service.query import execute
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.shards.folder import SHARD_SCHEMAS, RunDescription, RunFolder
from evigraph.schema.database import open_read_only, resolve
from evigraph.schema.errors import DatabaseError, EvidenceError, InvariantError, RunFolderError, UsageError
from tests.database.conftest import rows_of
from tests.support.synthetic import _verification, describe, synthetic_run, synthetic_shard

pytestmark = pytest.mark.slow


def _files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.name.endswith(".lock")}


def _refused(run_dirs: list[Path], db: Path, error: type[EvidenceError], message: str) -> None:
    before = _files(db.parent)
    with pytest.raises(error, match=message) as caught:
        publish(run_dirs, db)
    assert "\n" not in str(caught.value)
    assert _files(db.parent) == before


def test_the_report_and_the_pointer(run_dir: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    db = tmp_path / "new folder" / "evidence.duckdb"
    report = publish([run_dir], db, lambda stage, _done, _total: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["verify", "load", "checks", "rollups", "scan", "swap"]
    assert report.runs == ("synthetic",)
    assert report.version == resolve(db)
    assert db.is_symlink()
    assert str(db.readlink()) == report.version.name  # relative: the folder can be moved
    assert report.size_bytes == report.version.stat().st_size
    run = rows_of(db)["run"][0]
    assert (report.image_count, report.edge_count) == (run[10], run[13])
    moved = tmp_path / "moved"
    db.parent.rename(moved)
    assert rows_of(moved / "evidence.duckdb")["run"] == [run]


KEY = 'decision_id, target_layer, target_channel, target_y, target_x, "rank"'


def test_the_rows_are_those_of_the_shards(published: Path, run_dir: Path) -> None:
    rows = rows_of(published)
    with duckdb.connect() as connection:
        for table in ("image", "skipped_image", "decision"):
            files = str(run_dir / "shards" / f"*.{table}.parquet")
            wanted = connection.execute("SELECT 1, * FROM read_parquet(?) ORDER BY ALL", [files]).fetchall()
            assert rows[table] == wanted
        files = str(run_dir / "shards" / "*.edge.parquet")
        columns = connection.execute(f"SELECT * FROM read_parquet(?) ORDER BY {KEY}", [files]).fetchnumpy()
    engine = open_read_only(published)
    with engine.connect() as opened:
        found = opened.exec_driver_sql(f"SELECT * EXCLUDE (run_id, root_class_id) FROM edge ORDER BY {KEY}").all()
    engine.dispose()
    assert found[0]._fields == tuple(columns)
    for (name, wanted_values), values in zip(columns.items(), zip(*found, strict=True), strict=True):
        # evigraph.schema.encoding says how much each may differ.
        allowed = {"feature": 2e-3, "activation": 2e-3}.get(name, 8e-5)
        steps = {"context_iou": 4e-5, "context_peak_mass": 2e-3}.get(name, 0)
        there = ~np.ma.getmaskarray(wanted_values)
        assert [value is not None for value in values] == there.tolist()
        kept = np.array([value for value in values if value is not None])
        np.testing.assert_allclose(kept, np.ma.getdata(wanted_values)[there], rtol=allowed, atol=steps)
    assert [row[1:3] for row in rows["layer"]] == [(0, "conv1_2"), (1, "conv2_2"), (2, "conv3_3"), (3, "logits")]


def test_decompositions_lie_in_the_order_of_class_and_layer(own: Path, tmp_path: Path) -> None:
    synthetic_run(tmp_path / "second", name="second", seed=1)
    publish([tmp_path / "second"], own)
    engine = open_read_only(own)
    with engine.connect() as connection:
        key = "run_id, class_id, layer_id, decision_id, channel, y, x"
        rows = connection.exec_driver_sql(f"SELECT {key} FROM decomposition").all()
    engine.dispose()
    assert [tuple(row) for row in rows] == sorted(tuple(row) for row in rows)


@pytest.mark.slow
def test_runs_added_one_by_one_or_at_once_give_the_same_rows(run_dir: Path, tmp_path: Path) -> None:
    for name in ("b", "c"):
        synthetic_run(tmp_path / name, name=name, seed=ord(name), context=False, twins=True)
    for run in (run_dir, tmp_path / "b", tmp_path / "c"):
        publish([run], tmp_path / "one.duckdb")
    publish([run_dir, tmp_path / "b", tmp_path / "c"], tmp_path / "all.duckdb")
    assert rows_of(tmp_path / "one.duckdb") == rows_of(tmp_path / "all.duckdb")


def test_a_run_of_the_same_name_is_replaced_and_keeps_its_id(own: Path, tmp_path: Path) -> None:
    synthetic_run(tmp_path / "b", name="b", seed=1)
    publish([tmp_path / "b"], own)
    b_rows = rows_of(own)
    synthetic_run(tmp_path / "again", seed=7, images=20)
    publish([tmp_path / "again"], own, replace_others=True)
    rows = rows_of(own)
    assert [row[:2] for row in rows["run"]] == [(1, "synthetic"), (2, "b")]
    assert rows["run"][0][10:12] == (19, 1)
    for table in rows:
        assert [r for r in rows[table] if r[0] == 2] == [r for r in b_rows[table] if r[0] == 2]


def test_a_run_of_another_origin_is_replaced_only_where_that_is_asked_for(own: Path, tmp_path: Path) -> None:
    """Half an hour's index of other images is not lost to a name that was used before."""
    before = rows_of(own)
    synthetic_run(tmp_path / "again", seed=7, images=20)
    with pytest.raises(UsageError, match=r"holds a run 'synthetic' that was made from .*give --replace"):
        publish([tmp_path / "again"], own)
    assert rows_of(own) == before
    report = publish([tmp_path / "again"], own, replace_others=True)
    assert len(report.replaced) == 1
    assert "other" in report.replaced[0] or "as it was before" in report.replaced[0]
    again = publish([tmp_path / "again"], own)
    assert again.replaced == ("run synthetic replaces one of the same network, weights and data",)


@pytest.mark.parametrize(
    "odd", ["what?", "memory?access_mode=READ_ONLY", "~", "~root", "a*[b]", "100%25#x", "-db", "l\nx"]
)
def test_a_folder_may_have_any_name(run_dir: Path, tmp_path: Path, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB reads some signs in a path as its own: options after ?, the home folder, patterns."""
    monkeypatch.chdir(tmp_path)
    run, db = Path(odd), Path(odd, f"{odd}.duckdb")
    shutil.copytree(run_dir, run)
    for _ in range(2):  # the second time, what is there is attached
        publish([run], db)
    assert len(rows_of(db)["run"]) == 1
    assert sorted(path.suffix for path in run.glob("*.duckdb*")) == [".duckdb"] * 3 + [".lock"]
    assert execute(db, "{ run { name } }") == {"data": {"run": {"name": "synthetic"}}}


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["old", "temp", "main", "edge", "x'y", 'a "b'])
def test_a_database_may_have_any_name(run_dir: Path, tmp_path: Path, stem: str) -> None:
    """DuckDB names a database after its file, so some names might be those of something else."""
    db = tmp_path / f"{stem}.duckdb"
    for _ in range(2):  # the second time, what is there is attached
        publish([run_dir], db)
    assert len(rows_of(db)["run"]) == 1


def test_the_version_before_is_kept_until_the_next_publish(own: Path, run_dir: Path) -> None:
    versions = [resolve(own)]
    for _ in range(3):
        publish([run_dir], own)
        versions.append(resolve(own))
        assert sorted(p.name for p in own.parent.iterdir()) == sorted(
            [*(v.name for v in versions[-2:]), "evidence.duckdb", "evidence.duckdb.lock"]
        )


def test_leftovers_of_a_killed_publish_are_removed(own: Path, run_dir: Path) -> None:
    stamp = "evidence.29990101T000000.000000-abcdef"
    for suffix in (".building", ".building.wal", ".building.old", ".building.partial", ".duckdb", ".duckdb.wal"):
        (own.parent / (stamp + suffix)).write_bytes(b"left")
    (own.parent / f"{stamp}.building.tmp").mkdir()
    (own.parent / f"{stamp}.building.tmp" / "x.tmp").touch()
    others = ("evidence.notes.duckdb", "other.29990101T000000.000000-abcdef.duckdb")
    for name in others:
        (own.parent / name).touch()
    publish([run_dir], own)
    assert not list(own.parent.glob(f"{stamp}*"))
    assert all((own.parent / name).exists() for name in others)


def test_a_stale_log_is_never_replayed(own: Path, run_dir: Path) -> None:
    """DuckDB replays `X.wal` into whatever file is called X."""
    foreign = own.parent / "foreign.duckdb"
    connection = duckdb.connect(str(foreign))
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    connection.execute("CREATE TABLE intruder AS SELECT 1 AS x")
    wal = foreign.with_name("foreign.duckdb.wal")
    assert wal.exists()
    shutil.copyfile(wal, own.parent / "evidence.duckdb.wal")
    connection.close()
    publish([run_dir], own)
    assert not list(own.parent.glob("evidence*.wal"))
    with duckdb.connect(str(own), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'intruder'").fetchone() == (0,)


def test_a_plain_database_file_is_taken_over_and_kept_once(own: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain" / "evidence.duckdb"
    plain.parent.mkdir()
    shutil.copyfile(resolve(own), plain)
    content = plain.read_bytes()
    synthetic_run(tmp_path / "b", name="b", seed=1)
    publish([tmp_path / "b"], plain)
    assert plain.is_symlink()
    assert [row[1] for row in rows_of(plain)["run"]] == ["synthetic", "b"]
    kept = [p for p in plain.parent.glob("evidence.*.duckdb") if p != resolve(plain)]
    assert [p.read_bytes() for p in kept] == [content]
    publish([tmp_path / "b"], plain)
    assert not kept[0].exists()


def test_a_link_to_a_database_elsewhere_is_taken_over(own: Path, tmp_path: Path) -> None:
    link = tmp_path / "link" / "evidence.duckdb"
    link.parent.mkdir()
    link.symlink_to(resolve(own))
    synthetic_run(tmp_path / "b", name="b", seed=1)
    before = _files(own.parent)
    publish([tmp_path / "b"], link)
    assert [row[1] for row in rows_of(link)["run"]] == ["synthetic", "b"]
    assert _files(own.parent) == before


def test_refusals_of_run_folders_change_nothing(own: Path, run_dir: Path, tmp_path: Path) -> None:
    _refused([], own, UsageError, "no run folder given")
    _refused([tmp_path / "none"], own, RunFolderError, "is no run folder")
    _refused([run_dir, run_dir], own, UsageError, "both hold a run named 'synthetic'")
    with RunFolder.open_for_writing(tmp_path / "half", describe(name="half")) as folder:
        folder.write_shard(1, synthetic_shard(folder.description, folder.image_range(1)))
        _refused([tmp_path / "half"], own, RunFolderError, "is being written by")
    unfinished = "2 of 3 shards are missing; run the same `evigraph index` command again"
    _refused([run_dir, tmp_path / "half"], own, RunFolderError, unfinished)
    synthetic_run(tmp_path / "open", finish=False)
    _refused([tmp_path / "open"], own, RunFolderError, "0 of 3 shards are missing; run the same")


def _cut(run: Path) -> None:
    file = run / "shards" / "00001.edge.parquet"
    file.write_bytes(file.read_bytes()[:-1])


def _flip(run: Path) -> None:
    file = run / "shards" / "00002.image.parquet"
    content = bytearray(file.read_bytes())
    content[50] ^= 4
    file.write_bytes(content)


def _other_weights(run: Path) -> None:
    description = run / "run.json"
    description.write_text(
        description.read_text().replace(f'"weights_sha256": "{"0" * 64}"', f'"weights_sha256": "{"1" * 64}"')
    )


def _other_preprocessing(run: Path) -> None:
    description = run / "run.json"
    description.write_text(
        description.read_text().replace('"max_nodes": null', '"max_nodes": null, "preprocessing": {"crop": 9}')
    )


def _shard_of_another_dataset(run: Path) -> None:
    other = run.with_name("other")
    synthetic_run(other, seed=1)
    for file in (other / "shards").glob("00001.*"):
        shutil.copyfile(file, run / "shards" / file.name)


def _other_run(run: Path) -> None:
    description = run / "run.json"
    description.write_text(description.read_text().replace('"top_n": 3', '"top_n": 4'))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, r"00001\.edge\.parquet has \d+ bytes where its manifest entry says \d+; .*to remake it"),
        (_flip, r"00002\.image\.parquet does not have the SHA-256 .*to remake it"),
        (_other_weights, r"shard 00000\.json was made with weights_sha256 = \"0{64}\", where run\.json says \"1{64}\""),
        (_other_preprocessing, r"shard 00000\.json was made with preprocessing_sha256 = .*, where run\.json says"),
        (_shard_of_another_dataset, r"shard 00001\.json was made with dataset_sha256 = \"0*1\", where run\.json says"),
        (_other_run, r"shard 00000\.json was made with other settings than run\.json"),
    ],
)
def test_a_damaged_shard_is_named(
    own: Path, run_dir: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    shutil.copytree(run_dir, tmp_path / "run")
    damage(tmp_path / "run")
    _refused([tmp_path / "run"], own, RunFolderError, message)


def test_a_broken_invariant_is_named_and_not_published(own: Path, tmp_path: Path) -> None:
    with RunFolder.open_for_writing(tmp_path / "run", describe(name="bad")) as folder:
        for shard in folder.pending_shards():
            tables = synthetic_shard(folder.description, folder.image_range(shard))
            for table in ("edge", "decomposition"):
                rows = tables[table]
                column = rows.schema.get_field_index("importance")
                doubled = pc.multiply(rows["importance"], pa.scalar(2, pa.float32()))
                tables[table] = rows.set_column(column, rows.schema.field(column), doubled)
            folder.write_shard(shard, tables)
        folder.finish()
    message = r"not published, as invariant importance is broken: \d+ edges whose importance"
    _refused([tmp_path / "run"], own, InvariantError, message)


def test_a_file_that_is_damaged_on_the_disk_is_not_published(own: Path, run_dir: Path) -> None:
    """DuckDB checks a block only when it reads it, so the whole new file is read."""

    def damage(stage: str, done: int, _total: int) -> None:
        if (stage, done) == ("scan", 0):
            (building,) = own.parent.glob("*.building")
            with building.open("r+b") as file:
                for offset in range(3 * 4096 + 100, building.stat().st_size, 262144):
                    file.seek(offset)
                    file.write(b"\xa5" * 64)

    before = _files(own.parent)
    with pytest.raises(DatabaseError, match=r"could not be built: .*the served version is as it was") as caught:
        publish([run_dir], own, damage)
    assert "\n" not in str(caught.value)
    assert _files(own.parent) == before


def test_two_publishers_exclude_each_other(own: Path, run_dir: Path) -> None:
    refusals: list[str] = []

    def second(stage: str, _done: int, _total: int) -> None:
        if stage == "rollups":
            with pytest.raises(DatabaseError, match=r"another publish to .* is at work, .*; wait for it") as caught:
                publish([run_dir], own)
            refusals.append(str(caught.value))

    publish([run_dir], own, second)
    assert len(refusals) == 1
    assert len(rows_of(own)["run"]) == 1


def test_an_interrupted_publish_leaves_nothing(own: Path, run_dir: Path) -> None:
    before = _files(own.parent)

    def interrupt(stage: str, _done: int, _total: int) -> None:
        if stage == "scan":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish([run_dir], own, interrupt)
    assert _files(own.parent) == before


def test_a_memory_limit_is_kept_to_and_one_that_is_none_refused(run_dir: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([run_dir], db, memory_limit="200MB")
    assert rows_of(db)["run"]
    with pytest.raises(UsageError, match=r"memory limit '2 gigs' is no size; give one such as 2GB"):
        publish([run_dir], db, memory_limit="2 gigs")


def test_a_run_folder_of_before_there_were_controls_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shards lack columns, which are null."""
    since = [name for name in SHARD_SCHEMAS["verification"].names if name.startswith(("control_", "disturbance"))]
    old = pa.schema([field for field in SHARD_SCHEMAS["verification"] if field.name not in since])
    assert len(old) == len(SHARD_SCHEMAS["verification"]) - 11
    with monkeypatch.context() as before:
        before.setitem(SHARD_SCHEMAS, "verification", old)
        synthetic_run(tmp_path / "old", verified=True)
    publish([tmp_path / "old"], tmp_path / "evidence.duckdb")
    engine = open_read_only(tmp_path / "evidence.duckdb")
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT {', '.join(since)} FROM verification").all()
        kept = connection.exec_driver_sql("SELECT count(*) FROM verification WHERE logit_change <> 0").scalar()
        counts = connection.exec_driver_sql("SELECT sum(tested), sum(control_tested) FROM channel_verification").one()
    engine.dispose()
    assert set(found) == {(None,) * len(since)}
    assert kept == len(found)
    assert counts[0] > 0 == counts[1]


@pytest.mark.parametrize("occlude", ["grey", "blur"])
def test_a_run_folder_of_before_fills_were_kept_was_hidden_as_its_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, occlude: str
) -> None:
    since = ("fill", "fill_image_id", "empty_predicted_id", "control_shape", "control_area")
    old = pa.schema([field for field in SHARD_SCHEMAS["verification"] if field.name not in since])

    def described(**options: Any) -> RunDescription:
        made = describe(**options)
        return replace(made, settings={**made.settings, "verify": {"occlude": occlude}})

    def by_one_fill(*arguments: Any) -> list[dict[str, Any]]:
        return [row for row in _verification(*arguments) if row["fill"] != "blur"]

    with monkeypatch.context() as before:
        before.setitem(SHARD_SCHEMAS, "verification", old)
        before.setattr("tests.support.synthetic.describe", described)
        before.setattr("tests.support.synthetic._verification", by_one_fill)
        synthetic_run(tmp_path / "old", verified=True)
    publish([tmp_path / "old"], tmp_path / "evidence.duckdb")
    with duckdb.connect(str(resolve(tmp_path / "evidence.duckdb")), read_only=True) as connection:
        found = connection.execute(
            "SELECT DISTINCT method, fill, fill_image_id, empty_predicted_id, control_shape, control_area = area "
            "FROM verification WHERE control_predicted_id IS NOT NULL"
        )
        assert set(found.fetchall()) == {
            ("occlude", occlude, None, None, "box", True),
            ("remove", None, None, None, None, None),
        }
