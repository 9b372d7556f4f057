"""A run, and two runs beside each other; a database without pictures, context or tests is still useful."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from evigraph.graphapi.service.query import execute
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import resolve
from tests.explorer.axe import serious
from tests.explorer.conftest import Open, running, settled
from tests.support.synthetic import synthetic_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same images, and nothing beside their edges."""
    folder = tmp_path_factory.mktemp("plain")
    synthetic_run(folder / "before", images=60, name="before", context=False)
    synthetic_run(folder / "after", images=60, name="after", seed=7, context=False)
    publish([folder / "before", folder / "after"], folder / "evidence.duckdb")
    return folder / "evidence.duckdb"


@pytest.fixture(scope="module")
def plain(plain_database: Path) -> Iterator[str]:
    with running(plain_database) as url:
        yield url


def test_a_run_says_what_it_holds(open_page: Open) -> None:
    page = open_page("/runs/demo")
    assert "400" in page.locator("#summary").inner_text()
    assert page.locator("#layers tbody tr").first.inner_text().startswith("conv5_3")
    assert page.locator("#worst tbody tr").first.inner_text().startswith("plane")
    for panel in ("degree", "profile"):
        assert page.locator(f"#{panel} svg rect, #{panel} svg circle").count() > 5
    text = page.locator("#tests").inner_text()
    assert "removing it" in text
    assert "hiding it" in text
    page.get_by_role("link", name="All 6 classes").click()
    page.wait_for_url("**/runs/demo/classes?sort=accuracy")


def test_charts_obey_the_policy_and_axe_finds_nothing_serious(open_page: Open) -> None:
    page = open_page("/runs/demo")
    # Plot's own style sheets are let through: without them its text would be twice as large.
    assert page.locator("#degree svg").first.evaluate("(svg) => getComputedStyle(svg).display") == "block"
    assert serious(page) == []


def test_two_runs_are_compared(open_page: Open, plain: str, plain_database: Path) -> None:
    page = open_page(f"{plain}/compare?a=before&b=after")
    answer = execute(
        plain_database,
        '{ run(name: "before") { compare(other: "after") { imagesCompared onlyThisRight onlyOtherRight } } }',
    )["data"]["run"]["compare"]
    text = page.locator("#outcomes").inner_text()
    assert f"{answer['onlyOtherRight']} gained and {answer['onlyThisRight']} lost" in text
    assert f"of {answer['imagesCompared']} images" in text
    assert page.locator("#accuracy svg circle").count() > 4
    assert page.locator("#degree svg rect").count() > 4
    page.get_by_role("button", name="swap the runs").click()
    page.wait_for_url("**/compare?a=after&b=before")
    settled(page)
    assert f"{answer['onlyThisRight']} gained" in page.locator("#outcomes").inner_text()
    assert serious(page) == []


@pytest.mark.parametrize("named", ["a=gone&b=after", "a=before&b=gone"])
def test_no_other_run_stands_for_one_that_is_gone(open_page: Open, plain: str, named: str) -> None:
    page = open_page(f"{plain}/compare?{named}")
    assert "has no run called gone; it has after, before" in page.locator("main").inner_text()
    assert page.locator(".panel").count() == 0


def test_one_run_alone_says_how_another_comes(open_page: Open) -> None:
    assert "publish another" in open_page("/compare").locator("main").inner_text()


def test_a_run_without_labels_has_no_degrees(open_page: Open, tmp_path: Path) -> None:
    """Charts of nothing would look like charts of something."""
    synthetic_run(tmp_path / "run", images=40, name="one", context=False)
    publish([tmp_path / "run"], tmp_path / "evidence.duckdb")
    with duckdb.connect(str(resolve(tmp_path / "evidence.duckdb"))) as connection:
        connection.execute("DELETE FROM channel_degree")
    with running(tmp_path / "evidence.duckdb") as url:
        page = open_page(f"{url}/runs/one")
        assert "counts edges of images with a label" in page.locator("#degree").inner_text()
        assert page.locator("#degree svg").count() == 0


def test_what_a_run_lacks_is_named_with_the_option_that_adds_it(open_page: Open, plain: str) -> None:
    assert "extend RUN --verify" in open_page(f"{plain}/runs/before").locator("#tests").inner_text()
    page = open_page(f"{plain}/runs/before/failures")
    assert page.locator("#matrix a").count() > 0
    assert page.locator(".no-picture").count() > 0
