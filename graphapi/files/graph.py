"""The evidence graph of a class as a file: GraphML, JSON (networkx's node-link form) or DOT.

A node is called LAYER/CHANNEL, the class by its name. Edges lead from what is explained to its evidence.
"""

from __future__ import annotations

import json
from typing import Any

import networkx as nx

from evigraph.graphapi.questions.class_graph import Node
from evigraph.graphapi.store.catalog import RunInfo

MEDIA_TYPES = {"graphml": "application/graphml+xml", "json": "application/json", "dot": "text/vnd.graphviz"}
"""Formats by name."""
ENDINGS = {"graphml": (".graphml",), "json": (".json",), "dot": (".dot", ".gv")}
"""Endings of the names of files in a format."""


def named(graph: nx.DiGraph, run: RunInfo) -> nx.DiGraph:
    """The graph with names for nodes, and their layer and channel as attributes."""
    layers = {layer.layer_id: layer.name for layer in run.layers}
    root_layer, class_id = graph.graph["root"]

    def name(node: Node) -> str:
        return f"class {run.classes[class_id].name}" if node[0] == root_layer else f"{layers[node[0]]}/{node[1]}"

    with_names = nx.DiGraph(run=run.name, **{"class": run.classes[class_id].name}, decisions=graph.graph["decisions"])
    for node, values in graph.nodes.items():
        with_names.add_node(name(node), layer=layers[node[0]], channel=node[1], **values)
    for target, source, values in graph.edges(data=True):
        with_names.add_edge(name(target), name(source), **values)
    return with_names


def graph_text(graph: nx.DiGraph, run: RunInfo, format_name: str) -> str:
    """The graph in one of the formats of MEDIA_TYPES."""
    whole = named(graph, run)
    if format_name == "graphml":
        return "\n".join(nx.generate_graphml(whole, named_key_ids=True)) + "\n"
    if format_name == "json":
        return json.dumps(nx.node_link_data(whole, edges="edges"), indent=1) + "\n"
    return _dot(whole)


def _dot(graph: nx.DiGraph) -> str:
    """For Graphviz: layers as ranks; the width of an edge and the shade of a node are share and importance."""
    lines = ["digraph evidence {", "  rankdir=TB;", '  node [shape=box, style=filled, fillcolor="#ffffff"];']
    by_layer: dict[str, list[str]] = {}
    for name, values in graph.nodes.items():
        by_layer.setdefault(values["layer"], []).append(name)
        shade = f"{0.6 * min(1.0, values['importance']):.3f}"
        label = f"{name}\n{100 * values['rate']:.0f} %"
        lines.append(f'  {_quoted(name)} [label={_quoted(label)}, fillcolor="0.6 {shade} 1.0"];')
    for names in by_layer.values():
        lines.append(f"  {{ rank=same; {' '.join(f'{_quoted(name)};' for name in names)} }}")
    for target, source, values in graph.edges(data=True):
        width = f"{0.3 + 5 * values['share']:.2f}"
        lines.append(f'  {_quoted(target)} -> {_quoted(source)} [label="{values["share"]:.2f}", penwidth={width}];')
    return "\n".join([*lines, "}", ""])


def _quoted(text: Any) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
