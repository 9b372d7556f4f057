"""What channels localize: planted evidence, whose lifts are known, and the listings against the rows of the table."""

from __future__ import annotations

import math
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from evigraph.graphapi.questions.localization import LocalizationRow, measures
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.evidence.context import ContextMaps, shown_labels
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.shards.folder import (
    SHARD_SCHEMAS,
    ClassRow,
    ContextLabelRow,
    LayerRow,
    RunDescription,
    RunFolder,
    ShardTables,
)
from tests.graphapi.conftest import Ask, Sql
from tests.support.synthetic import synthetic_run

IMAGES, GRID, SIDE = 400, 16, 64
SMALL, LARGE, MIDDLE = 1, 2, 3
ANYWHERE, ON_SMALL, IN_THE_MIDDLE, OFF_LARGE = range(4)
"""The channels, by where their evidence lies."""
MEASURE = "images rate baseRate lift low high chanceRate chanceLift z p q"


def _maps(random: torch.Generator) -> Tensor:
    """(images, height, width): half of each is the large label, 2 % the small one, 6 % in the middle the third."""
    maps = torch.zeros(IMAGES, SIDE, SIDE, dtype=torch.uint8)
    for one in maps:
        down, across = torch.randint(SIDE, (2,), generator=random).tolist()
        one[: SIDE // 2] = LARGE
        one[-20:-11, :9] = SMALL
        one.copy_(one.roll((down, across), (0, 1)))  # so that any place is as likely to be on a label as another
        one[24:40, 24:40] = MIDDLE
    return maps


def _activations(maps: Tensor, random: torch.Generator) -> Tensor:
    """(images, channels, grid, grid): a blob of nine cells each, the strongest in its middle."""
    blob = torch.zeros(GRID, GRID)
    blob[:3, :3] = torch.tensor([[0.6, 0.8, 0.6], [0.7, 1.0, 0.7], [0.2, 0.8, 0.6]])
    blob = blob.roll((-1, -1), (0, 1))
    found = []
    for one in maps:
        cells = one[2::4, 2::4]
        places = torch.randint(GRID, (4, 2), generator=random)
        places[IN_THE_MIDDLE] = 7 + places[IN_THE_MIDDLE] % 3
        for channel, wanted in ((ON_SMALL, cells == SMALL), (OFF_LARGE, cells != LARGE)):
            there = torch.nonzero(wanted)
            if len(there):
                places[channel] = there[torch.randint(len(there), (1,), generator=random)[0]]
        found.append(torch.stack([blob.roll(place, (0, 1)) for place in places.tolist()]))
    return torch.stack(found)


def _shard() -> ShardTables:
    random = torch.Generator().manual_seed(11)
    maps = _maps(random)
    activations = _activations(maps, random).flatten(0, 1)
    image = torch.arange(IMAGES).repeat_interleave(4)
    origin = torch.zeros_like(image)
    context = ContextMaps(maps, (GRID, GRID), 0.5, 4)
    label, iou = context.label(image, activations, origin, origin)
    masks = context.masks(activations, origin, origin)
    at_peak, mass = context.peak_label(image, *masks)
    edge, cell, part, is_peak = (column.numpy() for column in masks)
    ids, root = np.arange(IMAGES), 2 * image.numpy()
    channel = np.tile(np.arange(4), IMAGES)
    peak = cell[is_peak]
    share = np.full(len(root), 0.25)
    target = {"decision_id": root, "target_layer": 1, "target_channel": 0, "target_y": 0, "target_x": 0}
    tables: dict[str, dict[str, Any]] = {
        "image": {"image_id": ids, "uri": [f"{i:03d}.png" for i in ids], "label_id": None, "predicted_id": 0,
                  "probability": 1.0},
        "decision": {"decision_id": 2 * ids, "image_id": ids, "class_id": 0, "role": "predicted", "logit": 1.0,
                     "probability": 1.0, "cut_node_count": 0, "cut_importance": 0.0},
        "edge": target | {
            "source_layer": 0, "source_channel": channel, "source_y": peak // GRID, "source_x": peak % GRID,
            "contribution": share, "share": share, "rank": channel, "feature": 1.0, "activation": 1.0,
            "importance": share,
            "context_label_id": pa.array(label.numpy(), mask=label.numpy() < 0),
            "context_iou": pa.array(iou.numpy(), mask=label.numpy() < 0),
            "context_peak_label_id": pa.array(at_peak.numpy(), mask=at_peak.numpy() < 0),
            "context_peak_mass": pa.array(mass.numpy(), mask=at_peak.numpy() < 0),
        },
        "decomposition": {name: 2 * ids if name == "decision_id" else value for name, value in target.items()}
        | {"importance": 1.0, "positive_sum": 1.0, "positive_count": 4, "overlap_count": None, "evidence_count": 4},
        "image_context": {name: c.numpy() for name, c in shown_labels(torch.arange(IMAGES), maps, 4).items()},
        "context_map": {"image_id": ids, "height": SIDE, "width": SIDE,
                        "labels": [zlib.compress(one.tobytes()) for one in maps.numpy()]},
        "context_mask": {"decision_id": root[edge], "layer_id": 0, "channel": channel[edge], "cell": cell,
                         "at_peak": is_peak, "mass": part},
    }  # fmt: skip
    return {name: _table(schema, tables.get(name, {})) for name, schema in SHARD_SCHEMAS.items()}


def _table(schema: pa.Schema, columns: dict[str, Any]) -> pa.Table:
    if not columns:
        return schema.empty_table()
    count = len(next(iter(columns.values())))
    wide = {n: [v] * count if v is None or isinstance(v, (int, float, str)) else v for n, v in columns.items()}
    return pa.table({field.name: pa.array(wide[field.name]).cast(field.type) for field in schema}).cast(schema)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, make_ask: Any) -> Ask:
    folder = tmp_path_factory.mktemp("planted")
    description = RunDescription(
        name="planted", model="m", weights_sha256="0" * 64, dataset="planted:", dataset_sha256="0" * 64, top_n=4,
        mask_threshold=0.5, settings={"root": "/data", "max_nodes": None}, indexer_version="0.1.0",
        layers=(LayerRow(0, "conv", "conv", 4, GRID, GRID, 4, 4), LayerRow(1, "logits", "", 1, 1, 1, None, None)),
        classes=(ClassRow(0, "thing", "thing"),),
        context_labels=tuple(ContextLabelRow(i, n) for i, n in enumerate(("small", "large", "middle"), 1)),
        image_total=IMAGES, shard_size=IMAGES,
    )  # fmt: skip
    with RunFolder.open_for_writing(folder / "run", description) as run:
        run.write_shard(0, _shard())
        run.finish()
    publish([folder / "run"], folder / "evidence.duckdb")
    ask: Ask = make_ask((folder / "evidence.duckdb").resolve(), Settings())
    return ask


