"""`extend`: a run that got an option later is the run that had it from the start."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evigraph.indexer.evidence.method import Method
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run import extend as extending_run
from evigraph.indexer.run.extend import extend
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, ExtendSettings, IndexSettings
from evigraph.indexer.shards import durable
from evigraph.indexer.shards.files import SHARD_SCHEMAS
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.record import read_run
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.schema.errors import EvidenceError, RunFolderError, UsageError
from tests.support import tiny

PICTURES = PictureOptions(thumbnails=32, maps=True, max_maps=20, guided=2)
VERIFY = VerifySettings("all", top=2)
EVERYTHING = ExtendSettings(pictures=PICTURES, verify=VERIFY, overlaps=True, context_layers=("4",), workers=0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> IndexSettings:
    folder = tmp_path_factory.mktemp("extend")
    scenes = tiny.draw_scenes(folder / "set")
    (sorted(scenes.rglob("*.png"))[0]).with_name("broken.png").write_bytes(b"")
    return IndexSettings(
        model=tiny.MODEL,
        weights="random",
        data=f"scenes:{scenes}",
        classes=tiny.class_file(folder),
        run=folder / "plain",
        name="run",
        context_layers=("7",),
        execution=Execution(workers=0, shard_size=5),
        preprocessing=tiny.PREPROCESSING,
    )


def at_once(settings: IndexSettings, run: Path) -> IndexSettings:
    """The settings that have all of it from the start."""
    return replace(
        settings,
        run=run,
        pictures=PICTURES,
        verify=VERIFY,
        method=Method(overlaps=True),
        context_layers=("7", "4"),
    )


@pytest.fixture(scope="module")
def plain(settings: IndexSettings) -> Path:
    index(settings)
    return settings.run


@pytest.fixture(scope="module")
def whole(settings: IndexSettings) -> Path:
    run = settings.run.with_name("whole")
    index(at_once(settings, run))
    return run


@pytest.fixture
def run(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "run"))


def tables(run: Path) -> dict[str, pa.Table]:
    """The rows of each table of a run folder, guided crops too."""
    files = {table: sorted((run / "shards").glob(f"*.{table}.parquet")) for table in SHARD_SCHEMAS}
    files["guided_crop"] = sorted((run / "guided").glob("*.parquet"))
    return {table: pa.concat_tables([pq.read_table(f) for f in of]) for table, of in files.items() if of}


def content(run: Path) -> dict[str, bytes]:
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def test_an_extended_run_is_the_run_that_had_it_all_at_once(run: Path, whole: Path, settings: IndexSettings) -> None:
    before = content(run)
    report = extend(run, EVERYTHING)
    made, expected = tables(run), tables(whole)
    assert made.keys() == expected.keys()
    for table, rows in expected.items():
        assert made[table].equals(rows), table
    assert report.rows == {t: expected[t].num_rows for t in report.rows}
    assert {"thumbnail", "activation_map", "verification", "overlap", "guided_crop"} == report.rows.keys()
    untouched = {n: c for n, c in before.items() if n.endswith((".image.parquet", ".decision.parquet"))}
    assert untouched.items() <= content(run).items()
    stored, _, history = read_run(run)
    assert stored.digest() == read_run(whole)[0].digest()
    assert [step["added"].keys() for step in history.extended] == [
        {"thumbnails", "maps", "guided", "verify", "overlaps", "context_layers"}
    ]
    # Whether it is asked for as it was begun or with everything: it is finished.
    for again in (replace(settings, run=run), at_once(settings, run)):
        state = content(run)
        assert index(again).new_image_count == 0
        assert content(run) == state
    assert extend(run, EVERYTHING).added == {}
    assert not (run / "extending").exists()


def test_one_after_another_is_as_all_at_once(run: Path, whole: Path) -> None:
    edges = {p: p.read_bytes() for p in (run / "shards").glob("*.edge.parquet")}
    for asked in (
        ExtendSettings(pictures=PictureOptions(guided=2), workers=0),
        ExtendSettings(pictures=PictureOptions(thumbnails=32), workers=0),
        ExtendSettings(pictures=PictureOptions(maps=True, max_maps=20), verify=VERIFY, overlaps=True, workers=0),
    ):
        extend(run, asked)
    assert all(path.read_bytes() == bytes_ for path, bytes_ in edges.items())
    extend(run, ExtendSettings(context_layers=("4",), workers=0))
    made = tables(run)
    assert all(made[table].equals(rows) for table, rows in tables(whole).items())
    assert read_run(run)[0].digest() == read_run(whole)[0].digest()


def test_thumbnails_run_the_network_on_no_image(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("an image was decomposed")

    monkeypatch.setattr("evigraph.indexer.run.batch.BatchIndexer.add", refuse)
    report = extend(run, ExtendSettings(pictures=PictureOptions(thumbnails=32), workers=0))
    assert report.rows == {"thumbnail": tables(run)["image"].num_rows}


class Killed(BaseException):
    """Stands for a kill: nothing of the program catches it."""


@pytest.mark.parametrize("step", range(0, 40, 3))
def test_a_kill_at_any_write_leaves_the_old_run_or_goes_on_to_the_new_one(
    run: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    asked = ExtendSettings(pictures=PictureOptions(thumbnails=32), overlaps=True, workers=0)
    left, write, move = step, durable.write_bytes, Path.replace

    def counted(do: Any) -> Any:
        def act(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return do(*given)

        return act

    monkeypatch.setattr(durable, "write_bytes", counted(write))
    monkeypatch.setattr(Path, "replace", counted(move))
    with contextlib.suppress(Killed):
        extend(run, asked)
    monkeypatch.undo()
    if (run / "extending" / "whole.json").exists():
        with pytest.raises(RunFolderError, match="evigraph extend"):
            publish([run], run.with_name("evidence.duckdb"))
    else:
        with RunFolder.open_for_reading(run) as folder:
            folder.require_whole(lambda *_: None)
    extend(run, asked)
    made, expected = tables(run), tables(whole)
    for table in ("thumbnail", "overlap", "decomposition"):
        assert made[table].equals(expected[table]), (step, table)
    assert not (run / "extending").exists()
    assert list(run.rglob("*.partial")) == []


def test_rows_that_come_out_otherwise_are_not_added_to(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {n: c for n, c in content(run).items() if not n.startswith("extending")}
    stored = extending_run._Work._stored

    def moved(work: Any, shard: int, table: str) -> pa.Table:
        rows = stored(work, shard, table)
        if table != "edge":
            return rows
        at = rows.schema.names.index("contribution")
        return rows.set_column(at, rows.schema[at], pa.array(rows["contribution"].to_numpy() * 1.1, pa.float32()))

    monkeypatch.setattr(extending_run._Work, "_stored", moved)
    with pytest.raises(RunFolderError, match=r"edge rows of shard 0 come out otherwise.*contribution differs"):
        extend(run, ExtendSettings(pictures=PictureOptions(maps=True), workers=0))
    assert {n: c for n, c in content(run).items() if not n.startswith("extending")} == before


def test_what_is_there_already_is_not_done_again_and_not_otherwise(run: Path) -> None:
    asked = ExtendSettings(pictures=PictureOptions(thumbnails=32), workers=0)
    extend(run, asked)
    state = content(run)
    assert "nothing was done" in extend(run, asked).notes[0]
    with pytest.raises(UsageError, match="--thumbnails 32 already"):
        extend(run, ExtendSettings(pictures=PictureOptions(thumbnails=64), workers=0))
    extend(run, ExtendSettings(verify=VerifySettings("wrong", top=2, layers=("4",), occlude="grey,blur"), workers=0))
    state = content(run)
    with pytest.raises(UsageError) as refused:
        extend(run, ExtendSettings(verify=VerifySettings("all"), workers=0))
    assert "has --verify wrong --verify-layer 4 --verify-top 2 --occlude grey,blur already" in str(refused.value)
    assert str(refused.value).endswith("with --verify all --verify-top 1 --occlude grey")  # in words of the command
    with pytest.raises(UsageError, match="nothing is asked for"):
        extend(run, ExtendSettings())
    assert content(run) == state


def test_other_weights_other_data_and_unfinished_runs_are_refused(
    run: Path, settings: IndexSettings, tmp_path: Path
) -> None:
    import torch

    asked = ExtendSettings(pictures=PictureOptions(thumbnails=32), workers=0)
    torch.manual_seed(7)
    torch.save(tiny.network().state_dict(), tmp_path / "other.pth")
    with pytest.raises(RunFolderError, match="weights_sha256"):
        extend(run, replace(asked, weights=str(tmp_path / "other.pth")))
    moved = shutil.copytree(settings.data.partition(":")[2], tmp_path / "set")
    next(iter(sorted((tmp_path / "set").rglob("*.png")))).unlink()
    with pytest.raises(EvidenceError, match="removed"):
        extend(run, replace(asked, data=f"scenes:{moved}"))
    (run / "finished.json").unlink()
    with pytest.raises(RunFolderError, match="unfinished"):
        extend(run, asked)
    with pytest.raises(RunFolderError, match="no run folder"):
        extend(tmp_path / "none", asked)


def test_an_extended_run_is_published_over_its_earlier_version(run: Path, tmp_path: Path) -> None:
    db = tmp_path / "evidence.duckdb"
    publish([run], db)
    extend(run, EVERYTHING)
    report = publish([run], db)
    assert report.replaced == ("run run replaces one of the same network, weights and data",)


def test_a_damaged_shard_of_an_extended_run_is_made_again_with_what_was_added(
    run: Path, whole: Path, settings: IndexSettings
) -> None:
    extend(run, EVERYTHING)
    (run / "shards" / "00001.thumbnail.parquet").write_bytes(b"")
    assert index(replace(settings, run=run)).new_image_count == 5
    made = tables(run)
    assert all(made[table].equals(rows) for table, rows in tables(whole).items())


def test_run_json_says_what_was_added_and_when(run: Path) -> None:
    before = read_run(run)[0].digest()
    extend(run, ExtendSettings(pictures=PictureOptions(guided=1), workers=0))
    (step,) = json.loads((run / "run.json").read_bytes())["extended"]
    assert step["from"] == before
    assert step["added"] == {"guided": 1}
    assert (run / "finished.json").is_file()
