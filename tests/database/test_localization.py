"""`localization` against a slow version in plain Python and float64, from the masks and maps of the run folder."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from evigraph.indexer.evidence.context import ContextMaps
from evigraph.indexer.publish import cells, localization
from evigraph.indexer.publish.chance import PARTNERS, counted, order_of
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import resolve
from tests.support.synthetic import LAYERS, describe, semantic_map, synthetic_run

Key = tuple[Any, ...]
IMAGES, CLASSES = 42, 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("localization")
    synthetic_run(folder / "run", images=IMAGES, classes=CLASSES)
    publish([folder / "run"], folder / "evidence.duckdb")
    return folder


def _rows(run: Path, table: str) -> list[dict[str, Any]]:
    return [row for file in sorted(run.glob(f"shards/*.{table}.parquet")) for row in pq.read_table(file).to_pylist()]


def _on(labels: Any, layer: int, masks: list[dict[str, Any]], label: int) -> tuple[float, float]:
    """What lies on a label: under the peaks, and of the masks' activation."""
    peak = mass = 0.0
    side = LAYERS[layer][3]
    pixels = 32 // side
    for mask in masks:
        y, x = divmod(mask["cell"], side)
        block = labels[y * pixels : (y + 1) * pixels, x * pixels : (x + 1) * pixels]
        share = int((block == label).sum()) / block.size
        peak += share * mask["at_peak"]
        mass += share * mask["mass"]
    return peak, mass


def _expected(run: Path) -> dict[Key, dict[str, float]]:
    """The sums of one channel, one layer and all layers, by class and outcome."""
    description = describe(images=IMAGES, classes=CLASSES)
    maps = {image: semantic_map(description, image) for image in range(IMAGES)}
    images = {image["image_id"]: image for image in _rows(run, "image")}
    masks: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for mask in _rows(run, "context_mask"):
        masks[mask["decision_id"]].append(mask)
    classes: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for decision in sorted(_rows(run, "decision"), key=lambda row: row["decision_id"]):
        classes[decision["role"], decision["class_id"]].append(decision)
    sums: defaultdict[Key, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (role, class_id), roots in classes.items():
        order = order_of(len(roots), (("predicted", "label").index(role), class_id)).tolist()
        partners = min(PARTNERS, len(roots) - 1) if len(roots) > 2 else 0
        for place, root in enumerate(order):
            decision = roots[root]
            image = images[decision["image_id"]]
            right = image["label_id"] == image["predicted_id"]
            outcome = "unlabelled" if image["label_id"] is None else "correct" if right else "wrong"
            others = [roots[order[(place + k) % len(roots)]]["image_id"] for k in range(1, partners + 1)]
            groups: defaultdict[Key, list[dict[str, Any]]] = defaultdict(list)
            for mask in masks[decision["decision_id"]]:
                groups[mask["layer_id"], mask["channel"], "any"].append(mask)
                for of in ("any", outcome):
                    groups[mask["layer_id"], -1, of].append(mask)
                    groups[-1, -1, of].append(mask)
            for (layer, channel, of), group in groups.items():
                edges = sum(mask["at_peak"] for mask in group)
                for label in range(1, 6):
                    own_map = maps[decision["image_id"]]
                    area = edges * float(Fraction(int((own_map == label).sum()), own_map.size))
                    each = [[0.0, 0.0] for _ in range(partners + 1)]
                    for one, image_id in enumerate([decision["image_id"], *others]):
                        for one_layer in {mask["layer_id"] for mask in group}:
                            on = _on(maps[image_id], one_layer, [m for m in group if m["layer_id"] == one_layer], label)
                            each[one] = [each[one][0] + on[0], each[one][1] + on[1]]
                        more = edges * int((maps[image_id] == label).sum()) / own_map.size - area
                        each[one] = [each[one][0] - more, each[one][1] - more]
                    for of_class in (class_id, -1):
                        row = sums[of_class, role, of, layer, label, channel]
                        row["edges"] += edges
                        row["decisions"] += 1
                        row["shown"] += area > 0
                        row["area_sum"] += area
                        row["area_squares"] += area**2
                        for measure, name in enumerate(("peak", "mass")):
                            x, *rest = (one[measure] for one in each)
                            row[f"{name}_sum"] += x
                            row[f"{name}_squares"] += x * x
                            row[f"{name}_area"] += x * area
                            if rest:
                                row[f"{name}_compared"] += x
                                row[f"{name}_chance"] += fmean(rest)
                                row[f"{name}_chance_variance"] += variance(rest) * (1 + 1 / len(rest))
    return {key: dict(row) for key, row in sums.items() if row["shown"]}


def test_sums_are_the_plain_ones(made: Path) -> None:
    expected = {key: row for key, row in _expected(made / "run").items() if -1 in (key[0], key[5]) or row["shown"] >= 3}
    with duckdb.connect(str(resolve(made / "evidence.duckdb")), read_only=True) as connection:
        result = connection.execute("FROM localization")
        names = [column[0] for column in result.description]
        rows = [dict(zip(names, values, strict=True)) for values in result.fetchall()]
    keys = ("class_id", "role", "outcome", "layer_id", "label_id", "channel")
    stored = {tuple(row[name] for name in keys): row for row in rows}
    assert stored.keys() == expected.keys()
    assert len(stored) == len(rows)
    for key, row in stored.items():
        for name in names:
            if name not in ("run_id", "peak_low", *keys):
                assert float(row[name]) == pytest.approx(expected[key].get(name, 0.0), abs=3e-4), (key, name)
        assert row["peak_low"] == _low(expected[key]), key


def _low(row: dict[str, float]) -> Any:
    """The lower end of the interval by scipy's quantile, which the stored one has to 0.3 %, or 4 % of few images."""
    count = row["shown"]
    if count < 3 or not row["peak_sum"]:
        return None
    lift = row["peak_sum"] / row["area_sum"]
    spread = row["peak_squares"] - 2 * lift * row["peak_area"] + lift**2 * row["area_squares"]
    half = stats.t.ppf(0.975, count - 1) * math.sqrt(max(spread, 0) * count / (count - 1)) / row["area_sum"]
    return pytest.approx(max(lift - half, 0.0), abs=0.003 * half + 1e-3 if count >= 5 else 0.04 * half + 1e-3)


def test_classes_at_a_time_change_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localization, "CELLS_AT_A_TIME", 1)
    publish([made / "run"], tmp_path / "evidence.duckdb")
    answers = []
    for db in (made / "evidence.duckdb", tmp_path / "evidence.duckdb"):
        with duckdb.connect(str(resolve(db)), read_only=True) as connection:
            answers.append(connection.execute("FROM localization").fetchall())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("size", [(225, 225), (224, 224), (32, 45), (97, 31)])
