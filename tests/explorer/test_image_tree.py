"""The arithmetic of the image page, in the browser: rows against the service's own pyramid, the rest by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evigraph.graphapi.questions.pyramid import Pyramid, pyramid
from evigraph.graphapi.store.session import Session
from evigraph.local import asked

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
URI = "images/0024_boat_on_grass.png"
Call = Callable[..., Any]
LAYERS = ["upper", "lower"]
CHOICE = {"top": 9, "depth": 2, "least": 0, "fold": 99, "open": [], "keep": [], "groups": []}

WITH_MODULES = """async ([body, given]) => {
  const at = (name) => import(new URL(`static/explorer/pages/image/${name}.js`, document.baseURI).href);
  const [tree, layout, state] = await Promise.all(["tree", "layout", "state"].map(at));
  const choice = (one) => ({ ...one, open: new Set(one.open), keep: new Set(one.keep) });
  const plain = (value) => value instanceof Set ? [...value].sort() : value instanceof Map ? [...value] : value;
  const answer = new Function("tree", "layout", "state", "choice", "given", body)(tree, layout, state, choice, given);
  return JSON.parse(JSON.stringify(answer, (_, value) => plain(value)));
}"""
"""Calls a function body with the page's modules and `given`; sets come back as sorted lists."""


@pytest.fixture(scope="module")
def call(browser: Browser, service: str) -> Iterator[Call]:
    """`call(body, given)` gives what JavaScript returns."""
    page = browser.new_context(bypass_csp=True).new_page()
    page.goto(service)
    yield lambda body, given=None: page.evaluate(WITH_MODULES, [body, given])
    page.context.close()


@pytest.fixture(scope="module")
def image(browser: Browser, service: str) -> dict[str, Any]:
    """Both decisions of an image whose label was missed."""
    request = browser.new_context().request
    query = """query ($uri: String!) { run { layers { name } image(uri: $uri) { decisions { role evidence { truncated
      nodes { layer channel y x feature importance }
      edges { target source rank share importance contribution } } } } } }"""
    answer = request.post(f"{service}/graphql", data={"query": query, "variables": {"uri": URI}}).json()
    found: dict[str, Any] = answer["data"]["run"]
    return found


def decision(role: str, nodes: list[tuple[str, float]], edges: list[tuple[int, int, float]]) -> dict[str, Any]:
    """A decision from (layer and channel, importance) and (target, source, share)."""
    places = [(name.split(":")[0], int(name.split(":")[1]), importance) for name, importance in nodes]
    ranks: dict[int, int] = {}
    rows = []
    for target, source, share in edges:
        rank = ranks[target] = ranks.get(target, -1) + 1
        rows.append(
            {"target": target, "source": source, "share": share, "rank": rank, "importance": share * nodes[target][1]}
        )
    return {
        "role": role,
        "evidence": {
            "truncated": False,
            "nodes": [
                {"layer": layer, "channel": channel, "y": 0, "x": 0, "importance": importance, "feature": 1}
                for layer, channel, importance in places
            ],
            "edges": rows,
        },
    }


@pytest.fixture
def two() -> list[dict[str, Any]]:
    """Two roots that share upper channel 1 and lower channel 1.

    predicted -> 1 (0.5), 2 (0.25);  1 -> lower 1 (0.5), 2 (0.25);  2 -> lower 1 (0.5)
    label     -> 1 (0.25), 3 (0.125);  1 -> lower 1 (0.5);  3 -> lower 4 (0.5)
    """
    predicted = decision(
        "PREDICTED",
        [("logits:7", 1), ("upper:1", 0.5), ("upper:2", 0.25), ("lower:1", 0.375), ("lower:2", 0.125)],
        [(0, 1, 0.5), (0, 2, 0.25), (1, 3, 0.5), (1, 4, 0.25), (2, 3, 0.5)],
    )  # fmt: skip
    label = decision(
        "LABEL",
        [("logits:5", 1), ("upper:1", 0.25), ("upper:3", 0.125), ("lower:1", 0.125), ("lower:4", 0.0625)],
        [(0, 1, 0.25), (0, 2, 0.125), (1, 3, 0.5), (2, 4, 0.5)],
    )  # fmt: skip
    return [predicted, label]


