"""`evigraph export panel`, `pyramid` and `profile`: pictures for papers, from the database file alone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evigraph.local import asked_of_run
from evigraph.options import Database, Quiet, example, sub_app
from evigraph.outputs import Out, format_of, report, size_text, write

if TYPE_CHECKING:
    from evigraph.graphapi.files.canvas import Sheet
    from evigraph.graphapi.store.session import Session

app = sub_app()

ENDINGS = {"svg": (".svg",), "png": (".png",), "html": (".html", ".htm")}


class PictureFormat(StrEnum):
    """Formats of pictures."""

    SVG = "svg"
    PNG = "png"
    HTML = "html"


class ProfileFormat(StrEnum):
    """Formats of a profile."""

    CSV = "csv"
    SVG = "svg"
    PNG = "png"
    HTML = "html"


class Role(StrEnum):
    """Which class a decision explains."""

    PREDICTED = "predicted"
    LABEL = "label"


RunName = Annotated[str | None, typer.Option(help="The run; the default, or the newest, if not given.")]
Format = Annotated[
    PictureFormat | None,
    typer.Option("--format", help="Of the file, where its ending does not say it; svg for standard output."),
]
WithMaps = Annotated[
    bool, typer.Option("--maps/--no-maps", help="Activation maps over the crops, where the run keeps them.")
]


@app.command(
    "pyramid",
    epilog=example("evigraph export pyramid --db evidence.duckdb --image boat/00012.png --out pyramid.svg"),
)
def export_pyramid(
    db: Database,
    image: Annotated[str, typer.Option(metavar="URI", help="The image.", show_default=False)],
    out: Out,
    run: RunName = None,
    role: Annotated[Role, typer.Option(help="Explain the predicted class, or the label.")] = Role.PREDICTED,
    top: Annotated[int | None, typer.Option(help="Edges of each decomposition; all kept ones if not given.")] = None,
    depth: Annotated[int | None, typer.Option(help="Layers below the class; all if not given.")] = None,
    nodes: Annotated[int, typer.Option(help="Channels of a row.")] = 8,
    maps: WithMaps = True,
    format_: Format = None,
    quiet: Quiet = False,
) -> None:
    """Draw one decision as a pyramid (Fig. 5): a row a layer, from the class down to the lowest."""
    from evigraph.graphapi.files.sheets import drawn_pyramid

    format_name = format_of(out, format_ and format_.value, ENDINGS, "svg")

    async def draw(session: Session) -> Sheet:
        of = (session, run, image, role.value)
        return await drawn_pyramid(*of, top=top, depth=depth, nodes=nodes, maps=maps)

    _write(out, *asked_of_run(db, run, draw), format_name, quiet)


@app.command(
    "panel",
    epilog=example("evigraph export panel --db evidence.duckdb --class boat --layer conv4_3 --out panel.svg"),
)
def export_panel(
    db: Database,
    class_: Annotated[str, typer.Option("--class", help="The class: name, key or index.", show_default=False)],
    layer: Annotated[str, typer.Option(help="The layer: name or module path.", show_default=False)],
    out: Out,
    run: RunName = None,
    role: Annotated[Role, typer.Option(help="Which roots count.")] = Role.PREDICTED,
    top: Annotated[int, typer.Option(help="Channels.")] = 6,
    peaks: Annotated[int, typer.Option(help="Peaks of each channel.")] = 8,
    own_peaks: Annotated[
        bool, typer.Option("--own-peaks", help="Peaks in decisions of the class alone, not in those of all classes.")
    ] = False,
    maps: WithMaps = False,
    format_: Format = None,
    quiet: Quiet = False,
) -> None:
    """Draw the channels of a layer that most often support a class, each with its strongest peaks."""
    from evigraph.graphapi.files.sheets import drawn_panel

    format_name = format_of(out, format_ and format_.value, ENDINGS, "svg")

    async def draw(session: Session) -> Sheet:
        of = (session, run, class_, layer, role.value)
        return await drawn_panel(*of, top=top, peaks=peaks, own_peaks=own_peaks, maps=maps)

    _write(out, *asked_of_run(db, run, draw), format_name, quiet)


@app.command(
    "profile",
    epilog=example("evigraph export profile --db evidence.duckdb --class boat --out profile.svg"),
)
def export_profile(
    db: Database,
    out: Out,
    run: RunName = None,
    class_: Annotated[
        str | None, typer.Option("--class", help="Of roots of this class: name, key or index; of all if not given.")
    ] = None,
    role: Annotated[Role, typer.Option(help="Which roots count.")] = Role.PREDICTED,
    format_: Annotated[
        ProfileFormat | None,
        typer.Option("--format", help="Of the file, where its ending does not say it; csv for standard output."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Draw, or list, the mean share of a layer's evidence by rank (Fig. 6), and what top N leaves out."""
    from evigraph.graphapi.files.profile_sheet import layer_profiles, profile_csv, profile_sheet
    from evigraph.graphapi.store.names import chosen_run

    format_name = format_of(out, format_ and format_.value, {"csv": (".csv",), **ENDINGS}, "csv")

    async def draw(session: Session) -> Sheet | str:
        chosen, _ = chosen_run(session.runs, run)
        answer = await layer_profiles(session, chosen, class_, role.value)
        return profile_csv(chosen, answer) if format_name == "csv" else profile_sheet(chosen, answer)

    _write(out, *asked_of_run(db, run, draw), format_name, quiet)


def _write(out: Path, drawn: Sheet | str, note: str | None, format_name: str, quiet: bool) -> None:
    content = drawn.encode() if isinstance(drawn, str) else _drawn(drawn, format_name)
    size = write(out, [content], is_text=format_name != "png")
    if not quiet:
        report(out, f"{size_text(size)} as {format_name}", note)


def _drawn(sheet: Sheet, format_name: str) -> bytes:
    from evigraph.graphapi.files import raster, svg

    if format_name == "png":
        return raster.png_bytes(sheet)
    return (svg.svg_text(sheet) if format_name == "svg" else svg.html_text(sheet)).encode()
