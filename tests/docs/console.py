"""Console blocks of a page, in order, with what they print.

        $ evigraph export profile --db demo/evidence.duckdb \
            --out profile.svg
        wrote profile.svg: 9.9 kB as svg

A command goes on behind a backslash and within quotes. A fence of `python` is a command too, of which an indented block
that follows it is the output; it sees the names of the fences before it. `...` stands for any text that is left out.
A command whose output begins with `evigraph: ` is one that is refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.docs.scripts import FREE, ROOT, Script, differences, printed_by
from tests.docs.served import Served

_MARK = "--- the next fence ---"
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?")
_FILE = re.compile(r"^( *)# ([\w/]+\.py)\n((?:\1(?!```|\$ ).*\n|\n)+)", re.MULTILINE)
_CORES = re.compile(r", \d+ threads? and (?:\d+ decoding process(?:es)?|decoding beside) on \d+ cores?\b")
_PROGRESS = re.compile(r"^evigraph: \d+ of \d+ images, .* left, .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A command of a shell, or a fence of Python, and its output on the page: empty where that has none."""

    language: str
    text: str
    printed: str


def steps_of(page: Path) -> list[Step]:
    """Those of a page, in their order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    steps, at = [], 0
    while at < len(lines):
        if lines[at].startswith("```"):
            end = next(place for place in range(at + 1, len(lines)) if lines[place].startswith("```"))
            if lines[at] == "```python":
                steps.append(Step("python", "\n".join(lines[at + 1 : end]), _indented_after(lines, end + 1)))
            at = end + 1
        elif lines[at].startswith("    $ "):
            end = at
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            steps.extend(_of_block([line[4:] for line in lines[at:end]]))
            at = end
        else:
            at += 1
    return steps


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows: indented blocks, or fences of Python, whose first line is `# NAME.py`."""
    text = page.read_text(encoding="utf-8")
    found = _FILE.findall(text)
    return {name: "\n".join(line[len(indent) :] for line in body.split("\n")) for indent, name, body in found}


def failures(steps: list[Step], folder: Path, left_out: tuple[str, ...] = ()) -> list[str]:
    """How the steps, run one after the other in a folder, differ from what the page says.

    Args:
        steps: Of one page.
        folder: An empty one.
        left_out: Beginnings of the commands that are not run.
    """
    wrong: list[str] = []
    fences: list[str] = []
    with Served(folder) as served:
        for step in steps:
            if step.text.startswith(left_out):
                continue
            printed = served.as_stated(step.printed, _run(replace(step, text=served.here(step.text)), fences, served))
            if step.printed:
                wrong.extend(f"{step.text}: {each}" for each in unlike(step.printed, printed))
    return wrong


def unlike(stated: str, printed: str) -> list[str]:
    """As `differences`, where dates and a machine's cores are free and `...` stands for what is left out."""
    printed = _PROGRESS.sub("", printed)  # told only where it takes more than half a minute
    stated, printed = (_CORES.sub(", CORES", _DATE.sub("DATE", text)).rstrip() for text in (stated, printed))
    if "..." not in stated:
        return differences(stated, printed)
    stated, printed = (FREE.sub("N", text) for text in (stated, printed))
    parts = (re.escape(part) for part in stated.split("..."))
    return [] if re.fullmatch(".*".join(parts), printed, re.DOTALL) else [f"stated is {stated!r}, printed {printed!r}"]


def _of_block(lines: list[str]) -> Iterator[Step]:
    at = 0
    while at < len(lines):
        command = lines[at].removeprefix("$ ")
        at += 1
        while at < len(lines) and _goes_on(command):
            command += "\n" + lines[at]
            at += 1
        start = at
        while at < len(lines) and not lines[at].startswith("$ "):
            at += 1
        yield Step("shell", command, "\n".join(lines[start:at]))


def _goes_on(command: str) -> bool:
    if command.endswith("\\"):
        return True
    try:
        shlex.split(command)
    except ValueError:
        return True
    return False


def _indented_after(lines: list[str], at: int) -> str:
    while at < len(lines) and not lines[at]:
        at += 1
    end = at
    while end < len(lines) and lines[end].startswith("    ") and not lines[end].startswith("    $ "):
        end += 1
    return "\n".join(line[4:] for line in lines[at:end])


def _run(step: Step, fences: list[str], served: Served) -> str:
    if step.language == "python":
        return _python(step, fences, served.folder)
    return served.start(step.text) if step.text.startswith("evigraph serve ") else _shell(step, served.folder)


def _shell(step: Step, folder: Path) -> str:
    """Of a pipe, whose ends write in no certain order, standard error comes last, as the pages have it."""
    begin = "exec 2> errors.txt\ntrap 'cat errors.txt' EXIT" if " | " in step.text else "exec 2>&1"
    text = f"! {{ {step.text}\n}}" if step.printed.startswith("evigraph: ") else step.text
    return printed_by(Script("", f"{begin}\n{text}", step.printed), folder)


def _python(step: Step, fences: list[str], folder: Path) -> str:
    fences.append(step.text)
    program = folder / "fences.py"
    program.write_text(f"\nprint({_MARK!r})\n".join(fences), encoding="utf-8")
    return printed_by(Script("", "exec 2>&1\npython fences.py", step.printed), folder).split(f"{_MARK}\n")[-1]


def prepare(folder: Path, page: Path | None = None) -> Path:
    """A folder of its own for a page, with the files that it shows, and `../shared` and `indexer` as at the root."""
    place = folder / "page"
    place.mkdir()
    (place / "indexer").symlink_to(ROOT / "indexer")
    shared = ROOT.parent / "shared"
    if shared.exists():
        (folder / "shared").symlink_to(shared.resolve())
    for name, text in (files_of(page) if page else {}).items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    return place
