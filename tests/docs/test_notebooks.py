"""The notebooks of docs/notebooks run on the demo's database and give the outputs that they store."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from tests.docs import notebooks
from tests.docs.notebooks import NOTEBOOKS, differences, outputs_of, read
from tests.docs.scripts import ROOT

OF_PAGES = {
    "support.ipynb": "python.md",
    "context.ipynb": "context.md",
    "class-graph.ipynb": "class-graph.md",
    "evidence.ipynb": "exports.md",
    "failures.ipynb": "failures.md",
    "verification.ipynb": "verification.md",
    "degree.ipynb": "degree.md",
    "overlaps.ipynb": "overlaps.md",
    "pictures.ipynb": "pictures.md",
}
"""The page whose question a notebook asks."""
MOST_BYTES = 400_000
"""Of one notebook, so that it opens at once."""


def test_there_is_one_for_each_question() -> None:
    assert {path.name for path in NOTEBOOKS} == OF_PAGES.keys()
    listed = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in OF_PAGES if f"(notebooks/{name})" not in listed] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_short_and_names_its_page_and_database(path: Path) -> None:
    notebook = read(path)
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    assert path.stat().st_size < MOST_BYTES
    assert len(notebook["cells"]) <= 12
    assert f"({'../' + OF_PAGES[path.name]})" in text
    assert "evigraph demo --dir demo" in text
    links = re.findall(r"\]\(([^)#\s]+)", text)
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []
    assert all(outputs or "=" in str(notebook) for outputs in outputs_of(notebook))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_gives_what_it_stores(path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)
    notebook = read(path)
    assert differences(outputs_of(notebook), notebooks.run(notebook)) == []


@pytest.mark.parametrize(("old", "new"), [("boat", "boot"), ("0.", "7."), ("<td>", "<th>")])
def test_an_output_that_is_not_true_is_told(old: str, new: str) -> None:
    stated = outputs_of(read(next(path for path in NOTEBOOKS if path.stem == "support")))
    assert differences(stated, stated) == []
    other = copy.deepcopy(stated)
    for output in (output for cell in other for output in cell if "data" in output):
        output["data"] = {kind: ["".join(lines).replace(old, new)] for kind, lines in output["data"].items()}
    assert differences(stated, other) != []
    assert differences(stated, stated[1:]) != []


def test_pictures_are_compared_by_their_type_and_numbers_to_a_thousandth() -> None:
    def shown(html: str) -> list[list[dict[str, object]]]:
        return [[{"output_type": "execute_result", "data": {"text/html": [html]}}]]

    one = shown('<img src="data:image/jpeg;base64,QUJD">0.12345')
    assert differences(one, shown('<img src="data:image/jpeg;base64,REVG">0.12346')) == []
    assert differences(one, shown('<img src="data:image/png;base64,QUJD">0.12345')) != []
    assert differences(one, shown('<img src="data:image/jpeg;base64,QUJD">0.2')) != []
