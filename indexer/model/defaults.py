"""Which of a network's maps are its layers by default, and why the others are not (`layers` says what the rule is)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evigraph.indexer.model.feature_map import FeatureMap
from evigraph.schema.errors import ModelError

_SAME_STAGE = 1.25
MOST_OFFERED = 12
"""Maps that a message lists."""
SUPPORTED = (
    "evigraph decomposes convolutional networks, whose maps are (batch, channels, height, width): give one, or name "
    "such maps with --layers"
)
"""What is decomposed, for messages about networks that are not."""


@dataclass(frozen=True)
class Reason:
    """Whether a map is a default layer, and why, in a few words."""

    is_default: bool
    why: str


def default_reasons(maps: Sequence[FeatureMap]) -> list[Reason]:
    """Of each map whether it is a default layer (`default_layers`), and why.

    Raises:
        ModelError: no map is one.
    """
    whole = [i for i, m in enumerate(maps) if m.cut and not m.class_map]
    candidates = _candidates(maps, whole)
    last: dict[tuple[int, int], int] = {}
    for index in candidates:
        last[maps[index].height, maps[index].width] = index
    stages: list[int] = []
    passed: dict[int, int] = {}
    for index in sorted(last.values()):
        layer = maps[index]
        below = maps[stages[-1]] if stages else None
        if below and below.height < _SAME_STAGE * layer.height and below.width < _SAME_STAGE * layer.width:
            passed[stages.pop()] = index
        stages.append(index)
    if not stages and maps:
        some = some_names([m for m in maps if m.post_activation] or maps)
        raise ModelError(
            "there is no feature map that all evidence runs through, to be a layer by default; choose with --layers, "
            f"lowest first, of {some}"
        )
    if not stages:
        raise ModelError(f"the network has no feature map of 4 dimensions; {SUPPORTED}")
    activated = all(maps[i].post_activation for i in candidates)

    def reason(index: int) -> Reason:
        one = maps[index]
        size = f"{one.height} x {one.width}"
        if index in stages:
            return Reason(True, f"the last {'after an activation ' * activated}at {size}")
        if not one.learned:
            return Reason(False, "before the first product with weights")
        if not one.cut:
            return Reason(False, "evidence also runs past it")
        if one.class_map:
            return Reason(False, "its mean or maximum is the logits")
        if index not in candidates:
            return Reason(False, "one place only" if one.height * one.width == 1 else "after no activation")
        if index in passed:
            return Reason(False, f"{maps[passed[index]].name}, of nearly its size, is later")
        return Reason(False, f"{maps[last[one.height, one.width]].name} is later at {size}")

    return [reason(index) for index in range(len(maps))]


def _candidates(maps: Sequence[FeatureMap], whole: Sequence[int]) -> list[int]:
    """Which of these maps, that all evidence runs through, may be default layers."""
    every = [i for i in whole if maps[i].height * maps[i].width > 1]
    candidates = [i for i in whole if maps[i].post_activation]
    if not candidates:
        return every
    large = [maps[i] for i in every]
    if not _only_of_stem([maps[i] for i in candidates], large):
        return candidates
    if any(m.geometry is None or m.stride is None for m in large):
        raise ModelError(
            "the only maps of activation functions that all evidence runs through are the stem's, up to "
            f"{maps[candidates[-1]].name}; choose with --layers, lowest first, of {some_names(large)}"
        )
    return every


def _only_of_stem(some: Sequence[FeatureMap], every: Sequence[FeatureMap]) -> bool:
    """Whether none of these maps is of the last two resolutions of a network with more than two."""
    sizes = [*dict.fromkeys((m.height, m.width) for m in every if m.of_stage)]
    return len(sizes) > 2 and not {(m.height, m.width) for m in some} & set(sizes[-2:])


def some_names(maps: Sequence[FeatureMap]) -> str:
    """Names of maps for a message."""
    return ", ".join(m.name for m in maps[:MOST_OFFERED]) + (", ..." if len(maps) > MOST_OFFERED else "")
