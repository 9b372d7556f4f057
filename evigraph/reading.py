"""A database in Python: `evigraph.open("evidence.duckdb")`, for notebooks and scripts. No server and no torch.

    db.query                         any GraphQL, as the service answers it
    db.runs, db.run(NAME)            runs; the one that the service takes where none is named
    run.table(LIST, ...)             any list of a run, all its pages: `channelSupport`, `images`, `contrast` ...
    run.channel(LAYER, INDEX)        a channel, with lists of its own: `peaks`, `supporters` ...
    run.channel_support, .context_labels, .images, .contrast     lists that are asked most, by their names
    run.edges                        edges, by the stream that `evigraph export edges` writes
    run.evidence(URI)                the evidence graph of one decision, for networkx

A list is asked as GraphQL of the public schema, page after page, and run in process by the service's own code: the
numbers are the service's, and `Answer.query` can be pasted into GraphiQL.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from evigraph.answers import Answer
from evigraph.schema.errors import EvidenceError, NotFoundError

if TYPE_CHECKING:
    import networkx as nx

    from evigraph.graphapi.files.edge_images import NamedEdges
    from evigraph.graphapi.service.lists import Parent

_PAGE = 100
_RUN = "name model dataset imageCount accuracy edgeCount topN createdAt layers { name channels height width }"
_CHANNEL = """
query ($run: String, $layer: String!, $index: Int!) {
  run(name: $run) { channel(layer: $layer, index: $index) { index } }
}
"""
_EVIDENCE = """
query ($run: String, $uri: String!, $maxDepth: Int, $top: Int) {
  run(name: $run) { image(uri: $uri) { decisions { role class { name } evidence(maxDepth: $maxDepth, top: $top) {
    truncated
    nodes { layer channel y x feature importance }
    edges { target source contribution share rank activation importance contextLabel contextIou }
  } } } }
}
"""


class Database:
    """A published database, open until it is closed; it moves to a newer version as the service does."""

    def __init__(self, path: str | Path) -> None:
        """Open it.

        Raises:
            DatabaseError: It is missing, foreign, of another revision, or broken.
        """
        from evigraph.graphapi.service.execution import Service
        from evigraph.graphapi.store.settings import Settings

        self.path = Path(path)
        self._service = Service(self.path, Settings(max_page_size=_PAGE))
        # On a thread of its own, since the caller may run inside an event loop (a notebook does).
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evigraph")

    def query(self, text: str, variables: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """The `data` of a GraphQL query's answer, of JSON's types.

        Args:
            text: GraphQL.
            variables: Its variables, by name.
            more: More of them.

        Raises:
            EvidenceError: The answer has an error; the first one's message.
        """
        from evigraph.graphapi.service.encoding import plain

        values = {**(variables or {}), **more}
        body = plain(self._thread.submit(lambda: asyncio.run(self._service.answer(text, values))).result().body)
        for error in body.get("errors", ()):
            raise EvidenceError(error["message"])
        return body["data"]

    @property
    def runs(self) -> list[Run]:
        """Every run, in the service's order."""
        return [Run(self, node) for node in self._nodes(f"{{ runs(first: {_PAGE}) {{ nodes {{ {_RUN} }} }} }}")]

    def run(self, name: str | None = None) -> Run:
        """A run by its name; without one, the run that the service takes.

        Raises:
            NotFoundError: There is none.
        """
        answered = self.query(f"query ($name: String) {{ run(name: $name) {{ {_RUN} }} }}", name=name)["run"]
        if answered is None:
            raise NotFoundError("run", name or "any", (), f"in {self.path}, which holds none; publish one")
        return Run(self, answered)

    def close(self) -> None:
        """Close it."""
        self._thread.shutdown()
        self._service.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """The path and the runs."""
        return f"evigraph.open({str(self.path)!r}): " + ", ".join(run.name for run in self.runs)

    def _nodes(self, text: str) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.query(text)["runs"]["nodes"]
        return nodes


class _Lists:
    """An object of the schema whose lists can be asked."""

    def __init__(self, database: Database, parents: tuple[Parent, ...]) -> None:
        self.database = database
        self._parents = parents

    def table(self, name: str, /, *, limit: int | None = None, **arguments: Any) -> Answer:
        """Any list of this object, as GraphQL has it.

        Args:
            name: The list, as `channelSupport` or `channel_support`.
            limit: The most rows; all if None.
            arguments: The list's, in either spelling; `cls` is GraphQL's `class`.

        Raises:
            EvidenceError: There is no such list or argument, or the service refuses what is asked.
        """
        import pyarrow as pa

        from evigraph.graphapi.service.lists import list_question

        question = list_question(self._parents, name, arguments)
        nodes: list[Any] = []
        totals: dict[str, Any] = {}
        after = None
        while True:
            size = _PAGE if limit is None else min(_PAGE, limit - len(nodes))
            paging = {"first": size, "after": after} if question.is_paged else {}
            found = self.database.query(question.text, question.variables, **paging)
            for part in question.way:
                found = found[part]
            if not question.is_paged:
                nodes = found[:limit]
                break
            nodes += found["nodes"]
            totals = {total: found[total] for total in question.totals}
            after = found["pageInfo"]["endCursor"]
            if not found["pageInfo"]["hasNextPage"] or len(nodes) == limit:
                break
        columns = {column: [_at(node, way) for node in nodes] for column, way in question.columns.items()}
        return Answer(pa.table(columns), totals, question.text, question.variables)


