"""The page of an image: what it shows is what GraphQL says, every click and key, files, and what runs lack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from PIL import Image

from evigraph.indexer.demo import MODEL
from evigraph.indexer.demo.model import OPTIONS
from evigraph.indexer.publish.publish import publish
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from tests.explorer.axe import serious
from tests.explorer.conftest import Open, running, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.slow
FAILURE = "/runs/demo/image/24"
"""A boat on grass that is taken for a cow."""
RIGHT = "/runs/demo/image/0"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def answer(browser: Browser, service: str) -> dict[str, Any]:
    """The image of `FAILURE`, each decision's edges with the keys of their nodes."""
    query = """{ run { image(index: 24) { uri decisions { role probability logit class { name } evidence {
      nodes { layer channel y x importance feature } edges { target source share rank contribution activation
      contextLabel contextLabelAtPeak verification { method fill logitChange control { logitChange } } } } }
      following(outcome: WRONG) { index } alike: following(sameLabel: true, first: 8) { index } } } }"""
    request = browser.new_context().request
    found: dict[str, Any] = request.post(f"{service}/graphql", data={"query": query}).json()["data"]["run"]["image"]
    for decision in found["decisions"]:
        keys = [":".join(str(node[name]) for name in ("layer", "channel", "y", "x")) for node in _nodes(decision)]
        decision["importance"] = dict(zip(keys, (node["importance"] for node in _nodes(decision)), strict=True))
        decision["edges"] = [
            edge | {"target": keys[edge["target"]], "source": keys[edge["source"]]}
            for edge in decision["evidence"]["edges"]
        ]
    return found


def _nodes(decision: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = decision["evidence"]["nodes"]
    return found


def state(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def card(page: Page, key: str) -> Locator:
    return page.locator(f'.pyramid [data-id="{key}"]')


def focus(page: Page, key: str) -> None:
    """Click a card, on its name: the browser counts what pictures hide to its box."""
    card(page, key).locator("text.name, text.class").first.click()


def row(page: Page, layer: str) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        f'.pyramid .card[data-id^="{layer}:"]', "cards => cards.map((card) => card.dataset.id)"
    )
    return found


def test_rows_stand_in_order_of_importance(open_page: Open, answer: dict[str, Any]) -> None:
    page = open_page(FAILURE)
    (predicted, _) = answer["decisions"]
    for layer in ("conv5_3", "conv4_3", "conv3_3"):
        keys = sorted(
            (key for key in predicted["importance"] if key.startswith(layer)),
            key=lambda key: -predicted["importance"][key],
        )
        drawn = row(page, layer)
        assert drawn == keys[: len(drawn)]
        for key in drawn:
            shown = card(page, key).locator("text.value").last.inner_html()
            assert float(shown.split()[0]) == pytest.approx(100 * predicted["importance"][key], abs=0.5)
    rest = page.locator(".pyramid .rest").first
    left = 1 - sum(value for key, value in predicted["importance"].items() if key.startswith("conv5_3"))
    assert f"rest {100 * left:.0f} %" in (rest.text_content() or "")
    assert "cow" in (card(page, "logits:4:0:0").text_content() or "")


def test_the_switch_of_roots(open_page: Open, answer: dict[str, Any]) -> None:
    page = open_page(FAILURE)
    predicted, label = ({key for key in one["importance"] if "conv5_3" in key} for one in answer["decisions"])
    page.get_by_role("button", name="label: boat").click()
    assert set(row(page, "conv5_3")) == label
    assert state(page) == {"root": "label"}
    page.get_by_role("button", name="both", exact=True).click()
    assert set(row(page, "conv5_3")) == predicted | label
    for key in predicted | label:  # half of each hue where both hold it
        hues = card(page, key).locator(".frame").evaluate_all("all => all.map((one) => one.classList[1])")
        assert sorted(hues) == sorted(["predicted"] * (key in predicted) + ["label"] * (key in label))
    page.go_back()
    assert set(row(page, "conv5_3")) == label


def test_a_right_or_unlabelled_image_has_no_switch(open_page: Open) -> None:
    page = open_page(RIGHT)
    assert page.get_by_role("group", name="explain").count() == 0
    assert "right" in page.locator(".facts").inner_text()


def test_hovering_leaves_the_paths_of_the_nearest(open_page: Open, answer: dict[str, Any]) -> None:
    page = open_page(FAILURE, height=1400)
    (predicted, _) = answer["decisions"]
    source = row(page, "conv4_3")[0]
    box = card(page, source).locator(".ground").bounding_box()
    assert box is not None
    assert page.locator(".lit path").count() == 0
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] + 20)  # 20 px below it
    lit = page.locator(".lit path:not(.veil)")
    drawn = {
        key for layer in ("logits", "conv5_3", "conv4_3", "conv3_3", "conv2_2", "conv1_2") for key in row(page, layer)
    }
    on_paths = _paths([edge for edge in predicted["edges"] if {edge["target"], edge["source"]} <= drawn], source)
    assert lit.count() == on_paths
    assert page.locator(".lit .veil").count() == 1
    page.mouse.move(5, 5)
    assert page.locator(".lit path").count() == 0
    focus(page, row(page, "conv5_3")[0])  # while another is hovered the one in focus is not lit
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    assert page.locator(".lit.covered").count() == 1
    assert page.locator(".sheet .lit path:not(.veil)").count() == on_paths


