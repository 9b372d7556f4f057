"""What a command writes: to a file whose ending says its format, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from evigraph.schema.errors import EvidenceError, UsageError

STANDARD_OUTPUT = Path("-")
Out = Annotated[
    Path,
    typer.Option(
        help="The file to write, its format by its ending; takes the place of an older one. - is standard output.",
        show_default=False,
    ),
]


def format_of(out: Path, stated: str | None, endings: Mapping[str, Sequence[str]], piped: str) -> str:
    """The format of what is written.

    Args:
        out: The file, or STANDARD_OUTPUT.
        stated: The format that was given by name, if one was.
        endings: Endings of names of files by format; where two formats share one the last of them is meant by it.
        piped: The format of standard output where none is given.

    Raises:
        UsageError: The name's ending says another format than `stated`, or no format is known.
    """
    of_ending = [name for name, known in endings.items() if out.suffix.lower() in known]
    if out == STANDARD_OUTPUT:
        return stated or piped
    if stated is None and not of_ending:
        known = ", ".join(ending for each in endings.values() for ending in each[:1])
        ending = f"the ending {out.suffix!r}" if out.suffix else "a name without an ending"
        raise UsageError(f"--out {out}: {ending} says no format; give one of {known}, or --format")
    if stated is not None and of_ending and stated not in of_ending:
        raise UsageError(
            f"--format {stated} and --out {out} disagree: {out.suffix} is {of_ending[-1]}; leave --format out, "
            f"or name the file {out.with_suffix(endings[stated][0])}"
        )
    return stated or of_ending[-1]


def write(out: Path, parts: Iterable[bytes], *, is_text: bool = True) -> int:
    """Write a file, which has its name only when it is whole, or to standard output.

    Args:
        out: The file; a device or a pipe is written to as it stands.
        parts: Its bytes.
        is_text: Whether a terminal can show them.

    Returns:
        How many bytes were written.

    Raises:
        EvidenceError: It cannot be written.
        UsageError: A terminal would get what is no text.
        BrokenPipeError: Nobody reads standard output any more.
    """
    if out == STANDARD_OUTPUT:
        return _write_to_standard_output(parts, is_text)
    is_special = out.exists() and not out.is_file() and not out.is_dir()
    partial = out if is_special else out.parent / f"{out.name}.partial"
    size = 0
    try:
        with partial.open("wb") as file:
            for part in parts:
                size += file.write(part)
        if not is_special:
            partial.replace(out)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EvidenceError(f"{out} cannot be written: {error.strerror or error}; give another --out") from error
    finally:
        if not is_special:
            with suppress(OSError):  # where it could not be made it cannot be removed
                partial.unlink(missing_ok=True)
    return size


def report(out: Path, what: str, note: str | None = None) -> None:
    """Print what was written, and a note on it: on standard error where standard output is the file."""
    is_piped = out == STANDARD_OUTPUT
    said = f"wrote {what} to standard output" if is_piped else f"wrote {out}: {what}"
    print(said if note is None else f"{said}\n  note: {note}", file=sys.stderr if is_piped else sys.stdout)


def size_text(size: int) -> str:
    """Bytes in kB, or in MB from one on."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _write_to_standard_output(parts: Iterable[bytes], is_text: bool) -> int:
    if not is_text and sys.stdout.isatty():
        raise UsageError(
            "this format is no text, and standard output is a terminal; pipe it on, or give a file by --out"
        )
    size = 0
    stream = sys.stdout.buffer
    try:
        for part in parts:
            size += stream.write(part)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python would try once more to write what is left as it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise EvidenceError(f"standard output cannot be written: {error.strerror or error}") from error
    return size
