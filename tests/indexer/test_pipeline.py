"""`index` as a function: which rows a run holds, and what they do not depend on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from evigraph.indexer.engine.network import prepare
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.evidence.roots import decide
from evigraph.indexer.run import pipeline
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.schema.errors import ModelError, UsageError
from tests.support import tiny


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images, of which the third cannot be used."""
    folder = tiny.draw_images(tmp_path_factory.mktemp("pipeline") / "set", 20)
    (folder / "ant" / "0008.png").write_bytes(b"")
    return folder


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> IndexSettings:
    return IndexSettings(
        model=tiny.MODEL,
        weights="random",
        data=f"imagefolder:{images}",
        run=tmp_path / "run",
        execution=Execution(workers=0, shard_size=8),
        preprocessing=tiny.PREPROCESSING,
    )


def rows(run: Path, table: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted((run / "shards").glob(f"*.{table}.parquet"))])


def test_ids_are_places_in_the_sorted_listing(settings: IndexSettings, images: Path) -> None:
    report = index(settings)
    uris = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    image, skipped = rows(settings.run, "image"), rows(settings.run, "skipped_image")
    assert skipped.to_pylist() == [{"image_id": 2, "uri": uris[2], "reason": "empty file"}]
    assert image["image_id"].to_pylist() == [0, 1, *range(3, 20)]
    assert image["uri"].to_pylist() == [uris[i] for i in image["image_id"].to_pylist()]
    assert image["label_id"].to_pylist() == [tiny.CLASSES.index(uri.split("/")[0]) for uri in image["uri"].to_pylist()]
    assert report.skipped == {"empty file": 1}
    assert (report.image_total, report.new_image_count, report.labelled_count) == (20, 20, 19)


