"""Images of several right classes, and context labels at chosen layers, through a whole run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

import evigraph
from evigraph.indexer.evidence.roots import decide, settle_labels
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.schema.errors import UsageError
from tests.conftest import Cli
from tests.support import tiny


@pytest.fixture
def settings(tmp_path: Path) -> IndexSettings:
    """A run over scenes that the tiny network's classes label."""
    scenes = tiny.draw_scenes(tmp_path / "scenes")
    return IndexSettings(
        model=tiny.MODEL,
        weights="random",
        data=f"scenes:{scenes}",
        classes=tiny.class_file(tmp_path),
        run=tmp_path / "run",
        execution=Execution(workers=0, shard_size=5),
        preprocessing=tiny.PREPROCESSING,
    )


def rows(run: Path, table: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted((run / "shards").glob(f"*.{table}.parquet"))])


def tagged(settings: IndexSettings, tags: list[str]) -> None:
    lines = [f"images/{number:04d}.png,{tags[number % len(tags)]}" for number in range(12)]
    path = Path(settings.data.removeprefix("scenes:")) / "labels.csv"
    path.write_text("\n".join(["uri,labels", *lines]))


class TestLabels:
    def test_of_several_right_classes_the_one_ranked_highest_is_the_label(self) -> None:
        logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]] * 5 + [[1.0, 0.0, 1.0, 1.0]])
        labels = settle_labels([(1, 3), (0, 2), (0,), (), (0, 1, 2), (2, 3)], logits)
        assert labels.tolist() == [3, 2, 0, -1, 2, 2]
        decided = decide(torch.arange(6), labels, logits)
        # an image's roots: what was predicted, and the label where that is another class
        assert decided.roots.image.tolist() == [0, 1, 1, 2, 2, 3, 4, 4, 5, 5]
        assert decided.roots.class_id.tolist() == [3, 3, 2, 3, 0, 3, 3, 2, 0, 2]

    def test_a_list_of_several_labels_through_a_run(self, settings: IndexSettings, tmp_path: Path) -> None:
        """Accuracy, outcomes and GraphQL's labels, against a count by hand."""
        folder = Path(settings.data.removeprefix("scenes:"))
        uris = sorted(path.relative_to(folder).as_posix() for path in (folder / "images").glob("*.png"))
        given = [["ant", "2"], ["bee"], [], ["dog", "cat", "ant"]]
        lines = [f"{uri},{';'.join(given[place % 4])}" for place, uri in enumerate(uris)]
        (folder / "own.csv").write_text("\n".join(["uri,label", *lines]), encoding="utf-8")
        report = index(replace(settings, data=f"list:{folder / 'own.csv'}"))
        publish([settings.run], tmp_path / "evidence.duckdb")
        right = {
            uri: {tiny.CLASSES[2] if name == "2" else name for name in given[place % 4]}
            for place, uri in enumerate(uris)
        }
        with evigraph.open(tmp_path / "evidence.duckdb") as db:
            asked = """{ run { accuracy images(first: 100) { nodes { uri correct label { name } predicted { name }
                labels { name } decisions { role } } } } }"""
            run = db.query(asked)["run"]
        nodes = run["images"]["nodes"]
        assert {node["uri"]: {one["name"] for one in node["labels"]} for node in nodes} == right
        labelled = [node for node in nodes if right[node["uri"]]]
        hits = [node["predicted"]["name"] in right[node["uri"]] for node in labelled]
        assert [node["correct"] for node in labelled] == hits
        assert [len(node["decisions"]) for node in labelled] == [1 if hit else 2 for hit in hits]
        assert run["accuracy"] == pytest.approx(sum(hits) / len(hits))
        assert report.labelled_count == len(labelled) < len(nodes)

    def test_no_labels_at_all(self) -> None:
        assert settle_labels([(), ()], torch.zeros(2, 3)).tolist() == [-1, -1]
        assert settle_labels([], torch.zeros(0, 3)).tolist() == []

    def test_a_prediction_that_is_any_of_the_labels_is_correct(self, settings: IndexSettings, tmp_path: Path) -> None:
        tagged(settings, ["ant;bee;cat;dog;lamp"])
        report = index(settings)
        assert report.labelled_count == report.correct_count == 12
        image = rows(settings.run, "image")
        assert image["label_id"].to_pylist() == image["predicted_id"].to_pylist()
        assert set(rows(settings.run, "decision")["role"].to_pylist()) == {"predicted"}
        publish([settings.run], tmp_path / "evidence.duckdb")  # every invariant is checked there

    def test_where_it_is_none_of_them_the_image_is_wrong(self, settings: IndexSettings, tmp_path: Path) -> None:
        tagged(settings, ["lamp"])
        assert index(settings).labelled_count == 0
        predicted = rows(settings.run, "image")["predicted_id"].to_pylist()
        others = [";".join(name for i, name in enumerate(tiny.CLASSES) if i != p) for p in predicted]
        tagged(settings, others)
        second = replace(settings, run=tmp_path / "second")
        report = index(second)
        assert (report.labelled_count, report.correct_count) == (12, 0)
        image = rows(second.run, "image")
        assert not any(label == p for label, p in zip(image["label_id"].to_pylist(), predicted, strict=True))
        decision = rows(second.run, "decision").to_pylist()
        by_image = {row["image_id"]: row for row in decision if row["role"] == "label"}
        assert {i: row["class_id"] for i, row in by_image.items()} == dict(enumerate(image["label_id"].to_pylist()))
        publish([second.run], tmp_path / "evidence.duckdb")


