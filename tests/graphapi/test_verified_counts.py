"""Counts of tested evidence against plain Python: fills, too large regions, pairs; a network that calls grey cat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import nn

from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.data.loader import iterate_batches
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.indexer.verify.fills import blurred
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.indexer.weights.loading import load_model
from evigraph.schema.checks.checks import run_checks
from evigraph.schema.database import open_read_only
from tests.graphapi.conftest import Ask
from tests.support import tiny

COUNT = 24
Row = dict[str, Any]


def grey_is_cat(num_classes: int = len(tiny.CLASSES)) -> nn.Sequential:
    """A network that calls a grey picture cat, and no picture with anything in it."""
    torch.manual_seed(3)
    whole, logits = nn.Conv2d(6, 8, tiny.SIDE, bias=False), nn.Linear(8, num_classes)
    cat = tiny.CLASSES.index("cat")
    with torch.no_grad():
        whole.weight.abs_()
        logits.weight.abs_()
        logits.weight[cat] *= -1
        logits.bias.zero_()
        logits.bias[cat] = 0.01
    first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
    return nn.Sequential(first, nn.ReLU(), whole, nn.ReLU(), nn.Flatten(), logits)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fills`, every decision of the tiny network by three fills, and `grey`, failures of the planted one."""
    folder = tmp_path_factory.mktemp("fills")
    images = tiny.draw_images(folder / "set", COUNT)
    runs: dict[str, tuple[str, VerifySettings, tuple[str, ...] | None]] = {
        "fills": (tiny.MODEL, VerifySettings("all", top=2, occlude="image,grey,blur"), ("0", "3", "6")),
        "grey": (f"{__name__}:grey_is_cat", VerifySettings("wrong", occlude="grey,image"), None),
    }
    for name, (model, verify, layers) in runs.items():
        index(
            IndexSettings(
                model=model,
                weights="random" if model == tiny.MODEL else "own",
                data=f"imagefolder:{images}",
                run=folder / name,
                layers=layers,
                execution=Execution(workers=0),
                preprocessing=tiny.PREPROCESSING,
                verify=verify,
            )
        )
    publish([folder / name for name in runs], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="module")
def rows(database: Path) -> list[Row]:
    """Every test of both runs, with its image's label and prediction."""
    engine = open_read_only(database)
    with engine.connect() as connection:
        assert all(result.ok for result in run_checks(connection))
        found = connection.exec_driver_sql(
            "SELECT v.*, r.role, r.image_id, i.label_id, i.predicted_id AS before, run.name AS run, l.name AS layer "
            "FROM verification v JOIN root r USING (run_id, decision_id) JOIN image i USING (run_id, image_id) "
            "JOIN run USING (run_id) JOIN layer l ON l.run_id = v.run_id AND l.layer_id = v.source_layer"
        )
        tests = [dict(row) for row in found.mappings()]
    engine.dispose()
    return tests


@pytest.fixture(scope="module")
def ask(database: Path, make_ask: Callable[[Path, Settings], Ask]) -> Callable[[str, str], Row]:
    whole = make_ask(database, Settings())

    def data(run: str, selection: str) -> Row:
        answer = whole(f'{{ run(name: "{run}") {{ {selection} }} }}')
        assert "errors" not in answer, answer["errors"]
        found: Row = answer["data"]["run"]
        return found

    return data


FIELDS = (
    "method fill tested tooLarge corrected flipped toEmptyPrediction correctedRate meanLogitChange "
    "control { tested corrected flipped toEmptyPrediction meanLogitChange onlyEvidence onlyControl }"
)
ASKED: dict[str, Row] = {
    "": {},
    "maxArea: null": {"max_area": 1.0},
    "maxArea: 0.02": {"max_area": 0.02},
    "outcome: null, maxArea: 0.3": {"outcome": None, "max_area": 0.3},
    'label: "bee"': {"label_id": 1},
    'label: "bee", outcome: null, role: LABEL': {"label_id": 1, "outcome": None, "role": "label"},
    'predicted: "PRED"': {"before": "PRED"},
    "method: OCCLUDE, fill: BLUR, outcome: null": {"method": "occlude", "fill": "blur", "outcome": None},
}


