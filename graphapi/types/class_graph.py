"""GraphQL types of the evidence graph of a class."""

from __future__ import annotations

from typing import Annotated

import networkx as nx
import strawberry

from evigraph.graphapi.questions.class_graph import GraphKey, build, edges_statement, nodes_statement, strongest_paths
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.names import find_class
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.types.base import described
from evigraph.graphapi.types.layers_classes import Class, class_node
from evigraph.schema.errors import UsageError

MOST_NODES_PER_LAYER = 100
MOST_PATHS = 100


@strawberry.type(description="A channel of the graph; node 0 is the class, a channel of `logits`.")
class ClassGraphNode:
    layer: str
    channel: int
    decisions: int = strawberry.field(description="Roots of the class whose hierarchy holds the channel.")
    rate: float = strawberry.field(description="decisions / all roots of the class, same role and outcome.")
    importance: float = strawberry.field(
        description="Its mean over all roots of the class, 0 where they do not hold it."
    )
    throughflow: float = strawberry.field(
        description="Centrality: of what reaches the lowest layer on paths of the graph, the part that passes here."
    )


@strawberry.type(description="Evidence between two channels. target and source are indices into nodes.")
class ClassGraphEdge:
    target: int = strawberry.field(description="The upper channel, which is explained.")
    source: int = strawberry.field(description="The lower channel, its evidence.")
    decisions: int = strawberry.field(description="Roots of the class whose hierarchy holds such an edge.")
    rate: float = strawberry.field(description="decisions / all roots of the class, same role and outcome.")
    edges: int
    mean_share: float = strawberry.field(description="Share, over edges.")
    share: float = strawberry.field(
        description="Part of the target's importance, over all roots, that it carries; at most 1 over all its edges."
    )
    importance: float = strawberry.field(description="That it carries, mean over all roots of the class.")


@strawberry.type(description="A path from the class to the lowest layer.")
class ClassGraphPath:
    share: float = strawberry.field(description="The product of its edges' shares.")
    nodes: list[int] = strawberry.field(description="Indices into nodes, from the class down.")


@strawberry.type(
    description="What the decisions for one class have in common: channels, and the evidence between them."
)
class ClassGraph:
    graph: strawberry.Private[nx.DiGraph]
    run: strawberry.Private[RunInfo]
    decisions: int = strawberry.field(description="All roots of the class, same role and outcome.")
    truncated: bool = strawberry.field(description="Whether a layer has more channels of that rate than are shown.")

    @described("The class that is explained.", name="class")
    def class_(self) -> Class:
        return class_node(self.run, self.run.classes[self.graph.graph["root"][1]])

    @described("The class, then the highest layer first, and within one the channels that most roots hold.")
    def nodes(self) -> list[ClassGraphNode]:
        names = {layer.layer_id: layer.name for layer in self.run.layers}
        return [
            ClassGraphNode(layer=names[layer_id], channel=channel, **values)
            for (layer_id, channel), values in self.graph.nodes.items()
        ]

    @strawberry.field
    def edges(self) -> list[ClassGraphEdge]:
        index = {node: place for place, node in enumerate(self.graph)}
        return [
            ClassGraphEdge(target=index[target], source=index[source], **values)
            for target, source, values in self.graph.edges(data=True)
        ]

    @described("The paths of largest share.")
    def paths(
        self, first: Annotated[int, strawberry.argument(description="How many, at most 100.")] = 5
    ) -> list[ClassGraphPath]:
        if not 1 <= first <= MOST_PATHS:
            raise UsageError(f"first: {first} is not within 1 and {MOST_PATHS}")
        index = {node: place for place, node in enumerate(self.graph)}
        return [
            ClassGraphPath(share=path.share, nodes=[index[node] for node in path.nodes])
            for path in strongest_paths(self.graph, first)
        ]


async def class_graph(
    session: Session,
    run: RunInfo,
    class_name: str,
    role: str,
    outcome: str | None,
    min_rate: float,
    max_nodes_per_layer: int,
) -> ClassGraph:
    """The evidence graph of a class; two statements.

    Raises:
        NotFoundError, AmbiguousError: no such class, or several.
        UsageError: a number is out of its range.
    """
    if not 0 <= min_rate <= 1:
        raise UsageError(f"minRate: {min_rate} is not within 0 and 1")
    if not 1 <= max_nodes_per_layer <= MOST_NODES_PER_LAYER:
        raise UsageError(f"maxNodesPerLayer: {max_nodes_per_layer} is not within 1 and {MOST_NODES_PER_LAYER}")
    class_id = find_class(run, class_name).class_id
    count = run.roots(class_id, role, outcome)
    root_layer = run.layers[-1].layer_id
    key = GraphKey(run.run_id, root_layer, class_id, role, outcome, min_rate, max_nodes_per_layer, count)
    if not count:
        empty = nx.DiGraph(root=(root_layer, class_id), decisions=0)
        empty.add_node(empty.graph["root"], decisions=0, rate=0.0, importance=0.0, throughflow=0.0)
        return ClassGraph(graph=empty, run=run, decisions=0, truncated=False)
    found = await session.rows(nodes_statement(key))
    kept = [row for row in found if row.place <= max_nodes_per_layer]
    graph = build(key, kept, await session.rows(edges_statement(key)))
    return ClassGraph(graph=graph, run=run, decisions=count, truncated=len(kept) < len(found))
