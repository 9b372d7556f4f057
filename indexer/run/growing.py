"""A run whose data changed: the same `index` command makes what is new, and nobody's id changes.

1. The images that the run has stand first in the listing, in the order of their ids; those that are gone stay and are
   skipped. New ones follow, sorted among themselves.
2. What changed is told by the listing that the run folder keeps: other bytes, labels or maps.
3. Only shards that hold images which changed or are gone are made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evigraph.indexer.data.samples import DataSource, Sample
from evigraph.indexer.run.measurements import Run
from evigraph.indexer.run.stored import StoredRun
from evigraph.indexer.shards.description import RunDescription
from evigraph.indexer.shards.history import Change
from evigraph.indexer.shards.listing import FileState, ListedImage, Listing, states_of
from evigraph.indexer.shards.record import refuse_other_settings
from evigraph.indexer.verify.means import sample_ids
from evigraph.schema.errors import DataError, UsageError


@dataclass(frozen=True)
class Growth:
    """The data of a run as they are now.

    Attributes:
        source: in the order of ids.
        listing: of the images that are indexed; None for a run of before there were listings.
        grown: of the description; None for a run whose images are as they were when it was begun.
        added: images that the run did not have.
        removed, changed: ids of those that are gone, and of those that are otherwise than they were.
    """

    source: DataSource
    listing: Listing | None
    grown: dict[str, Any] | None = None
    added: int = 0
    removed: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()

    @property
    def touched(self) -> set[int]:
        """The images whose rows are other ones now."""
        return {*self.removed, *self.changed}

    def note(self) -> str | None:
        """What changed, as a sentence; None where nothing did."""
        counts = {"added": self.added, "removed": len(self.removed), "changed": len(self.changed)}
        if not any(counts.values()):
            return None
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        again = " (shards that hold removed or changed ones are made again)" if self.touched else ""
        return f"since the run was indexed: {told}{again}; ids stay"


def grow(source: DataSource, stored: StoredRun | None, limit: int | None) -> Growth:
    """Compare the data with what a run has of them.

    Args:
        source: the data as they are listed now, sorted.
        stored: the run; None for a new one.
        limit: how many images the run has at most.

    Raises:
        UsageError: the limit is below what the run has.
        DataError: the values of semantic maps stand for other context labels.
    """
    if stored is not None and stored.listing is None:
        return Growth(source, None)
    maps = _maps_digest(source)
    known: Sequence[ListedImage] = ()
    if stored is not None and stored.listing is not None:
        known = stored.listing.images
        if stored.listing.maps_sha256 != maps:
            raise DataError(
                f"the values of the semantic maps of {source.spec} stand for other context labels than when run "
                f"{stored.description.name!r} was indexed; index into another --run folder"
            )
    if limit is not None and limit < len(known):
        raise UsageError(
            f"--limit {limit} is below the {len(known)} images that the run has; give {len(known)} or more, or index "
            "into another --run folder"
        )
    samples = _in_order_of_ids(source.samples, known)
    total = len(samples) if limit is None else min(limit, len(samples))
    source = replace(source, samples=samples)
    now = _listed(source, samples[:total], known)
    removed = [i for i, was in enumerate(known) if now[i].removed and not was.removed]
    changed = [i for i, was in enumerate(known) if not now[i].removed and not now[i].same(was)]
    listing = Listing(now, maps)
    if stored is None:
        return Growth(source, listing)
    before = stored.description.settings.get("grown")
    added = total - len(known)
    if not (added or removed or changed):
        return Growth(source, listing, before)
    totals = [*stored.description.totals, *([total] if added else [])]
    steps = (before or {"steps": 0})["steps"] + 1
    return Growth(source, listing, {"steps": steps, "totals": totals}, added, tuple(removed), tuple(changed))


def means_note(run: Run, growth: Growth) -> str | None:
    """What to say where the images changed whose means `--verify` sets channels to; None where they did not."""
    lost = growth.touched.intersection(sample_ids(run.first_total))
    if run.settings.verify is None or not lost:
        return None
    return (
        f"--verify sets channels to their means over {len(sample_ids(run.first_total))} images, of which {len(lost)} "
        "changed or are gone: shards made now have slightly other means than those that stay"
    )


def change_of(growth: Growth, stored: StoredRun | None, wanted: RunDescription, run: Path) -> Change | None:
    """What the change of the data means for a run folder; None where the folder goes on as it is.

    Raises:
        RunFolderError: the description differs in more than the data.
    """
    if stored is None or stored.listing is None or stored.description.digest() == wanted.digest():
        return None
    old = stored.description
    of_data: dict[str, Any] = {name: old.settings[name] for name in ("limit", "grown") if name in old.settings}
    others = {name: value for name, value in wanted.settings.items() if name not in ("limit", "grown")}
    same_data = replace(
        wanted,
        dataset_sha256=old.dataset_sha256,
        image_total=old.image_total,
        settings={**others, **of_data},
    )
    refuse_other_settings(run, old, same_data)
    touched = growth.touched
    stale = {shard for shard, ids in enumerate(old.image_ranges()) if touched.intersection(ids)}
    return Change(old.digest(), frozenset(stale))


def _maps_digest(source: DataSource) -> str:
    """SHA-256 of what the values of semantic maps stand for."""
    labels, colours = sorted(source.context_labels.items()), sorted(source.map_colours.items())
    stated = [labels, source.map_lookup, colours]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()


def _in_order_of_ids(samples: Sequence[Sample], known: Sequence[ListedImage]) -> tuple[Sample, ...]:
    now = {sample.uri: sample for sample in samples}
    kept = [
        now.pop(image.uri, Sample(image.uri, image.label_ids, image.map_uri, image.tags, removed=True))
        for image in known
    ]
    return (*kept, *now.values())


def _listed(source: DataSource, samples: Sequence[Sample], known: Sequence[ListedImage]) -> list[ListedImage]:
    """The listing of samples; files that look as they did are not read."""
    images = [None if s.removed else source.path(s.uri) for s in samples]
    maps = [None if s.removed or s.map_uri is None else source.map_path(s.map_uri) for s in samples]
    none = [None] * (len(samples) - len(known))
    before = (
        [*(image.image if image.uri == s.uri else None for image, s in zip(known, samples, strict=False)), *none],
        [*(image.map if image.map_uri == s.map_uri else None for image, s in zip(known, samples, strict=False)), *none],
    )
    states: list[list[FileState]] = [states_of(paths, was) for paths, was in zip((images, maps), before, strict=True)]
    return [
        ListedImage(s.uri, s.label_ids, s.tags, s.map_uri, image, of_map, s.removed)
        for s, image, of_map in zip(samples, *states, strict=True)
    ]