def _labels(ask: Ask, channel: int) -> dict[str, dict[str, Any]]:
    fields = f"label edges rate lift peak {{ {MEASURE} }} activation {{ {MEASURE} }}"
    answer = ask(
        f'{{ run {{ channel(layer: "conv", index: {channel}) {{ contextLabels {{ nodes {{ {fields} }} }} }} }} }}'
    )
    assert "errors" not in answer
    return {node["label"]: node for node in answer["data"]["run"]["channel"]["contextLabels"]["nodes"]}


@pytest.mark.parametrize("measure", ["peak", "activation"])
@pytest.mark.parametrize("label", ["small", "large"])
def test_evidence_anywhere_has_lift_one(planted: Ask, label: str, measure: str) -> None:
    """Whatever the region's size, against the area and against chance."""
    found = _labels(planted, ANYWHERE)[label][measure]
    assert found["low"] < 1 < found["high"]
    assert found["high"] - found["low"] < {"small": 1.6, "large": 0.3}[label]
    assert found["chanceLift"] == pytest.approx(1, abs={"small": 0.5, "large": 0.1}[label])
    assert abs(found["z"]) < 2.5
    assert found["p"] == pytest.approx(math.erfc(abs(found["z"]) / math.sqrt(2)))
    assert found["q"] >= found["p"] > 0.01


def test_by_iou_it_has_not(planted: Ask) -> None:
    """The lift of the largest IoU favours regions of the mask's size: why it is not the measure to go by."""
    labels = _labels(planted, ANYWHERE)
    assert labels["small"]["lift"] > 2
    assert labels["large"]["lift"] > 1.2  # void is no region, and so loses to any


@pytest.mark.parametrize("measure", ["peak", "activation"])
def test_evidence_on_a_label_has_more(planted: Ask, measure: str) -> None:
    found = _labels(planted, ON_SMALL)["small"][measure]
    assert found["lift"] > found["low"] > 10
    assert found["chanceLift"] > 10
    assert found["p"] < 1e-6
    least = _labels(planted, OFF_LARGE)["large"][measure]
    assert least["high"] < 0.5
    assert least["z"] < -5