def _paths(edges: list[dict[str, Any]], middle: str) -> int:
    """Edges above a node that lead to it, and below that come from it."""
    count = 0
    for here, there in (("source", "target"), ("target", "source")):
        reached, found = {middle}, set()
        for _ in range(6):
            found |= {(edge["target"], edge["source"]) for edge in edges if edge[here] in reached}
            reached |= {edge[there] for edge in edges if edge[here] in reached}
        count += len(found)
    return count


def test_the_inspector_has_the_numbers_of_the_answer(open_page: Open, answer: dict[str, Any]) -> None:
    page = open_page(FAILURE)
    (predicted, _) = answer["decisions"]
    edge = next(one for one in predicted["edges"] if one["verification"] and one["target"].startswith("conv5_3"))
    focus(page, edge["source"])
    assert state(page)["focus"] == edge["source"]
    inspector = page.get_by_role("complementary", name="inspector")
    layer, channel, *place = edge["source"].split(":")
    assert inspector.get_by_role("heading").first.inner_text() == f"{layer} {channel}"
    figures = inspector.locator("dl.figures").inner_text().replace("\n", " ")
    into = max((one for one in predicted["edges"] if one["source"] == edge["source"]), key=_weight(predicted))
    for name in ("contribution", "activation"):
        assert f"{into[name]:.3g}" in figures
    assert f"{', '.join(place)} of 12 × 12" in figures
    assert into["contextLabel"] in figures
    below = [one for one in predicted["edges"] if one["target"] == edge["source"]]
    for one in below:
        name = " ".join(one["source"].split(":")[:2])
        assert inspector.get_by_role("button", name=name, exact=True).count() >= 1
    tested = inspector.locator(".tested tbody tr")
    test = next(one for one in predicted["edges"] if one["source"] == edge["source"] and one["verification"])
    assert tested.count() == len(test["verification"])
    removed = next(one for one in test["verification"] if one["method"] == "REMOVE")
    text = tested.first.inner_text().replace("−", "-")
    assert f"{removed['logitChange']:.3g}" in text
    assert f"{removed['control']['logitChange']:.3g}" in text
    inspector.get_by_role("button", name=" ".join(below[0]["source"].split(":")[:2]), exact=True).first.click()
    assert state(page)["focus"].startswith("conv3_3:")
    inspector.get_by_role("link", name="The channel over all images").click()
    page.wait_for_url("**/runs/demo/channel/conv3_3/*")


def _weight(decision: dict[str, Any]) -> Any:
    return lambda edge: edge["share"] * decision["importance"][edge["target"]]


def test_keys_walk_pin_group_and_clear(open_page: Open) -> None:
    page = open_page(FAILURE)
    focus(page, "logits:4:0:0")
    first, second = row(page, "conv5_3")[:2]
    page.keyboard.press("ArrowDown")
    assert state(page)["focus"] == first
    page.keyboard.press("p")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("p")
    assert state(page)["pins"] == f"{first},{second}"
    pins = page.get_by_role("group", name="pinned nodes and groups")
    assert pins.locator(".chip").count() == 2
    total = sum(float(card(page, key).locator("text.value").last.inner_html().split()[0]) for key in (first, second))
    page.keyboard.press("g")
    page.keyboard.type("hull, or sail")
    page.keyboard.press("Enter")
    assert "pins" not in state(page)
    group = card(page, "conv5_3:=hull, or sail")
    assert float(group.locator("text.value").last.inner_html().split()[0]) == pytest.approx(total, abs=1)
    page.reload()
    settled(page)
    assert group.count() == 1
    focus(page, "conv5_3:=hull, or sail")
    assert "Group of 2 nodes" in _seen(page.get_by_role("complementary", name="inspector"))
    page.keyboard.press("Escape")
    assert set(state(page)) == {"groups"}
    page.keyboard.press("Escape")
    assert state(page) == {}
    assert row(page, "conv5_3")[:2] == [first, second]


