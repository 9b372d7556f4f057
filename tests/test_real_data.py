"""Real weights and images, through the command line: the accuracy is torchvision's, the edges are autograd's.

Skipped where `../shared/data` does not lie beside the repository.
"""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision import models
from torchvision.transforms import v2

from benchmarks import agreement
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.run.settings import Execution, IndexSettings
from tests.conftest import Cli
from tests.indexer.agreement import TOLERANCE
from tests.indexer.reference import Reference
from tests.support.tiny import ROOT

SHARED = ROOT.parent / "shared" / "data"
WEIGHTS = SHARED / "squeezenet1_1" / "squeezenet1_1.safetensors"
IMAGES = SHARED / "imagenet_sample1000"
COUNT = 40

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"no real networks and images at {SHARED}"),
]


@pytest.fixture
def subset(tmp_path: Path) -> Path:
    """Images of classes all over the list, in class folders named by wnid."""
    folders = sorted(path for path in IMAGES.iterdir() if path.is_dir())
    for folder in random.Random(5).sample(folders, COUNT):
        (tmp_path / "subset").mkdir(exist_ok=True)
        (tmp_path / "subset" / folder.name).symlink_to(folder, target_is_directory=True)
    return tmp_path / "subset"


def transform(path: Path) -> torch.Tensor:
    """The network's input as torchvision makes it, without anything of ours."""
    steps = v2.Compose(
        [
            v2.Resize(256, antialias=True),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    with Image.open(path) as image:
        pixels: torch.Tensor = steps(image.convert("RGB"))
    return pixels


def network() -> torch.nn.Module:
    model: torch.nn.Module = models.squeezenet1_1(weights=None)
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()


def test_accuracy_and_edges_of_real_images(cli: Cli, subset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    indexed = cli(
        *("index", "--model", "squeezenet1_1", "--weights", WEIGHTS, "--data", f"imagefolder:{subset}"),
        *("--classes", SHARED / "imagenet1000.csv", "--run", run, "--batch-size", "8", "--workers", "0", "--json"),
    )
    assert indexed.code == 0, indexed.stderr
    report = json.loads(indexed.stdout)
    assert report["image_total"] == report["labelled_count"] == COUNT

    with (SHARED / "imagenet1000.csv").open(newline="") as file:
        index_of = {row["wnid"]: int(row["index"]) for row in csv.DictReader(file)}
    paths = sorted(subset.glob("*/*"), key=lambda path: path.relative_to(subset).as_posix())
    model = network()
    with torch.no_grad():
        logits = [model(transform(path)[None])[0] for path in paths]
    predicted = [int(values.argmax()) for values in logits]
    labels = [index_of[path.parent.name] for path in paths]
    rows = pq.read_table(run / "shards" / "00000.image.parquet").to_pylist()
    assert [row["label_id"] for row in rows] == labels
    assert [row["predicted_id"] for row in rows] == predicted
    assert report["accuracy"] == sum(p == t for p, t in zip(predicted, labels, strict=True)) / COUNT
    for row, values in zip(rows, logits, strict=True):
        assert row["probability"] == pytest.approx(float(values.softmax(0).max()), rel=1e-3)

    modules = [layer["module"] for layer in json.loads((run / "run.json").read_text())["layers"]][:-1]
    edges = pq.read_table(run / "shards" / "00000.edge.parquet").to_pylist()
    wrong = next(i for i, (p, t) in enumerate(zip(predicted, labels, strict=True)) if p != t)
    for image in (0, wrong):
        reference = Reference(model, modules, transform(paths[image]))
        assert compare(reference, [row for row in edges if row["decision_id"] // 2 == image]) > 40


MOBILENET = {
    "model": "mobilenet_v2",
    "weights": str(SHARED / "mobilenet_v2" / "mobilenet_v2.safetensors"),
    "layers": ["features.1", "features.3", "features.6", "features.13", "features.17"],
    "preprocessing": PreprocessingOptions(resize=256, crop=225, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
}


@pytest.mark.parametrize("network", [{"model": "squeezenet1_1", "weights": str(WEIGHTS)}, MOBILENET])
def test_runs_on_windows_and_by_autograd_have_the_same_edges(network: dict[str, Any], tmp_path: Path) -> None:
    settings = IndexSettings(
        **network,
        data=f"imagefolder:{IMAGES}",
        classes=SHARED / "imagenet1000.csv",
        run=tmp_path / "windows",
        limit=1,
        execution=Execution(workers=0),
    )
    # In float64, where both passes open the same ReLUs; `python -m benchmarks.agreement` compares larger runs.
    windows = agreement.run(settings, autograd=False, double=True)
    whole = agreement.run(replace(settings, run=tmp_path / "autograd"), autograd=True, double=True)
    found = agreement.compare(windows, whole)
    assert found.different == 0, found.examples
    assert found.beneath <= found.ties
    assert found.same > 100
    # What the comparison is for: a contribution that is off is found.
    node, rows = next(iter(windows.items()))
    rows[0]["contribution"] *= 1.0001
    assert agreement.compare(windows, whole).examples[0].startswith(f"{node}: rank 0")


def compare(reference: Reference, edges: list[dict[str, Any]]) -> int:
    """Compare each stored decomposition with float64 autograd; return how many there were."""
    stored: dict[tuple[int, int, int, int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in edges:
        target = (row["target_layer"], row["target_channel"], row["target_y"], row["target_x"])
        stored[row["decision_id"], *target].append(row)
    for (_, layer, channel, y, x), rows in stored.items():
        assert {row["source_layer"] for row in rows} == {layer - 1}
        maps = reference.activation_maps(layer - 1, channel, y, x)
        alpha = maps.mean((1, 2))
        expected = reference.edges(layer - 1, channel, y, x, top_n=3)
        slack = TOLERANCE * expected[0].contribution
        assert [row["rank"] for row in rows] == list(range(len(rows)))
        assert len([e for e in expected if e.contribution > slack]) <= len(rows) <= 3
        for row, edge in zip(rows, expected, strict=False):
            found = float(alpha[row["source_channel"]])
            assert row["contribution"] == pytest.approx(found, abs=slack)
            assert found == pytest.approx(edge.contribution, abs=slack)
            highest = float(maps[row["source_channel"]].max())
            at_peak = float(maps[row["source_channel"], row["source_y"], row["source_x"]])
            assert at_peak == pytest.approx(highest, rel=TOLERANCE)
            assert row["activation"] == pytest.approx(at_peak, rel=TOLERANCE)
    return len(stored)
