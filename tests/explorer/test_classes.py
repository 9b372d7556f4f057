"""The page of all classes: the table, sorted and searched by the service, and the confusion matrix."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest

from tests.explorer.axe import serious
from tests.explorer.conftest import Open, settled
from tests.explorer.pages import asked

pytestmark = pytest.mark.slow
ALL = "{ run { classes(orderBy: ACCURACY) { nodes { index name imageCount accuracy } } } }"
MATRIX = "{ run { confusionMatrix { classes { index name imageCount } cells { label predicted images } } } }"


def test_table_says_what_graphql_says(open_page: Open, service: str) -> None:
    page = open_page("/runs/demo/classes")
    page.locator("#classes").get_by_role("button", name="Right").click()
    page.wait_for_url("**/classes?sort=accuracy")
    settled(page)
    rows = page.locator("#classes tbody tr")
    nodes = asked(service, ALL)["run"]["classes"]["nodes"]
    assert rows.count() == len(nodes) == 6
    assert page.locator("#classes th[aria-sort=ascending]").inner_text().startswith("Right")
    for row, node in zip(rows.all(), nodes, strict=True):
        text = row.inner_text()
        right = round(node["accuracy"] * node["imageCount"])
        assert node["name"] in text
        assert f"{right} of {node['imageCount']}" in text
        assert f"{node['accuracy']:.1%}".replace("%", " %") in text
    rows.first.get_by_role("link", name=nodes[0]["name"], exact=True).click()
    page.wait_for_url(f"**/class/{nodes[0]['index']}")
    page.go_back()
    page.wait_for_url("**/classes?sort=accuracy")


def test_classes_are_searched(open_page: Open) -> None:
    page = open_page("/runs/demo/classes?search=oa")
    assert page.locator("#classes tbody tr").count() == 1
    page.get_by_role("searchbox", name="find classes by name or key").fill("nothing such")
    page.get_by_text("No class is called nothing such.").wait_for()
    assert page.url.endswith("search=nothing+such")


def test_matrix_says_what_graphql_says_and_opens_images(open_page: Open, service: str) -> None:
    page = open_page("/runs/demo/classes")
    matrix = asked(service, MATRIX)["run"]["confusionMatrix"]
    names = [one["name"] for one in matrix["classes"]]
    texts = page.locator("#matrix .cell").evaluate_all(
        "cells => cells.map((cell) => [cell.getAttribute('aria-label'), cell.querySelector('text').textContent])"
    )
    cells = {re.sub(r": .*", "", says): int(images) for says, images in texts}
    ends: dict[Any, str] = dict(enumerate(names)) | {None: "other classes"}
    assert cells == {
        f"{ends[cell['label']]} predicted as {ends[cell['predicted']]}": cell["images"] for cell in matrix["cells"]
    }
    wrong = [cell for cell in matrix["cells"] if None not in (cell["label"], cell["predicted"])]
    wrong = [cell for cell in wrong if cell["label"] != cell["predicted"]]
    most = max(wrong, key=lambda cell: cell["images"])
    label, predicted = (matrix["classes"][most[end]] for end in ("label", "predicted"))
    page.locator(f"#matrix .cell[aria-label^='{label['name']} predicted as {predicted['name']}:']").click()
    page.wait_for_url(f"**/classes?label={label['index']}&predicted={predicted['index']}")
    settled(page)
    assert page.locator("#cell .strip li").count() == most["images"]
    assert page.locator("#cell h2").inner_text().endswith(f"{most['images']} of {label['imageCount']} images")
    why = page.locator("#cell").get_by_role("link", name="Why: their failures").get_attribute("href")
    assert why == f"/runs/demo/failures?label={label['index']}&predicted={predicted['index']}"
    page.locator("#cell .strip a").first.click()
    page.wait_for_url("**/runs/demo/image/*")


def test_the_matrix_stands_alone(open_page: Open) -> None:
    page = open_page("/runs/demo/classes?embed=matrix")
    assert page.locator(".panel").count() == 1
    with page.context.expect_page() as opened:
        page.locator("#matrix .cell").first.click()
    assert "/runs/demo/classes?label=" in opened.value.url
    assert page.url.endswith("?embed=matrix")


def test_a_thousand_classes_come_as_they_are_scrolled(open_page: Open, bare_service: str) -> None:
    page = open_page(f"{bare_service}/runs/bare/classes?sort=accuracy")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "graphql" in request.url else None)
    box = page.locator("#classes .table")
    assert box.locator("table").get_attribute("aria-rowcount") == "1000"
    assert page.locator("#classes tbody tr").count() < 100
    box.evaluate("box => box.scrollTop = box.scrollHeight")
    page.get_by_text("200 of 1,000 shown").wait_for()
    settled(page)
    assert len(requests) == 1
    assert box.evaluate("box => box.scrollTop") > 1000  # the place stays while rows are added
    assert page.locator("#classes tbody tr").count() < 100
    requests.clear()
    page.get_by_role("searchbox", name="find classes by name or key").fill("class 999")
    page.wait_for_function("() => document.querySelectorAll('#classes tbody tr').length === 1")
    assert len(requests) == 1
    # Fifty classes: each name whole on hover, and nothing wider than its place.
    assert page.locator("#matrix .cell").count() > 50
    assert page.locator("#matrix .matrix").evaluate("box => box.scrollWidth <= box.clientWidth")


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_no_serious_fault(open_page: Open, width: int, theme: Literal["light", "dark"]) -> None:
    page = open_page("/runs/demo/classes?label=5&predicted=1", width=width, theme=theme)
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
