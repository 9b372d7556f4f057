"""docs/failures.md: its tables, each of the query above it, and the figures of the text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evigraph
from evigraph.reading import Database
from tests.docs.figures.stated import Figures
from tests.docs.scripts import ROOT

Row = dict[str, Any]

SHARED = ("cow", "bird", "branch", "sky")
RATES = {"rate": "its failures", "otherRate": "the others", "rightRate": "the right decisions"}


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its runs."""
    figures = Figures(ROOT / "docs" / "failures.md")
    with evigraph.open(place / "runs" / "failures" / "evidence.duckdb") as database:
        _scenes(figures, database)
        _cows_as_birds(figures, database)
        _what_not_to_do(figures, database)
        _wrong_against_right(figures, database)
        _modes(figures, database)
        _modes_of_squeezenet(figures, database)
    yield from figures.wrong


def _contrast(database: Database, query: str) -> Row:
    answer: Row = database.query(query)["run"]["contrast"]
    return answer


def _scenes(figures: Figures, database: Database) -> None:
    run = database.run("demo")
    wrong, cows = (
        database.query(f'{{ run(name: "demo") {{ images({which}, first: 1) {{ totalCount }} }} }}')["run"]["images"]
        for which in ("outcome: WRONG", 'label: "cow", predicted: "bird"')
    )
    scenes, lost = run.image_count, wrong["totalCount"]
    figures.says(f"On {scenes} of its scenes it is wrong on {lost}, and takes {cows['totalCount']} cows for birds")


def _cows_as_birds(figures: Figures, database: Database) -> None:
    why = _contrast(
        database, figures.asked('of: CONTEXT_LABELS, a: {label: "cow", predicted: "bird"}, b: {label: "cow"')
    )
    of_a, of_b = why["decisionsA"], why["decisionsB"]
    figures.says(f'root is {why["root"]}: what spoke for "cow" in the {of_a}, and in the {of_b} that were recognized')
    counts = ["countA", "countB", "logOddsRatio", "q"]
    made = [[row["contextLabel"], *(str(row[name]) for name in counts)] for row in why["nodes"]]
    figures.table("context label", f"of {of_a} taken for birds", made)

    channels = _contrast(database, figures.asked("of: CHANNELS, first: 2"))
    first, second = channels["nodes"]
    (label,) = second["channel"]["contextLabels"]["nodes"]
    against = f"({second['countA']} of {of_a} against {second['countB']} of {of_b}, q {second['q']})"
    figures.says(f"channel {second['channel']['index']} is second {against}, of whose masks for birds")
    figures.says(f"of whose masks for birds {100 * label['rate']} % lie on {label['label']}es")
    against = f"({first['countA']} of {of_a} against {first['countB']} of {of_b})"
    figures.says(f"the first is channel {first['channel']['index']}, which the failures lack {against}")

    both = _contrast(database, figures.asked('b: {label: "bird", predicted: "bird"}'))
    rows = {row["contextLabel"]: row for row in both["nodes"]}
    made = [[name, *(str(rows[name][field]) for field in ("countA", "countB", "q"))] for name in SHARED]
    figures.table("context label", f"of {both['decisionsA']} cows called birds", made)


def _what_not_to_do(figures: Figures, database: Database) -> None:
    boats = _contrast(database, figures.asked('a: {label: "boat", predicted: "cow"}'))
    (grass,) = boats["nodes"]
    of_a, of_b = f"{grass['countA']} of {boats['decisionsA']}", f"{grass['countB']} of {boats['decisionsB']}"
    figures.says(
        f"Boats taken for cows have {grass['contextLabel']} at conv5_3 ({of_a} against {of_b}, q {grass['q']})"
    )
    own = _contrast(database, figures.asked("root: OWN"))
    figures.says(f"compares {own['decisionsA']} decisions for birds with {own['decisionsB']} for cows")
    figures.says(
        f"{own['discoveries']} of {own['totalCount']} channels are then discoveries, q down to {own['nodes'][0]['q']}"
    )
    figures.says(f'comparable is {str(own["comparable"]).lower()}, and reason says "{own["reason"]}"')


