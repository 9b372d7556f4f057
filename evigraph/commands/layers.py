"""`evigraph layers`: a table of the maps that may be layers; its options are the fields of `LayersSettings`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from evigraph.options import Json, example, sub_app
from evigraph.settings import takes

if TYPE_CHECKING:
    from evigraph.indexer.run.candidates import Candidate, LayersReport
    from evigraph.indexer.run.looking import NodeEvidence
    from evigraph.indexer.run.settings import LayersSettings

app = sub_app()

_PIPE_WIDTH = 160
"""Columns where no terminal says how many, nor COLUMNS."""


@app.command(
    epilog=example(
        "evigraph layers mobilenet_v2 --weights IMAGENET1K_V1 \\",
        "  --data imagefolder:val --classes classes.csv",
    )
)
@takes("evigraph.indexer.run.settings:LayersSettings")
def layers(
    settings: LayersSettings,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of index.", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Also maps that evidence runs past.")] = False,
    as_json: Json = False,
) -> None:
    """List the maps of a network that may be layers: what they are, what is default and why."""
    from evigraph.indexer.run.candidates import look_at_layers

    report = look_at_layers(model, settings)
    if as_json:
        print(json.dumps(report.to_json()))
        return
    shown = [one for one in report.candidates if every or one.map.cut or one.chosen]
    _print_table(report, shown)
    print(f"input: {report.preprocessing}")
    if report.image_count:
        print(
            f"measured on {report.image_count} images: values that are saturated (the activation is flat there) or 0,"
        )
        print("  and of the layers decomposed (*) edges a node, and the part of nodes that have none (barren)")
    if len(shown) < len(report.candidates):
        print(f"{len(report.candidates) - len(shown)} more maps, which evidence also runs past: --all")
    for note in report.notes:
        print(f"note: {note}")


def _print_table(report: LayersReport, shown: list[Candidate]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from evigraph.indexer.run.looking import MapValues

    given = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if given else _PIPE_WIDTH, highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), collapse_padding=True, pad_edge=False)
    for name in ("", "layer", "module"):
        table.add_column(name, overflow="fold")
    table.add_column("shape", justify="right", overflow="fold")
    table.add_column("stride", justify="right", overflow="fold")
    table.add_column("field", justify="right", overflow="fold")
    table.add_column("kind", overflow="fold")
    measured = ("saturated", "zero", "dead channels", "edges", "barren") if report.image_count else ()
    for name in measured:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("default, or why not", overflow="fold")
    for one in shown:
        m = one.map
        row = ["*" if one.chosen else "", m.name, "" if m.module == m.name else m.module]
        row += [f"{m.channels} x {m.height} x {m.width}", _number(m.stride), _number(m.receptive_field), m.kind]
        if measured:
            v = one.values or MapValues(None, None, None)
            row += [_percent(v.saturated), _percent(v.zero), _number(v.dead_channels)]
            row += _nodes(one.evidence)
        table.add_row(*map(escape, row), escape(f"{'default: ' * one.reason.is_default}{one.reason.why}"))
    if report.logits:
        table.add_row("*", "logits", *[""] * 8, *_nodes(report.logits), "")
    with console.capture() as drawn:
        console.print(table)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def _nodes(evidence: NodeEvidence | None) -> list[str]:
    if evidence is None:
        return ["", ""]
    if not evidence.node_count:
        return ["", "no nodes"]
    return [f"{evidence.edge_count / evidence.node_count:.2f}", _percent(evidence.barren_share)]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
