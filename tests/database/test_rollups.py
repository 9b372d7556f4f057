"""Every rollup against a slow one written in Python from its definition."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from evigraph.schema.database import open_read_only
from evigraph.schema.tables import ROLLUP_TABLES
from evigraph.schema.tables.base import Base

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def tables(published: Path) -> dict[str, Rows]:
    """Every table as a list of dicts."""
    engine = open_read_only(published)
    with engine.connect() as connection:
        found = {
            table: [dict(r) for r in connection.exec_driver_sql(f'SELECT * FROM "{table}"').mappings()]
            for table in [*Base.metadata.tables, "edge"]
        }
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def edges(tables: dict[str, Rows]) -> Rows:
    """Edges with what their root and image say."""
    images = {image["image_id"]: image for image in tables["image"]}
    roots = {root["decision_id"]: root for root in tables["decision"]}
    return [
        edge | roots[edge["decision_id"]] | {"image": images[roots[edge["decision_id"]]["image_id"]]}
        for edge in tables["edge"]
    ]


def _outcome(image: dict[str, Any]) -> str:
    if image["label_id"] is None:
        return "unlabelled"
    return "correct" if image["label_id"] == image["predicted_id"] else "wrong"


def _stored(tables: dict[str, Rows], name: str, key: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = tables[name]
    by_key = {tuple(row[column] for column in key): row for row in rows}
    assert len(by_key) == len(rows) > 0
    return by_key


def test_class_roots(tables: dict[str, Rows]) -> None:
    images = {image["image_id"]: image for image in tables["image"]}
    wanted: Counter[tuple[Any, ...]] = Counter()
    for root in tables["decision"]:
        for class_id in (root["class_id"], -1):
            for outcome in (_outcome(images[root["image_id"]]), "any"):
                wanted[class_id, root["role"], outcome] += 1
    stored = _stored(tables, "class_roots", ("class_id", "role", "outcome"))
    assert {key: row["decisions"] for key, row in stored.items()} == wanted


@pytest.mark.parametrize(
    ("name", "key", "of_edge"),
    [
        (
            "channel_support",
            ("layer_id", "channel", "class_id", "role", "outcome"),
            lambda e: [
                (e["source_layer"], e["source_channel"], class_id, e["role"], _outcome(e["image"]))
                for class_id in (e["class_id"], -1)
            ],
        ),
        (
            "channel_edge",
            ("target_layer", "target_channel", "source_layer", "source_channel", "role", "outcome"),
            lambda e: [
                (e["target_layer"], e["target_channel"], e["source_layer"], e["source_channel"], e["role"],
                 _outcome(e["image"]))
            ],
        ),
        (
            "class_context",
            ("layer_id", "class_id", "label_id", "role", "outcome"),
            lambda e: [
                (e["source_layer"], class_id, e["context_label_id"], e["role"], _outcome(e["image"]))
                for class_id in (e["class_id"], -1)
                if e["context_label_id"] is not None
            ],
        ),
    ],
)  # fmt: skip
def test_sums_over_edges(tables: dict[str, Rows], edges: Rows, name: str, key: Any, of_edge: Any) -> None:
    roots: defaultdict[tuple[Any, ...], set[int]] = defaultdict(set)
    count: Counter[tuple[Any, ...]] = Counter()
    sums: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for edge in edges:
        for group in of_edge(edge):
            roots[group].add(edge["decision_id"])
            count[group] += 1
            for column, value in (("share", edge["share"]), ("importance", edge["importance"])):
                sums[group][f"{column}_sum"] += value
            sums[group]["iou_sum"] += edge["context_iou"] or 0
    stored = _stored(tables, name, key)
    assert stored.keys() == count.keys()
    for group, row in stored.items():
        assert (row["decisions"], row["edges"]) == (len(roots[group]), count[group])
        for column in ("share_sum", "importance_sum", "iou_sum"):
            assert float(row.get(column, sums[group][column])) == pytest.approx(sums[group][column], abs=1.2e-7)


def test_channel_context(tables: dict[str, Rows], edges: Rows) -> None:
    count: Counter[tuple[Any, ...]] = Counter()
    ious: defaultdict[tuple[Any, ...], float] = defaultdict(float)
    for edge in edges:
        if edge["context_label_id"] is not None:
            for class_id in (edge["class_id"], -1):
                group = edge["source_layer"], edge["source_channel"], class_id, edge["role"], edge["context_label_id"]
                count[group] += 1
                ious[group] += edge["context_iou"]
    stored = _stored(tables, "channel_context", ("layer_id", "channel", "class_id", "role", "label_id"))
    assert {key: row["edges"] for key, row in stored.items()} == count
    assert all(float(row["iou_sum"]) == pytest.approx(ious[key], abs=1.2e-7) for key, row in stored.items())


def test_channel_peak(tables: dict[str, Rows], edges: Rows) -> None:
    best: dict[tuple[int, ...], dict[str, Any]] = {}
    for edge in sorted(edges, key=lambda e: (-e["contribution"], e["decision_id"])):
        place = (
            edge["source_layer"], edge["source_channel"], edge["image_id"], edge["source_y"], edge["source_x"],
        )  # fmt: skip
        best.setdefault(place, edge)
    by_channel = defaultdict(list)
    for (layer, channel, image, y, x), edge in best.items():
        by_channel[layer, channel].append((-edge["contribution"], image, y, x, edge["decision_id"], edge["share"]))
    stored = _stored(tables, "channel_peak", ("layer_id", "channel", "position"))
    wanted = {
        (*channel, position): place
        for channel, places in by_channel.items()
        for position, place in enumerate(sorted(places)[:64])
    }
    assert max(position for _, _, position in wanted) == 63, "no channel has too many places: draw more images"
    assert wanted == {
        key: (-r["contribution"], r["image_id"], r["y"], r["x"], r["decision_id"], r["share"])
        for key, r in stored.items()
    }


def test_channel_degree(tables: dict[str, Rows], edges: Rows) -> None:
    counts: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for edge in edges:
        if edge["rank"] < 3 and edge["role"] == "predicted" and edge["image"]["label_id"] is not None:
            counts[edge["source_layer"], edge["source_channel"]][edge["image"]["label_id"]] += 1
    stored = _stored(tables, "channel_degree", ("layer_id", "channel"))
    assert stored.keys() == counts.keys()
    for key, row in stored.items():
        assert row["edges"] == counts[key].total()
        assert row["discriminative_degree"] == pytest.approx(max(counts[key].values()) / counts[key].total())


def test_confusion_and_class_stat(tables: dict[str, Rows]) -> None:
    images = tables["image"]
    pairs = Counter((i["label_id"], i["predicted_id"]) for i in images if _outcome(i) == "wrong")
    stored = _stored(tables, "confusion", ("label_id", "predicted_id"))
    assert {key: row["images"] for key, row in stored.items()} == pairs
    stats = _stored(tables, "class_stat", ("class_id",))
    assert len(stats) == len(tables["class"])
    for (class_id,), row in stats.items():
        assert row["image_count"] == sum(i["label_id"] == class_id for i in images)
        assert row["predicted_count"] == sum(i["predicted_id"] == class_id for i in images)
        assert row["correct_count"] == sum(i["label_id"] == class_id == i["predicted_id"] for i in images)


def test_layer_profile(tables: dict[str, Rows], edges: Rows) -> None:
    count: Counter[tuple[Any, ...]] = Counter()
    shares: defaultdict[tuple[Any, ...], float] = defaultdict(float)
    for edge in edges:
        for class_id in (edge["class_id"], -1):
            group = edge["target_layer"], class_id, edge["role"], _outcome(edge["image"]), edge["rank"]
            count[group] += 1
            shares[group] += edge["share"]
    stored = _stored(tables, "layer_profile", ("layer_id", "class_id", "role", "outcome", "rank"))
    assert {key: row["edges"] for key, row in stored.items()} == count
    assert all(float(row["share_sum"]) == pytest.approx(shares[key], abs=1.2e-7) for key, row in stored.items())


def test_positive_profile(tables: dict[str, Rows]) -> None:
    images = {image["image_id"]: image for image in tables["image"]}
    roots = {root["decision_id"]: root for root in tables["decision"]}
    count = Counter(
        (
            d["layer_id"],
            roots[d["decision_id"]]["role"],
            _outcome(images[d["decision_id"] // 2]),
            d["positive_count"],
            len(d["evidence"]),
        )
        for d in tables["decomposition"]
    )
    key = ("layer_id", "role", "outcome", "positive_count", "evidence")
    stored = _stored(tables, "positive_profile", key)
    assert {group: row["decompositions"] for group, row in stored.items()} == count
    assert any(group[3] == 0 for group in count), "every decomposition has a positive channel: draw more images"


def test_class_label(tables: dict[str, Rows]) -> None:
    images = {image["image_id"]: image for image in tables["image"]}
    count: Counter[tuple[Any, ...]] = Counter()
    areas: defaultdict[tuple[Any, ...], float] = defaultdict(float)
    for root in tables["decision"]:
        for shown in tables["image_context"]:
            if shown["image_id"] == root["image_id"]:
                for class_id in (root["class_id"], -1):
                    key = class_id, shown["label_id"], root["role"], _outcome(images[root["image_id"]])
                    count[key] += 1
                    areas[key] += shown["area"]
    stored = _stored(tables, "class_label", ("class_id", "label_id", "role", "outcome"))
    assert {key: row["decisions"] for key, row in stored.items()} == count
    assert all(float(row["area_sum"]) == pytest.approx(areas[key], abs=1.2e-7) for key, row in stored.items())


def test_channel_verification(tables: dict[str, Rows]) -> None:
    images = {image["image_id"]: image for image in tables["image"]}
    roots = {root["decision_id"]: root for root in tables["decision"]}
    counts: defaultdict[tuple[Any, ...], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for test in tables["verification"]:
        root = roots[test["decision_id"]]
        image = images[root["image_id"]]
        for class_id in (root["class_id"], -1):
            key = (
                test["source_layer"],
                class_id,
                test["source_channel"],
                test["method"],
                test["fill"] or "",
                test["area"] is not None and test["area"] > 0.5,
                root["role"],
                _outcome(image),
            )
            counts[key]["tested"] += 1
            counts[key]["corrected"] += bool(test["corrected"])
            counts[key]["flipped"] += test["predicted_id"] != image["predicted_id"]
            counts[key]["logit_change_sum"] += test["logit_change"]
            empty = test["empty_predicted_id"]
            counts[key]["empty_known"] += empty is not None
            counts[key]["empty_corrected"] += bool(test["corrected"]) and test["predicted_id"] == empty
            if test["control_predicted_id"] is not None:
                corrected = bool(test["corrected"]), bool(test["control_corrected"])
                counts[key]["control_tested"] += 1
                counts[key]["control_corrected"] += corrected[1]
                counts[key]["control_flipped"] += test["control_predicted_id"] != image["predicted_id"]
                counts[key]["control_logit_change_sum"] += test["control_logit_change"]
                counts[key]["control_empty_corrected"] += corrected[1] and test["control_predicted_id"] == empty
                counts[key]["only_corrected"] += corrected == (True, False)
                counts[key]["control_only_corrected"] += corrected == (False, True)
    key = ("layer_id", "class_id", "channel", "method", "fill", "is_large", "role", "outcome")
    stored = _stored(tables, "channel_verification", key)
    assert stored.keys() == counts.keys()
    for group, row in stored.items():
        for name in (name for name in row if name not in ("run_id", *key)):
            assert float(row[name]) == pytest.approx(counts[group][name], abs=1.2e-7), name
    for name in ("is_large", *(column for column in next(iter(stored.values())) if column.endswith("corrected"))):
        assert any(row[name] for row in stored.values()), name


def test_every_rollup_is_tested() -> None:
    """`channel_overlap` by tests/graphapi/test_alike.py, as the synthetic run has no overlap groups."""
    assert set(ROLLUP_TABLES) == {
        "class_roots", "channel_support", "channel_edge", "channel_context", "class_context", "layer_profile",
        "positive_profile", "channel_peak", "channel_degree", "class_label", "channel_verification", "confusion",
        "class_stat", "channel_overlap",
    }  # fmt: skip
