"""One decision of one image: what the network says, and its evidence as the tables that a run would hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from evigraph.indexer.evidence.measurement import DecomposedBatch
from evigraph.indexer.explain.subject import Subject
from evigraph.indexer.pictures.settings import PictureOptions
from evigraph.indexer.pictures.thumbnails import Pictures, picture_settings
from evigraph.indexer.run.rows import DecisionRows, ShardRows
from evigraph.schema.pictures import PictureSettings

_MAPS = 5000
"""The most important edges whose activation maps are kept, so that a picture has them: 25 ms of every 1000."""
_LEAST_SIDE = 16
"""Of a thumbnail; a smaller input is kept as it is."""


@dataclass(frozen=True)
class Said:
    """What the network says of one class; the probability is its own, after softmax or sigmoid."""

    class_id: int
    logit: float
    probability: float


@dataclass(frozen=True)
class Outcome:
    """A decision.

    Attributes:
        explained: the class whose logit is decomposed.
        predicted: the class of the largest logit.
        said: of every class, by its index.
        tables: `decision`, `decomposition`, `edge`, `thumbnail` and `activation_map`, with the columns of a shard.
    """

    explained: Said
    predicted: Said
    said: tuple[Said, ...]
    tables: Mapping[str, pa.Table]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, in its order."""
        rows: list[dict[str, Any]] = self.tables[table].to_pylist()
        return rows


def outcome_of(subject: Subject, batch: DecomposedBatch) -> Outcome:
    """A decomposed decision as rows."""
    rows = ShardRows()
    rows.add(DecisionRows(subject.source).columns(batch))
    rows.add(Pictures(pictures_of(subject), subject.preprocessing).columns(batch))
    tables = rows.tables()
    names = ("decision", "decomposition", "edge", "thumbnail", "activation_map")
    said = said_of(subject, batch)
    explained, predicted = int(batch.decided.roots.class_id[0]), int(batch.decided.predicted[0])
    return Outcome(said[explained], said[predicted], said, {name: tables[name] for name in names})


def said_of(subject: Subject, batch: DecomposedBatch) -> tuple[Said, ...]:
    """What the network says of every class, by its index."""
    logits = batch.record.logits.float()
    probabilities = subject.network.head.probabilities(logits)[0].tolist()
    pairs = zip(logits[0].tolist(), probabilities, strict=True)
    return tuple(Said(class_id, *pair) for class_id, pair in enumerate(pairs))


def pictures_of(subject: Subject) -> PictureSettings:
    """The pictures that are kept: the whole input, and the maps of all edges that a picture may show."""
    options = PictureOptions(max(_LEAST_SIDE, *subject.preprocessing.size), maps=True, max_maps=_MAPS)
    made = picture_settings(subject.network, subject.preprocessing.size, options)
    if made is None:
        raise ValueError("no pictures are kept")
    return made