@pytest.mark.parametrize("measure", ["peak", "activation"])
def test_what_is_always_at_one_place_is_chance(planted: Ask, measure: str) -> None:
    """Evidence and a label that both lie in the middle of every image: far above the area, and no more than chance."""
    found = _labels(planted, IN_THE_MIDDLE)["middle"][measure]
    assert found["low"] > 10
    assert found["chanceLift"] == pytest.approx(1, abs=0.02)
    assert found["z"] is None or abs(found["z"]) < 2


def test_channels_that_localize_it(planted: Ask) -> None:
    query = f"""{{ run {{ channelsLocalizing(label: "small", layer: "conv") {{ minEdges totalCount nodes {{
        channel {{ index }} edges decisions peak {{ {MEASURE} }} activation {{ {MEASURE} }} }} }} }} }}"""
    found = planted(query)["data"]["run"]["channelsLocalizing"]
    first = found["nodes"][0]
    assert (found["minEdges"], found["totalCount"]) == (10, 4)
    assert first["channel"]["index"] == ON_SMALL
    assert (first["edges"], first["decisions"]) == (IMAGES, IMAGES)
    same = _labels(planted, ON_SMALL)["small"]
    for measure in ("peak", "activation"):  # q is over another listing
        assert {**first[measure], "q": 0} == {**same[measure], "q": 0}
    lows = [node["peak"]["low"] or 0 for node in found["nodes"]]
    assert lows == sorted(lows, reverse=True)


@pytest.mark.parametrize(("compared", "told"), [(60, True), (48, True), (47, False)])
def test_few_images_are_not_told_from_chance(compared: int, told: bool) -> None:
    """Of 10 images that show the label, those of the compared part of the evidence: their p would be too small."""
    sums: dict[str, Any] = {
        name: Decimal(60) for name in LocalizationRow._fields if name.startswith(("area", "peak", "mass"))
    }
    keys: dict[str, Any] = {
        "run_id": 1,
        "class_id": -1,
        "role": "predicted",
        "outcome": "any",
        "layer_id": 0,
        "label_id": 1,
    }
    of_measures: dict[str, Any] = {f"{name}_compared": Decimal(compared) for name in ("peak", "mass")}
    row = LocalizationRow(**(keys | sums | of_measures), channel=0, decisions=20, edges=100, shown=10)
    (found,) = measures([row])
    for measure in (found.peak, found.activation):
        assert [measure.z is not None, measure.p is not None, measure.q is not None] == [told] * 3
        assert measure.chance_lift == compared / 60


def _localizing(run: Ask, sql: Sql, min_edges: int = 10) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    arguments = f'label: "sky", layer: "conv2_2", class: "index:0", minEdges: {min_edges}'
    nodes: list[dict[str, Any]] = []
    after = "null"
    while True:
        page = run(
            f"channelsLocalizing({arguments}, first: 2, after: {after}) {{ totalCount nodes {{ channel {{ index }} "
            "edges decisions peak { images rate baseRate low p q } } pageInfo { hasNextPage endCursor } }"
        )["channelsLocalizing"]
        nodes += page["nodes"]
        assert page["totalCount"] >= len(nodes)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = f'"{page["pageInfo"]["endCursor"]}"'
    rows = sql(
        """SELECT channel, edges, decisions, shown, peak_sum / edges AS rate, area_sum / edges AS base
           FROM localization JOIN context_label USING (run_id, label_id)
           WHERE run_id = 1 AND layer_id = 1 AND class_id = 0 AND role = 'predicted' AND outcome = 'any'
             AND name = 'sky' AND channel >= 0 AND edges >= $least ORDER BY channel""",
        least=min_edges,
    )
    return nodes, rows


@pytest.mark.parametrize("min_edges", [1, 10])
def test_pages_of_channels(run: Ask, sql: Sql, min_edges: int) -> None:
    nodes, rows = _localizing(run, sql, min_edges)
    assert len(rows) >= 3
    by_channel = sorted(nodes, key=lambda node: node["channel"]["index"])
    assert [(n["channel"]["index"], n["edges"], n["decisions"], n["peak"]["images"]) for n in by_channel] == [
        (r["channel"], r["edges"], r["decisions"], r["shown"]) for r in rows
    ]
    for node, row in zip(by_channel, rows, strict=True):
        assert node["peak"]["rate"] == pytest.approx(float(row["rate"]))
        assert node["peak"]["baseRate"] == pytest.approx(float(row["base"]))
    order = [(-(n["peak"]["low"] or 0), -n["edges"], n["channel"]["index"]) for n in nodes]
    assert order == sorted(order)
    p = sorted(n["peak"]["p"] for n in nodes if n["peak"]["p"] is not None)
    q = {n["peak"]["p"]: n["peak"]["q"] for n in nodes}
    for place, one in enumerate(p):
        assert q[one] == pytest.approx(min(other * len(p) / (k + 1) for k, other in enumerate(p) if k >= place))


