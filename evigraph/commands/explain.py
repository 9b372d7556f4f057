"""`evigraph explain`: one image on the spot; its options are the fields of `ExplainSettings`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evigraph.options import Json, Quiet, example, sub_app
from evigraph.outputs import STANDARD_OUTPUT, format_of, report, size_text, write
from evigraph.schema.errors import UsageError
from evigraph.settings import takes

if TYPE_CHECKING:
    from evigraph.explained.depicted import Depiction
    from evigraph.indexer.explain.explain import Explained
    from evigraph.indexer.explain.settings import ExplainSettings

app = sub_app()

ENDINGS = {"html": (".html", ".htm"), "svg": (".svg",), "png": (".png",), "json": (".json",)}


@app.command(
    epilog=example(
        "evigraph explain cat.jpg --model vgg16 --weights IMAGENET1K_V1 --out cat.html",
        "evigraph explain --run runs/vgg16 --image n02123045/cat.jpg --edit remove:conv5_3/21",
    )
)
@takes("evigraph.indexer.explain.settings:ExplainSettings")
def explain(
    settings: ExplainSettings,
    *,
    path: Annotated[
        Path | None, typer.Argument(metavar="IMAGE", help="An image file, or --run and --image.", show_default=False)
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option("--class", help="Explain this class, by name, key or index; the predicted one if not given."),
    ] = None,
    edit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD:LAYER/CHANNEL",
            help="Decide again without it, as occlude:conv4_3/21 or remove:conv4_3/21; may be given several times.",
        ),
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Layers drawn below the class; all if not given.")] = None,
    nodes: Annotated[int, typer.Option(help="Channels drawn of a layer.")] = 8,
    out: Annotated[
        Path | None,
        typer.Option(help="A page, a picture or data, by the ending: .html, .svg, .png, .json.", show_default=False),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Explain one image: its evidence as a tree and as a page, and the decision without some of it."""
    from evigraph.explained.depicted import Limits, depictions
    from evigraph.indexer.explain.explain import explain_image

    format_ = None if out is None else _format_of(out)
    limits = Limits(depth, nodes, settings.top_n)
    explained = explain_image(path, settings, class_, edit or ())
    shown = depictions(explained, limits)
    command = shlex.join(["evigraph", *sys.argv[1:]])
    if as_json:
        from evigraph.explained.data import explained_json

        print(json.dumps(explained_json(shown, command)))
    else:
        _print(shown[0], explained, quiet)
    if out is not None and format_ is not None:
        size = write(out, [_content(shown, command, format_)])
        if not (quiet or as_json):
            report(out, f"{size_text(size)} as {format_}")


def _format_of(out: Path) -> str:
    if out == STANDARD_OUTPUT:
        raise UsageError("--out - is not for explain, which prints a tree; give a file, or --json for data")
    if out.suffix.lower() not in {ending for each in ENDINGS.values() for ending in each}:
        ending = f"the ending {out.suffix!r}" if out.suffix else "a name without an ending"
        raise UsageError(f"--out {out}: {ending} says no format; give one of .html, .svg, .png, .json")
    return format_of(out, None, ENDINGS, "html")


def _print(first: Depiction, explained: Explained, quiet: bool) -> None:
    notes = [*explained.notes, *([explained.stored] if explained.stored else [])]
    if quiet:
        for note in explained.notes:  # a guess is never made without a word
            print(f"evigraph: note: {note}", file=sys.stderr)
        return
    from rich.console import Console

    from evigraph.explained.tree import print_explained

    print_explained(first, Console(highlight=False))
    for note in notes:
        print(f"note: {note}")


def _content(shown: Sequence[Depiction], command: str, format_: str) -> bytes:
    """The file."""
    from evigraph.graphapi.files.canvas import stacked

    if format_ == "json":
        from evigraph.explained.data import explained_json

        return (json.dumps(explained_json(shown, command), indent=1) + "\n").encode()
    if format_ == "html":
        from evigraph.explained.page import page_text

        return page_text(shown, command).encode()
    whole = stacked([one.sheet for one in shown])
    if format_ == "png":
        from evigraph.graphapi.files.raster import png_bytes

        return png_bytes(whole)
    from evigraph.graphapi.files.svg import svg_text

    return svg_text(whole).encode()
