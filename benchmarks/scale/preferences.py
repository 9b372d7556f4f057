"""What the classes and channels of a drawn run prefer, by its seed alone, so that runs of two sizes are alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.draws import Ints, long_tail, uniform_of
from benchmarks.scale.levels import LEVELS

CLASSES = 1000
CONTEXT_LABELS = 59
SEED = 0x5CA1E
"""Mixed into whatever is drawn."""


@dataclass(frozen=True)
class Preferences:
    """Orders of preference, over classes, source channels and context labels."""

    seed: int

    @cached_property
    def keys(self) -> list[str]:
        """Names of the class folders, as WordNet ids ascending."""
        steps = self._rng("keys").integers(1, 27_000, CLASSES)
        return [f"n{number:08d}" for number in 1_440_764 + np.cumsum(steps) - steps[0]]

    @cached_property
    def similar(self) -> Ints:
        """(classes, 5) classes that each is confused with, the likeliest first: neighbours, as ImageNet's are."""
        offsets = np.array([-4, -3, -2, -1, 1, 2, 3, 4])
        order = self._rng("similar").random((CLASSES, len(offsets))).argsort(1)[:, :5]
        similar: Ints = (np.arange(CLASSES)[:, None] + offsets[order]) % CLASSES
        return similar

    @cached_property
    def of_target(self) -> list[NDArray[np.int16]]:
        """Per level (target channels, source channels): each target's order of preference; empty at the top."""
        sizes = [*(level.channels for level in LEVELS[1:]), 0]
        return [self._preferences("target", level, size) for level, size in enumerate(sizes)]

    @cached_property
    def of_class(self) -> list[NDArray[np.int16]]:
        """Per level (classes, source channels): each class's order of preference."""
        return [self._preferences("class", level, CLASSES) for level in range(len(LEVELS))]

    @cached_property
    def labels_of_class(self) -> NDArray[np.int16]:
        """(classes, context labels) in order of preference; the first labels are common everywhere."""
        common = -1.2 * np.log1p(np.arange(CONTEXT_LABELS))
        return (-(common + self._rng("labels").gumbel(size=(CLASSES, CONTEXT_LABELS)))).argsort(1).astype(np.int16)

    @cached_property
    def label_affinity(self) -> NDArray[np.float32]:
        """(levels, channels, context labels): how well a channel goes with a label."""
        shape = (len(LEVELS), max(level.channels for level in LEVELS), CONTEXT_LABELS)
        return self._rng("affinity").normal(0, 2, shape).astype(np.float32)

    def context_labels_shown(self, image: Ints, shown_class: Ints) -> Ints:
        """(n, 5) context labels of n images of these classes, repeats among them."""
        uniform = np.stack([uniform_of(self.seed, image, 7, n) for n in range(5)], 1)
        place = long_tail(CONTEXT_LABELS, 1.5, uniform)
        return self.labels_of_class[shown_class[:, None], place].astype(np.int64)

    def _rng(self, what: str) -> np.random.Generator:
        return np.random.default_rng((SEED, self.seed, *what.encode()))

    def _preferences(self, whose: str, level: int, size: int) -> NDArray[np.int16]:
        channels = LEVELS[level].channels
        popular = self._rng(f"popular {level}").permutation(channels)
        common = -LEVELS[level].popularity * np.log1p(popular)
        own = self._rng(f"{whose} {level}").gumbel(size=(size, channels))
        order: NDArray[np.int16] = (-(common + own)).argsort(1).astype(np.int16)
        return order
