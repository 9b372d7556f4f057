"""docs/verification.md: its table over all layers, the one test by test, and what is read off them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

import evigraph
from evigraph.reading import Database
from tests.docs.figures.stated import Figures
from tests.docs.scripts import ROOT

Row = dict[str, Any]

TESTS = """SELECT layer.name AS layer, method, count(*) AS tested, count(control_logit_change) AS controlled,
  count(*) FILTER (corrected) AS corrected, count(*) FILTER (control_corrected) AS control_corrected,
  avg(label_logit_change) AS label_change, avg(control_label_logit_change) AS control_label_change,
  avg(logit_change - label_logit_change) AS apart,
  avg(control_logit_change - control_label_logit_change) AS control_apart,
  avg(area) AS area, quantile_cont(control_disturbance / disturbance, [0.5, 0.1, 0.9]) AS disturbed
FROM verification JOIN layer ON layer.run_id = verification.run_id AND layer_id = source_layer
JOIN run ON run.run_id = verification.run_id
WHERE run.name = 'clean' AND coalesce(fill, 'grey') = 'grey' GROUP BY ALL ORDER BY min(layer_id), method"""
STRIPES = """SELECT median(control_disturbance / disturbance)
FROM verification JOIN layer ON layer.run_id = verification.run_id AND layer_id = source_layer
JOIN run ON run.run_id = verification.run_id
WHERE run.name = 'scenes' AND fill = 'grey' AND control_shape = 'rows' AND layer.name IN ('conv3_3', 'conv4_3')"""
LAYERS = ("conv1", "fire3", "fire5", "fire9")


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its runs."""
    figures = Figures(ROOT / "docs" / "verification.md")
    file = place / "runs" / "verified" / "evidence.duckdb"
    with duckdb.connect(file, read_only=True) as tables:
        answer = tables.execute(TESTS)
        names = [column[0] for column in answer.description or []]
        tests = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
        (stripes,) = tables.execute(STRIPES).fetchall()[0]
    figures.says(f"under grey also disturb as much ({stripes} times as much in the median at the demo's conv3_3")
    with evigraph.open(file) as database:
        counts = database.query(figures.asked("conv1: verification"))["run"]
        failures = counts["conv1"][0]["tested"]
        _over_all_layers(figures, counts, failures)
        _test_by_test(figures, tests)
        _one_channel(figures, database)
        _scenes(figures, database)
        _large_fields(figures, database, failures)
        right = database.run("clean").image_count - failures
        figures.says(
            f"first {database.run('clean').image_count} images of imagenet_sample1000 SqueezeNet gets {right} right"
        )
    _how_to_read(figures, counts, tests)
    yield from figures.wrong


def _over_all_layers(figures: Figures, counts: dict[str, list[Row]], failures: int) -> None:
    made = []
    for layer, row in ((name, row) for name in LAYERS for row in counts[name]):
        control = row["control"]
        method = row["fill"].lower() if row["fill"] else "REMOVE"
        some = f", {row['tested']} tested" if row["tested"] < failures else ""
        pairs = (f"{row[name]} : {control[name]}" for name in ("corrected", "flipped", "meanLogitChange"))
        made.append(
            [layer, method + some, *pairs, f"{control['onlyEvidence']} : {control['onlyControl']}", str(control["p"])]
        )
    figures.table("layer", "method", made)
    figures.says(f"The {failures} failures, three channels in each layer")
    grey = counts["fire9"][0]
    figures.says(
        f"At fire9 {grey['tooLarge']} of the {failures} failures have a test that hid more than half of the image"
    )
    figures.says(f"which is left out, and {grey['tested']} have one that is counted")
    figures.says("No correction is to the class of the filling alone")
    if any(row["toEmptyPrediction"] for layer in LAYERS for row in counts[layer]):
        figures.wrong.append("a correction is to the class of the filling alone")


def _test_by_test(figures: Figures, tests: list[Row]) -> None:
    made = []
    for row in tests:
        some = f", {row['controlled']} with a control" if row["controlled"] < row["tested"] else ""
        median, low, high = row["disturbed"]
        changes = f"{row['label_change']} : {row['control_label_change']}"
        area = "" if row["area"] is None else str(row["area"])
        corrected = f"{row['corrected']} : {row['control_corrected']}"
        made.append([row["layer"], row["method"] + some, corrected, changes, area, f"{median} ({low}, {high})"])
    figures.table("layer", "tested", made)
    (tested,) = {row["tested"] for row in tests}
    figures.says(f"test by test by grey ({tested} in each row, the too large ones too)")