ROWS = """const made = tree.merged(given.decisions, given.layers);
const chosen = choice(given.choice);
const rows = tree.rowsOf(made, chosen);
const links = tree.linksOf(made, rows, chosen);"""


def drawn(call: Call, decisions: list[dict[str, Any]], layers: list[str] = LAYERS, **choice: Any) -> dict[str, Any]:
    given = {"decisions": decisions, "layers": layers, "choice": CHOICE | choice}
    found: dict[str, Any] = call(f"{ROWS} return {{ rows, links }};", given)
    return found


@pytest.mark.parametrize("role", ["predicted", "label"])
@pytest.mark.parametrize(("top", "depth", "nodes"), [(3, 5, 5), (2, 4, 40), (1, 2, 3)])
def test_rows_are_those_of_the_services_pyramid(
    call: Call, demo_database: Path, image: dict[str, Any], role: str, top: int, depth: int, nodes: int
) -> None:
    async def ask(session: Session) -> Pyramid:
        return await pyramid(session, session.runs[0], URI, role, top=top, depth=depth, nodes=nodes)

    with ThreadPoolExecutor(1) as thread:  # Playwright has this thread's event loop
        expected = thread.submit(asked, demo_database, ask).result()
    layers = [layer["name"] for layer in reversed(image["layers"][:-1])]
    (one,) = (each for each in image["image"]["decisions"] if each["role"] == role.upper())
    found = drawn(call, [one], layers, top=top, depth=depth, fold=nodes)
    assert len(found["rows"]) == len(expected.rows) == depth + 1
    assert len(found["links"]) == sum(len(row.links) for row in expected.rows)
    for mine, row in zip(found["rows"], expected.rows, strict=True):
        keys = {":".join(map(str, (row.layer.name, *node.key[1:]))) for node in row.nodes}
        assert {cell["id"] for cell in mine["cells"]} == keys
        (rest,) = mine["rest"]
        assert rest["all"] == pytest.approx(row.rest, abs=1e-5)
        assert rest["notKept"] == pytest.approx(row.not_kept if mine["depth"] else 0, abs=1e-5)
        assert rest["hidden"] + rest["folded"] == pytest.approx(row.not_drawn, abs=1e-5)
        assert mine["nodeCount"] == len(mine["cells"]) + mine["foldedCount"] + mine["hiddenCount"]


def test_two_roots_are_one_tree(call: Call, two: list[dict[str, Any]]) -> None:
    found = drawn(call, two)
    classes, upper, lower = found["rows"]
    assert [cell["id"] for cell in classes["cells"]] == ["logits:7:0:0", "logits:5:0:0"]
    assert [(cell["id"], cell["importance"]) for cell in upper["cells"]] == [
        ("upper:1:0:0", [0.5, 0.25]), ("upper:2:0:0", [0.25, 0]), ("upper:3:0:0", [0, 0.125]),
    ]  # fmt: skip
    assert [cell["importance"] for cell in lower["cells"]] == [[0.375, 0.125], [0.125, 0], [0, 0.0625]]
    assert [rest["all"] for rest in upper["rest"]] == [0.25, 0.625]
    assert len(found["links"]) == 9


def test_the_rest_says_what_it_is(call: Call, two: list[dict[str, Any]]) -> None:
    """Of the lower row: 0.5 not kept; lower 2 folded; below least importance lower 1 is hidden and 2 too."""
    folded = drawn(call, two[:1], fold=1)["rows"][2]
    # With upper 2 folded lower 2 still hangs on upper 1.
    assert folded["rest"] == [{"all": 0.625, "notKept": 0.5, "hidden": 0, "folded": 0.125}]
    assert (folded["foldedCount"], folded["hiddenCount"]) == (1, 0)
    weak = drawn(call, two[:1], least=0.2)["rows"][2]
    assert weak["rest"] == [{"all": 0.625, "notKept": 0.5, "hidden": 0.125, "folded": 0}]
    assert weak["hiddenCount"] == 1
    cut = [two[0] | {"evidence": two[0]["evidence"] | {"truncated": True}}]
    assert drawn(call, cut)["rows"][2]["rest"][0]["notKept"] is None


