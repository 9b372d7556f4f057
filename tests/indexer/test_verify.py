"""Tests of the evidence agree with taking it away by hand: by writing into the input, and by a hook on the network."""

from __future__ import annotations

import math
import signal
import subprocess
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from evigraph.indexer.data.loader import Batch, iterate_batches
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.engine.network import prepare
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.indexer.verify.fills import blurred
from evigraph.indexer.verify.means import sample_ids
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.indexer.weights.loading import load_model
from evigraph.schema.errors import NotFoundError, RunFolderError, UsageError
from tests.indexer import networks
from tests.indexer.arrivals import Arrivals, arrivals_at, gradient_boxes, reach
from tests.support import PATIENCE_S, tiny

SIDE = 65
"""Odd, so that windows of 3 in steps of 2 read the last pixel too: a field is then all that is read."""
COUNT = 10
OF_CLASSES = {"classes": len(tiny.CLASSES)}


def squeezenet() -> nn.Module:
    """A network of torchvision whose maps are not centred: pooling with ceil_mode, no padding."""
    return networks.build("squeezenet1_1", **OF_CLASSES)


def resnet() -> nn.Module:
    """One with shortcuts, and global average pooling behind its highest layer."""
    return networks.build("resnet18", **OF_CLASSES)


class Untraceable(nn.Module):
    """The tiny network, which looks at values, so that it is recorded by hooks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = tiny.network()

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, classes)."""
        if float(pixels.detach().abs().sum()) < 0:
            return pixels
        logits: Tensor = self.network(pixels)
        return logits


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.draw_images(tmp_path_factory.mktemp("verify") / "set", COUNT)


def settings_of(images: Path, run: Path, model: str, **changed: Any) -> IndexSettings:
    made = IndexSettings(
        model=model,
        weights="random" if model == tiny.MODEL else "own",
        data=f"imagefolder:{images}",
        run=run,
        execution=Execution(workers=0, shard_size=8, batch_size=4),
        preprocessing=replace(tiny.PREPROCESSING, resize=SIDE, crop=SIDE),
        verify=VerifySettings("all", top=2),
    )
    return replace(made, **changed)