def _how_to_read(figures: Figures, counts: dict[str, list[Row]], tests: list[Row]) -> None:
    grey, image, removed = ({layer: counts[layer][place] for layer in LAYERS} for place in range(3))
    rows = [(layer, row) for rows in (grey, image, removed) for layer, row in rows.items()]
    ratios = {
        (layer, row["method"], row["fill"]): row["meanLogitChange"] / row["control"]["meanLogitChange"]
        for layer, row in rows
    }
    large = [ratios.pop(("fire9", "OCCLUDE", fill)) for fill in ("GREY", "IMAGE")]
    for fill in ("GREY", "IMAGE"):
        ratios.pop(("conv1", "OCCLUDE", fill))  # 9 pixels, which do next to nothing
    figures.says(
        f"falls on average {min(ratios.values())} to {max(ratios.values())} times as much as without its control"
    )
    figures.says(f"the control hides nearly as much of the object: {min(large)} to {max(large)} times")

    controls = ", ".join(str(grey[layer]["control"]["corrected"]) for layer in LAYERS)
    figures.says(f"({controls} against {', '.join(str(grey[layer]['corrected']) for layer in LAYERS)})")
    more = sum(row["control"]["corrected"] > row["corrected"] for row in image.values())
    figures.says(f"with other images at {more} of {len(LAYERS)}, which may be chance")

    one, nine = removed["conv1"], removed["fire9"]
    of = f"({one['corrected']} and {nine['corrected']} of {one['tested']} failures against"
    figures.says(f"{of} {one['control']['corrected']} and {nine['control']['corrected']})")
    at_nine, at_one = (len(rows) * row["control"]["p"] for row in (nine, one))
    figures.says(f"(p times {len(rows)}: {at_nine}), at conv1 not quite ({at_one})")
    rates = [100 * row["corrected"] / row["flipped"] for row in (nine, one, nine["control"], one["control"])]
    figures.says(
        f"{rates[0]} % became right at fire9 and {rates[1]} % at conv1; of the controls', {rates[2]} % and {rates[3]} %"
    )
    largest = min((row for row in tests if row["method"] == "remove"), key=lambda row: float(row["apart"]))
    figures.says(f"largest at {largest['layer']} ({largest['apart']}; for the controls {largest['control_apart']})")
    pixels = grey["conv1"]
    figures.says(f'9 pixels "corrects" {pixels["corrected"]} failures, and 9 other')
    figures.says(f"9 other pixels correct {pixels['control']['corrected']}")
    _, low, high = next(row["disturbed"] for row in tests if (row["layer"], row["method"]) == ("conv1", "occlude"))
    figures.says(f"its disturbance ranges from {low} to {high} times that of the test at conv1")
    figures.says(f"6 pairs that differ, all one way, give {2 * 0.5**6}")


def _one_channel(figures: Figures, database: Database) -> None:
    first = database.query(figures.asked("verifiedChannels(layer"))["run"]["verifiedChannels"]["nodes"][0]
    counts, control = first["counts"], first["counts"]["control"]
    tested, turned = counts["tested"], counts["flipped"]
    head = f"removing channel {first['channel']['index']} of conv1 corrected {counts['corrected']} of the {tested}"
    figures.says(f"{head} failures in which it was tested, and changed the prediction of {turned}")
    figures.says(f"disturbed as much corrected {control['corrected']} of the same {control['tested']}")
    figures.says(
        f"in {control['onlyEvidence']} failures the evidence alone did, in {control['onlyControl']} the control alone"
    )
    figures.says(f"comes by chance in {100 * control['p']} of 100 cases")


def _scenes(figures: Figures, database: Database) -> None:
    every = {row["fill"]: row for row in database.query(figures.asked("byDefault: verification"))["run"]["all"]}
    grey = every["GREY"]
    figures.says(
        f'grey "corrects" {grey["corrected"]} of {grey["tested"]} failures: boats, as a grey picture is called boat'
    )
    figures.says(f"With pictures of other images in its place {every['IMAGE']['corrected']} are corrected")
    if grey["toEmptyPrediction"] != grey["corrected"]:
        figures.wrong.append("a correction by grey is not to the class of a grey picture")


def _large_fields(figures: Figures, database: Database, failures: int) -> None:
    asked = """{ run(name: "clean") { layers { name receptiveField }
      verification(layer: "fire9", method: OCCLUDE, maxArea: null) { fill flipped } } }"""
    run = database.query(asked)["run"]
    (field,) = (layer["receptiveField"] for layer in run["layers"] if layer["name"] == "fire9")
    (flipped,) = (row["flipped"] for row in run["verification"] if row["fill"] == "GREY")
    figures.says(f"fire9 sees {field} pixels")
    lamp = """{ run(name: "clean") { images(outcome: WRONG, label: "table lamp") { totalCount } } }"""
    figures.says('a grey picture is called "table lamp", which is the label of none of them')
    if database.query(lamp)["run"]["images"]["totalCount"]:
        figures.wrong.append("a failure is of a table lamp")
    figures.says(f"the prediction changes in {flipped} of {failures} failures")
