"""One explained image as a run of one decision: so that pyramids, patches and sheets are those of a database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from evigraph.graphapi.files.canvas import Sheet, percent
from evigraph.graphapi.files.patches import MapPicture, Patches, Place
from evigraph.graphapi.files.pyramid_sheet import Caption, pyramid_sheet
from evigraph.graphapi.questions.evidence import EvidenceRow, Graph, GraphNode, NodeKey, graph
from evigraph.graphapi.questions.pyramid import MAX_NODES, Pyramid, chosen_rows
from evigraph.graphapi.store.bounds import bounded
from evigraph.graphapi.store.catalog import ClassInfo, LayerInfo
from evigraph.graphapi.store.rows import DecisionRow, ImageRow
from evigraph.indexer.explain.edits import Edit
from evigraph.indexer.explain.explain import Explained
from evigraph.indexer.explain.outcome import Outcome
from evigraph.schema.pictures import PictureSettings

_RUN_ID = 0


@dataclass(frozen=True)
class Limits:
    """How much is drawn: layers below the class, channels of a layer, edges of a decomposition; None for all."""

    depth: int | None
    nodes: int
    top: int | None

    def __post_init__(self) -> None:
        """Raise UsageError where a number is out of its bounds."""
        bounded("--depth", self.depth, 1)
        bounded("--nodes", self.nodes, 1, MAX_NODES)


@dataclass(frozen=True)
class OneImage:
    """What a picture asks of a run (`Depicted`)."""

    name: str
    top_n: int
    pictures: PictureSettings
    layers: Sequence[LayerInfo]
    classes: Mapping[int, ClassInfo]


@dataclass(frozen=True)
class Depiction:
    """One decision of an explained image, as it is shown.

    Attributes:
        explained: the image.
        outcome: the decision.
        limits: how much of it is drawn.
        edits: what it was decided without.
    """

    explained: Explained
    outcome: Outcome
    limits: Limits
    edits: Sequence[Edit] = ()

    @cached_property
    def run(self) -> OneImage:
        """As a run."""
        described = self.explained.description
        layers = [LayerInfo(**vars(layer)) for layer in described.layers]
        classes = {one.class_id: ClassInfo(one.class_id, one.key, one.name, 0, 0) for one in described.classes}
        return OneImage(described.model, described.top_n, self.explained.pictures, layers, classes)

    @property
    def class_name(self) -> str:
        """The class that is explained."""
        return self.run.classes[self.outcome.explained.class_id].name

    @property
    def role(self) -> str:
        """Why it is that class."""
        class_id = self.outcome.explained.class_id
        if class_id == self.outcome.predicted.class_id:
            return "predicted"
        if class_id == self.explained.outcome.predicted.class_id:
            return "no longer predicted"
        return "label" if class_id in self.explained.label_ids else "asked for"

    @property
    def made_by(self) -> str:
        """The run that it is of, or the network."""
        return f"run {self.explained.run}" if self.explained.run else self.run.name

    @property
    def image_name(self) -> str:
        """The image's uri in its run, or the file without its folders."""
        return self.explained.uri if self.explained.run else PurePath(self.explained.uri).name

    @property
    def title(self) -> str:
        """What is shown, in a line."""
        if self.role == "predicted":
            return f"Why {self.image_name} is {self.class_name}"
        return f"Evidence for {self.class_name} in {self.image_name}"

    @cached_property
    def nodes(self) -> dict[NodeKey, dict[str, Any]]:
        """The rows of `decomposition`."""
        names = ("target_layer", "target_channel", "target_y", "target_x")
        return {_key(row, names): row for row in self.outcome.rows("decomposition")}

    @cached_property
    def graph(self) -> Graph:
        """All that is reached by edges of the ranks drawn."""
        rows = self.outcome.rows("edge")
        importance: defaultdict[NodeKey, float] = defaultdict(float)
        for row in rows:
            importance[_source(row)] += row["importance"]
        shown = [row for row in rows if self.limits.top is None or row["rank"] < self.limits.top]
        shown.sort(key=lambda row: (-row["target_layer"], -row["importance"]))
        root = GraphNode((self.run.layers[-1].layer_id, self.outcome.explained.class_id, 0, 0), self._logit, 1.0)
        return graph(root, [self._edge(row, len(rows), importance[_source(row)]) for row in shown])

    @property
    def _logit(self) -> float:
        return self.outcome.explained.logit

    def _edge(self, row: Mapping[str, Any], total: int, node_importance: float) -> EvidenceRow:
        of_decision = {"root_class_id": self.outcome.explained.class_id, "total": total}
        given = {**row, **of_decision, "node_importance": node_importance}
        return EvidenceRow(**{name: given[name] for name in EvidenceRow._fields})

    @cached_property
    def pyramid(self) -> Pyramid:
        """The channels that are drawn, and the edges between them."""
        (decision,) = self.outcome.rows("decision")
        stored: defaultdict[int, float] = defaultdict(float)
        for row in self.outcome.rows("edge"):
            stored[row["source_layer"]] += row["importance"]
        predicted, labels = self.outcome.predicted, self.explained.label_ids
        label = labels[0] if labels else None
        image = ImageRow(
            _RUN_ID, decision["image_id"], self.explained.uri, label, predicted.class_id, predicted.probability
        )
        of_decision = DecisionRow(**{"run_id": _RUN_ID, **decision, "role": self.role})
        lowest = len(self.run.layers) - 1
        depth = lowest if self.limits.depth is None else min(self.limits.depth, lowest)
        rows = chosen_rows(self.run, self.graph, stored, depth, self.limits.nodes)
        return Pyramid(image, of_decision, rows, truncated=False)

    @cached_property
    def patches(self) -> Patches:
        """Crops of the network's input, with the map of the strongest edge to each place."""
        names = ("decision_id", "target_layer", "target_channel", "target_y", "target_x", "source_channel")
        maps = {tuple(row[name] for name in names): row for row in self.outcome.rows("activation_map")}
        of_places: dict[Place, MapPicture] = {}
        for row in sorted(self.outcome.rows("edge"), key=lambda row: -row["contribution"]):
            place = Place(row["decision_id"], *_source(row))
            kept = maps.get(tuple(row[name] for name in names))
            if kept is not None and place not in of_places:
                of_places[place] = MapPicture(**{name: {**row, **kept}[name] for name in MapPicture._fields})
        thumbnails = {row["image_id"]: row["content"] for row in self.outcome.rows("thumbnail")}
        return Patches(self.run, thumbnails, of_places)

    @cached_property
    def sheet(self) -> Sheet:
        """The pyramid as a picture."""
        return pyramid_sheet(self.run, self.pyramid, self.patches, self.limits.top, self._caption)

    @property
    def _caption(self) -> Caption:
        left = " that is left" if self.edits else ""
        facts = [f"{self.image_name}, {self.made_by}", self._said()]
        facts += [_without(edit) for edit in self.edits]
        title = f"{self.title}: {self.run.name}"
        # The second picture is read as the first.
        return Caption(title, f"Evidence for {self.class_name}{left}", facts, is_explained=not self.edits)

    def _said(self) -> str:
        predicted = self.outcome.predicted
        said = [f"predicted {self.run.classes[predicted.class_id].name} ({percent(predicted.probability)})"]
        if self.outcome.explained != predicted:
            said.append(f"{self.class_name} {percent(self.outcome.explained.probability)}")
        if self.explained.label_ids:
            said.append(f"label {', '.join(self.run.classes[i].name for i in self.explained.label_ids)}")
        return ", ".join(said)

    def layer_name(self, layer_id: int) -> str:
        """The name of a layer."""
        return self.run.layers[layer_id].name


def depictions(explained: Explained, limits: Limits) -> list[Depiction]:
    """The decision, and where there are edits the decision without what they take away."""
    first = Depiction(explained, explained.outcome, limits)
    what_if = explained.what_if
    return [first] if what_if is None else [first, Depiction(explained, what_if.outcome, limits, what_if.edits)]


def _without(edit: Edit) -> str:
    if edit.method == "occlude":
        return f"without the field of {edit.layer} channel {edit.channel} at y {edit.y}, x {edit.x}, which is made grey"
    return f"without {edit.layer} channel {edit.channel}, whose map is set to 0"


def _source(row: Mapping[str, Any]) -> NodeKey:
    return _key(row, ("source_layer", "source_channel", "source_y", "source_x"))


def _key(row: Mapping[str, Any], names: Sequence[str]) -> NodeKey:
    layer, channel, y, x = (int(row[name]) for name in names)
    return (layer, channel, y, x)