def _wrong_against_right(figures: Figures, database: Database) -> None:
    asked = figures.asked("a: {outcome: WRONG}")
    answer = _contrast(database, asked)
    made = [
        [str(row["channel"]["index"]), str(row["countA"]), str(row["countB"]),
         f"{row['logOddsRatio']} ({row['low']} to {row['high']})", str(row["p"]), str(row["q"])]
        for row in answer["nodes"]
    ]  # fmt: skip
    figures.table("channel", "wrong that have it", made)
    wrong, right, tested = answer["decisionsA"], answer["decisionsB"], answer["totalCount"]
    figures.says(
        f"{wrong} against {right} decisions, by their predictions; the classes differ by {answer['rootClassDistance']}"
    )
    if not answer["comparable"]:
        figures.wrong.append("all wrong and all right are not comparable")
    figures.says(f"{tested} channels were tested, and {answer['discoveries']} is a discovery")
    first = answer["nodes"][0]
    figures.says(f"channel {first['channel']['index']} is wrong here: {first['countA']} against {first['countB']}")
    all_of_them = _contrast(database, asked.replace("first: 5", "first: 100"))["nodes"]
    small = sum(row["p"] < 0.01 for row in all_of_them) - 1
    figures.says(f"{small} more have p < 0.01, which is about as many as {tested} tests give by chance")
    fire5 = _contrast(database, asked.replace("fire9", "fire5"))
    figures.says(f"At fire5 there are {fire5['discoveries']} discoveries among {fire5['totalCount']} channels")
    label = _contrast(database, asked.replace("a: {outcome", "root: LABEL, a: {outcome"))
    least = min(row["q"] for row in label["nodes"])
    figures.says(f"there are {label['discoveries']} among {label['totalCount']} at fire9 (the least q is {least})")


def _modes(figures: Figures, database: Database) -> None:
    answer = database.query(figures.asked('failureModes(layer: "conv4_3")'))["run"]["failureModes"]
    made = []
    for mode in answer["modes"]:
        (label,), (channel,) = mode["contextLabels"], mode["channels"]
        confusions = (f"{c['label']['name']} as {c['predicted']['name']} {c['images']}" for c in mode["confusions"])
        context = f"{label['label']} {100 * label['rate']} %, {100 * label['otherRate']} %"
        of_channel = f"{channel['channel']['index']}: {100 * channel['rate']} %, {100 * channel['otherRate']} %"
        made.append([str(mode["size"]), ", ".join(confusions), context, of_channel])
    figures.table("failures", "most frequent confusions", made)
    scenes = answer["failures"] + answer["right"]
    modes = f"{len(made)} modes (silhouette {answer['silhouette']})"
    figures.says(f"All {answer['failures']} failures of the demo's {scenes} scenes fall into {modes}")


def _modes_of_squeezenet(figures: Figures, database: Database) -> None:
    asked = figures.asked('failureModes(layer: "conv4_3")').replace("confusions(first: 3)", "confusions(first: 10)")
    asked = asked.replace("conv4_3", "fire9").replace('"demo"', '"squeezenet"')
    answer = database.query(asked)["run"]["failureModes"]
    largest = max(mode["size"] for mode in answer["modes"])
    text = f"On SqueezeNet's {answer['failures']} failures the silhouette at fire9 is {answer['silhouette']}"
    figures.says(f"{text}: {largest} are one heap")
    mode = next(mode for mode in answer["modes"] if mode["channels"][0]["channel"]["index"] == 426)
    (channel,) = mode["channels"]
    rates = (f"{100 * channel[name]} % of {whose}" for name, whose in RATES.items())
    figures.says(f"One of {mode['size']} has channel 426 ({', '.join(rates)})")
    pairs = {(_short(one["label"]), _short(one["predicted"])) for one in mode["confusions"]}
    for label, predicted in (("digital watch", "cassette"), ("modem", "notebook"), ("desktop computer", "monitor")):
        figures.says(f"{label} as {predicted}")
        if (label, predicted) not in pairs:
            figures.wrong.append(f"no {label} was taken for a {predicted}")


def _short(name: Row) -> str:
    return str(name["name"]).split(",")[0]