def _seen(place: Locator) -> str:
    """The text of a place without the explanations that show when hovered."""
    text: str = place.evaluate("""(element) => {
      const copy = element.cloneNode(true);
      for (const one of copy.querySelectorAll('.term-says')) one.remove();
      return copy.textContent;
    }""")
    return text


def test_sliders_and_rows_that_open(open_page: Open, answer: dict[str, Any]) -> None:
    page = open_page(FAILURE)
    (predicted, _) = answer["decisions"]
    page.get_by_role("slider", name="Layers").fill("2")
    assert state(page) == {"depth": "2"}
    assert row(page, "conv3_3") == []
    page.get_by_role("slider", name="Edges of a node").fill("1")
    assert len(row(page, "conv5_3")) == 1
    page.goto(page.url.split("?")[0])
    settled(page)
    folded = row(page, "conv4_3")
    more = page.locator(".rest.opens").first
    hidden = int((more.locator(".more").text_content() or "").split()[0])
    more.click()
    assert state(page) == {"open": "conv4_3"}
    every = [key for key in predicted["importance"] if key.startswith("conv4_3")]
    assert len(row(page, "conv4_3")) == len(folded) + hidden == len(every)
    page.get_by_role("slider", name="Least importance").fill("6")  # 5 %
    assert len(row(page, "conv4_3")) == sum(predicted["importance"][key] >= 0.05 for key in every)
    assert "hidden" in (page.locator(".rest").nth(1).text_content() or "")


def test_what_is_in_focus_is_always_drawn(open_page: Open, answer: dict[str, Any]) -> None:
    page = open_page(FAILURE)
    weakest = list(answer["decisions"][0]["importance"])[-1]
    assert weakest not in row(page, "conv1_2")
    page.goto(f"{page.url}?focus={weakest}")
    settled(page)
    assert weakest in row(page, "conv1_2")
    page.goto(f"{page.url.split('?')[0]}?focus=conv4_3:47:0:0")
    settled(page)
    assert "no evidence" in page.get_by_role("complementary", name="inspector").inner_text()


def test_the_picture_large_with_the_activation(open_page: Open) -> None:
    page = open_page(FAILURE)
    focus(page, row(page, "conv4_3")[0])
    page.get_by_role("button", name="Show the picture large").click()
    dialog = page.get_by_role("dialog")
    assert "/maps/" in (dialog.locator("image").get_attribute("href") or "")
    assert dialog.locator("rect.field").count() == 1
    dialog.get_by_role("button", name="Picture").click()
    assert "/images/24" in (dialog.locator("image").get_attribute("href") or "")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert set(state(page)) == {"focus"}


def test_cards_show_fields_maps_or_the_whole(open_page: Open) -> None:
    page = open_page(FAILURE)
    image = card(page, row(page, "conv4_3")[0]).locator("image")
    assert "/maps/" in (image.get_attribute("href") or "")
    page.get_by_role("button", name="Field", exact=True).click()
    assert "/crops/" in (image.get_attribute("href") or "")
    page.get_by_role("button", name="Whole picture").click()
    assert "/maps/" in (image.get_attribute("href") or "")
    assert card(page, row(page, "conv4_3")[0]).locator("rect.field").count() == 1


def test_the_drawing_as_files(open_page: Open, tmp_path: Path) -> None:
    """As it is seen, with all it needs inside."""
    page = open_page(f"{FAILURE}?root=both&focus=conv5_3:20:3:2")
    panel = page.locator("#pyramid")
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            panel.get_by_role("button", name=kind).click()
        download.value.save_as(tmp_path / f"tree.{kind.lower()}")
    drawing = ElementTree.fromstring((tmp_path / "tree.svg").read_text(encoding="utf-8"))
    images = [element.get("href", "") for element in drawing.iter(f"{SVG}image")]
    assert len(images) == page.locator(".pyramid image").count() > 20
    assert all(url.startswith("data:image/") for url in images)
    texts = {"".join(element.itertext()) for element in drawing.iter(f"{SVG}text")}
    assert {"boat", "cow"} <= texts
    (veil,) = (one for one in drawing.iter(f"{SVG}path") if one.get("class") == "veil")
    assert veil.get("fill-opacity") == "0.85"
    with Image.open(tmp_path / "tree.png") as picture:
        width, height = picture.size
        colours = picture.convert("RGB").getcolors(width * height)
    assert colours is not None
    assert len(colours) > 1000
    box = page.locator("svg[data-picture]").bounding_box()
    assert box is not None
    assert abs(width - 2 * box["width"]) <= 2


