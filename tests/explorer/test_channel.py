"""The page of a channel: every click, and its numbers against GraphQL's."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from evigraph.indexer.evidence.method import Method
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from tests.explorer.axe import serious
from tests.explorer.conftest import Open, running, settled
from tests.indexer.test_overlaps import settings_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.slow
CHANNEL = "/runs/demo/channel/conv4_3/15"
PANELS = ("card", "classes", "patches", "context", "feeds", "fed", "alike", "verification")
DRAWN = """[...document.querySelectorAll('#patches .patch img')].slice(0, 4)
    .every(image => image.complete && image.naturalWidth > 0)"""
FILTERED = """support { nodes { class { index name } } }
    peaks(class: "bird", first: 16) { nodes { contribution } } supports(class: "bird") { nodes { decisions } }"""
PEAKS = """peaks(first: 2) { nodes { y x box { x y width height } cropUrl mapUrl guidedUrl
    decision { role } image { index uri } } }"""
NEIGHBOURS = "nodes { decisions rate meanShare channel { index layer { name } } }"
MEASURED = "contextLabels(first: 10) { nodes { label peak { lift low high } activation { lift } } }"
WITH_MASKS = """query ($layer: String!) { run { channelSupport(layer: $layer) {
    nodes { channel { index alike(by: MASKS) { likeness } } } } } }"""
TESTS = "verification { method tested corrected tooLarge control { tested corrected p } }"


def ask(service: str, fields: str) -> dict[str, Any]:
    """Fields of the channel that the tests look at, from the service itself."""
    query = f'{{ run(name: "demo") {{ channel(layer: "conv4_3", index: 15) {{ {fields} }} }} }}'
    answer = httpx.post(f"{service}/graphql", json={"query": query}).json()
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["run"]["channel"]
    return found


def until(page: Page, condition: str) -> None:
    """Wait until JavaScript is true of the page."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"not true after 10 s: {condition}")


def texts(place: Locator) -> list[str]:
    """The text of each element, in one line."""
    return [re.sub(r"\s+", " ", text).strip() for text in place.all_inner_texts()]


def figure(value: float) -> str:
    """Three significant digits, as the pages show numbers."""
    return f"{float(f'{value:.3g}'):g}"


def part(row: dict[str, Any]) -> str:
    """Decisions with their denominator."""
    return f"{row['decisions']} of {round(row['decisions'] / row['rate'])}"


