"""Evidence as graphs of networkx: of one decision, and of a class."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import networkx as nx

from evigraph.reading.shown import Drawing
from evigraph.reading.words import Class, Outcome, Role
from evigraph.schema.errors import EvidenceError, NotFoundError, UsageError

if TYPE_CHECKING:
    from evigraph.reading.run import Run

_EVIDENCE = """
query ($run: String, $uri: String!, $maxDepth: Int, $top: Int) {
  run(name: $run) { image(uri: $uri) { decisions { role logit class { name } evidence(maxDepth: $maxDepth, top: $top) {
    truncated
    nodes { layer channel y x feature importance cropUrl }
    edges { target source contribution share rank activation importance mapUrl
      contextLabel contextIou contextLabelAtPeak contextActivationShare
      overlaps { channel contribution iou }
      verification { method fill corrected logitChange area control { logitChange corrected } } }
  } } } }
}
"""
_CLASS = """
query ($run: String, $class: String!, $role: DecisionRole, $outcome: Outcome, $minRate: Float!, $most: Int!) {
  run(name: $run) {
    evidenceGraph(class: $class, role: $role, outcome: $outcome, minRate: $minRate, maxNodesPerLayer: $most) {
      decisions truncated class { name }
      nodes { layer channel decisions rate importance throughflow }
      edges { target source decisions rate edges meanShare share importance }
    }
  }
}
"""


class Evidence(nx.DiGraph):  # type: ignore[misc]  # networkx has no types
    """The evidence of one decision: edges lead from what is explained (target) to its evidence (source).

    Nodes are numbers, 0 being the class. Each has `layer`, `channel`, `y`, `x` (the place in the layer's map),
    `feature` (the map's value there; of the class the logit), `importance` (part of the decision, in 0..1) and
    `crop_url`.

    Edges have `contribution` (in units of the target's feature), `share` (of the target's positive contributions),
    `rank` (0 is the largest), `importance`, `activation`, `context_label` with `context_iou`, `context_label_at_peak`
    with `context_activation_share`, `map_url`, `overlaps` and `verification` (lists; empty where the run has none).

    `graph` has `run`, `image`, `role`, `class`, `logit`, and whether it is `truncated`.
    """

    drawn_from: tuple[Run, int | None, int | None] | None = None
    """What it is drawn from: the run, max_depth and top. None of graphs that networkx derives, which are not drawn."""

    def draw(self, *, nodes: int = 8, maps: bool = True) -> Drawing:
        """The decision as a pyramid: a row a layer, a card a channel (Fig. 5); `.save(path)` writes it to a file.

        Args:
            nodes: Channels of a row, at most 40.
            maps: Activation maps over the crops, where the run keeps them.

        Raises:
            UsageError: The graph was derived from another one, or a number is out of its bounds.
        """
        from evigraph.graphapi.files.sheets import drawn_pyramid
        from evigraph.graphapi.files.svg import svg_text

        if self.drawn_from is None:
            raise UsageError("a graph that networkx derived has no picture; draw run.evidence(image)")
        run, depth, top = self.drawn_from
        of = (run.name, self.graph["image"], self.graph["role"])
        sheet = run.database.asked(
            lambda session: drawn_pyramid(session, *of, top=top, depth=depth, nodes=nodes, maps=maps)
        )
        return Drawing(svg_text(sheet))

    def _repr_svg_(self) -> str | None:
        try:
            return self.draw().svg
        except EvidenceError:  # derived, closed, or published anew without its run: then its text is shown
            return None

    def __str__(self) -> str:
        """What it explains, and its size."""
        of = (
            f" of {self.graph['image']} for {self.graph['class']} ({self.graph['role']})"
            if "image" in self.graph
            else ""
        )
        return f"Evidence{of}: {self.number_of_nodes()} nodes, {self.number_of_edges()} edges"


def evidence(run: Run, uri: str, role: Role, max_depth: int | None, top: int | None) -> Evidence:
    """See `Run.evidence`."""
    asked = run.database.query(_EVIDENCE, run=run.name, uri=uri, maxDepth=max_depth, top=top)["run"]["image"]
    decisions = {decision["role"].lower(): decision for decision in asked["decisions"]}
    if role.lower() not in decisions:
        there = ", ".join(decisions)
        raise NotFoundError(
            "decision", role, decisions, f"of {uri}, which has {there}: its prediction is right or it has no label"
        )
    decision = decisions[role.lower()]
    found = decision["evidence"]
    of_graph = {"class": decision["class"]["name"], "logit": decision["logit"], "truncated": found["truncated"]}
    graph = Evidence(run=run.name, image=uri, role=role.lower(), **of_graph)
    graph.add_nodes_from((number, _snaked(node)) for number, node in enumerate(found["nodes"]))
    graph.add_edges_from((edge.pop("target"), edge.pop("source"), _snaked(edge)) for edge in found["edges"])
    graph.drawn_from = (run, max_depth, top)
    return graph


def evidence_graph(
    run: Run, cls: Class, role: Role, outcome: Outcome | None, min_rate: float, max_nodes_per_layer: int
) -> nx.DiGraph:
    """See `Run.evidence_graph`."""
    given = {"role": role.upper(), "outcome": outcome and outcome.upper(), "minRate": min_rate}
    asked = run.database.query(_CLASS, {"class": str(cls), **given}, run=run.name, most=max_nodes_per_layer)
    found = asked["run"]["evidenceGraph"]
    name = found["class"]["name"]
    of_graph = {"class": name, "decisions": found["decisions"], "truncated": found["truncated"]}
    graph = nx.DiGraph(run=run.name, **of_graph)
    names = [f"{node['layer']}/{node['channel']}" for node in found["nodes"]]
    names[0] = f"class {name}"
    graph.add_nodes_from((own, _snaked(node)) for own, node in zip(names, found["nodes"], strict=True))
    for edge in found["edges"]:
        graph.add_edge(names[edge.pop("target")], names[edge.pop("source")], **_snaked(edge))
    return graph


def _snaked(values: Any) -> Any:
    """JSON with Python's spelling of its names."""
    if isinstance(values, list):
        return [_snaked(value) for value in values]
    if not isinstance(values, dict):
        return values
    return {
        re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"_{found[1].lower()}", name): _snaked(value)
        for name, value in values.items()
    }
