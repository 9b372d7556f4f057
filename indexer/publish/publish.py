"""Publishing: run folders become the next version of a database, or nothing changes.

1. The run folders are verified: every shard is there and is as it was written, by the settings of run.json.
2. The next version is built: Alembic's schema, the runs of the served version, the new runs, rollups, invariants.
3. It takes the place of the served one (`indexer.publish.replacement`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from evigraph.indexer.publish.build import Progress, build
from evigraph.indexer.publish.replacement import replace, served_version, silent
from evigraph.indexer.shards.folder import RunFolder
from evigraph.schema.asked import Asked, asked_run
from evigraph.schema.database import runs_of
from evigraph.schema.errors import UsageError


@dataclass(frozen=True)
class PublishReport:
    """What a publish did."""

    db: Path
    version: Path
    runs: tuple[str, ...]
    """Names of the runs published now; the database may hold more."""
    image_count: int
    edge_count: int
    """Both over the runs published now."""
    replaced: tuple[str, ...]
    """Of each run that took another's place: what differs, or that nothing of its origin does."""
    asked: str
    """The run that is asked where a query names none."""
    asked_as: Asked
    size_bytes: int
    seconds: float


def publish(
    run_dirs: Sequence[Path],
    db: Path,
    progress: Progress | None = None,
    memory_limit: str | None = None,
    *,
    replace_others: bool = False,
    default: bool = False,
) -> PublishReport:
    """Publish finished runs to `db`; a run of a name that is there already is replaced and keeps its id.

    Args:
        run_dirs: the run folders.
        db: the pointer.
        progress: told of each step.
        memory_limit: how much DuckDB may hold in memory, as "2GB"; beyond it sorts on the disk beside `db`. None
            for DuckDB's own limit. Some 300 MB of a run folder's rows come on top.
        replace_others: replace runs of the same name that were made from another network, weights or data too.
        default: make the run, of which there must be one, the one that is asked where a query names none.

    Raises:
        UsageError: no run folder is given, or several where one is to be the default; two bear one name; one would
            replace a run of another origin without `replace_others`; or the memory limit is no size.
        RunFolderError: a run folder is unfinished, damaged or in use.
        DatabaseError: `db` is foreign, newer or being published to, the disk is full, or
            (InvariantError) the new version breaks an invariant. The served version is as it was.
    """
    started = time.monotonic()
    if memory_limit is not None and not re.fullmatch(r"\d+(\.\d+)? ?([KMGT]i?)?B", memory_limit, re.ASCII):
        raise UsageError(f"memory limit {memory_limit!r} is no size; give one such as 2GB or 512MiB")
    report = progress or silent
    with ExitStack() as stack:
        folders = [stack.enter_context(RunFolder.open_for_reading(Path(path))) for path in run_dirs]
        _require_distinct_names(folders)
        if default and len(folders) > 1:
            raise UsageError(
                f"--default with {len(folders)} run folders, of which one can be it; publish that one by itself, or "
                "name it afterwards with `evigraph runs default`"
            )
        served_version(db)  # reading the shards takes long: a foreign file is refused before
        for folder in folders:
            folder.require_whole(lambda done, total: report("verify", done, total))

        def make(building: Path, served: Path | None) -> tuple[tuple[str, ...], tuple[int, int]]:
            replaced = _replaced(served, folders, db, others=replace_others)
            named = folders[0].description.name if default else None
            return replaced, build(building, served, folders, report, memory_limit=memory_limit, default=named)

        version, (replaced, (image_count, edge_count)) = replace(db, make, report)
    asked, asked_as = asked_run(runs_of(version).values())
    return PublishReport(
        db=db,
        version=version,
        runs=tuple(folder.description.name for folder in folders),
        image_count=image_count,
        edge_count=edge_count,
        replaced=replaced,
        asked=asked.name,
        asked_as=asked_as,
        size_bytes=version.stat().st_size,
        seconds=time.monotonic() - started,
    )


def _require_distinct_names(folders: list[RunFolder]) -> None:
    if not folders:
        raise UsageError("no run folder given; name at least one that `evigraph index` made")
    by_name: dict[str, Path] = {}
    for folder in folders:
        name = folder.description.name
        if name in by_name:
            raise UsageError(
                f"run folders {by_name[name]} and {folder.path} both hold a run named {name!r}; "
                "publish one of them, or index one again with another --name"
            )
        by_name[name] = folder.path


def _replaced(served: Path | None, folders: Sequence[RunFolder], db: Path, *, others: bool) -> tuple[str, ...]:
    """What the new runs take the place of, a sentence each.

    Raises:
        UsageError: that was made from another network, weights or data, and `others` is false.
    """
    there = {} if served is None else runs_of(served)
    sentences = []
    for new, created in ((folder.description, folder.created_at) for folder in folders):
        old = there.get(new.name)
        if old is None:
            continue
        same_run = old.created_at == created and (old.model, old.weights_sha256) == (new.model, new.weights_sha256)
        if same_run and old.dataset_sha256 != new.dataset_sha256:
            sentences.append(f"run {new.name} replaces its earlier version: the same run, over data that changed since")
            continue
        changes = [
            change
            for differs, change in (
                (old.model != new.model, f"network {old.model!r}, now {new.model!r}"),
                (old.weights_sha256 != new.weights_sha256, "other weights"),
                (old.dataset_sha256 != new.dataset_sha256, _other_data(old.dataset, new.dataset)),
            )
            if differs
        ]
        if changes and not others:
            raise UsageError(
                f"{db} holds a run {new.name!r} that was made from {' and '.join(changes)}; give --replace to put this "
                "one in its place, or index under another --name to keep both"
            )
        of = f"one made from {' and '.join(changes)}" if changes else "one of the same network, weights and data"
        sentences.append(f"run {new.name} replaces {of}")
    return tuple(sentences)


def _other_data(old: str, new: str) -> str:
    return f"{old} as it was before" if old == new else f"other data ({old}, now {new})"
