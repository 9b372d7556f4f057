"""The evidence graph of one decision: its statement, and from rows to nodes and edges.

1. Of the decision's own edges keep those at most `max_depth` layers down and of rank below `top`, the upper
   layers and within one the most important first, up to the size bound (`evidence_statement`).
2. Walk down from the root and drop what is no longer reached (`graph`).
3. A node's importance is the sum over *all* its incoming edges in the whole hierarchy, so that it does not
   depend on how much of it is shown.

Overlap groups are beside it: the channels that a kept one stands for, since their masks overlap (Sec. 4.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from sqlalchemy import func, select

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.sql import Statement, Template, columns_of, hole
from evigraph.schema.tables.evidence import Overlap
from evigraph.schema.views import edge as edge_view

NodeKey = tuple[int, int, int, int]
"""(layer_id, channel, y, x)"""


class EvidenceRow(NamedTuple):
    """An edge; `total` counts the edges of its decision, node_importance is its source's over all edges into it."""

    decision_id: int
    root_class_id: int
    target_layer: int
    target_channel: int
    target_y: int
    target_x: int
    source_layer: int
    source_channel: int
    source_y: int
    source_x: int
    contribution: float
    share: float
    rank: int
    feature: float
    activation: float
    importance: float
    context_label_id: int | None
    context_iou: float | None
    context_peak_label_id: int | None
    context_peak_mass: float | None
    total: int
    node_importance: float


@dataclass(frozen=True)
class GraphNode:
    """A node; feature in the network's units (of the root its logit), importance in 0..1."""

    key: NodeKey
    feature: float
    importance: float


@dataclass(frozen=True)
class Graph:
    """Nodes, root first, and rows of `edge` with the indices of their target and source nodes."""

    nodes: list[GraphNode]
    edges: list[tuple[int, int, EvidenceRow]]
    truncated: bool


def evidence_statement(
    run_id: int,
    decision_ids: Sequence[int],
    class_ids: Sequence[int],
    root_layer: int,
    max_depth: int | None,
    top: int | None,
    bound: int,
) -> Statement[EvidenceRow]:
    """The kept edges of some decisions of one run; `total` is how many edges each decision has in all.

    The classes are those of the decisions: edges lie in their order.
    """
    return _evidence_template(max_depth is not None, top is not None).filled(
        run_id=run_id,
        decision_ids=tuple(decision_ids),
        class_ids=tuple(class_ids),
        above=root_layer - (max_depth or 0),
        top=top,
        bound=bound,
    )


@cache
def _evidence_template(is_shallow: bool, is_thinned: bool) -> Template[EvidenceRow]:
    edge = edge_view.c
    node = (edge.decision_id, edge.source_layer, edge.source_channel, edge.source_y, edge.source_x)
    whole = (
        select(
            *edge,
            func.count().over(partition_by=edge.decision_id).label("total"),
            func.sum(edge.importance).over(partition_by=node).label("node_importance"),
        )
        .where(
            edge.run_id == hole("run_id"),
            edge.root_class_id.op("IN")(hole("class_ids")),
            edge.decision_id.op("IN")(hole("decision_ids")),
        )
        .subquery("whole")
    )
    column = whole.c
    position = func.row_number().over(
        partition_by=column.decision_id,
        order_by=(
            column.target_layer.desc(),
            column.importance.desc(),
            column.target_channel,
            column.target_y,
            column.target_x,
            column.rank,
        ),
    )
    kept = select(*column, position.label("position"))
    if is_shallow:
        kept = kept.where(column.target_layer > hole("above"))
    if is_thinned:
        kept = kept.where(column.rank < hole("top"))
    placed = kept.subquery("placed")
    shown = select(*columns_of(EvidenceRow, placed)).where(placed.c.position <= hole("bound"))
    return Template(EvidenceRow, shown.order_by(placed.c.decision_id, placed.c.position))


def graph(root: GraphNode, rows: Iterable[EvidenceRow]) -> Graph:
    """The part of the rows that hangs on the root.

    Args:
        root: The decision itself, importance 1.
        rows: Of `evidence_statement` for this decision, upper layers first.
    """
    nodes = {root.key: root}
    reached: list[tuple[NodeKey, NodeKey, EvidenceRow]] = []
    total = 0
    for row in rows:
        total = row.total
        target = (row.target_layer, row.target_channel, row.target_y, row.target_x)
        if target not in nodes:
            continue
        source = (row.source_layer, row.source_channel, row.source_y, row.source_x)
        if source not in nodes:
            nodes[source] = GraphNode(source, row.feature, row.node_importance)
        reached.append((target, source, row))
    below = sorted(
        (node for node in nodes.values() if node is not root),
        key=lambda node: (-node.key[0], -node.importance, node.key),
    )
    index = {node.key: position for position, node in enumerate([root, *below])}
    edges = [(index[target], index[source], row) for target, source, row in reached]
    return Graph([root, *below], edges, truncated=len(edges) < total)


DecisionKey = tuple[int, int, int]
"""(run_id, class_id, decision_id)"""


class OverlapRow(NamedTuple):
    """Of `overlap`: a member of a representative's group, at the decomposed node (layer_id, channel, y, x)."""

    run_id: int
    class_id: int
    decision_id: int
    layer_id: int
    channel: int
    y: int
    x: int
    representative: int
    member: int
    contribution: float
    iou: float


def overlaps_statement(keys: Sequence[DecisionKey]) -> Statement[OverlapRow]:
    """The groups of some decisions, their members by contribution, the largest first."""
    column = Overlap.__table__.c
    wanted = matching.condition([column.run_id, column.class_id, column.decision_id], matching.shape_of(keys))
    members = select(*columns_of(OverlapRow, Overlap.__table__)).where(wanted)
    ordered = members.order_by(column.contribution.desc(), column.member)
    return Template(OverlapRow, ordered).filled(**matching.values(keys))
