"""Attacks stay in their box, make the network err, and do not depend on how the work is split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.model.graph import frozen
from evigraph.indexer.run.attack import Attacker
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import AttackSettings, Execution, IndexSettings, fraction
from evigraph.schema.errors import RunFolderError, UsageError
from tests.support import tiny

EPS = 8 / 255
BGR = Preprocessing(None, tiny.SIDE, (104.0, 117.0, 123.0), (57.0, 58.0, 59.0), "bgr", 255)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return tiny.network().eval()


@pytest.fixture
def pixels() -> Tensor:
    """16 images in 0..1 that hold 0 and 1 too."""
    noise = torch.rand(16, 3, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    return (noise * 1.4 - 0.2).clamp(0, 1)


def inputs_of(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return (pixels * preprocessing.pixel_scale - mean) / std


def pixels_of(inputs: Tensor, preprocessing: Preprocessing) -> Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return (inputs * std + mean) / preprocessing.pixel_scale


def attacked(network: nn.Module, pixels: Tensor, labels: Tensor, **settings: Any) -> Tensor:
    """Pixels after an attack on a network of BGR inputs in 0..255."""
    attacker = Attacker(network, AttackSettings(**({"eps": EPS} | settings)), BGR, 4)
    with frozen(network):
        moved = attacker.attack(inputs_of(pixels, BGR), list(range(len(pixels))), labels, torch.float32)
    return pixels_of(moved, BGR)


@pytest.mark.parametrize("kind", ["pgd", "fgsm", "noise"])
def test_it_stays_in_its_box(network: nn.Module, pixels: Tensor, kind: str) -> None:
    moved = attacked(network, pixels, torch.arange(16) % 4, kind=kind)
    assert float((moved - pixels).abs().max()) <= EPS + 1e-5
    assert float(moved.min()) >= -1e-5
    assert float(moved.max()) <= 1 + 1e-5
    assert float((moved - pixels).abs().max()) > EPS / 2


def test_the_start_depends_on_the_seed_and_the_image(network: nn.Module, pixels: Tensor) -> None:
    """Torch's generator takes a seed of 64 bits and ignores the upper 32."""
    same = pixels[:1].expand(16, -1, -1, -1).clone() * 0.5 + 0.25  # nowhere at a bound
    labels = torch.zeros(16, dtype=torch.int64)
    starts = [attacked(network, same, labels, kind="noise", seed=seed) - same for seed in (0, 0, 1, 2**32 - 1)]
    torch.testing.assert_close(starts[0], starts[1], rtol=0, atol=0)
    drawn = torch.cat(starts[1:]).flatten(1)
    distance = (drawn[:, None] - drawn).abs().amax(2) + torch.eye(len(drawn))
    assert float(distance.min()) > EPS / 2


def test_fgsm_is_one_step_along_the_sign_of_the_gradient(network: nn.Module, pixels: Tensor) -> None:
    labels = torch.arange(16) % 4
    leaf = pixels.clone().double().requires_grad_()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (BGR.mean, BGR.std))
    F.cross_entropy(tiny_double(network)((leaf * 255 - mean) / std), labels).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    expected = (pixels + EPS * leaf.grad.sign().float()).clamp(0, 1)
    moved = attacked(network, pixels, labels, kind="fgsm")
    clear = leaf.grad.abs() > 1e-6 * leaf.grad.abs().max()
    torch.testing.assert_close(moved[clear], expected[clear], rtol=0, atol=1e-5)
    assert float(clear.float().mean()) > 0.5


def tiny_double(network: nn.Module) -> nn.Module:
    twin = tiny.network()
    twin.load_state_dict(network.state_dict())
    for module in twin.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return twin.double().eval()