@pytest.mark.parametrize("grid", [(8, 8), (7, 5), (15, 29), (28, 28)])
def test_cells_are_those_of_the_indexer(grid: tuple[int, int], size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(3, size=size).astype(np.uint8)
    context = ContextMaps(torch.from_numpy(labels)[None], grid, 0.5, 3)
    np.testing.assert_allclose(counted(labels, np.arange(3), 3, grid), context.shares[0].numpy(), rtol=1e-6)


def test_a_run_without_masks_has_none(tmp_path: Path) -> None:
    """As a folder of a program from before them, or of data without maps."""
    synthetic_run(tmp_path / "run", images=20, context=False)
    publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    with duckdb.connect(str(resolve(tmp_path / "evidence.duckdb")), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM localization").fetchone() == (0,)
        counts = "SELECT count(*) > 0, count(peak_label_ids), count(peak_mass_steps) FROM decomposition"
        assert connection.execute(counts).fetchone() == (True, 0, 0)


def test_roots_at_a_time_change_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that is laid out in several parts, and a map that is counted by itself."""
    monkeypatch.setattr(localization, "MASK_CELLS_AT_A_TIME", 1)
    monkeypatch.setattr(cells, "_NUMBERS_AT_A_TIME", 1)
    publish([made / "run"], tmp_path / "evidence.duckdb")
    answers = []
    for db in (made / "evidence.duckdb", tmp_path / "evidence.duckdb"):
        with duckdb.connect(str(resolve(db)), read_only=True) as connection:
            answers.append(connection.execute("FROM localization").fetchall())
    assert answers[0] == answers[1]
