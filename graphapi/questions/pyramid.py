"""One decision as a pyramid (Fig. 5): a row of channels for each layer, and of each row what it leaves out.

1. The decision's evidence graph, its own edges alone (`questions.evidence`).
2. From the root down, of each layer the nodes that the row above leads to, the most important first, down to a number.
3. The rest of a row is 1 - the importance of its nodes. Importance is never lost between layers but by what is not
   kept, so the rest has two parts: what the run does not keep (shares beyond top N, nodes that were not decomposed or
   had no positive evidence, of this layer and of those above it), which is 1 - the importance of all stored nodes of
   the layer; and what is stored and not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select

from evigraph.graphapi.questions.evidence import Graph, GraphNode, evidence_statement, graph
from evigraph.graphapi.questions.images import image_of
from evigraph.graphapi.questions.support import double_sum
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import Depicted, LayerInfo, RunInfo
from evigraph.graphapi.store.rows import DecisionRow, ImageRow
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Template, columns_of, hole
from evigraph.schema.errors import UsageError
from evigraph.schema.tables.evidence import Decision
from evigraph.schema.views import edge

MAX_NODES = 40
"""Of a row; more are no picture."""


class Link(NamedTuple):
    """Evidence between two drawn nodes: their places in their rows, the share, and the part of the whole decision."""

    target: int
    source: int
    share: float
    importance: float


@dataclass(frozen=True)
class Row:
    """A layer of the pyramid.

    Attributes:
        layer: Of its nodes.
        nodes: The most important first.
        links: From nodes of the row above to these.
        stored: The importance of all nodes of the layer that the run keeps, drawn or not.
    """

    layer: LayerInfo
    nodes: Sequence[GraphNode]
    links: Sequence[Link]
    stored: float

    @property
    def shown(self) -> float:
        """The importance of its nodes."""
        return sum(node.importance for node in self.nodes)

    @property
    def not_kept(self) -> float:
        """The part of the decision that the run keeps no node of this layer for."""
        return max(0.0, 1 - self.stored)

    @property
    def not_drawn(self) -> float:
        """The part of the decision in nodes that are kept and not drawn."""
        return max(0.0, self.stored - self.shown)

    @property
    def rest(self) -> float:
        """What its nodes leave of the decision."""
        return max(0.0, 1 - self.shown)


@dataclass(frozen=True)
class Pyramid:
    """One decision of an image; the first row is the class alone. `truncated`: evidence was cut off by its size."""

    image: ImageRow
    decision: DecisionRow
    rows: Sequence[Row]
    truncated: bool


class _StoredRow(NamedTuple):
    source_layer: int
    importance: float


async def pyramid(
    session: Session, run: RunInfo, uri: str, role: str, *, top: int | None, depth: int | None, nodes: int
) -> Pyramid:
    """The pyramid of one decision; four statements.

    Args:
        session: Of one request.
        run: Of the image.
        uri: Of the image.
        role: Of the decision.
        top: Edges drawn of each decomposition, at most; None for all that are kept.
        depth: Rows below the class; None for all layers.
        nodes: Of a row, at most.

    Raises:
        NotFoundError: No such image; the error names those of near uris.
        UsageError: The image has no decision of the role, or a number is out of its bounds.
    """
    bounded("top", top, 1)
    bounded("depth", depth, 1)
    bounded("nodes", nodes, 1, MAX_NODES)
    image = await image_of(session, run, uri)
    rows = await session.rows(_DECISIONS.filled(run_id=run.run_id, image_id=image.image_id))
    decision = next((row for row in rows if row.role == role), None)
    if decision is None:
        why = "it has no label" if image.label_id is None else "its label is the predicted class"
        raise UsageError(f"image {uri!r} has no decision of role {role!r}: {why}; take the role predicted")
    root_layer = run.layers[-1].layer_id
    of = (run.run_id, [decision.decision_id], [decision.class_id])
    evidence = evidence_statement(*of, root_layer, depth, top, session.settings.max_evidence_edges)
    root = GraphNode((root_layer, decision.class_id, 0, 0), decision.logit, 1.0)
    edges = await session.rows(evidence)
    answer = graph(root, edges)
    sums = await session.rows(
        _STORED.filled(run_id=run.run_id, class_id=decision.class_id, decision_id=decision.decision_id)
    )
    stored = {row.source_layer: row.importance for row in sums}
    reached = root_layer if depth is None else min(depth, root_layer)
    is_cut = len(edges) >= session.settings.max_evidence_edges
    return Pyramid(image, decision, chosen_rows(run, answer, stored, reached, nodes), is_cut)


def chosen_rows(run: Depicted, answer: Graph, stored: Mapping[int, float], depth: int, nodes: int) -> list[Row]:
    """The rows of a pyramid, the class first.

    Args:
        run: Of the decision.
        answer: Its evidence graph.
        stored: Importance of all stored nodes of each layer, 0 where there is none.
        depth: Rows below the class.
        nodes: Of a row, at most.
    """
    layers = {layer.layer_id: layer for layer in run.layers}
    above = {0: 0}  # index in the graph to place in the row
    root = answer.nodes[0]
    rows = [Row(layers[root.key[0]], [root], [], 1.0)]
    for layer_id in range(root.key[0] - 1, root.key[0] - 1 - depth, -1):
        links = [link for link in answer.edges if link[0] in above]
        # The graph's order is that of importance within a layer.
        taken = sorted({source for _, source, _ in links})[:nodes]
        places = {index: place for place, index in enumerate(taken)}
        drawn = [
            Link(above[target], places[source], row.share, row.importance)
            for target, source, row in links
            if source in places
        ]
        rows.append(Row(layers[layer_id], [answer.nodes[index] for index in taken], drawn, stored.get(layer_id, 0.0)))
        above = places
    return rows


_DECISIONS = Template(
    DecisionRow,
    select(*columns_of(DecisionRow, Decision.__table__)).where(
        Decision.run_id == hole("run_id"), Decision.image_id == hole("image_id")
    ),
)
_STORED = Template(
    _StoredRow,
    select(edge.c.source_layer, double_sum(edge.c.importance).label("importance"))
    .where(
        edge.c.run_id == hole("run_id"),
        edge.c.root_class_id == hole("class_id"),
        edge.c.decision_id == hole("decision_id"),
    )
    .group_by(edge.c.source_layer),
)