def test_what_is_kept_is_drawn_with_its_way_up(call: Call, two: list[dict[str, Any]]) -> None:
    found = drawn(call, two, top=1, least=0.3, fold=1, keep=["lower:4:0:0"])
    assert [[cell["id"] for cell in row["cells"]] for row in found["rows"][1:]] == [
        ["upper:1:0:0", "upper:3:0:0"], ["lower:1:0:0", "lower:4:0:0"],
    ]  # fmt: skip
    ends = {(link["root"], link["target"], link["source"]) for link in found["links"]}
    assert (1, "upper:3:0:0", "lower:4:0:0") in ends


def test_a_group_is_the_sum_of_its_nodes(call: Call, two: list[dict[str, Any]]) -> None:
    group = {"name": "fin, or sail", "keys": ["upper:1:0:0", "upper:2:0:0", "lower:2:0:0"]}
    found = drawn(call, two, groups=[group])
    _, upper, lower = found["rows"]
    assert [(cell["name"], cell["importance"]) for cell in upper["cells"]] == [
        ("fin, or sail", [0.75, 0.25]), (None, [0, 0.125]),
    ]  # fmt: skip
    assert [cell["name"] for cell in lower["cells"]] == [None, "fin, or sail", None]
    by_ends = {(link["root"], link["target"], link["source"]): link for link in found["links"]}
    name = "upper:=fin, or sail"
    root = by_ends[0, "logits:7:0:0", name]
    assert (root["importance"], root["share"]) == (0.75, 0.75)
    # lower 1 gets 0.25 of channel 1 and 0.125 of channel 2: half of the group's 0.75
    down = by_ends[0, name, "lower:1:0:0"]
    assert (down["importance"], down["share"]) == (0.375, 0.5)
    assert sum(rest["all"] for rest in upper["rest"]) == 0.25 + 0.625


def test_paths_through_a_card(call: Call, image: dict[str, Any]) -> None:
    """Against a walk over the answer's own edges."""
    layers = [layer["name"] for layer in reversed(image["layers"][:-1])]
    (one, _) = image["image"]["decisions"]
    nodes, edges = one["evidence"]["nodes"], one["evidence"]["edges"]
    keys = [f"{node['layer']}:{node['channel']}:{node['y']}:{node['x']}" for node in nodes]
    given = {"decisions": [one], "layers": layers, "choice": CHOICE | {"depth": len(layers)}}
    for middle in (4, 12, len(nodes) - 1):
        wanted = {middle}
        for here, there in (("source", "target"), ("target", "source")):
            reached = {middle}
            for _ in layers:
                reached |= {edge[there] for edge in edges if edge[here] in reached}
            wanted |= reached
        found = call(f"{ROWS} return tree.pathsThrough(links, given.id);", given | {"id": keys[middle]})
        assert found["cells"] == sorted(keys[at] for at in wanted)
        lines = {(edge["target"], edge["source"]) for edge in edges if {edge["target"], edge["source"]} <= wanted}
        on_paths = {(target, source) for target, source in lines if _is_on_path(edges, middle, target, source)}
        assert found["links"] == sorted(f"0 {keys[target]} {keys[source]}" for target, source in on_paths)


def _is_on_path(edges: list[dict[str, Any]], middle: int, target: int, source: int) -> bool:
    """Whether an edge lies above the node and leads to it, or below and comes from it."""

    def leads(begin: int, end: int) -> bool:
        return begin == end or any(leads(edge["source"], end) for edge in edges if edge["target"] == begin)

    return leads(source, middle) or leads(middle, target)


