"""The questions that the scale benchmark asks, drawn with a seed from what a run holds.

They are drawn from the run folder, not from the database, so that the layout measured has no part in them. Channels
come half by how often they are evidence, as one who follows an answer meets them, and half evenly over a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evigraph.graphapi.types.ids import encode
from evigraph.indexer.shards.folder import RunFolder

_SHARDS = 24
"""Read to draw from; each is of classes that lie together."""

_CHANNEL = "query($run: String, $layer: String!, $index: Int!, $class: String) "
_EDGES = """nodes { channel { index layer { name } } decisions rate edges meanShare meanImportance }
    pageInfo { hasNextPage endCursor }"""

_CONTRAST = """query($run: String, $layer: String!, $a: CohortInput!, $b: CohortInput!) { run(name: $run) {
  contrast(layer: $layer, a: $a, b: $b, first: 20) { decisionsA decisionsB totalCount discoveries
    nodes { channel { index } countA rateA countB rateB logOddsRatio low high p q }
    pageInfo { hasNextPage endCursor } } } }"""

_IMAGES = """query($run: String, $text: String!) {{ run(name: $run) {{ images({}: $text, first: 20) {{
  totalCount nodes {{ uri probability label {{ name }} predicted {{ name }} }} pageInfo {{ hasNextPage endCursor }}
}} }} }}"""

TEXTS = {
    "channelSupport": """query($run: String, $layer: String!, $class: String) {
  run(name: $run) { channelSupport(layer: $layer, class: $class, first: 10) {
    edges { cursor node { channel { index layer { name } } class { name } decisions rate edges meanShare
      meanImportance } }
    pageInfo { hasNextPage endCursor } } } }""",
    "contextLabels": _CHANNEL
    + """{
  run(name: $run) { channel(layer: $layer, index: $index) { index layer { name }
    contextLabels(class: $class, first: 10) { edges { cursor node { label edges rate meanIou } }
    pageInfo { hasNextPage endCursor } } } } }""",
    "evidence": """query($image: ID!) { node(id: $image) { ... on Image { uri probability correct label { name }
  predicted { name } decisions { class { name } role logit probability evidence {
    nodes { layer channel y x feature importance }
    edges { target source contribution share rank activation contextLabel contextIou } truncated } } } } }""",
    "confusions": """query($run: String) { run(name: $run) { confusions(first: 20) {
  nodes { label { name } predicted { name } images rate } pageInfo { hasNextPage endCursor } } } }""",
    "supporters": _CHANNEL
    + f"""{{ run(name: $run) {{ channel(layer: $layer, index: $index) {{
  supporters(class: $class, first: 20) {{ {_EDGES} }} }} }} }}""",
    "supports": _CHANNEL
    + f"""{{ run(name: $run) {{ channel(layer: $layer, index: $index) {{
  supports(class: $class, first: 20) {{ {_EDGES} }} }} }} }}""",
    "peaks": """query($run: String, $layer: String!, $index: Int!) { run(name: $run) {
  channel(layer: $layer, index: $index) { peaks(first: 20) {
    nodes { y x contribution share feature activation image { uri label { name } } }
    pageInfo { hasNextPage endCursor } } } } }""",
    "contextLift": """query($run: String, $layer: String!, $class: String) {
  run(name: $run) { contextLabels(layer: $layer, class: $class, first: 10) {
    nodes { label edges decisions rate meanIou baseRate presence lift } pageInfo { hasNextPage endCursor } } } }""",
    "labelsByPeak": """query($run: String, $layer: String!, $class: String) {
  run(name: $run) { contextLabels(layer: $layer, class: $class, orderBy: LOCALIZATION, first: 10) {
    nodes { label edges peak { lift low high chanceLift p q } activation { lift low high q } }
    pageInfo { hasNextPage endCursor } } } }""",
    "channelsLocalizing": """query($run: String, $layer: String!, $label: String!, $class: String) {
  run(name: $run) { channelsLocalizing(layer: $layer, label: $label, class: $class, first: 10) {
    nodes { channel { index } edges decisions peak { lift low high chanceLift p q } activation { lift low high q } }
    pageInfo { hasNextPage endCursor } } } }""",
    "classContext": """query($run: String, $class: String) { run(name: $run) { contextLabels(class: $class, first: 10) {
    nodes { label edges decisions rate meanIou baseRate presence lift } pageInfo { hasNextPage endCursor } } } }""",
    "profiles": """query($run: String, $class: String) { run(name: $run) { layers { name
    profile(class: $class) { decompositions shares residual }
    positiveProfile { decompositions barren meanPositive meanOverlapping } } } }""",
    "degrees": """query($bins: Int!) { runs { nodes { name layers { name
  discriminativeDegree(bins: $bins) { count mean median quantiles above histogram } } } } }""",
    "evidenceGraph": """query($run: String, $class: String!) { run(name: $run) { evidenceGraph(class: $class) {
  decisions nodes { layer channel decisions rate importance throughflow } edges { target source rate share }
  paths { share nodes } } } }""",
    "contrast": _CONTRAST,
    "contrastOfAll": _CONTRAST,
    "verification": """query($run: String, $layer: String!, $label: String, $predicted: String, $most: Float) {
  run(name: $run) { verification(layer: $layer, label: $label, predicted: $predicted, maxArea: $most) {
    method fill tested tooLarge corrected flipped meanLogitChange toEmptyPrediction
    control { tested corrected flipped onlyEvidence onlyControl p } } } }""",
    "verifiedPairs": """query($run: String, $layer: String!) { run(name: $run) {
  verifiedPairs(layer: $layer, method: REMOVE, first: 20) {
    nodes { label { name } predicted { name } counts { tested corrected control { corrected p } } }
    pageInfo { hasNextPage endCursor } } } }""",
    "class": """query($run: String, $class: String!) { run(name: $run) { class(name: $class) {
  index key name imageCount accuracy } } }""",
    "classUnknown": """query($run: String, $class: String!) { run(name: $run) { class(name: $class) { index } } }""",
    "image": """query($run: String, $uri: String!) { run(name: $run) { image(uri: $uri) {
  uri probability correct label { name } predicted { name } } } }""",
    "imageUnknown": """query($run: String, $uri: String!) { run(name: $run) { image(uri: $uri) { uri } } }""",
    "imagesPrefix": _IMAGES.format("uriPrefix"),
    "imagesSearch": _IMAGES.format("search"),
    "peaksOfClass": """query($run: String, $layer: String!, $index: Int!, $class: String!) { run(name: $run) {
  channel(layer: $layer, index: $index) { peaks(class: $class, first: 20) {
    totalCount nodes { y x contribution share feature activation cropUrl image { uri label { name } } }
    pageInfo { hasNextPage endCursor } } } } }""",
    "runsNamed": """query($names: [String!], $class: String!) { runs(names: $names) { nodes { name accuracy
  class(name: $class) { imageCount accuracy } } } }""",
    "compare": """query($run: String, $other: String!) { run(name: $run) { compare(other: $other) {
  matched imagesCompared bothRight bothWrong onlyThisRight onlyOtherRight p
  byClass(first: 20) { nodes { class { name } images accuracy otherAccuracy } } } } }""",
}
"""GraphQL text of each kind of question. One of `evidence` is a wrongly classified image, so it has two trees;
`compare` is of a run with itself, so that it pairs as many images as two runs can.
"""

REFUSED = dict.fromkeys(("classUnknown", "imageUnknown"), "NOT_FOUND")
"""Kinds that have no answer but an error of this code, which names what is near."""

LISTINGS = {
    "images": "nodes { uri probability label { name } predicted { name } }",
    "confusions": "nodes { label { name } predicted { name } images rate }",
}
"""Listings of a run that are long, and what is asked of their nodes."""

HEADLINES = ("channelSupport", "contextLabels")


@dataclass(frozen=True)
class Question:
    """One request."""

    text: str
    variables: dict[str, Any]
    refused: str | None = None
    """The code of the error that is the answer; None where there is to be none."""


def listing(run: str, field: str, first: int) -> Question:
    """A page of one of `LISTINGS`; its variable `after` is a cursor or null."""
    text = f"""query($run: String, $after: String) {{ run(name: $run) {{ {field}(first: {first}, after: $after) {{
  {LISTINGS[field]} pageInfo {{ hasNextPage endCursor }} }} }} }}"""
    return Question(text, {"run": run, "after": None})


class Drawer:
    """Draws questions about one run."""

    def __init__(self, run_dir: Path, seed: int) -> None:
        """Read a few shards of the run folder, evenly spread."""
        self._rng = np.random.default_rng(seed)
        with RunFolder.open_for_reading(run_dir) as folder:
            self._description = folder.description
            shards = np.unique(np.linspace(0, folder.shard_count - 1, _SHARDS).astype(int))

            def read(table: str, columns: list[str]) -> pa.Table:
                files = [folder.shard_file(int(shard), table) for shard in shards]
                return pa.concat_tables([pq.read_table(file, columns=columns) for file in files])

            self._edge = read("edge", ["decision_id", "source_layer", "source_channel", "context_label_id"])
            self._decision = read("decision", ["decision_id", "image_id", "class_id", "role"])
            images = [
                pq.read_table(
                    folder.shard_file(shard, "image"), columns=["image_id", "uri", "label_id", "predicted_id"]
                )
                for shard in range(folder.shard_count)
            ]
        image = pa.concat_tables(images)
        wrong = _numpy(image["label_id"]) != _numpy(image["predicted_id"])
        self._uris = image["uri"].to_pylist()
        self._wrong_images = _numpy(image["image_id"])[wrong]
        pairs = [_numpy(image[column])[wrong] for column in ("label_id", "predicted_id")]
        self._confused_pairs = np.stack(pairs, axis=1)
        self._right_classes = np.unique(_numpy(image["predicted_id"])[~wrong])
        self._class_of = dict(zip(*(_numpy(self._decision[c]) for c in ("decision_id", "class_id")), strict=True))

    def draw(self, kind: str, count: int) -> list[Question]:
        """Some questions of a kind; few of them are the same, but for `confusions`, of which there is one."""
        drawn = getattr(self, f"_{kind}")(count)
        return [Question(TEXTS[kind], variables, REFUSED.get(kind)) for variables in drawn]

    def _channelSupport(self, count: int) -> list[dict[str, Any]]:  # noqa: N802 - named by its kind
        layers = [layer.name for layer in self._description.layers[:-1]]
        classes = self._rng.integers(len(self._description.classes), size=count)
        return [
            {"run": self._description.name, "layer": layers[n % len(layers)], "class": self._key(class_id)}
            for n, class_id in enumerate(classes)
        ]

    def _contextLabels(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        with_context = np.unique(_numpy(self._edge["source_layer"])[_numpy(self._edge["context_label_id"].is_valid())])
        return self._channels(count, with_context)

    def _contextLift(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        with_context = np.unique(_numpy(self._edge["source_layer"])[_numpy(self._edge["context_label_id"].is_valid())])
        layers = [self._description.layers[int(layer_id)].name for layer_id in with_context]
        drawn = self._evidenceGraph(count)
        return [one | {"layer": layers[n % len(layers)]} for n, one in enumerate(drawn)]

    def _labelsByPeak(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        return self._contextLift(count)

    def _channelsLocalizing(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        """Labels that evidence lies on, every other time of one class."""
        labels = self._rng.choice(_numpy(self._edge["context_label_id"].drop_null()), count)
        names = {row.label_id: row.name for row in self._description.context_labels}
        drawn = zip(self._contextLift(count), labels.tolist(), strict=True)
        return [
            one | {"label": names[int(label)]} | ({"class": None} if n % 2 else {})
            for n, (one, label) in enumerate(drawn)
        ]

    def _classContext(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        return self._evidenceGraph(count)

    def _profiles(self, count: int) -> list[dict[str, Any]]:
        return self._evidenceGraph(count)

    def _degrees(self, count: int) -> list[dict[str, Any]]:
        return [{"bins": 10 + n % 50} for n in range(count)]

    def _evidenceGraph(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        classes = self._rng.integers(len(self._description.classes), size=count)
        return [{"run": self._description.name, "class": self._key(class_id)} for class_id in classes]

    def _evidence(self, count: int) -> list[dict[str, Any]]:
        images = self._rng.choice(self._wrong_images, count, replace=count > len(self._wrong_images))
        return [{"image": encode("Image", self._description.name, int(image))} for image in images]

    def _confusions(self, count: int) -> list[dict[str, Any]]:
        return [{"run": self._description.name}] * count

    def _supporters(self, count: int) -> list[dict[str, Any]]:
        return self._channels(count, np.arange(1, len(self._description.layers) - 1))

    def _supports(self, count: int) -> list[dict[str, Any]]:
        return self._channels(count, np.arange(len(self._description.layers) - 1))

    def _peaks(self, count: int) -> list[dict[str, Any]]:
        drawn = self._channels(count, np.arange(len(self._description.layers) - 1))
        return [{name: value for name, value in variables.items() if name != "class"} for variables in drawn]

    def _contrast(self, count: int) -> list[dict[str, Any]]:
        """In turn: wrong and right ones of a label, of a prediction; taken for another and rightly so; lost to it."""
        layers = [layer.name for layer in self._description.layers[:-1]]
        able = self._confused_pairs[np.isin(self._confused_pairs, self._right_classes).all(axis=1)]
        if not len(able):  # a run of few images: no class has both right and wrong ones
            return self._contrastOfAll(count)
        pairs = self._rng.choice(able, count)
        drawn = []
        for n, (label, predicted) in enumerate(pairs.astype(int).tolist()):
            label, predicted = self._key(label), self._key(predicted)
            a, b = (
                ({"label": label, "outcome": "WRONG"}, {"label": label, "outcome": "CORRECT"}),
                ({"predicted": predicted, "outcome": "WRONG"}, {"predicted": predicted, "outcome": "CORRECT"}),
                ({"label": label, "predicted": predicted}, {"predicted": predicted, "outcome": "CORRECT"}),
                ({"label": label, "predicted": predicted}, {"label": label, "outcome": "CORRECT"}),
            )[n % 4]
            layer = layers[n // 4 % len(layers)]
            drawn.append({"run": self._description.name, "layer": layer, "a": a, "b": b})
        return drawn

    def _verification(self, count: int) -> list[dict[str, Any]]:
        """In turn: of a label, of a prediction, of both, of both whatever was hidden."""
        layers = [layer.name for layer in self._description.layers[:-1]]
        pairs = self._rng.choice(self._confused_pairs, count).astype(int).tolist()
        drawn = []
        for n, (label, predicted) in enumerate(pairs):
            classes = {"label": self._key(label), "predicted": self._key(predicted)}
            named = (("label",), ("predicted",), ("label", "predicted"))[min(n % 4, 2)]
            most = None if n % 4 == 3 else 0.5
            one = {"run": self._description.name, "layer": layers[n // 4 % len(layers)], "most": most}
            drawn.append(one | {name: classes[name] for name in named})
        return drawn

    def _verifiedPairs(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        layers = [layer.name for layer in self._description.layers[:-1]]
        return [{"run": self._description.name, "layer": layers[n % len(layers)]} for n in range(count)]

    def _contrastOfAll(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        """All wrong decisions against all right ones, layer by layer."""
        layers = [layer.name for layer in self._description.layers[:-1]]
        cohorts = {"a": {"outcome": "WRONG"}, "b": {"outcome": "CORRECT"}}
        return [{"run": self._description.name, "layer": layers[n % len(layers)]} | cohorts for n in range(count)]

    def _class(self, count: int) -> list[dict[str, Any]]:
        return self._evidenceGraph(count)

    def _classUnknown(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        """Keys with a letter too many."""
        return [one | {"class": f"{one['class'][:5]}x{one['class'][5:]}"} for one in self._evidenceGraph(count)]

    def _image(self, count: int) -> list[dict[str, Any]]:
        return [{"run": self._description.name, "uri": uri} for uri in self._rng.choice(self._uris, count).tolist()]

    def _imageUnknown(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        """Without the folder, as one who has only the file's name asks."""
        return [one | {"uri": one["uri"].rpartition("/")[2]} for one in self._image(count)]

    def _imagesPrefix(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        """Of a class's folder."""
        return [
            {"run": self._description.name, "text": one["uri"].rpartition("/")[0] + "/"} for one in self._image(count)
        ]

    def _imagesSearch(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        """The last digits of a file's name, which few images share."""
        return [
            {"run": self._description.name, "text": one["uri"].rpartition(".")[0][-4:]} for one in self._image(count)
        ]

    def _peaksOfClass(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        drawn = self._channels(4 * count, np.arange(len(self._description.layers) - 1))
        return [one for one in drawn if one["class"]][:count]

    def _runsNamed(self, count: int) -> list[dict[str, Any]]:  # noqa: N802
        return [{"names": [one["run"]], "class": one["class"]} for one in self._evidenceGraph(count)]

    def _compare(self, count: int) -> list[dict[str, Any]]:
        return [{"run": self._description.name, "other": self._description.name}] * count

    def _channels(self, count: int, layer_ids: NDArray[Any]) -> list[dict[str, Any]]:
        """Channels of some layers in turn, half of them with one of the classes that they support."""
        layers, channels = _numpy(self._edge["source_layer"]), _numpy(self._edge["source_channel"])
        decisions = _numpy(self._edge["decision_id"])
        rows_of = {int(layer): np.flatnonzero(layers == layer) for layer in layer_ids}
        drawn = []
        for n in range(count):
            layer_id = int(layer_ids[n % len(layer_ids)])
            row = self._rng.choice(rows_of[layer_id])
            layer = self._description.layers[layer_id]
            index, class_key = int(channels[row]), None
            if self._rng.random() < 0.5:
                class_key = self._key(self._class_of[decisions[row]])
            elif self._rng.random() < 0.5:
                index = int(self._rng.integers(layer.channels))
            drawn.append({"run": self._description.name, "layer": layer.name, "index": index, "class": class_key})
        return drawn

    def _key(self, class_id: int) -> str:
        return self._description.classes[class_id].key


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    array: NDArray[Any] = column.to_numpy()
    return array
