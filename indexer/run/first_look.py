"""A run's first batch, looked at before the others are made: are its layers barren, and does the input fit?

1. Layers are barren where over half of the nodes have no evidence. Then others are tried on a few of the batch's
   images: the linear maps of each resolution, in the three ways of `alternatives`. What is named was measured.
2. Images that the preprocessing enlarges much, or pads, are no longer what the network was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from torch import Tensor, nn

from evigraph.indexer.data.loader import Batch
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.engine.network import Network
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.indexer.model.survey import upper_end
from evigraph.indexer.run.batch import BatchIndexer
from evigraph.indexer.run.looking import barren_share, evidence_of
from evigraph.schema.errors import EvidenceError

BARREN = 0.5
"""Of the nodes without evidence: beyond it layers are called barren."""
_TRIED_IMAGES = 4
_OFFERED = 2
_ENLARGED = 2.0
"""Beyond it enlargement is told of; ImageNet's own photographs are made smaller."""

Prepare = Callable[[Sequence[str]], Network]
"""The run's network with layers of these names."""


class FirstLook:
    """Looks at the first batch of a run that holds images.

    Attributes:
        notes: what was said of it, a sentence each.
    """

    def __init__(self, indexer: BatchIndexer, preprocessing: Preprocessing, prepare: Prepare) -> None:
        """Take what the batches are decomposed by, and what makes the same network with other layers."""
        self._indexer, self._preprocessing, self._prepare = indexer, preprocessing, prepare
        self._done = False
        self.notes: list[str] = []

    def look(self, batch: Batch, tell: Callable[[str], None] | None) -> None:
        """Look at a batch that was just decomposed, unless one was looked at before; tell at once what is noticed."""
        indexer = self._indexer
        if self._done or not indexer.node_count:
            return
        self._done = True
        inputs = indexer.clean_inputs(batch)
        nodes = indexer.node_count, indexer.barren_count
        for note in (
            fit_note(self._preprocessing, batch.sizes),
            barren_note(indexer.network, inputs, indexer.method, nodes, self._prepare),
        ):
            if note:
                self.notes.append(note)
                if tell:
                    tell(note)


def barren_note(
    network: Network, inputs: Tensor, method: Method, nodes: tuple[int, int], prepare: Prepare
) -> str | None:
    """What to say of layers that are barren, with better ones; None where they are not.

    Args:
        network: with the run's layers.
        inputs: (images, channels, height, width), of the first batch.
        method: how decisions are decomposed.
        nodes: of that batch, how many were decomposed and how many of them had no evidence.
        prepare: makes the same network with other layers.
    """
    count, barren = nodes
    if barren <= BARREN * count:
        return None
    said = (
        f"the layers {','.join(layer.name for layer in network.layers)} are barren: {barren} of the "
        f"{count} nodes of the first images have no evidence, as where the activation function is flat (a "
        "saturated ReLU6, say)"
    )
    inputs = inputs[:_TRIED_IMAGES]
    own, tried = barren_share(evidence_of(network, inputs, method)), []
    for names in alternatives(network):
        try:
            evidence = evidence_of(prepare(names), inputs, method)
        except EvidenceError:  # layers that cannot be taken are none to name
            continue
        edges = sum(one.edge_count for one in evidence) / len(inputs)
        tried.append((barren_share(evidence), -edges, ",".join(names)))
    if not tried:
        return f"{said}; there are no linear maps to try instead: see evigraph layers"
    better = [one for one in sorted(tried) if one[0] < own]
    if not better:
        return (
            f"{said}; of {len(tried)} other choices none is better on {len(inputs)} of its images: see evigraph layers"
        )
    offers = " or ".join(
        f"--layers {names} ({share:.0%} of nodes without evidence, {-edges:.0f} edges an image)"
        for share, edges, names in better[:_OFFERED]
    )
    return f"{said}; better, where these have {own:.0%}, tried on {len(inputs)} images, in a new run folder: {offers}"


def alternatives(network: Network) -> list[list[str]]:
    """Layers in the place of the run's that are not cut off by a bounded activation, lowest first, by name.

    Of each resolution that has such maps, the last one that all evidence runs through: of those that are the output of
    a whole block, of those with fewest channels (a bottleneck), and of all.
    """
    open_ = [one for one in network.maps if one.cut and not one.class_map and _is_open(one)]
    by_size: dict[tuple[int, int], list[FeatureMap]] = {}
    for one in open_:
        if one.height * one.width > 1:
            by_size.setdefault((one.height, one.width), []).append(one)
    blocks = [[one for one in some if _is_block(network.model, one)] for some in by_size.values()]
    narrow = [[one for one in some if one.channels == min(m.channels for m in some)] for some in by_size.values()]
    now = [layer.name for layer in network.layers]
    choices = [[some[-1].name for some in choice if some] for choice in (blocks, narrow, list(by_size.values()))]
    return [one for i, one in enumerate(choices) if one and one != now and one not in choices[:i]]


def _is_open(one: FeatureMap) -> bool:
    """Whether a map's values come out of nothing that is flat at its upper end, as far as is known."""
    if not one.post_activation:
        return True
    return one.activation is not None and upper_end(one.activation) is None


def _is_block(model: nn.Module, one: FeatureMap) -> bool:
    """Whether a map is the output of a module that holds others."""
    module = dict(model.named_modules()).get(one.module)
    return module is not None and any(True for _ in module.children())


def fit_note(preprocessing: Preprocessing, sizes: Sequence[tuple[int, int]]) -> str | None:
    """What to say where images are far smaller than the network's input; None where they are not.

    Args:
        preprocessing: of the run.
        sizes: (height, width) of the first images as they are decoded.
    """
    if not sizes:
        return None
    height, width = (round(median(side)) for side in zip(*sizes, strict=True))
    factors = [preprocessing.enlargement(size) for size in sizes]
    known = [factor for factor in factors if factor is not None]
    whose = f"the first {len(sizes)} images are {width} x {height} pixels (median)"
    if known and median(known) >= _ENLARGED:
        return (
            f"{whose} and are enlarged {median(known):.1f} times for an input of {preprocessing.size[1]} x "
            f"{preprocessing.size[0]}: if the network was trained on images of their own size, give --resize and --crop"
        )
    if preprocessing.resize is None and known and (height < preprocessing.size[0] or width < preprocessing.size[1]):
        return (
            f"{whose} and are padded with black to {preprocessing.size[1]} x {preprocessing.size[0]}: "
            "give --resize, or a smaller --crop"
        )
    return None
