"""What the commands share: how they look in `--help`, and the options that most of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Database = Annotated[Path, typer.Option("--db", help="The published database.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no summary.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        metavar="NAME=VALUE",
        help="A limit or switch of the service, as `serve --help-settings` lists them; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]


def sub_app(help_: str | None = None, epilog: str | None = None) -> typer.Typer:
    """What a module registers its commands with; `evigraph.cli` adds it to the program, at the top or as a group."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, help=help_, epilog=epilog)


def example(*lines: str) -> str:
    """An epilog that help prints as it stands, so that the example can be copied."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])