def test_label_roots_are_there_exactly_where_the_network_is_wrong(settings: IndexSettings) -> None:
    report = index(settings)
    expected = []
    for row in rows(settings.run, "image").to_pylist():
        expected.append((2 * row["image_id"], row["predicted_id"], "predicted"))
        if row["label_id"] != row["predicted_id"]:
            expected.append((2 * row["image_id"] + 1, row["label_id"], "label"))
    decisions = rows(settings.run, "decision").to_pylist()
    assert [(row["decision_id"], row["class_id"], row["role"]) for row in decisions] == expected
    assert 0 < report.correct_count < report.labelled_count
    assert all(row["image_id"] == row["decision_id"] // 2 for row in decisions)


def test_edges_run_from_the_logits_down_with_importance_that_adds_up(settings: IndexSettings) -> None:
    index(settings)
    edges = rows(settings.run, "edge")
    assert edges["decision_id"].to_pylist() == sorted(edges["decision_id"].to_pylist())
    by_decision: dict[int, list[dict[str, float]]] = {}
    for row in edges.to_pylist():
        by_decision.setdefault(row["decision_id"], []).append(row)
    for found in by_decision.values():
        layers = [row["target_layer"] for row in found]
        assert layers == sorted(layers, reverse=True)
        top = [row for row in found if row["target_layer"] == 3]
        assert sum(row["importance"] for row in top) == pytest.approx(sum(row["share"] for row in top), rel=1e-5)
        assert [row["rank"] for row in top] == list(range(len(top)))


def test_the_limit_takes_the_first_of_the_listing(settings: IndexSettings, tmp_path: Path) -> None:
    index(settings)
    index(replace(settings, run=tmp_path / "few", limit=5))
    few, whole = rows(tmp_path / "few", "image"), rows(settings.run, "image")
    assert few["image_id"].to_pylist() == [0, 1, 3, 4]
    assert few.to_pylist() == whole.to_pylist()[:4]


@pytest.mark.parametrize("changed", [{"batch_size": 3}, {"workers": 2}, {"shard_size": 5}, {"batch_size": 64}])
def test_rows_do_not_depend_on_how_the_work_is_split(
    settings: IndexSettings, tmp_path: Path, changed: dict[str, Any]
) -> None:
    index(settings)
    index(replace(settings, run=tmp_path / "other", execution=replace(settings.execution, **changed)))
    for table in ("image", "skipped_image", "decision", "edge"):
        one, other = rows(settings.run, table), rows(tmp_path / "other", table)
        assert one.schema == other.schema
        for name in one.schema.names:
            if pa.types.is_floating(one.schema.field(name).type) and not one[name].null_count:
                assert other[name].to_pylist() == pytest.approx(one[name].to_pylist(), rel=1e-3, abs=1e-6), name
            else:
                assert other[name].to_pylist() == one[name].to_pylist(), name


def test_images_whose_logits_are_not_finite_are_skipped(settings: IndexSettings, tmp_path: Path) -> None:
    white = tmp_path / "white"
    shutil.copytree(settings.data.removeprefix("imagefolder:"), white)
    for place in ("bee/0001.png", "dog/0003.png"):
        Image.new("RGB", (tiny.SIDE, tiny.SIDE), "white").save(white / place)
    execution = replace(settings.execution, batch_size=4)
    report = index(replace(settings, model="tests.support.tiny:Nan", data=f"imagefolder:{white}", execution=execution))
    assert report.skipped["the network's output is not finite"] == 2
    uris = set(rows(settings.run, "image")["uri"].to_pylist())
    assert len(uris) == 17
    assert not {"bee/0001.png", "dog/0003.png"} & uris


def test_the_lower_class_is_predicted_among_equal_logits() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    decided = decide(torch.tensor([7, 8, 9]), torch.tensor([2, 0, -1]), logits)
    assert decided.predicted.tolist() == [1, 0, 2]
    assert decided.roots.image.tolist() == [0, 0, 1, 2]
    assert decided.roots.class_id.tolist() == [1, 2, 0, 2]
    torch.testing.assert_close(decided.probability, logits.softmax(1)[[0, 0, 1, 2], [1, 2, 0, 2]])


def test_scenes_get_context_labels_and_other_sets_get_none(settings: IndexSettings, tmp_path: Path) -> None:
    index(settings)
    edges = rows(settings.run, "edge")
    assert edges["context_label_id"].null_count == edges["context_iou"].null_count == edges.num_rows
    scenes = tiny.draw_scenes(tmp_path / "scenes")
    index(replace(settings, data=f"scenes:{scenes}", run=tmp_path / "labelled", classes=tiny.class_file(tmp_path)))
    labels = rows(tmp_path / "labelled", "edge")["context_label_id"].to_pylist()
    assert set(labels) <= {1, 2, None}
    assert {1, 2} <= set(labels)


@pytest.mark.parametrize(
    ("part", "changed", "said"),
    [
        (Method, {"top_n": 0}, "--top 0 is too small"),
        (IndexSettings, {"limit": 0}, "--limit 0"),
        (Execution, {"workers": -1}, "--workers -1"),
        (Execution, {"batch_size": 0}, "--batch-size 0"),
        (Execution, {"shard_size": 0}, "--shard-size 0"),
        (Method, {"mask_threshold": 1.0}, "--mask-threshold 1.0"),
        (Method, {"mask_threshold": -0.1}, "--mask-threshold -0.1"),
    ],
)
def test_settings_out_of_range(settings: IndexSettings, part: type, changed: dict[str, Any], said: str) -> None:
    own: Any
    (own,) = (value for value in (settings, settings.method, settings.execution) if type(value) is part)
    with pytest.raises(UsageError, match=said):
        replace(own, **changed)


def test_threads_are_of_the_machine_and_set_back(settings: IndexSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    within: list[int] = []
    made = prepare

    def watched(*arguments: Any) -> Any:
        within.append(torch.get_num_threads())
        return made(*arguments)

    monkeypatch.setattr(pipeline, "prepare", watched)
    index(replace(settings, limit=4))
    threads = replace(settings.execution, threads=before + 1)
    assert index(replace(settings, limit=4, execution=threads)).new_image_count == 0  # the same run
    assert within == [before, before + 1]
    assert torch.get_num_threads() == before


def test_devices(settings: IndexSettings) -> None:
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        index(replace(settings, execution=Execution(device="tpu")))  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no CUDA device"):
            index(replace(settings, execution=Execution(device="cuda")))
    assert not settings.run.exists()