class Run(_Lists):
    """One run of a database.

    Attributes:
        name, model, dataset: As `runs list` prints them.
        image_count, edge_count, top_n: Numbers of the run.
        accuracy: Of its labelled images; None where there are none.
        layers: Names, lowest first; the last is `logits`.
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

    def channel(self, layer: str, index: int) -> Channel:
        """A channel, to ask its lists.

        Raises:
            EvidenceError: The run has no such channel; near layers are named.
        """
        self.database.query(_CHANNEL, run=self.name, layer=layer, index=index)
        return Channel(self, layer, index)

    def channel_support(self, layer: str, cls: str | int | None = None, **arguments: Any) -> Answer:
        """The channels of a layer that support a class, or all classes, most decisions first."""
        return self.table("channelSupport", layer=layer, cls=cls, **arguments)

    def context_labels(self, layer: str | None = None, cls: str | int | None = None, **arguments: Any) -> Answer:
        """The context labels that evidence lies on."""
        return self.table("contextLabels", layer=layer, cls=cls, **arguments)

    def images(self, **arguments: Any) -> Answer:
        """Images in the data's order; `label`, `predicted` and `outcome` choose among them."""
        return self.table("images", **arguments)

    def contrast(self, layer: str, a: Mapping[str, Any], b: Mapping[str, Any], **arguments: Any) -> Answer:
        """What sets cohort a of decisions apart from cohort b, least p first.

        Args:
            layer: Whose evidence is compared.
            a: What the cohort is chosen by, such as {"label": "cow", "predicted": "bird"}.
            b: Likewise, such as {"label": "cow", "outcome": "correct"}.
            arguments: GraphQL's others.
        """
        return self.table("contrast", layer=layer, a=a, b=b, **arguments)

    def edges(self, cls: str | int | None = None, layer: str | None = None, **filters: Any) -> Answer:
        """Edges of the run, in the columns of `evigraph export edges`; all of them lie in memory.

        Args:
            cls: Of roots of this class.
            layer: Into channels of this layer.
            filters: `target_layer`, `role` and `top`, and of images `image`, `label`, `predicted` and `outcome`: as the
                options of `evigraph export edges`.

        Raises:
            EvidenceError: A name stands for nothing.
        """
        import pyarrow as pa

        from evigraph.graphapi.files.edge_images import ImageFilter
        from evigraph.graphapi.files.edges import EdgeFilter, open_edges
        from evigraph.local import version_of

        names = {"image": "uri", "label": "label", "predicted": "predicted", "outcome": "outcome"}
        of_images = {own: filters.pop(name) for name, own in names.items() if name in filters}
        class_name = None if cls is None else str(cls)
        wanted = EdgeFilter(self.name, class_name, layer, images=ImageFilter(**of_images), **filters)
        with version_of(self.database.path) as version, version.engine.connect() as connection:
            edges = open_edges(connection, version.runs, wanted)
            try:
                return Answer(pa.Table.from_batches(_batches(edges), edges.schema))
            finally:
                edges.close()

    def evidence(
        self, uri: str, role: str = "predicted", *, max_depth: int | None = None, top: int | None = None
    ) -> nx.DiGraph:
        """The evidence graph of one decision: edges lead from what is explained to its evidence.

        Args:
            uri: The image.
            role: "predicted", or "label" where the prediction is wrong.
            max_depth: Layers below the root; all if None.
            top: Edges of each decomposition; all that were kept if None.

        Returns:
            Nodes by number, 0 being the root, with layer, channel, y, x, feature and importance; edges with
            contribution, share, rank, activation and importance, and their context label. `graph` has the image, class
            and role, and whether the service truncated it.

        Raises:
            EvidenceError: The run has no such image, or the image no such decision.
        """
        import networkx as nx

        asked = self.database.query(_EVIDENCE, run=self.name, uri=uri, maxDepth=max_depth, top=top)
        decisions = {decision["role"].lower(): decision for decision in asked["run"]["image"]["decisions"]}
        if role not in decisions:
            raise NotFoundError("decision", role, decisions, f"of {uri}; it has {', '.join(decisions)}")
        decision = decisions[role]
        shown = decision["evidence"]
        graph = nx.DiGraph(image=uri, role=role, truncated=shown["truncated"], **{"class": decision["class"]["name"]})
        graph.add_nodes_from(enumerate(shown["nodes"]))
        for edge in shown["edges"]:
            values = {name: value for name, value in edge.items() if name not in ("target", "source")}
            graph.add_edge(edge["target"], edge["source"], **values)
        return graph

    def __repr__(self) -> str:
        """Its name and size."""
        return f"Run {self.name}: {self.model} on {self.image_count} images, {self.edge_count} edges"

    def _repr_html_(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.1%}"
        text = f"{self.model} on {self.image_count} images of {self.dataset}, {self.edge_count} edges{accuracy}"
        return f"<b>{html.escape(self.name)}</b>: {html.escape(text)}<br>{html.escape(', '.join(self.layers))}"


class Channel(_Lists):
    """One channel of a run's layer."""

    def __init__(self, run: Run, layer: str, index: int) -> None:
        from evigraph.graphapi.service.lists import Parent

        own = Parent("channel", {"layer": layer, "index": index})
        super().__init__(run.database, (*run._parents, own))
        self.run, self.layer, self.index = run, layer, index

    def __repr__(self) -> str:
        """Its place."""
        return f"Channel {self.index} of {self.layer} in run {self.run.name}"


def _batches(edges: NamedEdges) -> Iterator[Any]:
    while True:
        try:
            yield edges.read_next_batch()
        except StopIteration:
            return


def _at(node: Any, way: tuple[str, ...]) -> Any:
    """The value at the end of a way into a node; None where the way ends before."""
    for part in way:
        if node is None:
            return None
        node = node[part]
    return node
