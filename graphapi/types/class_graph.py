"""GraphQL types of the evidence graph of a class."""

from __future__ import annotations

from typing import Annotated

import networkx as nx
import strawberry

from evigraph.graphapi.questions.class_graph import strongest_paths
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.types.base import described
from evigraph.graphapi.types.layers_classes import Class, class_node

MAX_PATHS = 100


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
        self, first: Annotated[int, strawberry.argument(description=f"How many, at most {MAX_PATHS}.")] = 5
    ) -> list[ClassGraphPath]:
        bounded("first", first, 1, MAX_PATHS)
        index = {node: place for place, node in enumerate(self.graph)}
        return [
            ClassGraphPath(share=path.share, nodes=[index[node] for node in path.nodes])
            for path in strongest_paths(self.graph, first)
        ]


def class_graph_node(run: RunInfo, graph: nx.DiGraph) -> ClassGraph:
    """The GraphQL object of the evidence graph of a class of the run."""
    return ClassGraph(graph=graph, run=run, decisions=graph.graph["decisions"], truncated=graph.graph["truncated"])
