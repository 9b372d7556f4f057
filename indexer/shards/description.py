"""What a run is: everything that determines its rows, as it is written to `run.json`."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True)
class LayerRow:
    """A decomposed map, lowest first; the last is `logits`. Stride and receptive field: input pixels."""

    layer_id: int
    name: str
    module: str
    channels: int
    height: int
    width: int
    stride: int | None
    receptive_field: int | None


@dataclass(frozen=True)
class ClassRow:
    """An output of the network; `key` is what folder names are matched to."""

    class_id: int
    key: str
    name: str


@dataclass(frozen=True)
class ContextLabelRow:
    """A context label: a region's name in the semantic maps."""

    label_id: int
    name: str


@dataclass(frozen=True)
class RunDescription:
    """A run's inputs and settings. Two runs of equal `digest()` have equal rows.

    `image_total` counts the listing, skipped images included; `shard_size` is in images. `settings` holds
    whatever else determines rows, and must survive JSON.
    """

    name: str
    model: str
    weights_sha256: str
    dataset: str
    dataset_sha256: str
    top_n: int
    mask_threshold: float
    settings: dict[str, Any] = field(hash=False)
    indexer_version: str
    layers: tuple[LayerRow, ...]
    classes: tuple[ClassRow, ...]
    context_labels: tuple[ContextLabelRow, ...]
    image_total: int
    shard_size: int

    def __post_init__(self) -> None:
        """Make tuples of the lists that a caller may pass."""
        for name in ("layers", "classes", "context_labels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        """The description as JSON holds it (tuples become lists)."""
        made: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return made

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; keys that are not fields are left out.

        Raises:
            KeyError, TypeError: where a field is missing or of another shape.
        """
        values = {f.name: record[f.name] for f in fields(cls)}
        values["layers"] = [LayerRow(**row) for row in values["layers"]]
        values["classes"] = [ClassRow(**row) for row in values["classes"]]
        values["context_labels"] = [ContextLabelRow(**row) for row in values["context_labels"]]
        return cls(**values)

    @property
    def totals(self) -> list[int]:
        """Images of the listing as the run was begun, then after each time that images were added."""
        grown: dict[str, Any] = self.settings.get("grown") or {}
        return grown.get("totals") or [self.image_total]

    def image_ranges(self) -> list[range]:
        """The image ids of each shard; images that were added later begin a shard of their own."""
        size, starts = self.shard_size, [0, *self.totals]
        return [
            range(start, min(start + size, stop))
            for begin, stop in itertools.pairwise(starts)
            for start in range(begin, stop, size)
        ]

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything that determines rows."""
        return _digest(self.to_json())

    def provenance(self) -> dict[str, str]:
        """Digests of the inputs, and the version of the code: what a shard says that it was made of."""
        return {
            "weights_sha256": self.weights_sha256,
            "preprocessing_sha256": _digest(self.settings.get("preprocessing")),
            "dataset_sha256": self.dataset_sha256,
            "indexer_version": self.indexer_version,
        }

    def difference(self, other: RunDescription) -> tuple[str, Any, Any] | None:
        """The first setting that differs, as (dotted name, mine, the other's); None where none does."""
        return _first_difference("", self.to_json(), other.to_json())


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _first_difference(name: str, mine: Any, other: Any) -> tuple[str, Any, Any] | None:
    if isinstance(mine, dict) and isinstance(other, dict):
        for key in sorted(mine.keys() | other.keys()):
            difference = _first_difference(f"{name}.{key}" if name else key, mine.get(key), other.get(key))
            if difference is not None:
                return difference
        return None
    if isinstance(mine, list) and isinstance(other, list) and len(mine) == len(other):
        for index, pair in enumerate(zip(mine, other, strict=True)):
            difference = _first_difference(f"{name}[{index}]", *pair)
            if difference is not None:
                return difference
        return None
    return None if mine == other else (name, mine, other)
