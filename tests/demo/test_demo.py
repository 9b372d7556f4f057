"""The demo's scenes are the same everywhere, their maps agree with them, and the network is as good as stated."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evigraph.commands import demo as command
from evigraph.graphapi.service.query import execute
from evigraph.indexer import demo
from evigraph.indexer.data.classes import read_classes
from evigraph.indexer.data.loader import iterate_batches
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.demo.model import PREPROCESSING, WEIGHTS, narrow_vgg16
from evigraph.indexer.demo.scenes import CLASSES, MAP_LABELS, USUAL_CONTEXT, draw_scene, draw_scenes
from evigraph.indexer.demo.train import accuracies, train, trained
from evigraph.indexer.publish.publish import publish
from tests.conftest import Cli
from tests.support.synthetic import synthetic_run

PIXELS_SHA256 = "755c47a43239471029dd071910813ed38d94dd1e07a019b37b12ac0ad5a1d90b"


def test_scenes_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for scene in draw_scenes("validation", 36):
        digest.update(scene.name.encode() + scene.picture.tobytes() + scene.semantic_map.tobytes())
    assert digest.hexdigest() == PIXELS_SHA256


def test_splits_and_seeds_differ() -> None:
    pixels = [draw_scene(split, 0, seed).picture.tobytes() for split in ("training", "validation") for seed in (0, 1)]
    assert len(set(pixels)) == 4


def test_classes_take_turns_and_one_in_five_is_contradicting() -> None:
    scenes = list(draw_scenes("validation", 300))
    assert Counter(scene.class_name for scene in scenes) == dict.fromkeys(CLASSES, 50)
    assert Counter(scene.class_name for scene in scenes if scene.contradicting) == dict.fromkeys(CLASSES, 10)
    assert sum(scene.contradicting for scene in draw_scenes("training", 240)) == 30


def test_maps_hold_the_thing_its_context_and_at_most_the_sky_beside() -> None:
    for scene in draw_scenes("validation", 120):
        values = np.asarray(scene.semantic_map)
        area = {MAP_LABELS[value]: count for value, count in zip(*np.unique(values, return_counts=True), strict=True)}
        assert {scene.class_name, scene.context} <= area.keys() <= {scene.class_name, scene.context, "sky"}
        assert area[scene.class_name] > 60, scene.name
        assert area[scene.context] > 800, scene.name


def test_maps_lie_on_the_picture() -> None:
    """A thing's outline is where the colours change: along it, neighbours differ more than elsewhere in the map."""
    steps: list[float] = []
    for scene in draw_scenes("validation", 60):
        pixels, values = np.asarray(scene.picture).astype(float), np.asarray(scene.semantic_map)
        thing = values == len(MAP_LABELS) - len(CLASSES) + CLASSES.index(scene.class_name) + 1
        step = np.abs(np.diff(pixels, axis=1)).sum(axis=2)
        outline = thing[:, 1:] != thing[:, :-1]
        steps.append(step[outline].mean() / step[~outline].mean())
    assert np.median(steps) > 3


def test_a_thing_is_drawn_the_same_way_wherever_it_stands() -> None:
    sizes: dict[bool, list[int]] = {False: [], True: []}
    for scene in draw_scenes("validation", 300):
        thing = np.asarray(scene.semantic_map) > len(MAP_LABELS) - len(CLASSES)
        sizes[scene.contradicting].append(int(thing.sum()))
    assert np.mean(sizes[True]) / np.mean(sizes[False]) == pytest.approx(1, abs=0.15)


