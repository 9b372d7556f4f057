"""From the confusion matrix to what sets the failures apart, with the mouse; the demo's planted causes are found."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from evigraph.graphapi.service.query import execute
from tests.explorer.axe import serious
from tests.explorer.conftest import Open, settled

pytestmark = pytest.mark.slow

PLANE, BIRD = 5, 1


def test_a_cell_opens_its_images_and_what_sets_them_apart(open_page: Open, demo_database: Path) -> None:
    page = open_page("/runs/demo/failures")
    page.get_by_role("link", name="plane predicted as bird: 6 of 66 images").click()
    page.wait_for_url(f"**label={PLANE}&predicted={BIRD}")
    settled(page)
    assert page.get_by_role("heading", level=1).inner_text() == "plane taken for bird"
    assert page.locator("#images li").count() == 6
    answer = execute(
        demo_database,
        '{ run { contrast(layer: "conv4_3", a: {label: "plane", predicted: "bird", outcome: WRONG}, '
        'b: {label: "plane", outcome: CORRECT}, root: LABEL) { discoveries totalCount '
        "nodes { channel { index } countA } } } }",
    )["data"]["run"]["contrast"]
    text = page.locator("#contrast").inner_text()
    assert f"{answer['discoveries']} of {answer['totalCount']} channels with q" in text
    rows = page.locator("#contrast tbody tr")
    for place in range(3):
        cells = rows.nth(place).locator("td").all_inner_texts()
        assert cells[0] == f"conv4_3 {answer['nodes'][place]['channel']['index']}"
        assert cells[1].split()[-1] == str(answer["nodes"][place]["countA"])


def test_both_questions_compare_like_with_like(open_page: Open) -> None:
    page = open_page(f"/runs/demo/failures?label={PLANE}&predicted={BIRD}")
    assert "decisions for plane (a) and 57 for plane (b)" in page.locator("#contrast").inner_text()
    page.get_by_role("link", name="Why did bird win?").click()
    settled(page)
    assert "6 decisions for bird (a) and 62 for bird (b)" in page.locator("#contrast").inner_text()
    assert "Not alike" not in page.locator("#contrast").inner_text()
    page.get_by_label("comparing").select_option("OWN")
    settled(page)
    assert page.get_by_role("group", name="Cohort a").get_by_label("label").input_value() == "plane"


def test_unlike_roots_are_marked(open_page: Open) -> None:
    page = open_page("/runs/demo/failures?a.label=5&a.predicted=1&b.label=5&b.outcome=CORRECT&root=PREDICTED")
    assert "Not alike:" in page.locator("#contrast .warned").inner_text()


def test_a_cohort_is_changed_in_the_page(open_page: Open) -> None:
    page = open_page(f"/runs/demo/failures?label={PLANE}&predicted={BIRD}")
    cohort = page.get_by_role("group", name="Cohort b")
    cohort.get_by_label("label").fill("bird")
    cohort.get_by_label("label").press("Enter")
    settled(page)
    assert "b.label=1" in page.url
    assert "for bird (b)" in page.locator("#contrast").inner_text()
    page.go_back()
    settled(page)
    assert "for plane (b)" in page.locator("#contrast").inner_text()


def test_a_point_and_a_button_open_examples(open_page: Open) -> None:
    page = open_page(f"/runs/demo/failures?label={PLANE}&predicted={BIRD}")
    page.locator("#contrast tbody tr").nth(1).get_by_role("button", name="examples").click()
    settled(page)
    assert page.locator("#examples li").count() >= 4
    assert "open=" in page.url
    page.keyboard.press("Escape")
    page.locator("#examples").wait_for(state="detached")


def test_modes_are_cards_that_lead_on(open_page: Open) -> None:
    page = open_page("/runs/demo/failures")
    assert page.locator(".mode").count() >= 2
    page.locator(".mode .signature a").first.click()
    page.wait_for_url("**/channel/conv4_3/*")


def test_the_matrix_is_saved_as_a_picture_and_a_table(open_page: Open, tmp_path: Path) -> None:
    page = open_page("/runs/demo/failures")
    for button, name in (("SVG", "matrix.svg"), ("PNG", "matrix.png"), ("CSV", "matrix.csv")):
        with page.expect_download() as download:
            page.locator("#matrix").get_by_role("button", name=button).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    assert (tmp_path / "matrix.svg").read_text().startswith("<svg")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "matrix.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["images"]) for row in rows if row["label"] != row["predicted"]) == 27


def test_axe_finds_nothing_serious(open_page: Open) -> None:
    assert serious(open_page(f"/runs/demo/failures?label={PLANE}&predicted={BIRD}")) == []