def test_pgd_raises_the_loss_above_fgsm_and_noise(network: nn.Module, pixels: Tensor) -> None:
    labels = network(inputs_of(pixels, BGR)).argmax(1)
    loss = {}
    for kind in ("noise", "fgsm", "pgd"):
        moved = attacked(network, pixels, labels, kind=kind, **({"steps": 20} if kind == "pgd" else {}))
        with torch.no_grad():
            loss[kind] = float(F.cross_entropy(network(inputs_of(moved, BGR)), labels))
    assert loss["noise"] < loss["fgsm"] <= loss["pgd"] + 1e-3
    unlabelled = attacked(network, pixels, torch.full((16,), -1), kind="fgsm")
    torch.testing.assert_close(unlabelled, attacked(network, pixels, labels, kind="fgsm"))


def test_a_target_is_approached(network: nn.Module, pixels: Tensor) -> None:
    moved = attacked(network, pixels, torch.zeros(16, dtype=torch.int64), kind="pgd", target=3, eps=0.2)
    with torch.no_grad():
        before, after = (network(inputs_of(p, BGR)).softmax(1)[:, 3] for p in (pixels, moved))
    assert bool((after > before).all())
    with pytest.raises(UsageError, match="no class"):
        attacked(network, pixels, torch.zeros(16, dtype=torch.int64), kind="pgd", target=4)


def test_numbers_are_read_as_fractions() -> None:
    assert fraction("--eps", "8/255") == pytest.approx(8 / 255)
    assert fraction("--eps", ".03") == 0.03
    for text in ("8/0", "x", "1/2/3", ""):
        with pytest.raises(UsageError, match="--eps"):
            fraction("--eps", text)
    for wrong in ({"kind": "cw"}, {"eps": 0.0}, {"eps": 2.0}, {"steps": 0}, {"alpha": 0.0}):
        with pytest.raises(UsageError):
            AttackSettings(**({"kind": "pgd", "eps": EPS} | wrong))  # type: ignore[arg-type]


def settings_of(tmp_path: Path, **changed: Any) -> IndexSettings:
    folder = tmp_path / "set"
    if not folder.exists():
        tiny.draw_images(folder, 16)
    made = IndexSettings(
        model=tiny.MODEL,
        weights="random",
        data=f"imagefolder:{folder}",
        run=tmp_path / "clean",
        execution=Execution(workers=0, shard_size=8),
        preprocessing=tiny.PREPROCESSING,
    )
    return replace(made, **changed)


def rows(run: Path, table: str) -> list[dict[str, Any]]:
    files = sorted((run / "shards").glob(f"*.{table}.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def test_a_run_of_attacked_images_is_paired_with_the_clean_one(tmp_path: Path) -> None:
    clean = settings_of(tmp_path)
    pgd = replace(clean, run=tmp_path / "pgd", attack=AttackSettings("pgd", 0.1))
    index(clean)
    index(pgd)
    index(replace(pgd, run=tmp_path / "again", execution=Execution(workers=0, batch_size=3, shard_size=5)))
    keys = [[(row["image_id"], row["uri"], row["label_id"]) for row in rows(s.run, "image")] for s in (clean, pgd)]
    assert keys[0] == keys[1]
    labels = {row["image_id"]: row["label_id"] for row in rows(clean.run, "image")}
    of_label = [
        [r["probability"] for r in rows(s.run, "decision") if r["class_id"] == labels[r["image_id"]]]
        for s in (clean, pgd)
    ]
    assert len(of_label[0]) == len(of_label[1]) == 16
    assert all(after < before for before, after in zip(*of_label, strict=True))
    for one, other in zip(rows(pgd.run, "decision"), rows(tmp_path / "again", "decision"), strict=True):
        assert other["decision_id"] == one["decision_id"]
        assert other["class_id"] == one["class_id"]
        assert other["logit"] == pytest.approx(one["logit"], rel=1e-3, abs=1e-4)
    with pytest.raises(RunFolderError, match="attack"):
        index(clean_in(pgd))


def clean_in(settings: IndexSettings) -> IndexSettings:
    return replace(settings, attack=None)