def rows(run: Path, table: str) -> list[dict[str, Any]]:
    files = sorted((run / "shards").glob(f"*.{table}.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def whole(settings: IndexSettings) -> tuple[nn.Module, Batch]:
    """The network and all its inputs."""
    loaded = load_model(settings.model, settings.weights)
    preprocessing: Preprocessing = loaded.preprocessing.with_options(settings.preprocessing)
    (batch,) = iterate_batches(open_source(settings.data, None, 4), preprocessing, range(COUNT), batch_size=COUNT)
    return loaded.model.eval(), batch


@pytest.mark.parametrize(
    "model",
    [
        tiny.MODEL,
        f"{__name__}:Untraceable",
        *(pytest.param(f"{__name__}:{name}", marks=pytest.mark.slow) for name in ("squeezenet", "resnet")),
    ],
)
@pytest.mark.parametrize("occlude", ["grey", "blur"])
def test_it_agrees_with_doing_the_same_by_hand(
    images: Path, tmp_path: Path, model: str, occlude: Literal["grey", "blur"]
) -> None:
    changed: dict[str, Any] = {"verify": VerifySettings("all", top=2, occlude=occlude)}
    if model.endswith("Untraceable"):
        changed["layers"] = ["network.1", "network.4", "network.7"]
    settings = settings_of(images, tmp_path / "run", model, **changed)
    index(settings)
    network, batch = whole(settings)
    with frozen(network):
        prepared = prepare(network, SIDE, settings.layers)
        paths = [layer.module for layer in prepared.layers]
        labels = {row["image_id"]: row["label_id"] for row in rows(settings.run, "image")}
        tests, edges = rows(settings.run, "verification"), rows(settings.run, "edge")
        assert {row["source_layer"] for row in tests} == set(range(len(paths)))
        for corner in ("control_top", "control_channel"):
            assert sum(row[corner] is not None for row in tests) >= COUNT
        with torch.no_grad():
            clean = network(batch.pixels)
            means = [_mean_by_hand(network, path, batch.pixels) for path in paths]
        hooked = model.endswith("Untraceable")
        arrivals = [None if hooked else arrivals_at(network, path, SIDE) for path in paths]
        near: dict[str, Any] = {"rel": 1e-3, "abs": 1e-4 * float(clean.abs().max())}
        for level, path in enumerate(paths):
            hidden = [row for row in tests if row["source_layer"] == level and row["method"] == "occlude"]
            removed = [row for row in tests if row["source_layer"] == level and row["method"] == "remove"]
            assert len(hidden) == len(removed) > 0
            pixels = torch.stack([batch.pixels[row["decision_id"] // 2] for row in hidden])
            for place, row in enumerate(hidden):
                _hide_by_hand(network, path, arrivals[level], pixels[place : place + 1], row, occlude)
            with torch.no_grad():
                occluded = network(pixels)
            images_of = torch.stack([batch.pixels[row["decision_id"] // 2] for row in removed])
            channels = [row["source_channel"] for row in removed]
            without = _removed_by_hand(network, path, channels, means[level], images_of)
            for row, logits in zip([*hidden, *removed], [*occluded, *without], strict=True):
                _assert_outcome(row, "", logits, clean[row["decision_id"] // 2], labels, near)
                assert row["logit"] == pytest.approx(float(logits[row["class_id"]]), **near)
            _check_other_regions(network, path, arrivals[level], batch.pixels, hidden, occlude, clean, labels, near)
            _check_other_channels(network, path, means[level], batch.pixels, removed, edges, clean, labels, near)


def _assert_outcome(
    row: dict[str, Any], prefix: str, logits: Tensor, clean: Tensor, labels: dict[int, int], near: dict[str, Any]
) -> None:
    """That a row tells what the network said, `logits` where it was `clean`: of the test, or of its control."""
    label, change = labels[row["decision_id"] // 2], logits - clean
    assert row[f"{prefix}logit_change"] == pytest.approx(float(change[row["class_id"]]), **near)
    assert row[f"{prefix}label_logit_change"] == pytest.approx(float(change[label]), **near)
    first, second = logits.topk(2).values.tolist()
    if first - second > near["abs"]:
        assert row[f"{prefix}predicted_id"] == int(logits.argmax())
        was_wrong = int(clean.argmax()) != label
        assert row[f"{prefix}corrected"] == (was_wrong and int(logits.argmax()) == label)


def _check_other_regions(
    network: nn.Module, path: str, arrivals: Arrivals | None, inputs: Tensor, hidden: list[dict[str, Any]],
    occlude: str, clean: Tensor, labels: dict[int, int], near: dict[str, Any],
) -> None:  # fmt: skip
    """The controls of `occlude`: a region of the same shape apart from the one tested, wherever there is room."""
    for row in hidden:
        image = row["decision_id"] // 2
        pixels = inputs[image : image + 1]
        top, bottom, left, right = _box_by_hand(network, path, arrivals, pixels, row)
        height, width = bottom - top, right - left
        room = max(top, SIDE - bottom) >= height or max(left, SIDE - right) >= width
        assert (row["control_top"] is not None) == (2 * height * width <= SIDE**2)
        cover = blurred(pixels) if occlude == "blur" else torch.zeros_like(pixels)
        change = (cover - pixels)[:, :, top:bottom, left:right].double().square().sum() / pixels.numel()
        assert row["disturbance"] == pytest.approx(float(change.sqrt()), rel=1e-4)
        if row["control_top"] is None:
            assert all(value is None for name, value in row.items() if name.startswith("control_"))
            continue
        y, x = row["control_top"], row["control_left"]
        assert row["control_area"] == row["area"]
        other = pixels.clone()
        if room:
            assert row["control_shape"] == "box"
            assert 0 <= y <= SIDE - height
            assert 0 <= x <= SIDE - width
            assert abs(y - top) >= height or abs(x - left) >= width
            other[:, :, y : y + height, x : x + width] = cover[:, :, y : y + height, x : x + width]
        else:
            assert row["control_shape"] == "rows"
            inside = {(i, j) for i in range(top, bottom) for j in range(left, right)}
            outside = [(i, j) for i in range(SIDE) for j in range(SIDE) if (i, j) not in inside]
            outside = outside[outside.index((y, x)) :] + outside[: outside.index((y, x))]
            for i, j in outside[: height * width]:
                other[:, :, i, j] = cover[:, :, i, j]
        with torch.no_grad():
            (logits,) = network(other)
        _assert_outcome(row, "control_", logits, clean[image], labels, near)
        change = (other - pixels).double().square().mean().sqrt()
        assert row["control_disturbance"] == pytest.approx(float(change), rel=1e-4)


def _check_other_channels(
    network: nn.Module, path: str, means: Tensor, inputs: Tensor, removed: list[dict[str, Any]],
    edges: list[dict[str, Any]], clean: Tensor, labels: dict[int, int], near: dict[str, Any],
) -> None:  # fmt: skip
    """The controls of `remove`: of the channels that are no evidence, the one that is disturbed as much."""
    with torch.no_grad():
        maps = _maps_by_hand(network, path, inputs).double()
    for row in removed:
        image, layer = row["decision_id"] // 2, row["source_layer"]
        evidence = {
            e["source_channel"] for e in edges if (e["decision_id"], e["source_layer"]) == (row["decision_id"], layer)
        }
        offset = [maps[image, k] - float(means[k]) for k in range(maps.shape[1])]
        size = [float(change.square().mean().sqrt()) for change in offset]
        own = row["source_channel"]
        assert row["disturbance"] == pytest.approx(size[own], rel=1e-3)
        fit = [
            k
            for k in range(len(size))
            if k not in evidence
            and bool((maps[image, k] != 0).any())
            and (float(offset[k].mean()) > 0) == (float(offset[own].mean()) > 0)
        ]
        other = row["control_channel"]
        assert (other is not None) == bool(fit)
        if other is None:
            assert all(value is None for name, value in row.items() if name.startswith("control_"))
            continue
        assert other in fit
        ratios = {k: abs(math.log(size[k] / size[own])) for k in fit}
        assert ratios[other] == pytest.approx(min(ratios.values()), abs=1e-3)
        assert row["control_disturbance"] == pytest.approx(size[other], rel=1e-3)
        (logits,) = _removed_by_hand(network, path, [other], means, inputs[image : image + 1])
        _assert_outcome(row, "control_", logits, clean[image], labels, near)


def _maps_by_hand(network: nn.Module, path: str, pixels: Tensor) -> Tensor:
    caught: list[Tensor] = []
    handle = network.get_submodule(path).register_forward_hook(lambda _m, _a, output: caught.append(output))
    network(pixels)
    handle.remove()
    return caught[0]


def _mean_by_hand(network: nn.Module, path: str, pixels: Tensor) -> Tensor:
    """Of fewer than 64 images the sample is all of them."""
    return _maps_by_hand(network, path, pixels).mean((0, 2, 3))


def _removed_by_hand(network: nn.Module, path: str, channels: list[int], means: Tensor, pixels: Tensor) -> Tensor:
    def hook(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        changed = output.clone()
        for image, channel in enumerate(channels):
            changed[image, channel] = means[channel]
        return changed

    handle = network.get_submodule(path).register_forward_hook(hook)
    with torch.no_grad():
        logits: Tensor = network(pixels)
    handle.remove()
    return logits


def _hide_by_hand(
    network: nn.Module, path: str, arrivals: Arrivals | None, pixels: Tensor, row: dict[str, Any], occlude: str
) -> None:
    """Write over the pixels that the peak depends on."""
    top, bottom, left, right = _box_by_hand(network, path, arrivals, pixels, row)
    cover = blurred(pixels) if occlude == "blur" else torch.zeros_like(pixels)
    pixels[:, :, top:bottom, left:right] = cover[:, :, top:bottom, left:right]
    assert row["area"] == pytest.approx((bottom - top) * (right - left) / SIDE**2)


def _box_by_hand(
    network: nn.Module, path: str, arrivals: Arrivals | None, pixels: Tensor, row: dict[str, Any]
) -> tuple[int, int, int, int]:
    """The pixels that the peak depends on, found apart from the windows of operations."""
    if arrivals is not None:
        return reach(arrivals, row["source_y"], row["source_x"])
    at = [torch.tensor([row[name]]) for name in ("source_channel", "source_y", "source_x")]
    (box,) = gradient_boxes(network, path, pixels, *at)
    return box


def test_the_most_important_channels_are_tested_by_their_most_important_edge(images: Path, tmp_path: Path) -> None:
    settings = settings_of(images, tmp_path / "run", tiny.MODEL)
    index(settings)
    total: dict[tuple[int, int], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    best: dict[tuple[int, int, int], dict[str, Any]] = {}
    for edge in rows(settings.run, "edge"):
        key = (edge["decision_id"], edge["source_layer"])
        total[key][edge["source_channel"]] += edge["importance"]
        kept = best.get((*key, edge["source_channel"]))
        if kept is None or edge["importance"] > kept["importance"]:
            best[*key, edge["source_channel"]] = edge
    tested: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in rows(settings.run, "verification"):
        key = (row["decision_id"], row["source_layer"])
        if row["method"] == "remove":
            tested[key].append(row["source_channel"])
        edge = best[*key, row["source_channel"]]
        for name in ("target_layer", "target_channel", "target_y", "target_x", "source_y", "source_x"):
            assert row[name] == edge[name]
    assert tested.keys() == total.keys()
    for key, channels in tested.items():
        order = sorted(total[key], key=lambda channel: -total[key][channel])
        assert len(channels) == min(2, len(order))
        assert [round(total[key][c], 5) for c in channels] == [round(total[key][c], 5) for c in order[:2]]


def test_of_wrong_decisions_the_predictions_alone_are_tested(images: Path, tmp_path: Path) -> None:
    verify = VerifySettings("wrong", layers=["3", "6"])
    settings = settings_of(images, tmp_path / "run", tiny.MODEL, verify=verify, layers=["0", "3", "6"])
    index(settings)
    found = rows(settings.run, "image")
    wrong = {2 * row["image_id"] for row in found if row["label_id"] != row["predicted_id"]}
    tests = rows(settings.run, "verification")
    assert 0 < len(wrong) < len(found)
    assert {row["decision_id"] for row in tests} == wrong
    assert {row["source_layer"] for row in tests} == {1, 2}


def test_rows_do_not_depend_on_how_the_work_is_split(images: Path, tmp_path: Path) -> None:
    settings = settings_of(images, tmp_path / "run", tiny.MODEL)
    index(settings)
    index(replace(settings, run=tmp_path / "other", execution=Execution(workers=0, batch_size=7, shard_size=5)))
    ours, others = rows(settings.run, "verification"), rows(tmp_path / "other", "verification")
    assert len(ours) == len(others) > 0
    for one, other in zip(ours, others, strict=True):
        for name, value in one.items():
            assert other[name] == (pytest.approx(value, rel=1e-3, abs=1e-5) if isinstance(value, float) else value)


def test_other_tests_are_another_run(images: Path, tmp_path: Path) -> None:
    settings = settings_of(images, tmp_path / "run", tiny.MODEL)
    index(settings)
    with pytest.raises(Exception, match=r"verify\.top"):
        index(replace(settings, verify=VerifySettings("all", top=1)))
    with pytest.raises(NotFoundError, match="layer to verify"):
        index(replace(settings, run=tmp_path / "other", verify=VerifySettings("all", layers=["conv9"])))
    for wrong in ({"which": "some"}, {"which": "all", "top": 0}, {"which": "all", "occlude": "noise"}):
        with pytest.raises(UsageError):
            VerifySettings(**wrong)


def test_fills_are_described_as_they_always_were() -> None:
    """So a folder begun when there was one fill goes on."""
    assert VerifySettings("all").to_json()["occlude"] == "grey"
    assert VerifySettings("all", occlude=("image", "grey")) == VerifySettings("all", occlude="grey,image")
    assert VerifySettings("all", occlude="image,grey").to_json()["occlude"] == "grey,image"
    for wrong, message in (("noise", "unknown occlude 'noise'"), ("grey,grey", "twice"), ("grey,", "empty name")):
        with pytest.raises(UsageError, match=message):
            VerifySettings("all", occlude=wrong)


def test_an_image_alone_has_none_to_be_filled_from(tmp_path: Path) -> None:
    images = tiny.draw_images(tmp_path / "set", 1)
    settings = settings_of(
        images, tmp_path / "run", tiny.MODEL, verify=VerifySettings("all", occlude="grey,image"), classes=None
    )
    index(replace(settings, data=f"folder:{images}"))
    assert {(row["method"], row["fill"]) for row in rows(settings.run, "verification")} == {
        ("occlude", "grey"),
        ("remove", None),
    }


def test_a_folder_begun_before_there_were_controls_is_not_gone_on_with(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(images, tmp_path / "run", tiny.MODEL)
    now = VerifySettings.to_json
    with monkeypatch.context() as before:
        before.setattr(VerifySettings, "to_json", lambda self: {k: v for k, v in now(self).items() if k != "controls"})
        index(settings)
    with pytest.raises(RunFolderError, match=r"verify\.controls = null, not true.*another --run folder"):
        index(settings)


def test_the_sample_of_the_means_is_spread_over_the_listing() -> None:
    assert sample_ids(5) == [0, 1, 2, 3, 4]
    spread = sample_ids(6400)
    assert spread[:3] == [0, 100, 200]
    assert len(spread) == 64


@pytest.mark.slow
def test_killed_it_ends_with_the_same_rows(images: Path, tmp_path: Path) -> None:
    def words(run: Path) -> list[str]:
        return tiny.command(
            *("index", "--model", tiny.MODEL, "--weights", "random", "--data", f"imagefolder:{images}", "--run", run),
            *(*tiny.INPUT, "--workers", "0", "--shard-size", "1", "--batch-size", "1", "--name", "tiny", "--json"),
            *("--verify", "all", "--occlude", "blur", "--attack", "pgd", "--eps", "8/255", "--attack-steps", "3"),
        )

    subprocess.run(words(tmp_path / "whole"), check=True, capture_output=True, timeout=PATIENCE_S, cwd=tiny.ROOT)
    killed = tmp_path / "killed"
    indexing = subprocess.Popen(words(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tiny.ROOT)
    while indexing.poll() is None and not list(killed.glob("shards/00002.json")):
        time.sleep(0.002)
    indexing.send_signal(signal.SIGKILL)
    indexing.wait()
    assert not (killed / "finished.json").exists()
    subprocess.run(words(killed), check=True, capture_output=True, timeout=PATIENCE_S, cwd=tiny.ROOT)
    for table in ("image", "decision", "edge", "verification"):
        assert rows(killed, table) == rows(tmp_path / "whole", table)
        assert rows(killed, table)
