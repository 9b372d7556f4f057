"""docs/overlaps.md: Fig. 6, one group, and how many duplicates there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.docs.figures.reading import answer, rows, unlike_table, unsaid
from tests.docs.scripts import ROOT, differences

PAGE = "overlaps.md"
SHOWN = {"fire3": 3, "fire5": 3, "fire9": 3, "logits": 3}
"""Bars at the beginning of each histogram in the page's table."""
DECISION = "decision_id, target_layer, target_channel, target_y, target_x"


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its runs."""
    profiles = [
        row for layer in answer(place / "fig6.json")["layers"] if layer["name"] in SHOWN for row in [_row(layer)]
    ]
    yield from unlike_table(PAGE, [["layer", "decompositions"], *profiles])
    (image,) = answer(place / "groups.json")["images"]["nodes"]
    yield from _group(image["decisions"][0]["evidence"])
    yield from unlike_table(PAGE, [["decisions of", "split over"], *_found(place / "evidence.duckdb")])
    yield from unsaid(PAGE, _prose(place / "evidence.duckdb"))


def _row(layer: dict[str, Any]) -> list[str]:
    profile, kept = layer["positiveProfile"], layer["profile"]
    bars = [f"{bar['value']} ({bar['decompositions']})" for bar in profile["overlapping"]]
    return [
        layer["name"],
        str(profile["decompositions"]),
        str(profile["barren"]),
        f"{profile['meanPositive']:.2f}",
        f"{profile['meanOverlapping']:.2f}",
        f"{', '.join(bars[: SHOWN[layer['name']]])}, ... {bars[-1]}",
        ", ".join(f"{share:.3f}" for share in kept["shares"]),
        f"{kept['residual']:.3f}",
    ]


def _group(evidence: dict[str, Any]) -> Iterator[str]:
    text = (ROOT / "docs" / PAGE).read_text(encoding="utf-8")
    start = text.index('    {\n      "target": ')
    stated = text[start : text.index("\n    }\n", start) + 6]
    edge = evidence["edges"][0]
    for edge in evidence["edges"]:
        nodes = [evidence["nodes"][edge[end]] for end in ("target", "source")]
        if [(node["layer"], node["channel"]) for node in nodes] == [("fire5", 242), ("fire3", 56)]:
            if (nodes[0]["y"], nodes[0]["x"]) != (21, 1):
                yield f"fire5's channel 242 is at {nodes[0]}"
            yield from differences(stated, json.dumps(edge))
            return
    yield "there is no edge from fire3's channel 56 to fire5's 242"


def _found(database: Path) -> Iterator[list[str]]:
    layers = rows(database, "SELECT layer_id, name, height, width FROM layer WHERE run_id = 1 ORDER BY layer_id")
    for (at, name, *_), below in reversed(list(zip(layers[1:], layers, strict=False))):
        ((positive, duplicates, part),) = rows(
            database,
            f"""SELECT avg(positive_count), avg(overlap_count), sum(overlap_count) / sum(positive_count)
                FROM decomposition WHERE run_id = 1 AND layer_id = {at}""",
        )
        ((edges, repeated),) = rows(
            database,
            f"""SELECT count(*), count(member) FROM edge LEFT JOIN overlap ON overlap.run_id = 1 AND
                overlap.decision_id = edge.decision_id AND layer_id = target_layer AND channel = target_channel AND
                y = target_y AND x = target_x AND member = source_channel
                WHERE edge.run_id = 1 AND target_layer = {at}""",
        )
        ((otherwise,),) = rows(
            database,
            f"""SELECT count(*) FROM (
                SELECT {DECISION}, source_channel FROM edge WHERE run_id = 1 AND target_layer = {at}
                EXCEPT SELECT {DECISION}, source_channel FROM edge WHERE run_id = 2)""",
        )
        over = f"{below[1]} ({below[2]} x {below[3]})"
        counts = [f"{positive:.0f}", f"{duplicates:.0f}", f"{part:.0%}", f"{repeated} of {edges}", str(otherwise)]
        yield [name, over, *counts]


def _prose(database: Path) -> Iterator[str]:
    (of_all, of_merged) = rows(
        database,
        f"""SELECT sum(share) / count(DISTINCT ({DECISION})) FROM edge WHERE source_layer = 0 GROUP BY run_id
            ORDER BY run_id""",
    )
    yield f"(conv1: {of_all[0]:.1%} of the positive contributions with top 3, {of_merged[0]:.1%} merged)"
    ((members, least),) = rows(database, "SELECT count(*), min(iou) FROM overlap WHERE run_id = 1")
    if least == 1:
        yield f"here all {members:,} stored members had an IoU of 1"
