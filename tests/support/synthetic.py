"""Random runs that obey every rule of docs/design.md, written through the real shard writer.

No network is involved: a class prefers some channels, a channel some places and context labels, and the
numbers are drawn so that every invariant holds exactly as for a real run.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evigraph.indexer.shards.folder import (
    SHARD_SCHEMAS,
    ClassRow,
    ContextLabelRow,
    LayerRow,
    RunDescription,
    RunFolder,
    ShardTables,
)
from evigraph.schema import ids

LAYERS = (
    ("conv1_2", "features.2", 8, 32, 1),
    ("conv2_2", "features.7", 12, 16, 2),
    ("conv3_3", "features.14", 16, 8, 4),
)
"""(name, module, channels, side, stride) of the maps below the logits."""
CLASS_NAMES = ("boat", "bird", "train", "sheep", "car", "horse", "plane", "tree frog", "crane", "maillot")
CONTEXT_NAMES = ("sea", "sky", "track", "grass", "road")


def describe(
    *,
    images: int = 40,
    classes: int = 6,
    name: str = "synthetic",
    context: bool = True,
    twins: bool = False,
    top_n: int = 3,
    max_nodes: int | None = None,
    shard_size: int = 16,
    seed: int = 0,
    verified: bool = False,
) -> RunDescription:
    """The description of a synthetic run; with `twins` the last two classes bear the same name."""
    names = [CLASS_NAMES[i] if i < len(CLASS_NAMES) else f"class {i}" for i in range(classes)]
    if twins:
        names[-1] = names[-2]
    layers = [
        LayerRow(i, name_, module, channels, side, side, stride, 4 * stride + 1)
        for i, (name_, module, channels, side, stride) in enumerate(LAYERS)
    ]
    layers.append(LayerRow(len(LAYERS), "logits", "", classes, 1, 1, None, None))
    labels = [ContextLabelRow(i + 1, label) for i, label in enumerate(CONTEXT_NAMES)] if context else []
    return RunDescription(
        name=name,
        model="synthetic",
        weights_sha256="0" * 64,
        dataset="synthetic:",
        dataset_sha256=f"{seed:064x}",
        top_n=top_n,
        mask_threshold=0.5,
        settings={"root": "/data/synthetic", "seed": seed, "max_nodes": max_nodes, "verified": verified},
        indexer_version="0.1.0",
        layers=tuple(layers),
        classes=tuple(ClassRow(i, f"n{i:08d}", n) for i, n in enumerate(names)),
        context_labels=tuple(labels),
        image_total=images,
        shard_size=shard_size,
    )


def synthetic_run(
    run_dir: Path,
    *,
    images: int = 40,
    classes: int = 6,
    seed: int = 0,
    name: str = "synthetic",
    context: bool = True,
    twins: bool = False,
    top_n: int = 3,
    max_nodes: int | None = None,
    shard_size: int = 16,
    finish: bool = True,
    verified: bool = False,
) -> RunDescription:
    """Write a whole run to `run_dir`: with skipped, unlabelled, right and wrong images, `verified` or not.

    Image 3, 20, 37 ... are skipped; 5, 16, 27 ... have no label. Every third of the others is wrong.
    """
    description = describe(
        images=images, classes=classes, name=name, context=context, twins=twins, top_n=top_n,
        max_nodes=max_nodes, shard_size=shard_size, seed=seed, verified=verified,
    )  # fmt: skip
    with RunFolder.open_for_writing(run_dir, description) as folder:
        for shard in folder.pending_shards():
            folder.write_shard(shard, synthetic_shard(description, folder.image_range(shard), seed))
        if finish:
            folder.finish()
    return description


def synthetic_shard(description: RunDescription, images: range, seed: int = 0) -> ShardTables:
    """The rows of some images; they depend on the image and the seed alone."""
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in SHARD_SCHEMAS}
    for image_id in images:
        rng = np.random.default_rng((seed, image_id))
        uri = f"images/{image_id:05d}.png"
        if image_id % 17 == 3:
            rows["skipped_image"].append({"image_id": image_id, "uri": uri, "reason": "truncated after 12 bytes"})
            continue
        classes = len(description.classes)
        logits = rng.normal(0, 2, classes)
        true = int(rng.integers(classes) * rng.integers(1, 3) // 2)  # lower classes are likelier
        unlabelled = image_id % 11 == 5
        predicted = (true + 1) % classes if image_id % 3 == (1 + seed // 5) % 3 else true  # others by other seeds
        logits[predicted] = logits.max() + 1
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        label = None if unlabelled else true
        rows["image"].append(
            {"image_id": image_id, "uri": uri, "label_id": label, "predicted_id": predicted,
             "probability": float(probabilities[predicted])}
        )  # fmt: skip
        roots = [(predicted, "predicted")]
        if label is not None and label != predicted:
            roots.append((label, "label"))
        for class_id, role in roots:
            decision_id = ids.decision_id(image_id, role == "label")
            edges, decompositions, cut = _hierarchy(description, decision_id, class_id, rng)
            rows["decision"].append(
                {"decision_id": decision_id, "image_id": image_id, "class_id": class_id, "role": role,
                 "logit": float(logits[class_id]), "probability": float(probabilities[class_id]),
                 "cut_node_count": len(cut), "cut_importance": sum(cut)}
            )  # fmt: skip
            rows["edge"] += edges
            rows["decomposition"] += decompositions
            if description.settings["verified"]:
                own = np.random.default_rng((seed, decision_id, 1))  # so that all else is as without
                rows["verification"] += _verification(edges, class_id, label, predicted, own)
            if description.context_labels:
                rows["context_mask"] += _masks(description, edges, semantic_map(description, image_id, seed))
        rows["image_context"] += _image_context(description, image_id, seed)
        rows["context_map"] += _context_map(description, image_id, seed)
    return {table: pa.Table.from_pylist(rows[table], schema=SHARD_SCHEMAS[table]) for table in SHARD_SCHEMAS}


def semantic_map(description: RunDescription, image_id: int, seed: int = 0) -> NDArray[np.uint8]:
    """(32, 32) label ids, in regions of 4 x 4 pixels some of which are another label's, or void."""
    rng = np.random.default_rng((seed, image_id, 2))
    labels = len(description.context_labels) + 1
    regions = rng.integers(labels, size=(8, 8)).repeat(4, 0).repeat(4, 1)
    return np.where(rng.random((32, 32)) < 0.1, rng.integers(labels, size=(32, 32)), regions).astype(np.uint8)


