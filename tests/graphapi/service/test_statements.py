"""How many SQL statements a query takes: constant, whatever the size of its pages."""

from __future__ import annotations

import pytest

from tests.graphapi.conftest import Ask

QUERIES = {
    "run": (0, "{ run { name accuracy layers { name } classes(first: %d) { totalCount nodes { name accuracy } } } }"),
    "images with evidence": (
        3,  # images, their decisions, all edges
        """{ run { images(first: %d) { nodes { label { name } decisions { class { name }
           evidence { nodes { importance } edges { share } } } } } } }""",
    ),
    "counts": (2, "{ run { images(first: %d) { totalCount nodes { uri } } } }"),
    "headline": (
        4,  # channels, their context labels, all edges that those are held against, their degrees
        """{ run(name: "scenes") { channelSupport(layer: "conv3_3", class: "boat", first: %d) { nodes { rate channel {
           discriminativeDegree contextLabels(class: "boat", first: 3) { nodes { label rate } } } } } } }""",
    ),
    "neighbours": (
        # channels; supporters, supports, support, peaks of all of them; the peaks' images and decisions; one count
        8,
        """{ run { channelSupport(layer: "conv2_2", first: %d) { nodes { channel {
           supporters(first: 2) { totalCount nodes { channel { index layer { name } } } }
           supports(first: 2) { nodes { channel { index } } } support(first: 2) { nodes { rate } }
           peaks(first: 2) { nodes { image { uri } decision { logit image { uri } } } } } } } } }""",
    ),
    "two levels of channels": (
        3,
        """{ run { channelSupport(layer: "conv3_3", first: %d) { nodes { channel { supporters(first: 3) { nodes {
           channel { supporters(first: 2) { nodes { channel { index } } } } } } } } } } }""",
    ),
    "images near images": (
        3,
        "{ run { images(first: %d) { nodes { preceding { uri } following(first: 4, sameLabel: true) { uri } } } } }",
    ),
    "both depths of evidence": (
        4,
        """{ run { images(first: %d) { nodes { decisions { a: evidence(maxDepth: 1) { truncated }
           b: evidence { truncated } } } } } }""",
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_statement_count(ask: Ask, statements: list[str], name: str) -> None:
    """As many statements for 8 rows as for 2."""
    expected, query = QUERIES[name]
    counts = []
    for size in (2, 8):
        statements.clear()
        answer = ask(query % size)
        assert "errors" not in answer, answer["errors"]
        counts.append(len(statements))
    assert counts == [expected, expected], "\n\n".join(statements)


def test_edge_is_read_for_evidence_only(ask: Ask, statements: list[str]) -> None:
    """No other field touches the fact table, and evidence names its decisions."""
    for name, (_, query) in QUERIES.items():
        statements.clear()
        ask(query % 3)
        reading = [statement for statement in statements if "FROM edge" in statement]
        assert len(reading) == {"images with evidence": 1, "both depths of evidence": 2}.get(name, 0)
        assert all("edge.decision_id IN" in statement for statement in reading)


def test_nested_pages_agree_with_single_ones(run: Ask) -> None:
    """What one statement fetches for many channels is what each would get by itself, cursors included."""
    node = "supporters(first: 3) { totalCount pageInfo { endCursor hasNextPage } nodes { channel { index } edges } }"
    nodes = run(f'channelSupport(layer: "conv3_3", first: 20) {{ nodes {{ channel {{ index {node} }} }} }}')
    channels = [entry["channel"] for entry in nodes["channelSupport"]["nodes"]]
    assert len(channels) > 8
    for channel in channels:
        alone = run(f'channel(layer: "conv3_3", index: {channel["index"]}) {{ index {node} }}')["channel"]
        assert channel == alone
    cursor = channels[0]["supporters"]["pageInfo"]["endCursor"]
    after = node.replace("first: 3", f'first: 3, after: "{cursor}"')
    nodes = run(f'channelSupport(layer: "conv3_3", first: 20) {{ nodes {{ channel {{ index {after} }} }} }}')
    for entry in nodes["channelSupport"]["nodes"]:
        alone = run(f'channel(layer: "conv3_3", index: {entry["channel"]["index"]}) {{ index {after} }}')["channel"]
        assert entry["channel"] == alone
