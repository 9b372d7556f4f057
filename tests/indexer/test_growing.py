"""A run whose data changed: what is new is made, nobody's id changes, and what was changed or is gone is made again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.extend import extend
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, ExtendSettings, IndexSettings
from evigraph.indexer.shards import durable
from evigraph.indexer.shards.record import read_run
from evigraph.schema.database import runs_of
from evigraph.schema.errors import EvidenceError, UsageError
from tests.support import tiny


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 11 images, and 3 more to be added."""
    folder = tmp_path_factory.mktemp("growing")
    tiny.draw_images(folder / "all", 14)
    files = sorted((folder / "all").rglob("*.png"))
    (folder / "later").mkdir()
    for file in files[1::5]:
        target = folder / "later" / file.relative_to(folder / "all")
        target.parent.mkdir(exist_ok=True)
        file.rename(target)
    (folder / "all").rename(folder / "set")
    return folder


def settings_of(folder: Path, **others: Any) -> IndexSettings:
    return IndexSettings(
        model=tiny.MODEL,
        weights="random",
        data=f"imagefolder:{folder / 'set'}",
        run=folder / "run",
        classes=tiny.class_file(folder),
        # One image at a time: in batches of others its last bits may be others.
        execution=Execution(workers=0, shard_size=4, batch_size=1),
        preprocessing=tiny.PREPROCESSING,
        **others,
    )


@pytest.fixture
def folder(begun: Path, tmp_path: Path) -> Path:
    for part in ("set", "later"):
        shutil.copytree(begun / part, tmp_path / part)
    return tmp_path


@pytest.fixture
def settings(folder: Path) -> IndexSettings:
    """Of a run over the images of the folder; indexed anew, since it states where they lie."""
    made = settings_of(folder)
    index(made)
    return made


def add_later(folder: Path) -> list[str]:
    files = sorted((folder / "later").rglob("*.png"))
    for file in files:
        shutil.copy2(file, folder / "set" / file.relative_to(folder / "later"))
    return [file.relative_to(folder / "later").as_posix() for file in files]


def rows(run: Path, table: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted((run / "shards").glob(f"*.{table}.parquet"))])


def ids(run: Path) -> dict[str, int]:
    """Image id by uri, skipped ones too."""
    both = [rows(run, table).select(["uri", "image_id"]).to_pylist() for table in ("image", "skipped_image")]
    return {row["uri"]: row["image_id"] for part in both for row in part}