def _context_map(description: RunDescription, image_id: int, seed: int) -> list[dict[str, Any]]:
    if not description.context_labels:
        return []
    labels = zlib.compress(semantic_map(description, image_id, seed).tobytes())
    return [{"image_id": image_id, "height": 32, "width": 32, "labels": labels}]


def _masks(description: RunDescription, edges: list[dict[str, Any]], labels: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """A mask of two cells for each edge, 3/4 of its activation at the peak; edges get the label there."""
    rows = []
    for edge in edges:
        layer = description.layers[edge["source_layer"]]
        peak = edge["source_y"] * layer.width + edge["source_x"]
        other = peak - 1 if peak else 1
        of = {"decision_id": edge["decision_id"], "layer_id": layer.layer_id, "channel": edge["source_channel"]}
        cells = ((peak, True, 0.75), (other, False, 0.25))
        rows += [of | {"cell": cell, "at_peak": at_peak, "mass": mass} for cell, at_peak, mass in cells]
        counts = [_counts(labels, layer.width, cell) for cell in (peak, other)]
        label = int(counts[0].argmax())
        edge["context_peak_label_id"] = label or None
        edge["context_peak_mass"] = float(0.75 * counts[0][label] + 0.25 * counts[1][label]) if label else None
    return rows


def _counts(labels: NDArray[np.uint8], width: int, cell: int) -> NDArray[np.float64]:
    """The part of each label in a cell of a grid of so many columns."""
    side = len(labels) // width
    y, x = cell // width * side, cell % width * side
    return np.bincount(labels[y : y + side, x : x + side].ravel(), minlength=8) / side**2


def _image_context(description: RunDescription, image_id: int, seed: int) -> list[dict[str, Any]]:
    """Every label of the run somewhere in the image, since any may be an edge's, and some void."""
    labels = description.context_labels
    areas = np.random.default_rng((seed, image_id, 1)).dirichlet(np.ones(len(labels) + 1))[1:].tolist()
    return [
        {"image_id": image_id, "label_id": label.label_id, "area": float(max(area, 1e-6))}
        for label, area in zip(labels, areas, strict=True)
    ]


def _verification(
    edges: list[dict[str, Any]], class_id: int, label: int | None, predicted: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """The root's first edge taken away by both methods, and three times in four a control, and hidden by a region too
    large for one; every other time either makes the prediction another class.
    """
    tested = []
    for edge in edges[:1]:
        place = {name: edge[name] for name in edge if name.startswith(("decision", "target", "source"))}
        evidence = {e["source_channel"] for e in edges if e["source_layer"] == edge["source_layer"]}
        other = min(set(range(len(evidence) + 1)) - evidence)
        for method, area, fill in (("occlude", 0.25, "grey"), ("remove", None, None), ("occlude", 0.75, "blur")):
            row = place | {"class_id": class_id, "method": method, "area": area, "disturbance": float(rng.random())}
            row |= (found := _outcome(label, predicted, rng)) | {"logit": found["logit_change"]}
            row |= {"fill": fill, "empty_predicted_id": None if fill is None else (predicted - 1) % 6 % 4}
            if fill != "blur" and rng.random() < 0.75:
                where: dict[str, Any] = {"control_channel": other}
                if area is not None:
                    where = {"control_top": 0, "control_left": 4, "control_area": area, "control_shape": "box"}
                row |= {f"control_{name}": value for name, value in _outcome(label, predicted, rng).items()}
                row |= where | {"control_disturbance": float(rng.random())}
            tested.append(row)
    return tested


def _outcome(label: int | None, predicted: int, rng: np.random.Generator) -> dict[str, Any]:
    change = float(rng.normal())
    becomes = predicted if rng.random() < 0.5 else (predicted - 1) % 6
    return {
        "predicted_id": becomes,
        "logit_change": change,
        "label_logit_change": None if label is None else -change,
        "corrected": None if label is None else becomes == label != predicted,
    }


def _hierarchy(
    description: RunDescription, decision_id: int, class_id: int, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[float]]:
    """All edges and decompositions of one root, top layer first, and the importance of each node that was cut.

    Nodes that two parents keep at one peak are shared.
    """
    edges: list[dict[str, Any]] = []
    decompositions: list[dict[str, Any]] = []
    cut: list[float] = []
    top = len(description.layers) - 1
    nodes = {(class_id, 0, 0): 1.0}
    for target_layer in range(top, 0, -1):
        below: dict[tuple[int, int, int], float] = {}
        by_importance = sorted(nodes, key=lambda node: (-nodes[node], node))
        kept = by_importance[: description.settings["max_nodes"]]
        cut += [nodes[node] for node in by_importance[len(kept) :]]
        for channel, y, x in sorted(kept):
            importance = nodes[channel, y, x]
            target = {
                "decision_id": decision_id,
                "target_layer": target_layer, "target_channel": channel, "target_y": y, "target_x": x,
            }  # fmt: skip
            kept_edges, total, positive = _decomposition(description, target_layer - 1, class_id, channel, rng)
            decompositions.append(
                target
                | {"importance": importance, "positive_sum": total, "positive_count": positive,
                   "overlap_count": positive // 3 if description.context_labels else None,
                   "evidence_count": len(kept_edges)}
            )  # fmt: skip
            for edge in kept_edges:
                edge |= target | {"importance": importance * edge["share"]}
                edges.append(edge)
                node = (edge["source_channel"], edge["source_y"], edge["source_x"])
                below[node] = below.get(node, 0.0) + edge["importance"]
        nodes = below
    return edges, decompositions, cut


def _decomposition(
    description: RunDescription, source_layer: int, class_id: int, target: int, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], float, int]:
    """The kept channels of one decision, largest contribution first; the sum and the number of all positive ones.

    Now and then none is positive.
    """
    layer = description.layers[source_layer]
    positive = int(rng.choice([0, 1, 2, description.top_n, description.top_n + 4], p=[0.02, 0.08, 0.1, 0.3, 0.5]))
    positive = min(positive, layer.channels)
    # A long tail over channels that starts elsewhere for each class and target.
    tail = 1.0 / (1 + (np.arange(layer.channels) - 3 * class_id - target) % layer.channels) ** 1.5
    channels = rng.choice(layer.channels, size=positive, replace=False, p=tail / tail.sum())
    contributions = np.sort(rng.lognormal(0, 1.5, positive).astype(np.float32))[::-1]
    total = float(contributions.astype(np.float64).sum())
    edges = []
    for rank, (channel, contribution) in enumerate(
        zip(channels[: description.top_n], contributions[: description.top_n], strict=True)
    ):
        label = _context_label(description, class_id, int(channel), rng)
        edges.append(
            {
                "source_layer": source_layer,
                "source_channel": int(channel),
                "source_y": int(rng.integers(3)) * (layer.height - 1) // 2,
                "source_x": int(rng.integers(3)) * (layer.width - 1) // 2,
                "contribution": float(contribution),
                "share": float(contribution) / total,
                "rank": rank,
                "feature": float(rng.lognormal()),
                "activation": float(contribution * rng.uniform(1, 5)),
                "context_label_id": label,
                "context_iou": None if label is None else float(rng.uniform(0.05, 0.95)),
            }
        )
    return edges, total, positive


def _context_label(description: RunDescription, class_id: int, channel: int, rng: np.random.Generator) -> int | None:
    """A label that goes with the class two times in three; None where there are no maps or no overlap."""
    labels = description.context_labels
    if not labels or rng.random() < 0.15:
        return None
    likely = (class_id + channel) % 2 + class_id
    return labels[(likely if rng.random() < 0.67 else int(rng.integers(len(labels)))) % len(labels)].label_id
