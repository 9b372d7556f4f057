"""docs/context.md: its tables of classes, and what the text says of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import evigraph
from evigraph.reading import Database
from tests.docs.figures.stated import Figures
from tests.docs.scripts import ROOT
from tests.docs.tables import table_of

Row = dict[str, Any]

CHANNELS = """query ($class: String!) { run(name: "msrc") {
  channelSupport(layer: "features.17", class: $class, first: 3) { nodes {
    decisions rate channel { index contextLabels(class: $class, orderBy: EDGES, first: 3) {
      nodes { label rate meanIou } } } } } } }"""
LABELS = """query ($class: String) { run(name: "msrc") {
  contextLabels(class: $class, layer: "features.17", first: 100) { nodes {
    label edges rate lift activation { lift low high }
    peak { images rate baseRate lift low high chanceLift q } } } } }"""
LOCALIZING = """query ($label: String!) { run(name: "msrc") {
  channelsLocalizing(label: $label, layer: "features.17", first: 100) { nodes { peak { low } } } } }"""
ROOTS = """query ($class: String!) { run(name: "msrc") { images(predicted: $class, first: 1) { totalCount } } }"""


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its runs."""
    figures = Figures(ROOT / "docs" / "context.md")
    with evigraph.open(place / "context.duckdb") as database:
        names = {row["name"].split(",")[0]: row["name"] for row in database.run("msrc").table("classes")}
        _channels(figures, database, names)
        _classes(figures, database, names)
        _over_all(figures, _rows(database, LABELS, "contextLabels"))
        _without_a_channel(figures, database, ("grass", "sky"))
        figures.says(f"The accuracy is the {100 * (database.run('squeezenet').accuracy or 0)} % that the README")
    yield from figures.wrong


def _rows(database: Database, query: str, listing: str, **variables: str) -> list[Row]:
    rows: list[Row] = database.query(query, variables)["run"][listing]["nodes"]
    return rows


def _channels(figures: Figures, database: Database, names: dict[str, str]) -> None:
    first, second = "predicted class", "channel"
    classes = [name for name, _ in groupby(row[0] for row in table_of(figures.page, first, second))]
    made, lists_of = [], dict[int, int]()
    for name in classes:
        for node in _rows(database, CHANNELS, "channelSupport", **{"class": names[name]}):
            index, labels = node["channel"]["index"], node["channel"]["contextLabels"]["nodes"]
            lists_of[index] = lists_of.get(index, 0) + 1
            shares = (f"{one['label']} {100 * one['rate']}% ({one['meanIou']})" for one in labels)
            made.append([name, str(index), f"{node['decisions']} ({100 * node['rate']}%)", ", ".join(shares)])
    figures.table(first, second, made)
    most = max(lists_of, key=lambda index: lists_of[index])
    figures.says(f"Channel {most} is in {lists_of[most]} of the {len(classes)} lists")
    figures.says(f"Not all of the {_roots(database, names['speedboat'])} photographs taken for a speedboat show a boat")


def _classes(figures: Figures, database: Database, names: dict[str, str]) -> None:
    """The lifts of labels, and what is said of oxen, canoes and lakesides."""
    first, second = "predicted class (roots)", "label"
    made: list[list[str]] = []
    rows: dict[tuple[str, str], Row] = {}
    for name, labels in _wanted(table_of(figures.page, first, second)):
        found = {row["label"]: row for row in _rows(database, LABELS, "contextLabels", **{"class": names[name]})}
        rows |= {(name, label): row for label, row in found.items()}
        for label in labels:
            head = f"{name} ({_roots(database, names[name])})" if label == labels[0] else ""
            made.append([head, label, *_lifts(found[label])])
    figures.table(first, second, made)

    _of_oxen(figures, rows, _roots(database, names["ox"]))
    _of_water(figures, rows)
    horse, boat = rows["ox", "horse"], rows["canoe", "boat"]["peak"]
    figures.says(f'"horse" has an IoU lift of {horse["lift"]} for "ox", because of')
    figures.says(f"images says {horse['peak']['images']}, and there is no interval")
    figures.says(f"boats have a peak lift of {boat['lift']}, and an interval from {boat['low']} to {boat['high']}")


def _of_oxen(figures: Figures, rows: dict[tuple[str, str], Row], roots: int) -> None:
    grass, edges = rows["ox", "grass"], sum(row["edges"] for (name, _), row in rows.items() if name == "ox")
    figures.says(f"Every image taken for an ox shows grass ({grass['peak']['images']} of {roots})")
    figures.says(f"{grass['edges']} of {edges} edges have it as their best label, {100 * grass['peak']['rate']} %")
    figures.says(f"The IoU had it at {100 * grass['lift']} % of its area")


def _of_water(figures: Figures, rows: dict[tuple[str, str], Row]) -> None:
    figures.says(f"({rows['canoe', 'water']['peak']['images']} show water)")
    water = rows["lakeside", "water"]
    figures.says(f"IoU lift of {water['lift']} would have said: {100 * water['peak']['rate']} % of the peaks lie on")
    figures.says(f"of the peaks lie on {100 * water['peak']['baseRate']} % of the area")
    figures.says("No label of lakeside is off chance.")
    found = [row["peak"]["q"] for (name, _), row in rows.items() if name == "lakeside" and row["peak"]["q"] is not None]
    if min(found) < 0.05:
        figures.wrong.append(f"a label of lakeside is off chance, with q {min(found)}")


def _wanted(stated: list[list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Classes of the table with their labels; a row without a class goes on with the one above."""
    name, labels = "", list[str]()
    for head, label, *_ in stated:
        if head:
            if name:
                yield name, labels
            name, labels = head.split(" (")[0], []
        labels.append(label)
    yield name, labels


def _lifts(row: Row) -> list[str]:
    """The cells of one label: by IoU, by peak, by activation, against chance."""
    peak, activation = row["peak"], row["activation"]
    by = (f"{one['lift']} ({one['low']} to {one['high']})" for one in (peak, activation))
    chance = f"{peak['chanceLift']}" + (f" ({peak['q']})" if peak["q"] is not None else "")
    rates = (f"{100 * rate}%" for rate in (peak["rate"], peak["baseRate"]))
    return [f"{100 * row['rate']}%", f"{row['lift']}", *rates, *by, chance]


def _over_all(figures: Figures, rows: list[Row]) -> None:
    of = {row["label"]: row for row in rows}
    bird, body, cow = ((of[label]["lift"], of[label]["peak"]["lift"]) for label in ("bird", "body", "cow"))
    figures.says(
        f"bird {bird[0]} by IoU and {bird[1]} by peak, body {body[0]} and {body[1]}, cow {cow[0]} and {cow[1]}."
    )
    chance = {label: of[label]["peak"]["chanceLift"] for label in ("aeroplane", "bird", "cow")}
    figures.says(f"({chance['aeroplane']} for aeroplane, {chance['bird']} for bird, {chance['cow']} for cow)")


def _without_a_channel(figures: Figures, database: Database, labels: tuple[str, str]) -> None:
    figures.says(f"For {labels[0]} and {labels[1]} no channel has a low end above 1.")
    for label in labels:
        lows = [row["peak"]["low"] for row in _rows(database, LOCALIZING, "channelsLocalizing", label=label)]
        if any(low is not None and low > 1 for low in lows):
            figures.wrong.append(f"a channel has {label} with a low end above 1")


def _roots(database: Database, name: str) -> int:
    count: int = database.query(ROOTS, {"class": name})["run"]["images"]["totalCount"]
    return count