class TestContextLayers:
    def labelled(self, run: Path) -> dict[int, tuple[int, int]]:
        """Edges and those with a context label, by source layer."""
        counts = (
            rows(run, "edge").group_by("source_layer").aggregate([("rank", "count"), ("context_label_id", "count")])
        )
        return {row["source_layer"]: (row["rank_count"], row["context_label_id_count"]) for row in counts.to_pylist()}

    def test_only_the_chosen_layers_get_labels(self, settings: IndexSettings, tmp_path: Path) -> None:
        index(settings)
        everywhere = rows(settings.run, "edge")
        assert all(labels for _, labels in self.labelled(settings.run).values())
        for names, chosen in ((["1"], {0}), (["4", "1"], {0, 1})):
            run = tmp_path / "-".join(names)
            index(replace(settings, run=run, context_layers=names))
            edges = rows(run, "edge")
            for layer, (_, labels) in self.labelled(run).items():
                assert (labels > 0) == (layer in chosen)
            context = [name for name in edges.column_names if name.startswith("context_")]
            assert edges.drop_columns(context) == everywhere.drop_columns(context)
            kept = pc.is_in(edges["source_layer"], pa.array(sorted(chosen)))
            assert edges.filter(kept) == everywhere.filter(kept)
        publish([tmp_path / "1"], tmp_path / "evidence.duckdb")

    def test_what_is_wrong(self, settings: IndexSettings, tmp_path: Path) -> None:
        images = tiny.draw_images(tmp_path / "images", 4)
        with pytest.raises(UsageError, match=r"no context layer '8'.*the run's layers are 1, 4, 7"):
            index(replace(settings, context_layers=["1", "8"]))
        with pytest.raises(UsageError, match="has no semantic maps; leave it out"):
            index(replace(settings, data=f"imagefolder:{images}", context_layers=["1"]))
        assert not settings.run.exists()

    def test_on_the_command_line(self, cli: Cli, settings: IndexSettings, tmp_path: Path) -> None:
        words = ["index", "--model", tiny.MODEL, "--weights", "random", "--data", settings.data, *tiny.INPUT]
        words += ["--classes", str(settings.classes), "--run", str(settings.run), "--workers", "0"]
        outcome = cli(*words, "--context-layers", "4,1x")
        assert outcome.code == 2
        assert "no context layer '1x'" in outcome.error
        assert cli(*words, "--context-layers", "4", "--quiet").code == 0
        assert {layer for layer, (_, labels) in self.labelled(settings.run).items() if labels} == {1}
        outcome = cli(*words, "--context-layers", "1")
        assert "settings.context_layers" in outcome.error
