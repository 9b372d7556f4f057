"""`index` with pictures: what lies in the run folder and in the database, and a run that was stopped on the way."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.indexer.shards import guided_files
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.guided_files import strongest_peaks
from evigraph.schema.database import open_read_only
from evigraph.schema.errors import RunFolderError
from tests.support import tiny

PICTURES = PictureOptions(thumbnails=24, maps=True, max_maps=5, guided=3)
NO_PICTURES = PictureOptions()


def settings(images: Path, run: Path, pictures: PictureOptions = NO_PICTURES) -> IndexSettings:
    return IndexSettings(
        model=tiny.MODEL,
        weights="random",
        data=f"imagefolder:{images}",
        run=run,
        name="tiny",
        execution=Execution(workers=0, batch_size=4, shard_size=8),
        preprocessing=tiny.PREPROCESSING,
        pictures=pictures,
    )


def contents(run: Path) -> dict[str, bytes]:
    """Every file that holds rows."""
    assert not list(run.rglob("*.partial"))
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.parquet"))}


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all pictures that nothing stopped."""
    path = tmp_path_factory.mktemp("pictures") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guided_files, "CROPS_PER_FILE", 16)
        index(settings(images, path, PICTURES))
    return path


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided_files, "CROPS_PER_FILE", 16)


def test_a_run_without_pictures_has_no_trace_of_them(images: Path, run: Path, tmp_path: Path) -> None:
    """No file, no setting, and the same rows otherwise."""
    index(settings(images, tmp_path / "plain"))
    plain = contents(tmp_path / "plain")
    assert plain == {name: held for name, held in contents(run).items() if name in plain}
    assert not any(word in name for name in plain for word in ("thumbnail", "map", "guided"))
    assert b"pictures" not in (tmp_path / "plain" / "run.json").read_bytes()


class Stopped(Exception):  # noqa: N818
    pass


class Stopping:
    """Progress that stops the run after some images."""

    def __init__(self, images: int) -> None:
        self.left = images

    def start(self, total: int, done: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def advance(self, images: int, skipped: int) -> None:
        self.left -= images
        if self.left < 0:
            raise Stopped


@pytest.mark.usefixtures("small_files")
def test_stopped_among_images_and_among_guided_crops_it_ends_with_the_same_bytes(
    images: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(images, tmp_path / "run", PICTURES)
    with pytest.raises(Stopped):
        index(asked, Stopping(13))
    written = []
    write = guided_files.write

    def stopping(folder: RunFolder, peaks: Any, number: int, columns: Any) -> None:
        if number == 2:
            raise Stopped
        written.append(number)
        write(folder, peaks, number, columns)

    with monkeypatch.context() as patch:
        patch.setattr(guided_files, "write", stopping)
        with pytest.raises(Stopped):
            index(asked)
        assert written == [0, 1]
        with pytest.raises(RunFolderError, match="unfinished"):
            publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
        (tmp_path / "run" / "guided" / "00002.parquet.partial").write_bytes(b"torn")
    index(asked)
    assert contents(tmp_path / "run") == contents(run)


@pytest.mark.usefixtures("small_files")
def test_a_damaged_guided_file_is_refused_and_made_again(images: Path, run: Path, tmp_path: Path) -> None:
    asked = settings(images, tmp_path / "run", PICTURES)
    index(asked)
    file = tmp_path / "run" / "guided" / "00001.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(
        RunFolderError, match=r"guided/00001\.parquet is missing or not as it was written; run the same"
    ):
        publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    index(asked)
    assert contents(tmp_path / "run") == contents(run)


def test_other_pictures_are_another_run(images: Path, run: Path) -> None:
    with pytest.raises(RunFolderError, match=r"settings\.pictures"):
        index(settings(images, run, replace(PICTURES, guided=2)))


@pytest.mark.usefixtures("small_files")
def test_pictures_in_the_database(images: Path, run: Path, tmp_path: Path) -> None:
    """Thumbnails show their images; maps are of edges; crops are of the peaks that the service lists first."""
    publish([run], tmp_path / "evidence.duckdb")
    engine = open_read_only(tmp_path / "evidence.duckdb")
    with engine.connect() as connection:

        def sql(statement: str) -> Any:
            return connection.exec_driver_sql(statement).all()

        rows = sql("SELECT uri, width, height, content FROM image LEFT JOIN thumbnail USING (run_id, image_id)")
        assert len(rows) == 24
        for uri, width, height, content in rows:
            with Image.open(io.BytesIO(content)) as shown, Image.open(images / uri) as original:
                assert shown.size == (width, height) == (24, 24)
                small = original.convert("RGB").resize((24, 24), Image.Resampling.LANCZOS)
                assert (
                    np.abs(np.asarray(shown, float) - np.asarray(small, float)).mean() < 6
                )  # another image differs by some 50
        assert sql("SELECT DISTINCT count(*) FROM activation_map GROUP BY decision_id") == [(5,)]
        columns = "run_id, decision_id, target_layer, target_channel, target_y, target_x, source_channel"
        assert sql(f"SELECT {columns} FROM activation_map EXCEPT SELECT {columns} FROM edge") == []
        # The peak of each edge is where its map is 255.
        assert sql("SELECT count(*) FROM activation_map WHERE first_y < 0 OR first_x < 0") == [(0,)]
        place = "layer_id, channel, image_id, y, x"
        wanted = f"SELECT {place} FROM channel_peak WHERE position < 3"
        assert sql(f"SELECT {place} FROM guided_crop EXCEPT {wanted}") == []
        assert sql(f"{wanted} EXCEPT SELECT {place} FROM guided_crop") == []
        for (content,) in sql("SELECT content FROM guided_crop"):
            with Image.open(io.BytesIO(content)) as crop:
                crop.load()
    engine.dispose()


def test_strongest_peaks_are_those_of_plain_sql(run: Path) -> None:
    """Of all shards together, though they are read one by one."""
    import duckdb

    with RunFolder.open_for_reading(run) as folder:
        found = strongest_peaks(folder, 2)
        files = [str(folder.shard_file(shard, "edge")) for shard in range(folder.shard_count)]
    rows = duckdb.execute(
        """
        SELECT source_layer, source_channel, decision_id // 2 AS image, source_y, source_x
        FROM read_parquet($files) GROUP BY source_layer, source_channel, image, source_y, source_x
        QUALIFY row_number() OVER (PARTITION BY source_layer, source_channel
                                   ORDER BY max(contribution) DESC, image, source_y, source_x) <= 2
        ORDER BY ALL
        """,
        {"files": files},
    ).fetchall()
    assert found.tolist() == [list(row) for row in rows]