def files(run: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of writing of every file of shards."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (run / "shards").iterdir()}


def by_uri(run: Path) -> Mapping[str, list[dict[str, Any]]]:
    """The edges of each image, without what its id determines."""
    uri = {row["image_id"]: row["uri"] for row in rows(run, "image").to_pylist()}
    edges: dict[str, list[dict[str, Any]]] = {name: [] for name in uri.values()}
    for row in rows(run, "edge").to_pylist():
        decision = row.pop("decision_id")
        edges[uri[decision // 2]].append({**row, "role": decision % 2})
    return edges


def test_only_new_images_are_made_and_ids_stay(settings: IndexSettings, folder: Path) -> None:
    before, shards = ids(settings.run), files(settings.run)
    new = add_later(folder)
    report = index(settings)
    assert report.new_image_count == len(new) == 3
    assert any(
        note.startswith("since the run was indexed") and "3 added, 0 removed, 0 changed" in note
        for note in report.notes
    )
    now = ids(settings.run)
    assert before.items() <= now.items()
    assert [now[uri] for uri in sorted(new)] == [11, 12, 13]
    assert shards.items() <= files(settings.run).items()
    fresh = replace(settings, run=folder / "fresh")
    index(fresh)
    assert by_uri(settings.run) == by_uri(fresh.run)
    state = files(settings.run)
    again = index(settings)
    assert (again.new_image_count, files(settings.run)) == (0, state)
    assert not any("since the run was indexed" in note for note in again.notes)


def test_removed_and_changed_images_keep_their_ids(settings: IndexSettings, folder: Path) -> None:
    before, shards = ids(settings.run), files(settings.run)
    images = sorted((folder / "set").rglob("*.png"))
    gone, other = images[1], images[9]
    gone.unlink()
    shutil.copy2(images[2], other)
    report = index(settings)
    assert any("0 added, 1 removed, 1 changed" in note for note in report.notes)
    assert report.new_image_count == 7  # the shards of 4 and of 3 that hold them
    assert ids(settings.run) == before
    (skipped,) = rows(settings.run, "skipped_image").to_pylist()
    assert skipped == {
        "image_id": 1,
        "uri": gone.relative_to(folder / "set").as_posix(),
        "reason": "no longer in the data",
    }
    untouched = {name: state for name, state in shards.items() if name.startswith("00001.")}
    assert untouched.items() <= files(settings.run).items()
    edges = by_uri(settings.run)
    uris = [path.relative_to(folder / "set").as_posix() for path in (images[2], other)]
    assert edges[uris[0]] != []
    assert [e for e in edges[uris[1]] if not e["role"]] == [e for e in edges[uris[0]] if not e["role"]]
    assert index(settings).new_image_count == 0
    # It comes back: as it was, under its id.
    shutil.copy2(images[2], gone)
    assert "1 changed" in " ".join(index(settings).notes)
    assert ids(settings.run) == before
    assert rows(settings.run, "skipped_image").num_rows == 0


def test_a_file_of_the_same_size_with_other_bytes_is_noticed(settings: IndexSettings, folder: Path) -> None:
    image = sorted((folder / "set").rglob("*.png"))[5]
    content = bytearray(image.read_bytes())
    content[-20] ^= 1  # the picture's checksum fails, so it is skipped now
    image.write_bytes(content)
    assert index(settings).new_image_count == 4
    assert index(settings).new_image_count == 0


def test_a_file_that_was_only_touched_is_not_made_again(settings: IndexSettings, folder: Path) -> None:
    image = sorted((folder / "set").rglob("*.png"))[5]
    os.utime(image, ns=(1, 1))
    state = files(settings.run)
    report = index(settings)
    assert (report.new_image_count, files(settings.run)) == (0, state)
    assert not any("since the run was indexed" in note for note in report.notes)


def test_the_limit_grows_and_does_not_shrink(settings: IndexSettings, folder: Path) -> None:
    small = replace(settings, run=folder / "small", limit=5)
    index(small)
    shards = files(small.run)
    report = index(replace(small, limit=9))
    assert report.new_image_count == 4
    assert shards.items() <= files(small.run).items()
    assert sorted(ids(small.run).values()) == list(range(9))
    assert by_uri(small.run).items() <= by_uri(settings.run).items()
    with pytest.raises(UsageError, match="--limit 5 is below the 9 images"):
        index(small)


def test_another_setting_is_refused_beside_new_images(settings: IndexSettings, folder: Path) -> None:
    add_later(folder)
    state = files(settings.run), (settings.run / "run.json").read_bytes()
    with pytest.raises(EvidenceError, match=r"settings\.max_nodes"):
        index(replace(settings, method=replace(settings.method, max_nodes=3)))
    assert (files(settings.run), (settings.run / "run.json").read_bytes()) == state


class Killed(BaseException):
    """Stands for a kill: nothing of the program catches it."""


@pytest.mark.parametrize("step", range(0, 24, 4))
def test_a_kill_while_it_grows_ends_with_the_same_rows(
    settings: IndexSettings, folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    add_later(folder)
    sorted((folder / "set").rglob("*.png"))[0].unlink()
    left, write = step, durable.write_bytes

    def counted(path: Path, content: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        write(path, content)

    monkeypatch.setattr(durable, "write_bytes", counted)
    with contextlib.suppress(Killed):
        index(settings)
    monkeypatch.undo()
    index(settings)
    now = ids(settings.run)
    assert sorted(now.values()) == list(range(14))
    assert rows(settings.run, "skipped_image")["reason"].to_pylist() == ["no longer in the data"]
    assert len(list(settings.run.glob("listing.*"))) == 1
    fresh = replace(settings, run=folder / "fresh")
    index(fresh)
    assert by_uri(settings.run) == by_uri(fresh.run)


def test_a_grown_run_is_published_over_its_earlier_version(settings: IndexSettings, folder: Path) -> None:
    db = folder / "evidence.duckdb"
    publish([settings.run], db)
    add_later(folder)
    index(settings)
    report = publish([settings.run], db)
    assert report.replaced == ("run run replaces its earlier version: the same run, over data that changed since",)
    assert list(runs_of(db)) == ["run"]
    assert report.image_count == 14
    shutil.rmtree(settings.run)
    sorted((folder / "set").rglob("*.png"))[0].unlink()
    index(settings)
    with pytest.raises(UsageError, match="--replace"):  # another run of that name
        publish([settings.run], db)


def test_new_images_get_what_the_run_was_extended_with(settings: IndexSettings, folder: Path) -> None:
    asked = ExtendSettings(pictures=PictureOptions(thumbnails=32, guided=1), workers=0)
    extend(settings.run, asked)
    add_later(folder)
    with pytest.raises(EvidenceError, match="3 added"):
        extend(settings.run, ExtendSettings(pictures=PictureOptions(maps=True), workers=0))
    index(settings)
    assert rows(settings.run, "thumbnail")["image_id"].to_pylist() == list(range(14))
    publish([settings.run], folder / "evidence.duckdb")
    extend(settings.run, ExtendSettings(pictures=PictureOptions(maps=True), workers=0))
    publish([settings.run], folder / "evidence.duckdb")


def test_a_run_of_before_there_were_listings_goes_on_as_it_did(settings: IndexSettings, folder: Path) -> None:
    for file in settings.run.glob("listing.*"):
        file.unlink()
    record = (settings.run / "run.json").read_text()
    (settings.run / "run.json").write_text(
        "\n".join(line for line in record.splitlines() if not line.startswith(' "listing"'))
    )
    assert read_run(settings.run)[2].listing is None
    (settings.run / "shards" / "00000.json").unlink()
    assert index(settings).new_image_count == 4
    add_later(folder)
    with pytest.raises(EvidenceError, match="dataset_sha256"):
        index(settings)
