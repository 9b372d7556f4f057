"""The evidence graph of a class: channels as nodes, and between them what the decisions of its roots have in common.

1. Nodes (`nodes_statement`): of each layer the channels that most roots of the class hold, down to a rate.
2. Edges (`edges_statement`): the class's own edges between those, summed over its roots. Each edge's `share` is the
   importance that it carries / the importance that its target has over all roots: the mean share, weighted by how much
   the target mattered. The shares of a target's edges sum to at most 1; what the graph leaves out is the rest.
3. Of a path the share is the product of its edges' shares: the part of a decision that would reach its end if every
   channel passed its evidence on in the same proportions, whatever it came from.
4. `throughflow` of a node: of all that reaches the lowest layer on paths of the graph, the part that passes the node.
   It is the sum over all paths, by two sweeps over the layers. Betweenness by shortest paths would count one path of
   each pair of channels, most of which nobody asked about; PageRank over a graph without cycles gives the importance
   that is known already, and counts what ends nowhere too.
5. The strongest paths from the class to the lowest layer, by keeping the k best of each node from below.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import networkx as nx
from sqlalchemy import Select, and_, func, select

from evigraph.graphapi.questions.support import double_sum, edge_sums, total
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_class
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Statement, Template, columns_of, hole
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image
from evigraph.schema.tables.evidence import Decision
from evigraph.schema.tables.rollups import ChannelSupport
from evigraph.schema.views import edge as edge_view

MAX_NODES_PER_LAYER = 100

Node = tuple[int, int]
"""(layer_id, channel); of the root the logits' layer and its class."""


class GraphKey(NamedTuple):
    """Which graph: of one class of one run, of one role and outcome (None for any), down to a rate and a size."""

    run_id: int
    root_layer: int
    class_id: int
    role: str
    outcome: str | None
    min_rate: float
    max_nodes_per_layer: int
    roots: int


class NodeRow(NamedTuple):
    """A channel that roots of the class hold; `place` among those of its layer, from 1."""

    layer_id: int
    channel: int
    decisions: int
    edges: int
    importance_sum: float
    place: int


class EdgeRow(NamedTuple):
    """Evidence between two channels, summed over the roots of the class."""

    target_layer: int
    target_channel: int
    source_layer: int
    source_channel: int
    decisions: int
    edges: int
    share_sum: float
    importance_sum: float


class Path(NamedTuple):
    """A path from the class to the lowest layer; share is the product of its edges' shares."""

    share: float
    nodes: tuple[Node, ...]


async def class_graph(
    session: Session,
    run: RunInfo,
    class_name: str,
    role: str,
    outcome: str | None,
    min_rate: float,
    max_nodes_per_layer: int,
) -> nx.DiGraph:
    """The evidence graph of a class as `build` makes it; two statements.

    Returns:
        The graph; its attribute `truncated` says whether a layer has more channels of that rate than are kept.

    Raises:
        NotFoundError, AmbiguousError: No such class, or several.
        UsageError: A number is out of its range.
    """
    bounded("minRate", min_rate, 0, 1)
    bounded("maxNodesPerLayer", max_nodes_per_layer, 1, MAX_NODES_PER_LAYER)
    class_id = find_class(run, class_name).class_id
    count = run.roots(class_id, role, outcome)
    root_layer = run.layers[-1].layer_id
    key = GraphKey(run.run_id, root_layer, class_id, role, outcome, min_rate, max_nodes_per_layer, count)
    if not count:
        empty = nx.DiGraph(root=(root_layer, class_id), decisions=0, truncated=False)
        empty.add_node(empty.graph["root"], decisions=0, rate=0.0, importance=0.0, throughflow=0.0)
        return empty
    nodes = await session.rows(nodes_statement(key))
    kept = [row for row in nodes if row.place <= max_nodes_per_layer]
    graph = build(key, kept, await session.rows(edges_statement(key)))
    graph.graph["truncated"] = len(kept) < len(nodes)
    return graph


def nodes_statement(key: GraphKey) -> Statement[NodeRow]:
    """The channels of the graph, the highest layer first, and of each layer one more where it has more than is kept."""
    return _nodes(key.outcome is not None).filled(**_holes(key))


def edges_statement(key: GraphKey) -> Statement[EdgeRow]:
    """The edges into nodes of the graph, summed over the roots of the class; their targets need not be nodes."""
    return _edges(key.outcome).filled(**_holes(key))


def _holes(key: GraphKey) -> dict[str, Any]:
    return {
        "run_id": key.run_id,
        "class_id": key.class_id,
        "role": key.role,
        "of_label": key.role == "label",
        "outcome": key.outcome,
        "least": key.min_rate * key.roots,
        "most": key.max_nodes_per_layer,
    }


@cache
def _nodes(of_outcome: bool) -> Template[NodeRow]:
    kept = _kept(of_outcome).subquery("kept")
    return Template(NodeRow, select(kept).order_by(kept.c.layer_id.desc(), kept.c.place))


