"""Pages put together are the whole, in its order, and a cursor is good for its own listing only."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from evigraph.graphapi.store import cursors
from evigraph.schema.errors import UsageError
from tests.graphapi.conftest import Ask

CHANNEL = 'channel(layer: "conv2_2", index: 1) '
LISTINGS = {
    "classes": ("", "classes", "index"),
    "images": ("", "images", "uri"),
    "images of an outcome": ("", "images", "uri", "outcome: WRONG"),
    "confusions": ("", "confusions", "images label { index } predicted { index }"),
    "skippedImages": ("", "skippedImages", "uri"),
    **{
        f"channelSupport by {order}": (
            "",
            "channelSupport",
            "channel { index } decisions meanShare",
            f'layer: "conv3_3", orderBy: {order}',
        )
        for order in ("DECISIONS", "RATE", "EDGES", "SHARE", "IMPORTANCE")
    },
    "support": (CHANNEL, "support", "class { index } decisions"),
    "contextLabels": (CHANNEL, "contextLabels", "label edges"),
    "supporters": (CHANNEL, "supporters", "channel { index } decisions"),
    "supports": (CHANNEL, "supports", "channel { index } decisions"),
    "peaks": (CHANNEL, "peaks", "y x contribution image { uri }"),
}


def _page(run: Ask, listing: str, more: str) -> dict[str, Any]:
    around, field, node, *arguments = LISTINGS[listing]
    given = ", ".join([*arguments, more])
    page = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    selection = f"{field}({given}) {{ {page} nodes {{ {node} }} edges {{ cursor node {{ {node} }} }} }}"
    found = run(f"{around}{{ {selection} }}" if around else selection)
    connection: dict[str, Any] = (found["channel"] if around else found)[field]
    return connection


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize("size", [1, 3])
def test_pages_make_the_whole(run: Ask, listing: str, size: int) -> None:
    """Walking by endCursor gives each row once, in the order of one large page, with many ties between."""
    whole = _page(run, listing, "first: 100")
    assert whole["totalCount"] == len(whole["nodes"]) > 2
    assert whole["pageInfo"]["hasNextPage"] is False
    assert whole["pageInfo"]["hasPreviousPage"] is False
    walked: list[dict[str, Any]] = []
    more = f"first: {size}"
    while True:
        page = _page(run, listing, more)
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]
        assert page["totalCount"] == whole["totalCount"]
        assert page["pageInfo"]["hasPreviousPage"] is bool(walked)
        walked += page["edges"]
        assert page["pageInfo"]["hasNextPage"] is (len(walked) < whole["totalCount"])
        if not page["pageInfo"]["hasNextPage"]:
            break
        assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (
            page["edges"][0]["cursor"],
            page["edges"][-1]["cursor"],
        )
        more = f'first: {size}, after: "{page["pageInfo"]["endCursor"]}"'
    assert walked == whole["edges"]


def test_runs(ask: Ask) -> None:
    """Runs page too, the newest first."""
    first = ask("{ runs(first: 1) { totalCount pageInfo { endCursor hasNextPage } nodes { name } } }")["data"]["runs"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (2, True)
    second = ask("query ($c: String) { runs(after: $c) { nodes { name } } }", c=first["pageInfo"]["endCursor"])
    assert first["nodes"] + second["data"]["runs"]["nodes"] == [{"name": "plain"}, {"name": "scenes"}]


def test_empty_page(run: Ask) -> None:
    """first: 0 counts without fetching; after the last row comes nothing."""
    none = _page(run, "images", "first: 0")
    assert none["nodes"] == []
    assert none["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
    last = _page(run, "images", "first: 100")["pageInfo"]["endCursor"]
    after_last = _page(run, "images", f'after: "{last}"')
    assert after_last["nodes"] == []
    assert after_last["totalCount"] == none["totalCount"] > 50


def test_default_size(run: Ask) -> None:
    """Without `first`, or with null, a page has 20 rows."""
    assert len(run("images { nodes { uri } }")["images"]["nodes"]) == 20
    assert len(run("images(first: null, after: null) { nodes { uri } }")["images"]["nodes"]) == 20


@pytest.mark.parametrize("first", [-1, 101, 2**31 - 1])
def test_sizes_out_of_bounds(ask: Ask, first: int) -> None:
    """A page that is too large is refused with the limit in the message."""
    (error,) = ask(f"{{ run {{ images(first: {first}) {{ totalCount }} }} }}")["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert str(first) in error["message"]
    assert "100" in error["message"]


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


BAD_CURSORS = [
    "",
    "x",
    "!!!",
    "ünïcode",
    "AAAA",
    "W10",
    "A" * 5000,
    _encoded(7),
    _encoded({"images": 1}),
    _encoded(["images"]),
    _encoded(["images", "3"]),
    _encoded(["images", True]),
    _encoded(["images", 1.5]),
    _encoded(["images", 10**30]),
    _encoded(["images", 1, 2]),
    _encoded(["confusions", 1, 2, 3]),
    base64.urlsafe_b64encode(b'["images",NaN]').decode(),
    base64.urlsafe_b64encode(b"[" * 400).decode(),
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_bad_cursor(ask: Ask, cursor: str) -> None:
    """Anything that is no cursor of the listing gives one clear error and nothing of Python's."""
    answer = ask("query ($c: String) { run { images(after: $c) { nodes { uri } } } }", c=cursor)
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert error["message"].startswith("after: ")
    assert "is no cursor of this listing (images)" in error["message"]
    assert error["path"] == ["run", "images"]


def test_cursor_of_another_order(run: Ask, ask: Ask) -> None:
    """A cursor by one order is refused under another."""
    cursor = _page(run, "channelSupport by SHARE", "first: 1")["pageInfo"]["endCursor"]
    answer = ask(f'{{ run {{ channelSupport(layer: "conv3_3", after: "{cursor}") {{ totalCount }} }} }}')
    assert "channelSupport by decisions" in answer["errors"][0]["message"]


def test_float_keys_survive() -> None:
    """A double comes back bit by bit, so that equal keys compare equal in SQL; non-numbers do not pass."""
    key = (0.1 + 0.2, 1 / 3, 5)
    assert cursors.decode(cursors.encode("t", key), "t", (float, float, int)) == key
    for bad in (cursors.encode("t", (float("inf"),)), cursors.encode("t", (1,))):
        with pytest.raises(UsageError):
            cursors.decode(bad, "t", (float,))
