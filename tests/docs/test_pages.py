"""The console blocks of README and docs print what the pages say, or are listed with why they are not run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.console import failures, prepare, steps_of, unlike
from tests.docs.scripts import ROOT

BEFORE = {"README.md": "evigraph demo --dir demo --quiet"}
"""What a page takes to be there."""

RUN: dict[str, tuple[str, ...]] = {
    "README.md": ("curl", "from gql", "import duckdb"),  # a server; gql is not installed; its output is in comments
    "docs/exports.md": (),
    "docs/names.md": (),
    "docs/python.md": (),
    "docs/alike.md": (),
}
"""Pages that are run, with the beginnings of the commands that are not."""

NOT_RUN = {
    "docs/class-graph.md": "asks the database of context.md",
    "docs/context.md": "its commands go on from a run of minutes, and its tables are made by hand",
    "docs/data.md": "commands without output, on data sets that are not kept beside the repository",
    "docs/degree.md": "tables made by hand from runs of minutes",
    "docs/extend.md": "a folder of photographs that is changed between two commands, and minutes of work",
    "docs/failures.md": "its runs take minutes, and its tables are made by hand",
    "docs/overlaps.md": "commands without output; tables made by hand from runs of minutes",
    "docs/pictures.md": "a server, and addresses that change with each run",
    "docs/weights.md": "checkpoints of other people, which are not kept beside the repository",
}
PAGES = {page.relative_to(ROOT).as_posix(): page for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))}


def test_every_page_with_console_blocks_is_run_or_listed() -> None:
    having = {name for name, page in PAGES.items() if steps_of(page)}
    assert having == RUN.keys() | NOT_RUN.keys()
    assert not RUN.keys() & NOT_RUN.keys()


@pytest.mark.parametrize("name", RUN)
def test_what_is_left_out_is_there(name: str) -> None:
    texts = [step.text for step in steps_of(PAGES[name])]
    assert [start for start in RUN[name] if not any(text.startswith(start) for text in texts)] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RUN)
def test_a_page_prints_what_it_says(name: str, tmp_path: Path) -> None:
    if name != "README.md" and "EVIGRAPH_DOCS" not in os.environ:
        pytest.skip("set EVIGRAPH_DOCS=1 to run every page")
    page = tmp_path / "before.md"
    page.write_text(f"    $ {BEFORE[name]}\n" if name in BEFORE else "", encoding="utf-8")
    assert failures(steps_of(page) + steps_of(PAGES[name]), prepare(tmp_path), RUN[name]) == []


def test_a_block_has_its_commands_and_their_outputs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n    $ echo 'a\n    b' \\\n        c\n    a\n    b c\n    $ true\n\n```python\nx = 1\n```\n\n    1\n"
    )
    steps = [(step.language, step.printed) for step in steps_of(page)]
    assert steps == [("shell", "a\nb c"), ("shell", ""), ("python", "1")]
    assert failures(steps_of(page)[:2], tmp_path) == []


def test_output_that_is_not_true_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("    $ echo 3 edges\n    4 edges\n")
    assert len(failures(steps_of(page), tmp_path)) == 1


@pytest.mark.parametrize(
    ("stated", "printed", "count"),
    [
        ("a\n...\nc 3 s", "a\nb\nc 4.5 s", 0),
        ("a\n...\nc", "a\nb\nd", 1),
        ("made 2026-11-27 00:35", "made 2027-01-02 10:11", 0),
    ],
)
def test_dates_are_free_and_dots_stand_for_text(stated: str, printed: str, count: int) -> None:
    assert len(unlike(stated, printed)) == count
