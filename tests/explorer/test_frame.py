"""The frame around the pages: places, search, the query of a panel, files, embedding, themes, states."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from evigraph.graphapi.http.graphiql import STATIC
from tests.explorer.conftest import Open, settled

pytestmark = pytest.mark.slow
VENDOR = STATIC / "explorer" / "vendor"


def test_vendored_files_are_what_their_table_says() -> None:
    table = json.loads((VENDOR / "vendor.json").read_text())
    for row in table:
        assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sha256"], row["file"]
        assert (VENDOR / row["license_file"]).stat().st_size > 500
        assert all(row[name] for name in ("name", "version", "license", "use"))
    named = {row[key] for row in table for key in ("file", "license_file")} | {"vendor.json"}
    assert named == {path.name for path in VENDOR.iterdir()}


def test_a_run_is_found_and_opened(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_role("link", name="demo", exact=True).click()
    page.wait_for_url("**/runs/demo")
    page.go_back()
    page.wait_for_url("**/")


def test_search_finds_a_class_a_channel_and_an_image(open_page: Open) -> None:
    page = open_page("/runs/demo/classes")
    for text, address in (("boa", "/runs/demo/class/0"), ("conv4_3 15", "/runs/demo/channel/conv4_3/15")):
        page.keyboard.press("/")
        page.keyboard.type(text)
        page.get_by_role("option").first.wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{address}")
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    page.get_by_text("nothing is called no such thing").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("searchbox").or_(page.get_by_role("combobox", name="search")).input_value() == ""


def test_a_panel_gives_its_query_and_its_data(open_page: Open, tmp_path: Path) -> None:
    page = open_page("/")
    panel = page.locator("#runs")
    panel.get_by_role("button", name="Query").click()
    assert "query RunsTable" in panel.locator("pre").inner_text()
    for way, start in (("curl", "curl -s http://127.0.0.1"), ("Python", "import json")):
        panel.get_by_role("button", name=way).click()
        assert panel.locator("pre").inner_text().startswith(start)
    with page.expect_download() as download:
        panel.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["name"] == "demo"
    assert row["imageCount"] == "400"


def test_the_python_of_a_panel_runs(open_page: Open) -> None:
    page = open_page("/")
    page.locator("#runs").get_by_role("button", name="Query").click()
    page.locator("#runs").get_by_role("button", name="Python").click()
    scope: dict[str, Any] = {}
    exec(page.locator("#runs pre").inner_text(), scope)
    assert scope["data"]["runs"]["nodes"][0]["name"] == "demo"


@pytest.mark.parametrize("embed", ["runs", "1"])
def test_one_panel_stands_alone(open_page: Open, embed: str) -> None:
    page = open_page(f"/?embed={embed}")
    assert page.locator(".panel").count() == 1
    assert page.locator(".rail").count() == 0


def test_a_panel_alone_is_as_wide_as_its_frame(open_page: Open) -> None:
    box = open_page("/runs/demo/class/0?embed=support", width=1000).locator("#support").bounding_box()
    assert box is not None
    assert box["width"] > 900


def test_the_theme_is_kept(open_page: Open) -> None:
    page = open_page("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) != light
    page.reload()
    settled(page)
    assert page.evaluate(ground) != light


def test_unknown_places_are_told(open_page: Open) -> None:
    assert "no run called nope" in open_page("/runs/nope").locator("main").inner_text()
    assert "has no page" not in open_page("/runs/demo").locator("main").inner_text()


def test_a_service_that_is_gone_is_told_and_tried_again(open_page: Open) -> None:
    page = open_page("/", allow_errors=True)
    page.route("**/graphql", lambda route: route.abort())
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("link", name="Runs", exact=True).first.click()
    page.reload()
    page.get_by_role("alert").first.wait_for()
    assert "does not answer" in page.get_by_role("alert").first.inner_text()
    page.unroute("**/graphql")
    page.get_by_role("link", name="demo", exact=True).wait_for()  # tried again by itself
