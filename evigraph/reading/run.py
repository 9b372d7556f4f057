"""A run: what it is, its channels, edges and graphs, and how it compares with another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evigraph.reading import shown
from evigraph.reading.answers import Answer
from evigraph.reading.run_failures import RunFailures
from evigraph.reading.run_lists import RunLists
from evigraph.reading.words import Class, ComparedOutcome, Outcome, Role

if TYPE_CHECKING:
    import networkx as nx

    from evigraph.graphapi.files.edge_images import NamedEdges
    from evigraph.graphapi.store.session import Session
    from evigraph.reading.channel import Channel
    from evigraph.reading.database import Database
    from evigraph.reading.graphs import Evidence

RUN_FIELDS = "name model dataset imageCount accuracy edgeCount topN createdAt isDefault layers { name }"
_CHANNEL = """
query ($run: String, $layer: String!, $index: Int!) {
  run(name: $run) { channel(layer: $layer, index: $index) { discriminativeDegree layer { name } } }
}
"""


class Run(RunLists, RunFailures):
    """One run of a database.

    Attributes:
        name, model, dataset: As `runs list` prints them.
        image_count, edge_count, top_n: Numbers of the run.
        accuracy: Of its labelled images, in 0..1; None where there are none.
        layers: Names, lowest first; the last is `logits`.
        created_at: When indexing began, as ISO 8601.
        is_default: Whether it is asked where no run is named.
    """

    def __init__(self, database: Database, node: Mapping[str, Any]) -> None:
        from evigraph.graphapi.service.lists import Parent

        super().__init__(database, (Parent("run", {"name": node["name"]}),))
        self.name: str = node["name"]
        self.model: str = node["model"]
        self.dataset: str = node["dataset"]
        self.image_count: int = node["imageCount"]
        self.edge_count: int = node["edgeCount"]
        self.top_n: int = node["topN"]
        self.accuracy: float | None = node["accuracy"]
        self.layers: list[str] = [layer["name"] for layer in node["layers"]]
        self.created_at: str = node["createdAt"]
        self.is_default: bool = node["isDefault"]

    def channel(self, layer: str, index: int) -> Channel:
        """A channel, with lists of its own: peaks, support, context labels, supporters, verification.

        Raises:
            NotFoundError: The run has no such channel; near layers are named.
        """
        from evigraph.reading.channel import Channel

        node = self.database.query(_CHANNEL, run=self.name, layer=layer, index=index)["run"]["channel"]
        return Channel(self, node["layer"]["name"], index, node["discriminativeDegree"])

    def edges(
        self,
        cls: Class | None = None,
        layer: str | None = None,
        *,
        target_layer: str | None = None,
        role: Role | None = None,
        top: int | None = None,
        image: str | None = None,
        label: Class | None = None,
        predicted: Class | None = None,
        outcome: Outcome | None = None,
    ) -> Answer:
        """Edges in the columns of `evigraph export edges`, one row each; all of them lie in memory.

        Args:
            cls: Of decisions for this class; of all if None.
            layer: Whose evidence (source) is in this layer.
            target_layer: Whose explained channel is in this layer; "logits" for the decisions themselves.
            role: Of decisions of this role; of both if None.
            top: The so many largest of each decomposition; all that were kept if None.
            image: Of the image of this uri.
            label: Of images of this label.
            predicted: Of images predicted as this class.
            outcome: Of images rightly, or wrongly, predicted.

        Raises:
            NotFoundError: A name stands for nothing.
        """
        import pyarrow as pa

        from evigraph.graphapi.files.edge_images import ImageFilter
        from evigraph.graphapi.files.edges import EdgeFilter, open_edges

        of_images = ImageFilter(image, _name(label), _name(predicted), outcome)
        wanted = EdgeFilter(self.name, _name(cls), layer, target_layer, role, top, of_images)

        async def read(session: Session) -> pa.Table:
            with session.version.engine.connect() as connection:
                edges = open_edges(connection, session.runs, wanted)
                try:
                    return pa.Table.from_batches(_batches(edges), edges.schema)
                finally:
                    edges.close()

        return Answer(self.database.asked(read))

    def evidence(
        self, image: str, role: Role = "predicted", *, max_depth: int | None = None, top: int | None = None
    ) -> Evidence:
        """The evidence graph of one decision; a notebook draws it as a pyramid (Fig. 5).

        Args:
            image: Its uri, relative to the data's root.
            role: Explain the predicted class, or the label where the prediction is wrong.
            max_depth: Layers below the class; all if None.
            top: Edges of each decomposition; all that were kept if None.

        Returns:
            A `networkx.DiGraph`; see `evigraph.reading.graphs.Evidence`.

        Raises:
            NotFoundError: The run has no such image, or the image no such decision.
        """
        from evigraph.reading.graphs import evidence

        return evidence(self, image, role, max_depth, top)

    def evidence_graph(
        self,
        cls: Class,
        *,
        role: Role = "predicted",
        outcome: Outcome | None = None,
        min_rate: float = 0.1,
        max_nodes_per_layer: int = 20,
    ) -> nx.DiGraph:
        """What the decisions for a class have in common: channels, and the evidence between them.

        Args:
            cls: The class.
            role: Which decisions count.
            outcome: Only decisions of rightly, or wrongly, predicted images.
            min_rate: Channels and edges in a smaller part of the decisions are left out.
            max_nodes_per_layer: Channels of each layer, those in most decisions.

        Returns:
            A `networkx.DiGraph` of nodes "LAYER/CHANNEL" and "class NAME", edges from what is explained to its
            evidence, as `evigraph export graph` writes it.
        """
        from evigraph.reading.graphs import evidence_graph

        return evidence_graph(self, cls, role, outcome, min_rate, max_nodes_per_layer)

    def panel(
        self,
        cls: Class,
        layer: str,
        *,
        role: Role = "predicted",
        top: int = 6,
        peaks: int = 8,
        own_peaks: bool = True,
        maps: bool = False,
    ) -> shown.Drawing:
        """A drawing of the channels of a layer that most often support a class, each with its strongest peaks.

        Args:
            cls: The class.
            layer: Whose channels.
            role: Which decisions count.
            top: Channels.
            peaks: Of each channel.
            own_peaks: Peaks in decisions for the class alone, not in those of all classes.
            maps: Activation maps over the crops, where the run keeps them.
        """
        from evigraph.graphapi.files.sheets import drawn_panel
        from evigraph.graphapi.files.svg import svg_text

        of = (self.name, str(cls), layer, role)
        sheet = self.database.asked(
            lambda session: drawn_panel(session, *of, top=top, peaks=peaks, own_peaks=own_peaks, maps=maps)
        )
        return shown.Drawing(svg_text(sheet))

    def profile(self, cls: Class | None = None, *, role: Role = "predicted") -> shown.Drawing:
        """A drawing of how the evidence of each layer falls off with rank (Fig. 6); `profiles` has its numbers."""
        from evigraph.graphapi.files.sheets import drawn_profile
        from evigraph.graphapi.files.svg import svg_text

        sheet = self.database.asked(lambda session: drawn_profile(session, self.name, _name(cls), role))
        return shown.Drawing(svg_text(sheet))

    def compare(self, other: str, *, limit: int | None = None) -> Answer:
        """Which of this run and another of the same data predicts images rightly, by class.

        Args:
            other: The other run's name.
            limit: The most rows.

        Returns:
            Of each label `images`, `accuracy` and `other_accuracy`; `totals` counts the images that both, either or
            neither gets right, and has `p`, McNemar's exact test.
        """
        return self._of("byClass", limit, {}, within=(self._compared(other),))

    def compared_images(
        self, other: str, outcome: ComparedOutcome | None = None, cls: Class | None = None, *, limit: int | None = None
    ) -> Answer:
        """The images of a comparison with another run: of one outcome, such as "only other", and of one class."""
        given = {"outcome": outcome, "class": cls}
        return self._of("images", limit, given, within=(self._compared(other),))

    def __repr__(self) -> str:
        """Its name and size."""
        return f"Run {self.name}: {self.model} on {self.image_count} images, {self.edge_count} edges"

    def _repr_html_(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.1%}"
        facts = f"{self.model} on {self.image_count:,} images of {self.dataset}, {self.edge_count:,} edges{accuracy}"
        return shown.paragraph(self.name, facts, "layers: " + ", ".join(self.layers))

    def _compared(self, other: str) -> Any:
        from evigraph.graphapi.service.lists import Parent

        return Parent("compare", {"other": other})


def _name(cls: Class | None) -> str | None:
    return None if cls is None else str(cls)


def _batches(edges: NamedEdges) -> Iterator[Any]:
    while True:
        try:
            yield edges.read_next_batch()
        except StopIteration:
            return
