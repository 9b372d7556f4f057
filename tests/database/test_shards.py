"""Run folders: resuming, damage, other settings, locks and full disks."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evigraph.indexer.shards import masks
from evigraph.indexer.shards.folder import SHARD_SCHEMAS, RunDescription, RunFolder
from evigraph.schema.errors import RunFolderError
from evigraph.schema.tables.base import Base
from evigraph.schema.views import edge as edge_view
from tests.support.synthetic import describe, synthetic_run, synthetic_shard


def _write(folder: RunFolder, shard: int) -> None:
    folder.write_shard(shard, synthetic_shard(folder.description, folder.image_range(shard)))


def _content(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((path / "shards").iterdir())}


def test_schemas_are_those_of_the_models() -> None:
    for table, schema in SHARD_SCHEMAS.items():
        if table not in ("decomposition", "edge", *masks.SCHEMAS):
            assert ["run_id", *schema.names] == [column.name for column in Base.metadata.tables[table].columns]
    edge = SHARD_SCHEMAS["edge"]
    assert {"run_id", "root_class_id", *edge.names} == {column.name for column in edge_view.c}
    kinds = {name: str(edge.field(name).type) for name in ("decision_id", "rank", "share", "context_iou")}
    assert kinds == {"decision_id": "int32", "rank": "int16", "share": "float", "context_iou": "float"}
    assert edge.field("context_iou").nullable
    assert not edge.field("share").nullable


def test_any_order_of_shards_gives_the_same_files(tmp_path: Path) -> None:
    description = synthetic_run(tmp_path / "straight")
    with RunFolder.open_for_writing(tmp_path / "reversed", description) as folder:
        for shard in reversed(folder.pending_shards()):
            _write(folder, shard)
        folder.finish()
    assert _content(tmp_path / "straight") == _content(tmp_path / "reversed")


def test_a_run_resumes_with_the_shards_that_are_missing(tmp_path: Path) -> None:
    description = describe()
    with RunFolder.open_for_writing(tmp_path / "run", description) as folder:
        assert folder.pending_shards() == [0, 1, 2]
        assert [list(folder.image_range(2))[i] for i in (0, -1)] == [32, 39]
        _write(folder, 1)
        with pytest.raises(RunFolderError, match="misses 2 of 3 shards; run the same"):
            folder.finish()
        created_at = folder.created_at
    with RunFolder.open_for_writing(tmp_path / "run", description) as folder:
        assert folder.pending_shards() == [0, 2]
        assert folder.created_at == created_at
        for shard in (0, 2):
            _write(folder, shard)
        folder.finish()
        finished_at = folder.finished_at()
        folder.finish()
        assert folder.finished_at() == finished_at
    rows = json.loads((tmp_path / "run" / "finished.json").read_text())["rows"]
    assert rows["image"] + rows["skipped_image"] == 40


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "lost", "no entry", "torn entry", "odd entry", "entry of another run"]
)
def test_a_damaged_shard_is_pending_again(tmp_path: Path, damage: str) -> None:
    description = synthetic_run(tmp_path / "run")
    whole = _content(tmp_path / "run")
    file = tmp_path / "run" / "shards" / "00001.edge.parquet"
    entry = tmp_path / "run" / "shards" / "00001.json"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-10])
    elif damage == "flipped":
        file.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    elif damage == "lost":
        file.unlink()
    elif damage == "no entry":
        entry.unlink()
    elif damage == "torn entry":
        entry.write_bytes(entry.read_bytes()[:50])
    elif damage == "odd entry":
        entry.write_text(entry.read_text().replace('"sha256"', '"sha1"'))
    else:
        entry.write_text(entry.read_text().replace(description.digest(), "0" * 64))
    with RunFolder.open_for_writing(tmp_path / "run", description) as folder:
        assert folder.pending_shards() == [1]
        _write(folder, 1)
        assert not folder.is_finished()
        folder.finish()
    assert _content(tmp_path / "run") == whole


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    description = synthetic_run(tmp_path / "run")
    layer = dataclasses.replace(description.layers[1], module="features.8")
    others: list[tuple[RunDescription, str]] = [
        (dataclasses.replace(description, top_n=5), "top_n = 3, not 5"),
        (dataclasses.replace(description, settings={"root": "/elsewhere", "seed": 0}), "settings.root = "),
        (dataclasses.replace(description, settings={"root": "/data/synthetic"}), "settings.seed = 0, not null"),
        (dataclasses.replace(description, layers=(description.layers[0], layer, *description.layers[2:])),
         r"layers\[1\].module = \"features.7\", not \"features.8\""),
    ]  # fmt: skip
    before = _content(tmp_path / "run")
    for other, message in others:
        assert other.digest() != description.digest()
        with pytest.raises(RunFolderError, match=message + ".*another --run folder"):
            RunFolder.open_for_writing(tmp_path / "run", other)
    assert _content(tmp_path / "run") == before
    RunFolder.open_for_writing(tmp_path / "run", describe()).close()  # the lock was released each time


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(RunFolderError, match="is not empty and is no run folder"):
        RunFolder.open_for_writing(tmp_path, describe())
    with pytest.raises(RunFolderError, match="is no run folder"):
        RunFolder.open_for_reading(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_folder_whose_making_was_cut_short_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "lock").touch()
    (tmp_path / "run.json.partial").write_bytes(b"{")
    (tmp_path / "shards" / "00000.edge.parquet.partial").write_bytes(b"PAR1")
    synthetic_run(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 9}'])
def test_an_unreadable_description_is_one_clear_line(tmp_path: Path, content: str) -> None:
    synthetic_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(content)
    attempts: list[Callable[[], RunFolder]] = [
        lambda: RunFolder.open_for_reading(tmp_path / "run"),
        lambda: RunFolder.open_for_writing(tmp_path / "run", describe()),
    ]
    for attempt in attempts:
        with pytest.raises(RunFolderError, match="index into a new folder") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_two_indexers_and_a_reader_exclude_each_other(tmp_path: Path) -> None:
    description = synthetic_run(tmp_path / "run")
    with RunFolder.open_for_writing(tmp_path / "run", description):
        with pytest.raises(RunFolderError, match="in use by another process"):
            RunFolder.open_for_writing(tmp_path / "run", description)
        with pytest.raises(RunFolderError, match="is being written by"):
            RunFolder.open_for_reading(tmp_path / "run")
    with RunFolder.open_for_reading(tmp_path / "run"), RunFolder.open_for_reading(tmp_path / "run"):
        pass


def test_a_shard_of_other_images_is_refused(tmp_path: Path) -> None:
    with RunFolder.open_for_writing(tmp_path / "run", describe()) as folder:
        with pytest.raises(RunFolderError, match="shard 0 must hold images 0 to 15 once each"):
            folder.write_shard(0, synthetic_shard(folder.description, range(1, 17)))
        assert folder.pending_shards() == [0, 1, 2]


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with RunFolder.open_for_writing(tmp_path / "run", describe()) as folder:
        tables = synthetic_shard(folder.description, folder.image_range(0))
        tables["edge"] = tables["edge"].drop_columns(["share"])
        with pytest.raises(RunFolderError, match=r"the rows of shard 0 are not of its tables: .*report this"):
            folder.write_shard(0, tables)
        assert folder.pending_shards() == [0, 1, 2]


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunFolder.open_for_writing(tmp_path / "run", describe()) as folder:
        _write(folder, 0)
        kept = _content(tmp_path / "run")

        def full(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RunFolderError, match=r"shard 1 .* No space left on device; .*make room"):
                _write(folder, 1)
        assert _content(tmp_path / "run") == kept
        _write(folder, 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from evigraph.indexer.shards import durable
from tests.support.synthetic import synthetic_run
left, real = int(sys.argv[2]), durable.os.fsync
def fsync(descriptor):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
durable.os.fsync = fsync
synthetic_run(Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 2, 5, 13, 20, 31, 32])
def test_killed_at_any_flush_it_ends_with_the_same_files(tmp_path: Path, run_dir: Path, after: int) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), str(after)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    synthetic_run(tmp_path / "run")
    assert _content(tmp_path / "run") == _content(run_dir)
    shutil.rmtree(tmp_path / "run")


def test_shards_are_readable_by_anyone(run_dir: Path) -> None:
    table = pq.read_table(run_dir / "shards" / "00000.edge.parquet")
    assert table.schema.equals(SHARD_SCHEMAS["edge"])
    assert table.num_rows > 100