def _kept(of_outcome: bool) -> Select[Any]:
    table = ChannelSupport
    summed = (
        select(
            table.layer_id,
            table.channel,
            total(table.decisions).label("decisions"),
            total(table.edges).label("edges"),
            double_sum(table.importance_sum).label("importance_sum"),
        )
        .where(table.run_id == hole("run_id"), table.class_id == hole("class_id"), table.role == hole("role"))
        .where(*([table.outcome == hole("outcome")] if of_outcome else []))
        .group_by(table.layer_id, table.channel)
        .subquery("summed")
    )
    order = (summed.c.decisions.desc(), summed.c.importance_sum.desc(), summed.c.channel)
    place = func.row_number().over(partition_by=summed.c.layer_id, order_by=order).label("place")
    placed = select(*summed.c, place).where(summed.c.decisions >= hole("least")).subquery("placed")
    # One more than is kept tells whether a layer has more.
    return select(placed).where(placed.c.place <= hole("most") + 1)


@cache
def _edges(outcome: str | None) -> Template[EdgeRow]:
    edge = edge_view.c
    key_of = (edge.target_layer, edge.target_channel, edge.source_layer, edge.source_channel)
    rows = select(*key_of, *edge_sums(edge)).where(
        edge.run_id == hole("run_id"),
        edge.root_class_id == hole("class_id"),
        ids.is_label(edge.decision_id) == hole("of_label"),
    )
    if outcome is not None:
        right = Image.label_id == Image.predicted_id if outcome == "correct" else Image.label_id != Image.predicted_id
        of_image = and_(Image.run_id == Decision.run_id, Image.image_id == Decision.image_id)
        wanted = select(Decision.decision_id).join(Image, of_image)
        wanted = wanted.where(Decision.run_id == hole("run_id"), Decision.class_id == hole("class_id"), right)
        rows = rows.where(edge.decision_id.in_(wanted))
    summed = rows.group_by(*key_of).subquery("summed")
    ends = select(*columns_of(EdgeRow, summed)).where(summed.c.decisions >= hole("least"))
    kept = _kept(outcome is not None).subquery("kept")
    source = select(kept.c.layer_id, kept.c.channel).where(kept.c.place <= hole("most")).subquery("source")
    end = summed.c
    ends = ends.join(source, and_(source.c.layer_id == end.source_layer, source.c.channel == end.source_channel))
    order = (end.target_layer.desc(), end.target_channel, end.decisions.desc(), end.source_channel)
    return Template(EdgeRow, ends.order_by(*order))


def build(key: GraphKey, nodes: Iterable[NodeRow], edges: Iterable[EdgeRow]) -> nx.DiGraph:
    """The graph, from the class (its root) down; an edge leads from the target, which is explained, to its evidence.

    Args:
        key: What was asked.
        nodes: Rows of `nodes_statement` up to the size bound.
        edges: Rows of `edges_statement`.

    Returns:
        Nodes (layer_id, channel) with decisions, rate, importance and throughflow; edges with decisions, rate, edges,
        share, mean_share and importance. Importance is the mean over all roots of the class, so 1 at the root.
    """
    graph = nx.DiGraph(root=(key.root_layer, key.class_id), decisions=key.roots)
    graph.add_node(graph.graph["root"], decisions=key.roots, rate=1.0, importance=1.0)
    for node in nodes:
        graph.add_node(
            (node.layer_id, node.channel),
            decisions=node.decisions,
            rate=node.decisions / key.roots,
            importance=node.importance_sum / key.roots,
        )
    for edge in edges:
        target, source = (edge.target_layer, edge.target_channel), (edge.source_layer, edge.source_channel)
        if target not in graph or source not in graph:
            continue
        importance = edge.importance_sum / key.roots
        graph.add_edge(
            target,
            source,
            decisions=edge.decisions,
            rate=edge.decisions / key.roots,
            edges=edge.edges,
            mean_share=edge.share_sum / edge.edges,
            importance=importance,
            share=importance / graph.nodes[target]["importance"],
        )
    nx.set_node_attributes(graph, throughflow(graph), "throughflow")
    return graph


def throughflow(graph: nx.DiGraph) -> dict[Node, float]:
    """Of the shares of all paths from the root to the lowest layer, the part on paths through each node; 0 of none."""
    order = list(nx.topological_sort(graph))
    root = graph.graph["root"]
    reached = dict.fromkeys(order, 0.0) | {root: 1.0}
    for node in order:
        for source, edge in graph[node].items():
            reached[source] += reached[node] * edge["share"]
    passed: dict[Node, float] = {}
    for node in reversed(order):
        passed[node] = (
            1.0 if node[0] == 0 else sum(edge["share"] * passed[source] for source, edge in graph[node].items())
        )
    whole = passed[root]
    return {node: reached[node] * passed[node] / whole if whole else 0.0 for node in order}


def strongest_paths(graph: nx.DiGraph, count: int) -> list[Path]:
    """The paths of largest share from the root to the lowest layer, at most `count`; of equals lower nodes first."""
    best: dict[Node, list[Path]] = {}
    for node in reversed(list(nx.topological_sort(graph))):
        if node[0] == 0:
            best[node] = [Path(1.0, (node,))]
            continue
        longer = (
            Path(edge["share"] * path.share, (node, *path.nodes))
            for source, edge in graph[node].items()
            for path in best[source]
        )
        best[node] = heapq.nsmallest(count, longer, key=lambda path: (-path.share, path.nodes))
    return best[graph.graph["root"]]
