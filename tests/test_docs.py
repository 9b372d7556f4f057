"""The pages name what is there: every relative link, and every path of the code that a guide names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evigraph.indexer.data.sources import layouts

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
PAGES = sorted({ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *GUIDES})
PATH = re.compile(r"`(\w+/[\w./-]*)`")
PLACEHOLDER = re.compile(r"[A-Z]{4}")
"""As in `indexer/data/LAYOUT.py`, which the reader is to name."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", GUIDES, ids=relative)
def test_guides_name_files_that_exist(page: Path) -> None:
    paths = [path for path in PATH.findall(page.read_text(encoding="utf-8")) if not PLACEHOLDER.search(path)]
    assert [path for path in paths if not is_there(path)] == []


def is_there(path: str) -> bool:
    """Whether a file, a folder or a module is in the repository, a package of rooms, or the explorer."""
    rooms = ("indexer", "graphapi", "graphapi/http/static/explorer")
    places = (ROOT / path, *(ROOT / room / path for room in rooms))
    return any(place.exists() or place.with_name(f"{place.name}.py").exists() for place in places)


def test_every_layout_of_data_is_on_its_page() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [kind for kind, layout in layouts().items() if f"`{kind}:{layout.place}`" not in page] == []