def wanted(rows: Iterable[Row], layer: str, asked: dict[str, Any]) -> list[Row]:
    """The tests that arguments ask for, the too large ones too."""
    outcome, role = asked.get("outcome", "wrong"), asked.get("role", "predicted")
    exact = {name: value for name, value in asked.items() if name not in ("outcome", "role", "max_area")}
    return [
        row
        for row in rows
        if (row["layer"], row["role"]) == (layer, role)
        and (outcome is None or row["label_id"] != row["before"])
        and all(row[name] == value for name, value in exact.items())
    ]


def counted(units: list[list[Row]], max_area: float) -> Row:
    """The answer for decisions, each the list of its tests."""
    small = [[r for r in unit if r["area"] is None or r["area"] <= max_area] for unit in units]
    large = sum(len(kept) < len(unit) for kept, unit in zip(small, units, strict=True))
    small = [kept for kept in small if kept]
    paired = [kept for unit in small if (kept := [r for r in unit if r["control_predicted_id"] is not None])]
    by_test = [any(r["corrected"] for r in unit) for unit in paired]
    by_control = [any(r["control_corrected"] for r in unit) for unit in paired]
    is_hidden = any(r["method"] == "occlude" for unit in small for r in unit)

    def empty(of: list[list[Row]], prefix: str) -> int | None:
        hits = [
            any(r[f"{prefix}corrected"] and r[f"{prefix}predicted_id"] == r["empty_predicted_id"] for r in u)
            for u in of
        ]
        return sum(hits) if is_hidden else None

    def change(of: list[list[Row]], prefix: str) -> Any:
        means = [fmean(r[f"{prefix}logit_change"] for r in unit) for unit in of]
        return pytest.approx(fmean(means), rel=1e-4, abs=1e-6) if means else None

    corrected = sum(any(r["corrected"] for r in unit) for unit in small)
    return {
        "tested": len(small),
        "tooLarge": large,
        "corrected": corrected,
        "flipped": sum(any(r["predicted_id"] != r["before"] for r in unit) for unit in small),
        "toEmptyPrediction": empty(small, ""),
        "correctedRate": corrected / len(small) if small else None,
        "meanLogitChange": change(small, ""),
        "control": {
            "tested": len(paired),
            "corrected": sum(by_control),
            "flipped": sum(any(r["control_predicted_id"] != r["before"] for r in unit) for unit in paired),
            "toEmptyPrediction": empty(paired, "control_"),
            "meanLogitChange": change(paired, "control_"),
            "onlyEvidence": sum(a and not b for a, b in zip(by_test, by_control, strict=True)),
            "onlyControl": sum(b and not a for a, b in zip(by_test, by_control, strict=True)),
        }
        if paired
        else None,
    }


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[list[Row]]]:
    """Tests by columns, then by decision."""
    groups: dict[tuple[Any, ...], dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[tuple(row[name] for name in names)][row["decision_id"]].append(row)
    return {group: list(decisions.values()) for group, decisions in groups.items()}


@pytest.mark.parametrize("arguments", ASKED)
def test_counts_are_those_of_the_rows(ask: Callable[[str, str], Row], rows: list[Row], arguments: str) -> None:
    of_run = [row for row in rows if row["run"] == "fills"]
    often = max({row["before"] for row in of_run}, key=[row["before"] for row in of_run].count)
    asked = {name: often if value == "PRED" else value for name, value in ASKED[arguments].items()}
    given = arguments.replace('"PRED"', f'"{often}"')
    max_area, seen = asked.get("max_area", 0.5), 0
    for layer in ("0", "3", "6"):
        tests = wanted(of_run, layer, asked)
        channels = arguments if "method" in arguments else ", ".join(filter(None, (given, "method: OCCLUDE")))
        answer = ask(
            "fills",
            f'verification(layer: "{layer}"{given and ", " + given}) {{ {FIELDS} }} '
            f'verifiedPairs(layer: "{layer}"{given and ", " + given}, first: 100) {{ totalCount nodes {{ '
            f"label {{ index }} predicted {{ index }} counts {{ {FIELDS} }} }} }} "
            f'verifiedChannels(layer: "{layer}", {channels}, first: 100) {{ totalCount nodes {{ channel {{ index '
            f"verification{given and f'({given})'} {{ {FIELDS} }} }} counts {{ {FIELDS} }} }} }}",
        )
        layers = {key: counted(units, max_area) for key, units in grouped(tests, "method", "fill").items()}
        assert {_key(node): _rest(node) for node in answer["verification"]} == layers
        pairs = grouped(tests, "label_id", "before", "method", "fill")
        assert answer["verifiedPairs"]["totalCount"] == len(pairs)
        assert {
            (node["label"]["index"], node["predicted"]["index"], *_key(node["counts"])): _rest(node["counts"])
            for node in answer["verifiedPairs"]["nodes"]
        } == {key: counted(units, max_area) for key, units in pairs.items()}
        by_channel = {
            key: counted(units, max_area) for key, units in grouped(tests, "source_channel", "method", "fill").items()
        }
        nodes = answer["verifiedChannels"]["nodes"]
        assert {(n["channel"]["index"], *_key(n["counts"])): _rest(n["counts"]) for n in nodes} == {
            key: counts for key, counts in by_channel.items() if key[1] == "occlude"
        }
        order = [tuple(n["counts"][name] for name in ("corrected", "flipped", "tested")) for n in nodes]
        assert order == sorted(order, reverse=True)
        for node in nodes:
            for counts in node["channel"]["verification"]:
                assert _rest(counts) == by_channel[node["channel"]["index"], *_key(counts)]
        seen += len(layers)
    assert seen


def _key(counts: Row) -> tuple[str, str | None]:
    return counts["method"].lower(), counts["fill"] and counts["fill"].lower()


def _rest(counts: Row) -> Row:
    return {name: value for name, value in counts.items() if name not in ("method", "fill")}


def test_a_grey_picture_called_cat_is_no_finding(ask: Callable[[str, str], Row], rows: list[Row]) -> None:
    """Where all is hidden every cat is "corrected"; by default nothing is said to be, and how many were left out is."""
    cats = {r["decision_id"] for r in rows if r["run"] == "grey" and r["label_id"] == tiny.CLASSES.index("cat")}
    wrong = {row["decision_id"] for row in rows if row["run"] == "grey"}
    assert len(cats) == COUNT // len(tiny.CLASSES) < len(wrong)
    layers = {row["layer"] for row in rows if row["run"] == "grey" and row["area"] == 1}
    (layer,) = layers
    counts = "{ tested tooLarge corrected correctedRate meanLogitChange toEmptyPrediction control { tested } }"
    answer = ask(
        "grey",
        f'default: verification(layer: "{layer}", method: OCCLUDE, fill: GREY) {counts} '
        f'all: verification(layer: "{layer}", method: OCCLUDE, fill: GREY, maxArea: 1) {counts} '
        f'cats: verification(layer: "{layer}", method: OCCLUDE, fill: GREY, maxArea: 1, label: "cat") {counts} '
        f'channels: verifiedChannels(layer: "{layer}", method: OCCLUDE, fill: GREY) {{ nodes {{ counts {counts} }} }}',
    )
    nothing = dict.fromkeys(("correctedRate", "meanLogitChange", "toEmptyPrediction", "control"))
    assert answer["default"] == [nothing | {"tested": 0, "tooLarge": len(wrong), "corrected": 0}]
    assert all(node["counts"]["corrected"] == node["counts"]["tested"] == 0 for node in answer["channels"]["nodes"])
    assert sum(node["counts"]["tooLarge"] for node in answer["channels"]["nodes"]) == len(wrong)
    (whole,), (of_cats,) = answer["all"], answer["cats"]
    assert (whole["tested"], whole["corrected"], whole["toEmptyPrediction"]) == (len(wrong), len(cats), len(cats))
    assert (of_cats["correctedRate"], of_cats["control"]) == (1, None)


@pytest.mark.parametrize("run", ["fills", "grey"])
def test_what_the_network_says_of_the_filling_alone(database: Path, rows: list[Row], run: str) -> None:
    network = load_model(*((tiny.MODEL, "random") if run == "fills" else (f"{__name__}:grey_is_cat", "own"))).model
    source = open_source(f"imagefolder:{database.parent / 'set'}", None, len(tiny.CLASSES))
    preprocessing = load_model(tiny.MODEL, "random").preprocessing.with_options(tiny.PREPROCESSING)
    (batch,) = iterate_batches(source, preprocessing, range(COUNT), batch_size=COUNT)
    with torch.no_grad():
        said = {
            "grey": network.eval()(torch.zeros_like(batch.pixels)).argmax(1).tolist(),
            "blur": network(blurred(batch.pixels)).argmax(1).tolist(),
            "image": network(batch.pixels.clone()).argmax(1).tolist(),
        }
    hidden = [row for row in rows if row["run"] == run and row["method"] == "occlude"]
    assert {row["fill"] for row in hidden} == ({"grey", "blur", "image"} if run == "fills" else {"grey", "image"})
    labels = [sample.label_id for sample in source.samples]
    fillers: dict[int, set[int]] = defaultdict(set)
    for row in hidden:
        of_image = row["fill_image_id"] if row["fill"] == "image" else row["image_id"]
        assert row["empty_predicted_id"] == said[row["fill"]][of_image]
        if row["fill"] == "image":
            fillers[row["decision_id"]].add(of_image)
            rank = {
                i: (labels[i] == row["label_id"], p == row["label_id"], row["class_id"] in (p, labels[i]))
                for i, p in enumerate(said["image"])
                if i != row["image_id"]
            }
            assert rank[of_image] == min(rank.values())
            assert labels[of_image] != row["label_id"]
            if row["area"] == 1:
                assert row["predicted_id"] == row["empty_predicted_id"]
    assert all(len(of_decision) == 1 for of_decision in fillers.values())
    assert len({next(iter(of_decision)) for of_decision in fillers.values()}) > 3


def test_an_edge_says_what_hid_it(ask: Callable[[str, str], Row], rows: list[Row]) -> None:
    images = ask(
        "fills",
        "images(first: 24) { nodes { index decisions { role evidence(maxDepth: 1) { edges { verification { "
        "method fill fillImage emptyPredicted { index } area control { area shape } } } } } } }",
    )["images"]["nodes"]
    told = [
        (
            t["fill"].lower(),
            t["fillImage"],
            t["emptyPredicted"]["index"],
            t["area"],
            t["control"] and t["control"]["shape"],
        )
        for image in images
        for decision in image["decisions"]
        for edge in decision["evidence"]["edges"]
        for t in edge["verification"]
        if t["method"] == "OCCLUDE"
    ]
    columns = ("fill", "fill_image_id", "empty_predicted_id", "area", "control_shape")
    expected = [
        tuple(r[c] for c in columns) for r in rows if (r["run"], r["layer"], r["method"]) == ("fills", "6", "occlude")
    ]
    assert sorted(map(repr, told)) == sorted(map(repr, expected))
    assert told


@pytest.mark.parametrize("max_area", [-0.1, 1.1])
def test_a_part_is_within_0_and_1(database: Path, make_ask: Callable[[Path, Settings], Ask], max_area: float) -> None:
    answer = make_ask(database, Settings())(
        f'{{ run(name: "fills") {{ verification(layer: "0", maxArea: {max_area}) {{ tested }} }} }}'
    )
    assert f"maxArea: {max_area} is not within 0.0 and 1.0" in answer["errors"][0]["message"]


@pytest.mark.parametrize("field", ["verifiedChannels", "verification", "verifiedPairs"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('label: "cat", predicted: "cat"', "is empty whatever the data: name other classes, or give outcome: null"),
        ('label: "cat", predicted: "dog", outcome: CORRECT', "is empty whatever the data"),
        ("role: LABEL, outcome: CORRECT", "roots of role LABEL are of wrong predictions alone"),
        ("method: REMOVE, fill: BLUR", "fill: BLUR is of OCCLUDE tests, and method REMOVE is asked for"),
        ('class: "cat", predicted: "dog"', "class: 'cat' and predicted: 'dog' disagree"),
        ('class: "cat", label: "cat"', "is empty whatever the data"),
        ('class: "cat", role: LABEL, predicted: "cat"', "is empty whatever the data"),
    ],
)
def test_what_no_test_can_be_is_refused(
    database: Path, make_ask: Callable[[Path, Settings], Ask], field: str, arguments: str, said: str
) -> None:
    """An empty answer means that nothing was tested, which a contradiction must not say."""
    if "class:" in arguments and field == "verifiedPairs":
        return  # which has no such argument
    body = "{ tested }" if field == "verification" else "{ totalCount }"
    answer = make_ask(database, Settings())(f'{{ run(name: "fills") {{ {field}(layer: "3", {arguments}) {body} }} }}')
    assert said in answer["errors"][0]["message"]
