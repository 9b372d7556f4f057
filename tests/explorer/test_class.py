"""The page of a class: its channels, what they lie on, the evidence graph, images and failures."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import pytest

from tests.explorer.axe import serious
from tests.explorer.conftest import Open, settled
from tests.explorer.pages import asked

pytestmark = pytest.mark.slow
PLANE = "/runs/demo/class/5"
SUPPORT = """query($layer: String!, $role: DecisionRole, $outcome: Outcome) { run {
  channelSupport(class: "index:5", layer: $layer, role: $role, outcome: $outcome, first: 10) {
    nodes { channel { index } decisions roots low high } } } }"""


@pytest.fixture(scope="module")
def plane(service: str) -> Any:
    query = """{ run { class(name: "index:5") {
        imageCount accuracy confusedWith { nodes { images predicted { index name } } } }
      contextLabels(class: "index:5", layer: "conv4_3") { nodes { label peak { lift images } } }
      evidenceGraph(class: "index:5", maxNodesPerLayer: 10) {
        decisions nodes { layer channel } edges { target source } paths(first: 30) { nodes } } } }"""
    return asked(service, query)["run"]


def _texts(page: Any, selector: str) -> list[list[str]]:
    """The texts of a drawing's rows, and of each what it says on hover."""
    found: list[list[str]] = page.locator(f"{selector} .row").evaluate_all(
        "rows => rows.map((row) => [...row.querySelectorAll('text, :scope > title')].map((one) => one.textContent))"
    )
    return found


CLICKS = [
    (None, "", {"layer": "conv4_3"}),
    ("Wrong", "?outcome=wrong", {"layer": "conv4_3", "outcome": "WRONG"}),
    ("Missed", "?role=label", {"layer": "conv4_3", "role": "LABEL"}),
    ("conv5_3", "?role=label&layer=conv5_3", {"layer": "conv5_3", "role": "LABEL"}),
]


def test_channels_are_those_of_graphql(open_page: Open, service: str) -> None:
    page = open_page(PLANE)
    for click, state, variables in CLICKS:
        if click:
            page.locator(".choices").get_by_role("button", name=click).click()
            page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
        assert page.url.endswith(PLANE + state)
        nodes = asked(service, SUPPORT, **variables)["run"]["channelSupport"]["nodes"]
        rows = _texts(page, "#support")
        assert len(nodes) > 2
        for (channel, decisions, _, says), node in zip(rows, nodes, strict=True):
            assert channel == str(node["channel"]["index"])
            assert decisions == f"{node['decisions']} of {node['roots']}"
            assert f"95 % interval {node['low'] * 100:.1f} % to {node['high'] * 100:.1f} %" in says
        assert page.locator("#support .row image").count() >= len(nodes)
    page.locator("#support .row a").first.click()
    page.wait_for_url(f"**/runs/demo/channel/conv5_3/{rows[0][0]}?class=5")
    page.go_back()
    page.locator("#support .row").first.wait_for()
    assert page.url.endswith(PLANE + state)


