"""What a finished run holds, as `evigraph index` tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from evigraph.indexer.run.batch import BatchIndexer
from evigraph.indexer.shards.folder import RunFolder


@dataclass(frozen=True)
class IndexReport:
    """What a finished run holds. Counts are of the whole run but for `new_image_count`, what this call indexed.

    `node_count` nodes were decomposed by this call, of which `barren_count` had no positive contribution;
    `fallbacks` says by lower layer why a segment was decomposed by autograd over whole maps; `notes` how the weights,
    the network and the data were read, where the user should know, a sentence each.
    """

    run: str
    name: str
    layers: list[str]
    image_total: int
    new_image_count: int
    skipped: dict[str, int]
    labelled_count: int
    correct_count: int
    edge_count: int
    seconds: float
    batch_size: int
    node_count: int
    barren_count: int
    fallbacks: dict[str, str]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with the accuracy over the labelled images."""
        accuracy = self.correct_count / self.labelled_count if self.labelled_count else None
        return asdict(self) | {"accuracy": accuracy, "skipped_count": sum(self.skipped.values())}


def report_of(
    folder: RunFolder,
    indexer: BatchIndexer,
    new_image_count: int,
    batch_size: int,
    seconds: float,
    notes: Iterable[str] = (),
) -> IndexReport:
    """Count what a finished run folder holds; `notes` are of the weights."""
    network = indexer.network
    labelled = correct = edges = 0
    skipped: Counter[str] = Counter()
    for shard in range(folder.shard_count):
        image = folder.read(shard, "image", ["label_id", "predicted_id"])
        labelled += image.num_rows - image["label_id"].null_count
        correct += pc.sum(pc.equal(image["label_id"], image["predicted_id"])).as_py() or 0
        edges += pq.read_metadata(folder.shard_file(shard, "edge")).num_rows
        skipped.update(folder.read(shard, "skipped_image", ["reason"])["reason"].to_pylist())
    return IndexReport(
        run=str(folder.path),
        name=folder.description.name,
        layers=[layer.name for layer in network.layers],
        image_total=folder.description.image_total,
        new_image_count=new_image_count,
        skipped=dict(skipped.most_common()),
        labelled_count=labelled,
        correct_count=correct,
        edge_count=edges,
        seconds=seconds,
        batch_size=batch_size,
        node_count=indexer.node_count,
        barren_count=indexer.barren_count,
        fallbacks={
            layer.name: why for layer, why in zip(network.layers, network.fallbacks, strict=True) if why is not None
        },
        notes=(*notes, *network.notes, *indexer.source.notes),
    )