def test_arrows_walk_the_tree(call: Call, two: list[dict[str, Any]]) -> None:
    body = f"{ROWS} return given.steps.map(([id, arrow]) => tree.stepFrom(rows, links, id, arrow));"
    steps = [
        (None, "ArrowDown"), ("logits:7:0:0", "ArrowDown"), ("upper:1:0:0", "ArrowRight"),
        ("upper:1:0:0", "ArrowLeft"), ("upper:1:0:0", "ArrowDown"), ("lower:1:0:0", "ArrowUp"),
        ("lower:4:0:0", "ArrowUp"), ("lower:4:0:0", "ArrowDown"),
    ]  # fmt: skip
    found = call(body, {"decisions": two, "layers": LAYERS, "choice": CHOICE, "steps": steps})
    assert found == [
        "logits:7:0:0", "upper:1:0:0", "upper:2:0:0", None, "lower:1:0:0", "upper:1:0:0", "upper:3:0:0", None,
    ]  # fmt: skip


@pytest.mark.parametrize("width", [320, 642, 1060])
@pytest.mark.parametrize("pictures", [True, False])
def test_cards_do_not_overlap(call: Call, image: dict[str, Any], width: int, pictures: bool) -> None:
    layers = [layer["name"] for layer in reversed(image["layers"][:-1])]
    given = {"decisions": image["image"]["decisions"], "layers": layers, "choice": CHOICE | {"depth": 5}}
    body = f"{ROWS} const made_ = layout.placed(rows, given.width, layout.cardOf(given.pictures)); return made_;"
    found = call(body, given | {"width": width, "pictures": pictures})
    places = [place for _, place in found["cells"]] + [head["rest"] for head in found["heads"] if head["rest"]]
    assert len(places) > 100
    for at, one in enumerate(places):
        assert one["x"] >= 0
        assert one["x"] + one["width"] <= width
        assert one["y"] + one["height"] <= found["height"]
        for other in places[at + 1 :]:
            beside = one["x"] + one["width"] < other["x"] or other["x"] + other["width"] < one["x"]
            assert beside or one["y"] + one["height"] < other["y"] or other["y"] + other["height"] < one["y"]


def test_the_nearest_card(call: Call) -> None:
    cells = [["a", {"x": 0, "y": 0, "width": 96, "height": 96}], ["b", {"x": 110, "y": 0, "width": 96, "height": 96}]]
    points = [(50, 50), (100, 50), (108, 50), (103, 126), (103, 127), (150, 125), (300, 50)]
    body = "return given.points.map(([x, y]) => layout.nearest(new Map(given.cells), x, y, 30));"
    found = call(body, {"cells": cells, "points": points})
    assert found == ["a", "a", "b", None, None, "b", None]


def test_groups_in_the_address(call: Call) -> None:
    groups = [{"name": "a=b;c,d", "keys": ["x:1:0:0", "x:2:0:0"]}, {"name": "100 %", "keys": ["y.1:3:0:0"]}]
    assert call("return state.groupsOf(state.groupsText(given));", groups) == groups
    assert call("return [undefined, '', 'nonsense', 'a=', '=x', '%=x'].map(state.groupsOf);") == [
        [], [], [], [], [], [{"name": "%", "keys": ["x"]}],
    ]  # fmt: skip
    more = call("return state.grouped(given, 'new', ['x:1:0:0', 'y.1:3:0:0']);", groups)
    assert more == [{"name": "a=b;c,d", "keys": ["x:2:0:0"]}, {"name": "new", "keys": ["x:1:0:0", "y.1:3:0:0"]}]


def test_how_many_edges_are_asked_for(call: Call) -> None:
    """All of a tree of at most 1,500 edges; of larger ones less, and by the slider up to 4,000."""
    cases = [(3, 5), (3, 6), (6, 5), (10, 5), (10, 3), (20, 2), (50, 1)]
    found = call("return given.map(([topN, layers]) => state.tops(topN, layers));", cases)
    pairs = [(3, 3), (3, 3), (4, 5), (4, 5), (10, 10), (20, 20), (50, 50)]
    assert found == [{"first": first, "most": most} for first, most in pairs]
