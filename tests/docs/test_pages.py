"""The console blocks of README and docs print what the pages say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.console import failures, files_of, prepare, steps_of, unlike
from tests.docs.figures import FIGURES
from tests.docs.scripts import ROOT
from tests.docs.served import Served

BEFORE = {"README.md": "evigraph demo --dir demo --quiet"}
"""What a page takes to be there."""

RUN: dict[str, tuple[str, ...]] = {
    "README.md": ("from gql", "import duckdb"),  # gql is not installed; its output is in comments
    "docs/alike.md": (),
    "docs/attacks.md": (),
    "docs/class-graph.md": ("dot ",),  # Graphviz is not installed
    "docs/context.md": (),
    "docs/dashboards.md": ("pip install",),  # Superset's environment
    "docs/data.md": (),
    "docs/degree.md": (),
    "docs/explain.md": (),
    "docs/exports.md": (),
    "docs/extend.md": (),
    "docs/failures.md": (),
    "docs/inputs.md": (),
    "docs/layers.md": (),
    "docs/names.md": (),
    "docs/overlaps.md": (),
    "docs/pictures.md": (),
    "docs/python.md": (),
    "docs/verification.md": (),
    "docs/weights.md": (),
}
"""Pages that are run, with the beginnings of the commands that are not."""

PAGES = {page.relative_to(ROOT).as_posix(): page for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))}


def test_every_page_with_console_blocks_is_run() -> None:
    assert {name for name, page in PAGES.items() if steps_of(page)} == RUN.keys()
    assert RUN.keys() >= FIGURES.keys()


@pytest.mark.parametrize("name", RUN)
def test_what_is_left_out_is_there(name: str) -> None:
    texts = [step.text for step in steps_of(PAGES[name])]
    assert [start for start in RUN[name] if not any(text.startswith(start) for text in texts)] == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", RUN)
def test_a_page_prints_what_it_says(name: str, tmp_path: Path) -> None:
    if name != "README.md" and "EVIGRAPH_DOCS" not in os.environ:
        pytest.skip("set EVIGRAPH_DOCS=1 to run every page")
    if "../shared/" in PAGES[name].read_text(encoding="utf-8") and not (ROOT.parent / "shared").exists():
        pytest.skip("its networks and images in ../shared are not there")
    page = tmp_path / "before.md"
    page.write_text(f"    $ {BEFORE[name]}\n" if name in BEFORE else "", encoding="utf-8")
    place = prepare(tmp_path, PAGES[name])
    assert failures(steps_of(page) + steps_of(PAGES[name]), place, RUN[name]) == []
    if name in FIGURES:
        assert [*FIGURES[name](place)] == []


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


def test_a_refusal_is_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("    $ echo evigraph: no; false\n    evigraph: no\n")
    assert failures(steps_of(page), tmp_path) == []
    page.write_text("    $ echo evigraph: no\n    evigraph: no\n")
    with pytest.raises(AssertionError):
        failures(steps_of(page), tmp_path)


def test_a_page_writes_the_files_that_it_shows(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n    # my/nets.py\n    a = 1\n\n    b = 2\n\n    $ true\n\n    # no file\n")
    assert files_of(page) == {"my/nets.py": "a = 1\n\nb = 2\n\n"}
    assert (prepare(tmp_path, page) / "my" / "nets.py").read_text() == "a = 1\n\nb = 2\n\n"


def test_addresses_of_a_run_are_learnt(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        stated, printed = "/media/0123456789abcdef/crops/1", "/media/fedcba9876543210/crops/1"
        assert served.as_stated(stated, printed) == stated
        assert served.here(f"curl 127.0.0.1:8000{stated}") == f"curl 127.0.0.1:8000{printed}"


@pytest.mark.parametrize(
    ("stated", "printed", "count"),
    [
        ("a\n...\nc 3 s", "a\nb\nc 4.5 s", 0),
        ("a\n...\nc", "a\nb\nd", 1),
        ("1 s, 1 thread and 1 decoding process on 2 cores", "2 s, 4 threads and decoding beside on 8 cores", 0),
        ("1 s, 1 thread and 1 decoding process on 2 cores", "2 s", 1),
        ("made 2026-11-27 00:35", "made 2027-01-02 10:11", 0),
    ],
)
def test_dates_are_free_and_dots_stand_for_text(stated: str, printed: str, count: int) -> None:
    assert len(unlike(stated, printed)) == count
