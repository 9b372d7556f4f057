"""What a finished run holds, as `evigraph index` tells it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from evigraph.indexer.run.batch import BatchIndexer
from evigraph.indexer.shards.folder import RunFolder

CHANCE_IMAGES = 50
"""From so many labelled images on, an accuracy of chance is told of."""
SHOWN_SKIPPED = 5
"""Images that could not be used, named one by one."""


@dataclass(frozen=True)
class Said:
    """What is told of a run beside its counts: notes, a sentence each, its preprocessing and its cores in a line."""

    notes: tuple[str, ...]
    preprocessing: str
    cores: str


@dataclass(frozen=True)
class IndexReport:
    """What a finished run holds. Counts are of the whole run but for `new_image_count`, what this call indexed.

    `preprocessing` and `cores` say in a line what each image goes through and what the work was done with;
    `skipped_images` are the uris and reasons of the first `SHOWN_SKIPPED` ones.
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
    preprocessing: str
    cores: str
    skipped_images: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with the accuracy over the labelled images."""
        accuracy = self.correct_count / self.labelled_count if self.labelled_count else None
        skipped = [{"uri": uri, "reason": reason} for uri, reason in self.skipped_images]
        return asdict(self) | {
            "skipped_images": skipped,
            "accuracy": accuracy,
            "skipped_count": sum(self.skipped.values()),
        }


def report_of(
    folder: RunFolder,
    indexer: BatchIndexer,
    new_image_count: int,
    batch_size: int,
    seconds: float,
    said: Said,
) -> IndexReport:
    """Count what a finished run folder holds."""
    network = indexer.network
    labelled = correct = edges = 0
    skipped: Counter[str] = Counter()
    first_skipped: list[tuple[str, str]] = []
    for shard in range(folder.shard_count):
        image = folder.read(shard, "image", ["label_id", "predicted_id"])
        labelled += image.num_rows - image["label_id"].null_count
        correct += pc.sum(pc.equal(image["label_id"], image["predicted_id"])).as_py() or 0
        edges += pq.read_metadata(folder.shard_file(shard, "edge")).num_rows
        left_out = folder.read(shard, "skipped_image", ["uri", "reason"]).to_pylist()
        skipped.update(row["reason"] for row in left_out)
        first_skipped += [(row["uri"], row["reason"]) for row in left_out[: SHOWN_SKIPPED - len(first_skipped)]]
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
        notes=(*said.notes, *network.notes, *indexer.source.notes),
        preprocessing=said.preprocessing,
        cores=said.cores,
        skipped_images=tuple(first_skipped),
    )


def with_accuracy_notes(report: IndexReport, class_count: int, promised: float | None) -> IndexReport:
    """The same report; where its accuracy says that labels or preprocessing are wrong, with that as a note."""
    note = accuracy_note(report.labelled_count, report.correct_count, class_count, promised)
    return replace(report, notes=(*report.notes, note)) if note else report


def accuracy_note(labelled: int, correct: int, class_count: int, promised: float | None = None) -> str | None:
    """What to say of an accuracy that is far too low; None where it is not, or images are too few to tell.

    Far too low is below half of what the weights are published with, where that would happen to right labels less than
    once in a thousand runs (Hoeffding's bound); and what chance gives, or two standard deviations more, over
    `CHANCE_IMAGES` or more.

    Args:
        labelled: images with a label.
        correct: those of them whose prediction is right.
        class_count: outputs of the network.
        promised: top-1 accuracy from 0 to 1 that the weights are published with, if known.
    """
    accuracy = correct / labelled if labelled else 0.0
    shown = f"accuracy {accuracy:.3f} over {labelled} labelled images is"
    check = "check that labels are in the network's order of classes (--classes FILE), and the preprocessing"
    if (
        promised is not None
        and accuracy < promised / 2
        and math.exp(-2 * labelled * (promised - accuracy) ** 2) < 0.001
    ):
        return f"{shown} far below the {promised:.2f} that these weights are published with: {check}"
    by_chance = labelled / max(class_count, 1)
    spread = math.sqrt(by_chance * (1 - 1 / max(class_count, 1)))
    if labelled >= CHANCE_IMAGES and class_count > 1 and correct <= by_chance + 2 * spread:
        return f"{shown} no better than chance among {class_count} classes: {check}"
    return None