def saved(page: Page, panel: str, tmp_path: Path) -> list[dict[str, str]]:
    """The rows of a panel's CSV."""
    with page.expect_download() as download:
        page.locator(f"#{panel}").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / f"{panel}.csv")
    with (tmp_path / f"{panel}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_card_has_the_degree_and_its_place(open_page: Open, service: str) -> None:
    fields = "discriminativeDegree degreeRank { edges lower channels } peaks(first: 64) { nodes { image { label { name"
    wanted = ask(service, f"{fields} }} }} }} }}")
    text = " ".join(texts(open_page(CHANNEL).locator("#card")))
    rank = wanted["degreeRank"]
    assert f"{figure(wanted['discriminativeDegree'])} of {rank['edges']} edges" in text
    percent = f"{100 * rank['lower'] / rank['channels']:.0f} %"
    assert f"Higher than {percent} of conv4_3's channels ({rank['lower']} of {rank['channels']}" in text
    labels = [peak["image"]["label"]["name"] for peak in wanted["peaks"]["nodes"]]
    most = max(set(labels), key=labels.count)
    assert f"{labels.count(most)} of {len(labels)} strongest places lie in images labelled {most}" in text


def test_classes_and_neighbours_lead_on(open_page: Open, service: str) -> None:
    support = "support(first: 10) { nodes { class { index name } decisions rate } }"
    wanted = ask(service, f"{support} supporters(first: 10) {{ {NEIGHBOURS} }} supports(first: 10) {{ {NEIGHBOURS} }}")
    classes = wanted["support"]["nodes"]
    page = open_page(CHANNEL)
    assert texts(page.locator("#classes .bar-list li")) == [f"{row['class']['name']} {part(row)}" for row in classes]
    for panel, name in (("feeds", "supporters"), ("fed", "supports")):
        assert texts(page.locator(f"#{panel} .bar-list li")) == [
            f"{row['channel']['layer']['name']} {row['channel']['index']} {part(row)} · "
            f"share {figure(row['meanShare'])}"
            for row in wanted[name]["nodes"]
        ]
    page.locator("#classes .bar-list a").first.click()
    page.wait_for_url(f"**/runs/demo/class/{classes[0]['class']['index']}?layer=conv4_3")
    page.go_back()
    page.locator("#feeds .bar-list a").first.click()
    below = wanted["supporters"]["nodes"][0]["channel"]
    page.wait_for_url(f"**/runs/demo/channel/{below['layer']['name']}/{below['index']}")


def test_a_patch_shows_its_image_and_leads_to_its_node(open_page: Open, service: str) -> None:
    first, second = ask(service, PEAKS)["peaks"]["nodes"]
    page = open_page(CHANNEL)
    patches, name = page.locator("#patches .patch"), page.locator("#patches .whole-image figcaption a").first
    assert patches.count() == 16
    assert name.inner_text() == Path(first["image"]["uri"]).name
    patches.nth(1).hover()
    assert name.inner_text() == Path(second["image"]["uri"]).name
    found = (page.locator(f"#patches .whole-image {of}").bounding_box() for of in ("img", ".field-outline"))
    picture, outline = (cast(dict[str, float], box) for box in found)
    for at, along in (("x", "width"), ("y", "height")):
        assert outline[at] == pytest.approx(picture[at] + second["box"][at] * picture[along], abs=1.5)
        assert outline[along] == pytest.approx(second["box"][along] * picture[along], abs=1.5)
    for button, state, url in (
        ("Activation", "map", "mapUrl"),
        ("Guided", "guided", "guidedUrl"),
        ("Crop", "", "cropUrl"),
    ):
        page.locator("#patches").get_by_role("button", name=button).click()
        assert (f"picture={state}" in page.url) if state else ("picture" not in page.url)
        assert patches.first.locator("img").get_attribute("src") == first[url]
        until(page, DRAWN)
    patches.nth(1).locator("a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/demo/image/{second['image']['index']}?*")
    assert f"focus=conv4_3:15:{second['y']}:{second['x']}" in page.url
    assert f"root={second['decision']['role'].lower()}" in page.url


def test_the_class_filters_what_is_of_decisions(open_page: Open, service: str, tmp_path: Path) -> None:
    page = open_page(CHANNEL)
    page.get_by_role("combobox", name="class whose decisions count").select_option("bird")
    settled(page)
    wanted = ask(service, FILTERED)
    (bird,) = (row["class"]["index"] for row in wanted["support"]["nodes"] if row["class"]["name"] == "bird")
    assert f"class={bird}" in page.url
    for panel, name, column in (("patches", "peaks", "contribution"), ("fed", "supports", "decisions")):
        stored = [row[column] for row in wanted[name]["nodes"]]
        assert [float(row[column]) for row in saved(page, panel, tmp_path)] == stored
        assert "for bird" in page.locator(f"#{panel} h2").inner_text()
    page.go_back()
    settled(page)
    assert "for bird" not in page.locator("#patches h2").inner_text()
    served = {row["class"]["index"] for row in wanted["support"]["nodes"]}
    other = min(set(range(6)) - served)
    page = open_page(f"{CHANNEL}?class={other}")
    assert "No decision for" in page.locator("#patches").inner_text()
    assert page.locator("#fed").count() == 0
    page.get_by_role("link", name="Look at every class").click()
    page.locator("#fed .bar-list li").first.wait_for()


def test_context_labels_and_verification_as_stored(open_page: Open, service: str, tmp_path: Path) -> None:
    wanted = ask(service, f"{MEASURED} {TESTS}")
    page = open_page(CHANNEL)
    rows = saved(page, "context", tmp_path)
    labels = wanted["contextLabels"]["nodes"]
    assert [row["label"] for row in rows] == [row["label"] for row in labels]
    for row, label in zip(rows, labels, strict=True):
        for name in ("lift", "low", "high"):
            assert row[f"peak_{name}"] == "" or float(row[f"peak_{name}"]) == label["peak"][name]
            assert (row[f"peak_{name}"] == "") == (label["peak"][name] is None)
    drawn = [measure for label in labels for measure in (label["peak"], label["activation"]) if measure["lift"]]
    assert page.locator("#context svg circle").count() == len(drawn) > 8
    rows = saved(page, "verification", tmp_path)
    assert [(row["method"], row["tested"], row["corrected"], row["control_corrected"]) for row in rows] == [
        (test["method"], str(test["tested"]), str(test["corrected"]), str(test["control"]["corrected"]))
        for test in wanted["verification"]
    ]
    text = page.locator("#verification").inner_text()
    for test in wanted["verification"]:
        assert f"{test['corrected']} of {test['tested']}" in text
        assert figure(test["control"]["p"]) in text
    assert any(test["tooLarge"] for test in wanted["verification"])
    assert "Left out, since they hid more than half of the image" in text


def test_alike_channels_and_their_group(open_page: Open, service: str) -> None:
    of_groups = "group(threshold: 0.9) { channels { index } } low: group(threshold: 0.5) { size }"
    wanted = ask(service, f"alike {{ likeness channel {{ index }} }} {of_groups}")
    page = open_page(CHANNEL)
    panel = page.locator("#alike")
    assert texts(panel.locator(".bar-list li")) == [
        f"conv4_3 {row['channel']['index']} {figure(row['likeness'])}" for row in wanted["alike"]
    ]
    members = [str(one["index"]) for one in wanted["group"]["channels"]]
    assert texts(panel.locator(".group-channels li")) == members
    panel.get_by_role("slider").fill("0.5")
    settled(page)
    assert "threshold=0.5" in page.url
    panel.get_by_text(f"One of {wanted['low']['size']} channels").wait_for()
    panel.get_by_role("button", name="Masks").click()
    assert "alike=masks" in page.url
    panel.get_by_text("--overlaps").wait_for()
    panel.get_by_role("button", name="Edges").click()
    panel.locator(".bar-list a").first.click()
    page.wait_for_url(f"**/runs/demo/channel/conv4_3/{wanted['alike'][0]['channel']['index']}*")


def test_from_channel_to_channel(open_page: Open) -> None:
    page = open_page(f"{CHANNEL}?class=0")
    page.get_by_role("link", name="Next channel").click()
    page.wait_for_url("**/conv4_3/16?class=0")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/conv4_3/15?class=0")
    strongest = page.get_by_role("combobox", name="strongest channels of conv4_3")
    value = strongest.locator("option").nth(2).get_attribute("value")
    strongest.select_option(value)
    page.wait_for_url(f"**/conv4_3/{value}?class=0")


def test_what_is_no_channel_is_told(open_page: Open) -> None:
    page = open_page("/runs/demo/channel/logits/1")
    assert page.get_by_role("link", name="class 1").get_attribute("href") == "/runs/demo/class/1"
    for address in ("conv4_3/99", "conv9_9/1", "conv4_3/x"):
        assert open_page(f"/runs/demo/channel/{address}").get_by_role("alert").count() == 1, address


def test_each_panel_stands_alone(open_page: Open) -> None:
    for panel in PANELS:
        page = open_page(f"{CHANNEL}?embed={panel}")
        assert page.locator(".panel").count() == 1
        assert page.locator(f"#{panel} h2").count() == 1
        assert page.locator(f"#{panel} .panel-body").inner_text() != ""


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_readable_by_everyone(open_page: Open, width: int, theme: str) -> None:
    page = open_page(CHANNEL, width=width, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert serious(page) == []


def test_a_switch_takes_less_than_a_blink(open_page: Open) -> None:
    page = open_page(CHANNEL)
    started = time.perf_counter()
    page.locator("#patches").get_by_role("button", name="Activation").click()
    page.locator("#patches .patch img[src*='/maps/']").first.wait_for()
    assert time.perf_counter() - started < 1.0  # 200 ms are wanted, on a machine that does nothing else


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over a run with overlaps, and without pictures, maps, tests or semantic maps."""
    folder = tmp_path_factory.mktemp("bare")
    index(settings_of(folder, run=folder / "run", limit=12, method=Method(top_n=4, overlaps=True)))
    publish([folder / "run"], folder / "evidence.duckdb")
    with running(folder / "evidence.duckdb") as url:
        yield url


def test_a_bare_run_says_what_would_add_what(open_page: Open, bare: str) -> None:
    address = f"{bare}/graphql"
    run = httpx.post(address, json={"query": "{ run { name layers { name } } }"}).json()["data"]["run"]
    layer = run["layers"][1]["name"]
    found = httpx.post(address, json={"query": WITH_MASKS, "variables": {"layer": layer}}).json()["data"]["run"]
    channels = (row["channel"] for row in found["channelSupport"]["nodes"])
    index_ = next(channel["index"] for channel in channels if channel["alike"])
    page = open_page(f"{bare}/runs/{run['name']}/channel/{layer}/{index_}")
    options = {"patches": "--thumbnails", "context": "semantic map", "verification": "--verify wrong"}
    for panel, option in options.items():
        assert option in page.locator(f"#{panel}").inner_text(), panel
    assert page.locator("#patches tbody tr").count() > 5
    page.locator("#alike").get_by_role("button", name="Masks").click()
    page.locator("#alike .bar-list li").first.wait_for()
    assert re.search(r"\d+ of \d+ that keep \d+", page.locator("#alike").inner_text())
