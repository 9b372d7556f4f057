"""Whether two cohorts explain the same classes: else what sets them apart may be the classes, and no cause.

The channels that support "dog" are not those that support "cat", whatever the images: the last layer's weights say so.
Between decisions for dogs and decisions for cats nearly every channel is therefore a discovery, and none is a finding.

1. The mix of a cohort is how many of its decisions explain each class; classes of two runs are the same where key and
   name are.
2. The distance of two mixes is their total variation: the part of one that would have to be of other classes to be as
   the other. 0 for the same mix, 1 where no class is in both.
3. They are alike where it is at most ALIKE, or no larger than in the largest of CHANCE random divisions of the same
   decisions into cohorts of these sizes: in a hundred decisions of a thousand classes hardly two are of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evigraph.graphapi.questions.cohorts import Members

ALIKE = 0.1
CHANCE = 99
"""So that two cohorts divided at random are said to differ once in a hundred times."""
NAMED = 2
"""Classes of each cohort that the reason names."""

ClassOf = tuple[str, str]
"""Key and name of a class."""


@dataclass(frozen=True)
class Likeness:
    """How like the classes are that two cohorts explain.

    Attributes:
        distance: In 0..1.
        reason: Why the cohorts are not comparable, in a sentence; None where they are.
    """

    distance: float
    reason: str | None


def mix(members: Members) -> dict[ClassOf, int]:
    """Decisions of a cohort that explain each class, most first."""
    classes = members.cohort.run.classes
    ordered = sorted(members.classes.items(), key=lambda item: (-item[1], item[0]))
    return {(classes[class_id].key, classes[class_id].name): count for class_id, count in ordered}


def likeness(
    a: Members,
    b: Members,
    called: tuple[str, str] = ("a explains", "b"),
    way_out: str = "name one label, or one predicted class, in both cohorts",
    *,
    allows_chance: bool = True,
) -> Likeness:
    """How like the classes of two cohorts are.

    Args:
        a: A cohort.
        b: The other.
        called: What the reason calls them.
        way_out: What the reason ends with.
        allows_chance: Whether mixes no further apart than chance divides decisions are alike. So where a p is read
            beside it, which then is no smaller by the classes alone; bare rates have nothing that holds chance off.
    """
    import numpy as np

    in_a, in_b = mix(a), mix(b)
    every = sorted(in_a.keys() | in_b.keys())
    counts = np.array([[own.get(one, 0) for one in every] for own in (in_a, in_b)], np.int64)
    sizes = counts.sum(axis=1)
    apart = float(_distance(counts[0], counts[1]))
    if apart <= ALIKE:
        return Likeness(apart, None)
    if allows_chance:
        pooled = counts.sum(axis=0)
        # A generator of its own, seeded: the same question has the same answer.
        drawn = np.random.default_rng(0).multivariate_hypergeometric(pooled, int(sizes[0]), size=CHANCE)
        if apart <= float(_distance(drawn, pooled - drawn).max()):
            return Likeness(apart, None)
    return Likeness(
        apart,
        f"{called[0]} {_named(in_a)} and {called[1]} {_named(in_b)}: what sets them apart may be the classes' own "
        f"weights, not a cause; {way_out}",
    )


def _distance(one: Any, other: Any) -> Any:
    """Total variation distance of counts, over the last axis."""
    shares = one / one.sum(-1, keepdims=True) - other / other.sum(-1, keepdims=True)
    return abs(shares).sum(-1) / 2


def _named(own: Mapping[ClassOf, int]) -> str:
    named = [f"{name} ({count})" for (_, name), count in list(own.items())[:NAMED]]
    more = len(own) - len(named)
    return ", ".join(named) + (f" and {more} other classes" if more > 1 else " and another class" if more else "")
