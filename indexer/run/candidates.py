"""`evigraph layers`: every map of a network that may be a layer, what is default and why, and what the maps hold.

1. The network is loaded, run once and traced, as `index` does it.
2. With data, a few images go through it: of each map the places that are saturated or zero, and of the run's layers
   what their nodes are decomposed into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from evigraph.indexer.data.loader import Batch, iterate_chunks
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.defaults import Reason, default_reasons
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.run.cores import cores_for, threads_of
from evigraph.indexer.run.first_look import Prepare, barren_note, fit_note
from evigraph.indexer.run.inputs import check_data, classes_of, preprocessing_line, preprocessing_of, takes_arrays
from evigraph.indexer.run.looking import MapValues, NodeEvidence, evidence_of, values_of
from evigraph.indexer.run.settings import Execution, LayersSettings
from evigraph.indexer.weights.loading import LoadedModel, importable_here, load_model
from evigraph.schema.errors import DataError, ModelError


@dataclass(frozen=True)
class Candidate:
    """A map that may be a layer.

    Attributes:
        map: what it is.
        reason: why it is a default layer, or none.
        chosen: whether it was decomposed: a default layer, or one of --layers.
        values: over the images; None without data, or where it could not be looked at.
        evidence: of its nodes; None without data, for S1, and for those not chosen.
    """

    map: FeatureMap
    reason: Reason
    chosen: bool
    values: MapValues | None = None
    evidence: NodeEvidence | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        m, e = self.map, self.evidence
        return {
            "name": m.name,
            "module": m.module,
            "channels": m.channels,
            "height": m.height,
            "width": m.width,
            "stride": m.stride,
            "receptive_field": m.receptive_field,
            "kind": m.kind,
            "all_evidence": m.cut,
            "default": self.reason.is_default,
            "why": self.reason.why,
            "decomposed": self.chosen,
            "values": asdict(self.values) if self.values else None,
            "nodes": e.to_json() if e else None,
        }


@dataclass(frozen=True)
class LayersReport:
    """What `evigraph layers` tells.

    Attributes:
        candidates: lowest first.
        logits: of the roots; None without data.
        image_count: that were looked at.
        preprocessing: in a line.
        notes: what the user should know, a sentence each.
    """

    candidates: list[Candidate]
    logits: NodeEvidence | None
    image_count: int
    preprocessing: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "layers": [one.to_json() for one in self.candidates],
            "logits": self.logits.to_json() if self.logits else None,
            "image_count": self.image_count,
            "preprocessing": self.preprocessing,
            "notes": list(self.notes),
        }


def look_at_layers(model: str, settings: LayersSettings) -> LayersReport:
    """Look at the maps of a network, and at a few images where there are some.

    Raises:
        EvidenceError: the model, weights, data or layers cannot be used; the message says why.
    """
    loaded = load_model(model, settings.weights)
    with importable_here(), threads_of(cores_for(Execution(workers=0))):
        preprocessing = preprocessing_of(settings.preprocessing, loaded.preprocessing, loaded.model)

        def prepared(layers: Sequence[str] | None) -> Network:
            return prepare(loaded.model, preprocessing.size, layers, preprocessing.channels, settings.output)

        network = prepared(settings.layers)
        notes = [*loaded.notes, *network.notes]
        if network.graph is None:
            notes.append(
                f"the network could not be traced ({network.fallbacks[0]}): its maps are outputs of modules, and "
                "where their places lie in the input is not known"
            )
        values: dict[str, MapValues] = {}
        evidence: list[NodeEvidence] = []
        count = 0
        if settings.data is not None:
            batch = _some_images(settings, settings.data, loaded, preprocessing, network)
            count = len(batch.image_ids)
            inputs = batch.pixels.to(next(loaded.model.parameters(), torch.empty(0)).dtype)
            values = values_of(network, inputs)
            evidence = evidence_of(network, inputs, Method())
            notes += _notes(network, inputs, evidence, prepared, fit_note(preprocessing, batch.sizes))
    of_layer = dict(zip([layer.module for layer in network.layers[1:]], evidence, strict=False))
    chosen = {layer.module for layer in network.layers}
    candidates = [
        Candidate(one, reason, one.module in chosen, values.get(one.name), of_layer.get(one.module))
        for one, reason in zip(network.maps, _reasons(network), strict=True)
    ]
    line = preprocessing_line(settings.preprocessing, preprocessing, loaded)
    return LayersReport(candidates, evidence[-1] if evidence else None, count, line, tuple(notes))


def _reasons(network: Network) -> list[Reason]:
    try:
        return default_reasons(network.maps)
    except ModelError:
        return [Reason(False, "there are no default layers")] * len(network.maps)


def _notes(
    network: Network, inputs: Tensor, evidence: Sequence[NodeEvidence], prepared: Prepare, fit: str | None
) -> list[str]:
    nodes = sum(one.node_count for one in evidence), sum(one.barren_count for one in evidence)
    barren = barren_note(network, inputs, Method(), nodes, prepared)
    return [note for note in (fit, barren) if note]


def _some_images(
    settings: LayersSettings, data: str, loaded: LoadedModel, preprocessing: Preprocessing, network: Network
) -> Batch:
    """Images of the data that can be used, as one batch."""
    classes = classes_of(settings.classes, data, loaded, network)
    source = open_source(data, classes, network.class_count, arrays=takes_arrays(preprocessing))
    check_data(preprocessing, source)
    ids = _spread(source, settings.images)
    (batch,) = iterate_chunks(source, preprocessing, [ids])
    if not len(batch.image_ids):
        reasons = ", ".join(sorted({reason for _, reason in batch.skipped}))
        raise DataError(f"none of {len(ids)} images of {data} could be used ({reasons}); give more with --images")
    return batch


def _spread(source: DataSource, count: int) -> list[int]:
    """Places of so many images, evenly over the listing, the first among them."""
    total = len(source.samples)
    count = min(count, total)
    return [place * total // count for place in range(count)]
