"""What became of a run after it was begun: what `extend` added, and the times that its data changed.

It is kept in `run.json` beside the description, which says what the run is now. A shard that was made under an earlier
description stays true unless a change since then touched its images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True)
class Earlier:
    """A description that the run had before its data changed.

    Attributes:
        digest: of it.
        stale: the shards that the change touched; those made under it, or before it, are made again.
    """

    digest: str
    stale: frozenset[int]


@dataclass(frozen=True)
class History:
    """What became of a run.

    Attributes:
        extended: what `extend` added, oldest first: when, by which version, and the options.
        earlier: the descriptions before each change of the data, oldest first.
        listing: name of the file that holds the listing; None for a run of before there was one.
    """

    extended: tuple[dict[str, Any], ...] = ()
    earlier: tuple[Earlier, ...] = ()
    listing: str | None = None

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """From what `run.json` holds."""
        earlier = (Earlier(step["digest"], frozenset(step["stale"])) for step in record.get("earlier", ()))
        return cls(tuple(record.get("extended", ())), tuple(earlier), record.get("listing"))

    def to_json(self) -> dict[str, Any]:
        """As JSON values; of what there is nothing, nothing is stated."""
        stated = {
            "extended": list(self.extended),
            "earlier": [{"digest": step.digest, "stale": sorted(step.stale)} for step in self.earlier],
            "listing": self.listing,
        }
        return {name: value for name, value in stated.items() if value}

    def accepts(self, digest: Any, shard: int) -> bool:
        """Whether a shard that was made under an earlier description is still what it would be now."""
        digests = [step.digest for step in self.earlier]
        if digest not in digests:
            return False
        return all(shard not in step.stale for step in self.earlier[digests.index(digest) :])

    def changed(self, digest: str, stale: frozenset[int], listing: str) -> History:
        """After a change of the data that touched the shards `stale`."""
        return replace(self, earlier=(*self.earlier, Earlier(digest, stale)), listing=listing)

    def with_added(self, added: Mapping[str, Any]) -> History:
        """After an extension, whose shards are all made under the new description."""
        return replace(self, extended=(*self.extended, dict(added)), earlier=())


@dataclass(frozen=True)
class Change:
    """How a run's data changed since its folder was last written.

    Attributes:
        before: digest of the description that the folder has.
        stale: shards that hold images which changed or are gone.
    """

    before: str
    stale: frozenset[int]
