"""What of the settings, and of what they name, determines the rows of a run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.engine.network import Network
from evigraph.indexer.pictures.thumbnails import picture_settings
from evigraph.indexer.run.settings import IndexSettings
from evigraph.indexer.shards.folder import ClassRow, ContextLabelRow, LayerRow, RunDescription
from evigraph.indexer.weights.loading import LoadedModel


def describe(
    settings: IndexSettings,
    loaded: LoadedModel,
    preprocessing: Preprocessing,
    network: Network,
    source: DataSource,
    grown: Mapping[str, Any] | None = None,
) -> RunDescription:
    """The run's description, which is stored as `run.json`; `grown` is of `run.growing`."""
    method, execution = settings.method, settings.execution
    pictures = picture_settings(network, preprocessing.size, settings.pictures)
    layers = [
        LayerRow(level, m.name, m.module, m.channels, m.height, m.width, m.stride, m.receptive_field)
        for level, m in enumerate(network.layers)
    ]
    # One number for both: no value lies further from another than the longer side.
    side = max(preprocessing.size)
    layers.append(LayerRow(len(layers), "logits", "", network.class_count, 1, 1, side, side))
    total = len(source.samples) if settings.limit is None else min(settings.limit, len(source.samples))
    return RunDescription(
        name=settings.name or settings.run.resolve().name,
        model=settings.model,
        weights_sha256=loaded.weights_sha256,
        dataset=settings.data,
        dataset_sha256=source.digest(),
        top_n=method.top_n,
        mask_threshold=method.mask_threshold,
        settings={
            "weights": settings.weights,
            "data": {"root": str(source.root.resolve()), "labels_by": source.labels_by},
            "classes": str(settings.classes) if settings.classes else None,
            "limit": settings.limit,
            "max_nodes": method.max_nodes,
            "context_layers": list(settings.context_layers) if settings.context_layers is not None else None,
            "overlaps": method.finds_overlaps,
            "merge_overlaps": method.merge_overlaps,
            "precision": execution.precision,
            "preprocessing": preprocessing.to_settings(),
            "torch": version("torch"),
        }
        | ({"transform_input": True} if loaded.changes_input else {})
        | ({"output": head} if (head := network.head.to_json()) else {})
        | ({"attack": settings.attack.to_json()} if settings.attack else {})
        | ({"verify": settings.verify.to_json()} if settings.verify else {})
        | ({"pictures": pictures.to_json()} if pictures else {})
        | ({"grown": dict(grown)} if grown else {}),
        indexer_version=version("evigraph"),
        layers=tuple(layers),
        classes=tuple(ClassRow(e.index, e.key, e.name) for e in source.class_list.entries),
        context_labels=tuple(ContextLabelRow(i, name) for i, name in sorted(source.context_labels.items())),
        image_total=total,
        shard_size=execution.shard_size,
    )