@pytest.mark.parametrize("of", ["", 'class: "index:0", ', 'layer: "conv2_2", ', 'outcome: WRONG, layer: "conv3_3", '])
def test_most_beyond_the_area_is_first(run: Ask, of: str) -> None:
    """By default; what orders the rows is what they say."""
    fields = "nodes { label edges peak { excess } }"
    found = run(
        f"contextLabels({of}first: 10) {{ {fields} }} same: contextLabels({of}orderBy: LOCALIZATION) {{ {fields} }}"
    )
    nodes = found["contextLabels"]["nodes"]
    assert nodes == found["same"]["nodes"]
    excesses = [node["peak"]["excess"] for node in nodes]
    assert excesses == sorted(excesses, reverse=True)
    assert max(excesses) > 0


def test_what_is_wrong(ask: Ask) -> None:
    def message(run: str, arguments: str) -> Any:
        answer = ask(f'{{ run(name: "{run}") {{ channelsLocalizing({arguments}) {{ totalCount }} }} }}')
        return answer["errors"][0]

    unknown = message("scenes", 'label: "skye", layer: "conv2_2"')
    assert (unknown["extensions"]["code"], unknown["extensions"]["near"][0]) == ("NOT_FOUND", "sky")
    assert message("scenes", 'label: "sky", layer: "conv2_22"')["extensions"]["near"][0] == "conv2_2"
    assert "minEdges" in message("scenes", 'label: "sky", layer: "conv2_2", minEdges: 0')["message"]
    assert message("plain", 'label: "sky", layer: "conv2_2"')["extensions"]["code"] == "NOT_FOUND"


def test_a_run_from_before(tmp_path: Path, make_ask: Any) -> None:
    """It has no masks: the order is by edges, measures are null, and channels are not listed without a word."""
    import duckdb

    synthetic_run(tmp_path / "run", images=20)
    publish([tmp_path / "run"], tmp_path / "db.duckdb")
    file = (tmp_path / "db.duckdb").resolve()
    with duckdb.connect(str(file)) as connection:
        connection.execute("DELETE FROM localization")
        connection.execute("UPDATE decomposition SET peak_label_ids = NULL, peak_mass_steps = NULL")
    ask = make_ask(file, Settings())
    nodes = ask("{ run { contextLabels { nodes { edges peak { rate } activation { rate } } } } }")
    nodes = nodes["data"]["run"]["contextLabels"]["nodes"]
    assert {(node["peak"], node["activation"]) for node in nodes} == {(None, None)}
    edges = [node["edges"] for node in nodes]
    assert edges == sorted(edges, reverse=True)
    images = ask(
        "{ run { images(first: 2) { nodes { decisions { evidence { edges { "
        "contextLabelAtPeak contextActivationShare } } } } } } }"
    )["data"]["run"]["images"]["nodes"]
    found = [edge for i in images for d in i["decisions"] for edge in d["evidence"]["edges"]]
    assert found
    assert all(edge == {"contextLabelAtPeak": None, "contextActivationShare": None} for edge in found)
    answer = ask('{ run { channelsLocalizing(label: "sky", layer: "conv2_2") { totalCount } } }')
    assert "holds no masks" in answer["errors"][0]["message"]


def test_one_statement_for_all_channels(ask: Ask, statements: list[str]) -> None:
    """However many rows, and none that looks at edges."""
    fields = "nodes { channel { index } peak { low } activation { low } }"
    for first in (2, 8):
        statements.clear()
        listing = f'channelsLocalizing(label: "sky", layer: "conv2_2", first: {first}) {{ totalCount {fields} }}'
        assert "errors" not in ask(f'{{ run(name: "scenes") {{ {listing} }} }}')
        assert len(statements) == 1
        statements.clear()
        labels = 'contextLabels(layer: "conv3_3", first: 3) { nodes { peak { low } activation { q } } }'
        answer = ask(f'{{ run(name: "scenes") {{ classes(first: {first}) {{ nodes {{ {labels} }} }} }} }}')
        assert "errors" not in answer
        assert len(statements) == 2  # the labels, their measures
