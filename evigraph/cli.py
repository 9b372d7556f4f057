"""The console script `evigraph`: which commands there are, and what becomes of their errors.

The command `evigraph X` is the module `evigraph/commands/X.py`. It imports what it needs when it runs, so that `--help`
loads no torch.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from evigraph.commands import (
    check,
    demo,
    explain,
    export,
    extend,
    index,
    layers,
    migrate,
    publish,
    query,
    rollback,
    runs,
    schema,
    serve,
)
from evigraph.schema.errors import EvidenceError
from evigraph.schema.extras import missing_extra

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Precomputed evidence graphs of convolutional networks: index a dataset, publish a database, ask it.",
    epilog="Errors are one line; `evigraph --debug COMMAND` shows the traceback.",
)
for command in (demo, layers, explain, index, extend, publish, migrate, rollback, serve, query, check, schema):
    app.add_typer(command.app)
app.add_typer(runs.app, name="runs")
app.add_typer(export.app, name="export")

_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


@app.callback(invoke_without_command=True)
def _main(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 (see main)
) -> None:
    if show_version:
        print(f"evigraph {version('evigraph')}")
        raise typer.Exit


def main() -> NoReturn:
    """Run the command line: what goes wrong becomes one line on standard error and an exit code."""
    # Threads that wait idly leave the CPU to whoever has work: two runs on 2 busy cores, of 2 threads each, made 1.8
    # images a second each when they waited actively, and 8.0 so. Whatever loads torch reads it then.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # It may stand anywhere: who asks for a traceback has typed the rest already.
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(args=arguments or ["--help"], prog_name="evigraph", standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
    except TyperException as error:
        _fail(f"{_message(error)}; see {_command(arguments)} --help", error.exit_code)
    except EvidenceError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        goes_on = "; the same command goes on where it stopped" if arguments[:1] == ["index"] else ""
        _fail(f"interrupted{goes_on}", _INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the last resort: a traceback is for those who ask for one
        if debug:
            raise
        missing = missing_extra(error)
        if missing:
            _fail(str(missing), missing.exit_code)
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        _fail(f"unexpected {type(error).__name__}: {reason}; --debug shows where", 1)
    sys.exit(code or 0)


def _message(error: TyperException) -> str:
    """Typer's message, with the refused value, which typer leaves out where it is a number."""
    message = error.format_message().rstrip(".?").replace("Value error, ", "")
    values = [repr(refused["input"]) for refused in getattr(error.__cause__, "errors", list)()]
    return message if not values or values[0] in message else f"{message}, not {values[0]}"


def _command(arguments: list[str]) -> str:
    """The words that name a command, such as `evigraph runs list`, as far as there is one."""
    words: list[str] = ["evigraph"]
    command: Any = get_command(app)
    for argument in arguments:
        command = getattr(command, "commands", {}).get(argument)
        if command is None:
            break
        words.append(argument)
    return " ".join(words)


def _fail(message: str, code: int) -> NoReturn:
    print(f"evigraph: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