def test_where_to_go_from_here(open_page: Open, answer: dict[str, Any]) -> None:
    page = open_page(FAILURE)
    links = page.locator("#near ul.near:not(.failures) a").evaluate_all("all => all.map((one) => one.pathname)")
    assert [f"/runs/demo/image/{one['index']}" for one in answer["alike"]] == links[-len(answer["alike"]) :]
    page.get_by_role("link", name="Next failure").click()
    page.wait_for_url(f"**/runs/demo/image/{answer['following'][0]['index']}")
    page.get_by_role("link", name="Previous failure").click()
    page.wait_for_url(f"**{FAILURE}")


def test_a_view_is_one_request(open_page: Open, browser: Browser, service: str) -> None:
    page = open_page("/runs/demo")
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.post_data or "") if one.url.endswith("/graphql") else None)
    page.goto(f"{service}{FAILURE}?root=both")
    settled(page)
    assert [json.loads(body)["query"].split("(")[0] for body in asked] == ["query Runs {\n  runs", "query Image"]
    sizes = browser.new_context().request.post(f"{service}/graphql", data=json.loads(asked[1]))
    assert len(sizes.body()) < 500_000


def test_a_global_id_leads_to_the_index(open_page: Open, browser: Browser, service: str) -> None:
    query = "{ run { id image(index: 24) { id } } }"
    run = browser.new_context().request.post(f"{service}/graphql", data={"query": query}).json()["data"]["run"]
    found = open_page(f"/runs/demo/image/{run['image']['id']}?root=label")
    found.wait_for_url("**/runs/demo/image/24?root=label")
    assert "the id of no image" in open_page(f"/runs/demo/image/{run['id']}").locator("main").inner_text()
    missing = open_page("/runs/demo/image/100000", allow_errors=True)
    assert "100000" in missing.get_by_role("alert").inner_text()


def test_the_pyramid_stands_alone(open_page: Open) -> None:
    page = open_page(f"{FAILURE}?embed=pyramid")
    assert page.locator("svg[data-picture]").count() == 1
    assert page.locator(".panel").count() == 1
    assert page.get_by_role("complementary").count() == 0


def test_on_a_narrow_screen_the_inspector_slides_up(open_page: Open) -> None:
    page = open_page(FAILURE, width=390, height=844)
    inspector = page.get_by_role("complementary", name="inspector")
    assert not inspector.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    focus(page, row(page, "conv5_3")[0])
    box = inspector.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] == 844
    inspector.get_by_role("button", name="close").click()
    assert not inspector.is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: Open, theme: str) -> None:
    assert serious(open_page(f"{FAILURE}?root=both&focus=conv5_3:20:3:2&pins=conv5_3:8:4:2", theme=theme)) == []


@pytest.fixture(scope="module")
def bare(demo_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service over a run without labels, pictures, context and verification."""
    folder = tmp_path_factory.mktemp("bare")
    demo = demo_database.parent
    weights = Path(__file__).parents[2] / "indexer" / "demo" / "narrow_vgg16.safetensors"
    index(
        IndexSettings(
            model=MODEL,
            weights=str(weights),
            data=f"folder:{demo / 'scenes' / 'images'}",
            classes=demo / "classes.txt",
            run=folder / "run",
            name="bare",
            limit=4,
            execution=Execution(workers=0),
            preprocessing=OPTIONS,
        )
    )
    publish([folder / "run"], folder / "evidence.duckdb")
    with running(folder / "evidence.duckdb") as url:
        yield url


def test_a_run_without_pictures_is_useful(open_page: Open, bare: str) -> None:
    page = open_page(f"{bare}/runs/bare/image/3")
    assert "evigraph extend RUN --thumbnails 224 --maps" in page.locator("#pyramid").inner_text()
    assert page.locator(".pyramid image").count() == 0
    assert page.get_by_role("group", name="explain").count() == 0
    key = row(page, "conv5_3")[0]
    assert "at " in (card(page, key).text_content() or "")
    focus(page, key)
    inspector = _seen(page.get_by_role("complementary", name="inspector"))
    assert "contribution" in inspector
    assert "--verify" in inspector
    assert "has no label" in page.locator("#near").inner_text()
