"""A database that is published anew while a page is open, and names that look like markup."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import resolve
from tests.explorer.conftest import Open, running, settled
from tests.support.synthetic import synthetic_run

pytestmark = pytest.mark.slow
HOSTILE = '<img src=x onerror="document.title=1">&amp;'


@pytest.fixture
def database(tmp_path: Path) -> Path:
    synthetic_run(tmp_path / "first", images=40, name="first", context=False)
    publish([tmp_path / "first"], tmp_path / "evidence.duckdb")
    return tmp_path / "evidence.duckdb"


def test_versions_are_never_mixed(open_page: Open, database: Path, tmp_path: Path) -> None:
    with running(database) as url:
        page = open_page(f"{url}/runs/first")
        synthetic_run(tmp_path / "second", images=40, name="second", seed=5, context=False)
        publish([tmp_path / "second"], database)
        page.get_by_role("link", name="Failures").click()  # asks what was not asked before
        page.get_by_role("status").filter(has_text="Newer data were published").wait_for()
        assert page.locator("#matrix a").count() == 0
        page.locator(".newer").get_by_role("button", name="Reload").click()
        settled(page)
        assert page.locator("#matrix a").count() > 0
        assert page.get_by_label("run", exact=True).locator("option").all_inner_texts() == ["second", "first"]


def test_names_are_text(open_page: Open, database: Path) -> None:
    with duckdb.connect(str(resolve(database))) as connection:
        connection.execute("UPDATE class SET name = ? WHERE class_id = 1", [HOSTILE])
    with running(database) as url:
        for address in ("/runs/first", "/runs/first/failures", "/runs/first/classes", "/runs/first/class/1"):
            page = open_page(url + address)
            assert "document.title=1" in page.locator("main").inner_text(), address
            assert page.locator("main img[src=x]").count() == 0
            assert page.title() != "1"