def test_more_channels_and_another_order(open_page: Open) -> None:
    page = open_page(PLANE)
    page.locator("#support").get_by_role("button", name=re.compile("10 of 20 channels")).click()
    page.wait_for_function("() => document.querySelectorAll('#support .row').length === 20")
    page.get_by_label("channels sorted by").select_option("share")
    page.wait_for_url("**?sort=share")
    page.wait_for_function("() => document.querySelectorAll('#support .row').length === 10")
    page.locator("#support summary").click()
    page.locator("#support td").first.wait_for()
    shares = [float(text.split()[0]) for text in page.locator("#support td:nth-child(5)").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 10


def test_head_and_context_say_what_graphql_says(open_page: Open, service: str, plane: Any) -> None:
    page = open_page(PLANE)
    facts = page.locator(".facts").inner_text()
    images = plane["class"]["imageCount"]
    assert f"{round(plane['class']['accuracy'] * images)} of {images} images right" in facts
    for one in plane["class"]["confusedWith"]["nodes"]:
        assert f"{one['predicted']['name']} {one['images']}" in facts
    rows = _texts(page, "#context")
    nodes = plane["contextLabels"]["nodes"]
    assert [row[0] for row in rows] == [node["label"] for node in nodes]
    for row, node in zip(rows, nodes, strict=True):
        assert float(row[1].rstrip("×")) == pytest.approx(node["peak"]["lift"], rel=0.006)
        assert row[2] == f"{node['peak']['images']} of {plane['evidenceGraph']['decisions']}"
    page.locator("#context").get_by_role("link", name="sky").click()
    page.wait_for_url("**/class/5?label=sky")
    settled(page)
    query = """{ run { channelsLocalizing(label: "sky", layer: "conv4_3", class: "index:5", first: 8) {
      nodes { channel { index } edges } } } }"""
    found = asked(service, query)["run"]["channelsLocalizing"]["nodes"]
    rows = _texts(page, "#localizing")
    assert [(row[0], row[2]) for row in rows] == [(str(one["channel"]["index"]), str(one["edges"])) for one in found]


def test_graph_is_that_of_graphql_and_lights_up(open_page: Open, plane: Any) -> None:
    page = open_page(PLANE)
    graph = plane["evidenceGraph"]
    page.locator("#graph .node").nth(1).focus()
    assert page.locator("#graph .over path").count() == len(_through(graph["edges"], 1))
    assert "of 60 decisions" in page.locator("#graph .pointed").inner_text()
    layers = [node["layer"] for node in graph["nodes"]]
    for key, layer in (("ArrowRight", "conv4_3"), ("ArrowDown", "conv4_3"), ("ArrowLeft", "conv5_3")):
        page.keyboard.press(key)
        assert page.evaluate("() => document.activeElement.getAttribute('aria-label')").startswith(layer)
    assert layers[1] == "conv5_3"
    assert page.locator("#graph .node").count() == len(graph["nodes"])
    assert page.locator("#graph .edges path").count() == len(graph["edges"])
    page.locator("#graph .paths li").first.hover()
    assert page.locator("#graph .over path").count() == len(graph["paths"][0]["nodes"]) - 1
    assert page.locator("#graph .node:not(.faded)").count() == len(graph["paths"][0]["nodes"])
    place = next(at for at, node in enumerate(graph["nodes"]) if node["layer"] == "conv4_3")
    circle = page.locator("#graph .node circle").nth(place)
    circle.scroll_into_view_if_needed()
    box = circle.bounding_box()
    assert box
    page.mouse.move(box["x"] - 4, box["y"] + box["height"] / 2)  # beside it
    page.wait_for_function("() => document.querySelector('#graph .pointed').textContent.startsWith('conv4_3')")
    assert page.locator("#graph .over path").count() == len(_through(graph["edges"], place))
    page.mouse.click(box["x"] - 4, box["y"] + box["height"] / 2)
    page.wait_for_url(f"**/channel/conv4_3/{graph['nodes'][place]['channel']}?class=5")


def _through(edges: list[dict[str, int]], node: int) -> set[int]:
    """Edges on paths through a node, by closure."""
    found: set[int] = set()
    for start, end in (("target", "source"), ("source", "target")):
        reached = {node}
        while True:
            new = {at for at, edge in enumerate(edges) if edge[start] in reached} - found
            if not new:
                break
            found |= new
            reached |= {edges[at][end] for at in new}
    return found


def test_thresholds_move_the_graph(open_page: Open, service: str) -> None:
    page = open_page(PLANE)
    page.get_by_label("most channels of each layer").fill("3")
    page.get_by_label("least part of the decisions").fill("0.5")
    page.wait_for_url("**?nodes=3&rate=0.5")
    query = '{ run { evidenceGraph(class: "index:5", minRate: 0.5, maxNodesPerLayer: 3) { nodes { layer } } } }'
    count = len(asked(service, query)["run"]["evidenceGraph"]["nodes"])
    page.wait_for_function(f"() => document.querySelectorAll('#graph .node').length === {count}")
    assert count < 17


def test_images_and_failures_lead_on(open_page: Open, plane: Any) -> None:
    page = open_page(PLANE)
    worst = plane["class"]["confusedWith"]["nodes"][0]
    link = page.locator("#failures").get_by_role("link", name=f"{worst['images']} of 66 images").first
    assert link.get_attribute("href") == f"/runs/demo/failures?label=5&predicted={worst['predicted']['index']}"
    assert page.locator("#images .strip").nth(1).locator("li").count() == 8
    page.locator("#images").get_by_role("button", name=re.compile("more")).click()
    page.wait_for_url("**?images=more")
    page.wait_for_function("() => document.querySelectorAll('#images .strip')[1].children.length === 9")
    page.locator("#images .strip").nth(1).locator("a").first.click()
    page.wait_for_url(re.compile(r"/runs/demo/image/\d+\?root=label$"))


def test_a_run_without_pictures_and_maps_says_what_would_add_them(open_page: Open, bare_service: str) -> None:
    page = open_page(f"{bare_service}/runs/bare/class/95")
    assert "This run has no semantic maps." in page.locator("#context").inner_text()
    assert "--thumbnails 224" in page.locator("#images").inner_text()
    assert page.locator("#support .row").count() > 0
    assert "--thumbnails 224" in page.locator("#support").inner_text()
    alone = open_page(f"{bare_service}/runs/bare/class/95?embed=graph")
    assert alone.locator(".panel h2").all_inner_texts() == ["Evidence graph of class 95"]
    assert alone.locator("#graph .node").count() > 5


def test_images_without_a_label_are_told_apart(open_page: Open, bare_service: str) -> None:
    images = asked(bare_service, "{ run { images(first: 100) { nodes { label { index } predicted { index } } } } }")
    node = next(node for node in images["run"]["images"]["nodes"] if node["label"] is None)
    page = open_page(f"{bare_service}/runs/bare/class/{node['predicted']['index']}")
    assert "Predicted as it, without a label: 1" in page.locator("#images h3").all_inner_texts()


def test_a_class_that_is_not_there(open_page: Open) -> None:
    page = open_page("/runs/demo/class/77")
    assert "77" in page.get_by_role("alert").inner_text()


def test_fewer_edges_cross_than_before(open_page: Open) -> None:
    """The layout of random graphs: the same nodes in each column, and never more crossings, counted pair by pair."""
    page = open_page("/")
    found = page.evaluate(
        """async () => {
          const { ordered } = await import("/static/explorer/lib/layered.js");
          let seed = 7;
          const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
          return [...Array(20)].map(() => {
            const columns = [...Array(5)].map((_, at) => [...Array(8)].map((_, down) => at * 8 + down));
            const edges = [...Array(60)].map(() => {
              const at = Math.floor(random() * 4);
              const [target, source] = [at * 8 + Math.floor(random() * 8), (at + 1) * 8 + Math.floor(random() * 8)];
              return { target, source, share: random() };
            });
            return { columns, edges, order: ordered(columns, edges) };
          });
        }"""
    )
    before, after = 0, 0
    for case in json.loads(json.dumps(found)):
        assert [sorted(column) for column in case["order"]] == case["columns"]
        counts = [_crossings(case[name], case["edges"]) for name in ("columns", "order")]
        assert counts[1] <= counts[0]
        before, after = before + counts[0], after + counts[1]
    assert after < 0.7 * before


def _crossings(columns: list[list[int]], edges: list[dict[str, int]]) -> int:
    place = {node: (at, down) for at, column in enumerate(columns) for down, node in enumerate(column)}
    ends = [(*place[edge["target"]], place[edge["source"]][1]) for edge in edges]
    return sum(a[0] == b[0] and (a[1] - b[1]) * (a[2] - b[2]) < 0 for at, a in enumerate(ends) for b in ends[at + 1 :])


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_no_serious_fault(open_page: Open, width: int, theme: Literal["light", "dark"]) -> None:
    page = open_page(PLANE, width=width, theme=theme)
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