def test_make_lays_out_what_the_indexer_reads(tmp_path: Path) -> None:
    paths = demo.make(tmp_path, count=30)
    classes = read_classes(paths.classes, len(CLASSES))
    source = open_source(f"scenes:{paths.data}", classes, len(CLASSES))
    assert len(source.samples) == 30
    assert dict(source.context_labels) == MAP_LABELS
    with (paths.data / "labels.csv").open() as file:
        rows = {row["uri"]: row for row in csv.DictReader(file)}
    (batch,) = iterate_batches(source, PREPROCESSING, range(30), batch_size=30)
    assert batch.skipped == ()
    assert batch.maps is not None
    for index, sample in enumerate(source.samples):
        scene, row = draw_scene("validation", index), rows[sample.uri]
        assert sample.uri == f"images/{scene.name}.png"
        assert sample.label_id == CLASSES.index(scene.class_name)
        assert (row["label"], row["context"]) == (scene.class_name, scene.context)
        assert (row["contradicting"] == "1") == (scene.context != USUAL_CONTEXT[scene.class_name])
        assert torch.equal(batch.pixels[index], PREPROCESSING.image(scene.picture))
        assert (batch.maps[index].numpy() == np.asarray(scene.semantic_map)).all()
    with Image.open(paths.data / "masks" / f"{scene.name}.png") as stored:
        assert stored.mode == "P"
    again = source.digest()
    demo.make(tmp_path, count=30)
    assert open_source(f"scenes:{paths.data}", classes, len(CLASSES)).digest() == again


def test_a_demo_of_before_is_refused_by_its_name(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "demo" / "run"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"image_total": 400, "settings": {"pictures": None}}))
    outcome = cli("demo", "--dir", tmp_path / "demo")
    assert outcome.code == 2
    assert "holds a demo of an older evigraph, without pictures" in outcome.error


def test_importing_the_demo_loads_no_torch() -> None:
    code = "import sys, evigraph.indexer.demo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_network_has_the_layout_of_vgg16() -> None:
    from torchvision.models import vgg16

    ours = [type(module).__name__ for module in narrow_vgg16().features]
    with torch.device("meta"):
        theirs = [type(module).__name__ for module in vgg16().features]
    assert ours == theirs
    assert narrow_vgg16(9)(torch.zeros(1, 3, 32, 32)).shape == (1, 9)


def test_what_channels_localize_is_told_by_peaks_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate and the area that answers have, their ratio, and nothing where there are too few images."""
    synthetic_run(tmp_path / "run", images=40)
    database = tmp_path / "evidence.duckdb"
    publish([tmp_path / "run"], database)
    monkeypatch.setattr(command, "LAYER", "conv2_2")
    command._print_context(database, [0, 1])
    lines = capsys.readouterr().out.splitlines()
    labels = 'contextLabels(class: "boat", orderBy: EDGES, first: 3) { nodes { label rate peak { rate baseRate } } }'
    answer = execute(database, f'{{ run {{ channel(layer: "conv2_2", index: 0) {{ {labels} }} }} }}', {})
    nodes = answer["data"]["run"]["channel"]["contextLabels"]["nodes"]
    assert len(nodes) >= 2
    for line, node in zip(lines[3 : 3 + len(nodes)], nodes, strict=True):
        expected = [node["label"], f"{node['rate']:.1%}"]
        if peak := node["peak"]:
            expected += [f"{peak['rate']:.1%}", f"{peak['baseRate']:.1%}", f"{peak['rate'] / peak['baseRate']:.2f}"]
        assert line.replace("      0 ", "").split("(")[0].split() == expected
    assert any(node["peak"] for node in nodes)
    assert max(map(len, lines)) <= 120


@pytest.mark.slow
def test_the_weights_are_small_and_as_good_as_stated() -> None:
    assert WEIGHTS.stat().st_size < 700_000
    found = accuracies(trained(), 400)
    assert found["ordinary"] > 0.97
    assert 0.5 < found["contradicting"] < found["ordinary"] - 0.15


@pytest.mark.slow
def test_training_learns_and_repeats() -> None:
    first, second = (train(96, epochs=1, progress=False).state_dict() for _ in range(2))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
    assert not torch.equal(first["classifier.0.weight"], trained().state_dict()["classifier.0.weight"])
