"""`evigraph extend`: what a finished run lacks, without indexing it again.

1. The network, the weights and the data that the run names are loaded, and refused where they are others by digest.
2. Shard by shard: thumbnails are made of the decoded images alone. For whatever needs decompositions these are made
   again, and compared with the stored ones: what is added belongs to the rows that are there, or nothing is added.
3. Guided crops need no decomposition: they are made of the stored peaks.
4. Everything is written beside the run, and put in place when it is whole (`shards.extending`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from evigraph.indexer.data.loader import Batch, iterate_chunks
from evigraph.indexer.evidence.measurement import Measurement
from evigraph.indexer.pictures.guided import make_guided
from evigraph.indexer.pictures.thumbnails import Pictures
from evigraph.indexer.run.batch import BatchIndexer
from evigraph.indexer.run.comparing import COMPARED, filled, require_same
from evigraph.indexer.run.extension import described, lacking, opened_again, settings_of
from evigraph.indexer.run.measurements import Run, measurements_of
from evigraph.indexer.run.pipeline import Opened, in_batches, indexer_of
from evigraph.indexer.run.rows import ShardRows
from evigraph.indexer.run.settings import ExtendSettings, IndexSettings
from evigraph.indexer.run.stored import StoredRun, run_of, with_added
from evigraph.indexer.shards.description import RunDescription
from evigraph.indexer.shards.extending import Extension
from evigraph.indexer.shards.files import SHARD_SCHEMAS
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.shards.guided_files import strongest_peaks
from evigraph.schema.errors import DataError, UsageError
from evigraph.schema.pictures import PictureSettings

Progress = Callable[[str, int, int], None]
"""Called as (step, done, total)."""
_TABLES = {"thumbnails": "thumbnail", "maps": "activation_map", "verify": "verification", "overlaps": "overlap"}
"""The table that holds what is added."""
_MASKS = ("context_map", "context_mask")
"""Tables that further context layers add rows to, which are of all layers together."""
_FILLS = {"overlaps": "decomposition", "context_layers": "edge"}
"""The table whose null columns what is added fills."""


@dataclass(frozen=True)
class ExtendReport:
    """What an extension added.

    Attributes:
        run, name: the folder, and the run's name.
        added: options by name, as they are in `run.json`; empty where the run had all of it.
        rows: of each table that was added.
        image_count: images of the run that were looked at.
        seconds: it took.
        notes: what the user should know, a sentence each.
    """

    run: str
    name: str
    added: dict[str, Any]
    rows: dict[str, int]
    image_count: int
    seconds: float
    notes: tuple[str, ...]


def extend(run: Path, asked: ExtendSettings, progress: Progress | None = None) -> ExtendReport:
    """Add what a finished run lacks.

    Raises:
        EvidenceError: the run is unfinished, its network or data are others now, or what is computed again differs from
            what is stored; the run is then as it was.
    """
    started, report = time.perf_counter(), progress or (lambda *_: None)
    if asked == replace(ExtendSettings(), **_where(asked)):
        raise UsageError("nothing is asked for; give what the run is to get, such as --thumbnails 224 or --maps")
    stored = run_of(run)
    with RunFolder.open_for_extending(run) as folder:
        folder.require_whole(partial(report, "verify"))
        added = lacking(folder.description, asked)
        rows: dict[str, int] = {}
        if added:
            rows = _extend(folder, stored, asked, added, report)
        notes = () if added else ("the run has all of it already: nothing was done",)
        return ExtendReport(
            run=str(run),
            name=folder.description.name,
            added=added,
            rows=rows,
            image_count=folder.description.image_total,
            seconds=time.perf_counter() - started,
            notes=notes,
        )


def _where(asked: ExtendSettings) -> dict[str, Any]:
    names = ("weights", "data", "classes", "device", "workers", "batch_size", "threads")
    return {name: getattr(asked, name) for name in names}


def _extend(
    folder: RunFolder, stored: StoredRun, asked: ExtendSettings, added: dict[str, Any], report: Progress
) -> dict[str, int]:
    before = settings_of(folder.path, folder.description, asked)
    wanted = with_added(before, added)
    with opened_again(stored, wanted) as made:
        grown = folder.description.settings.get("grown")
        description = described(folder.description, wanted, made, grown, added)
        work = _Work(folder, wanted, made, description, added)
        extension = Extension(folder, description, added)
        work.make_shards(extension, report)
        if "guided" in added:
            work.make_guided(report)
        extension.commit()
    return _rows(folder, description, added)


def _rows(folder: RunFolder, description: RunDescription, added: dict[str, Any]) -> dict[str, int]:
    tables = [table for name, table in _TABLES.items() if name in added]
    entries = [folder.manifest(shard) or {} for shard in range(folder.shard_count)]
    rows = {table: sum(e["files"].get(table, {"rows": 0})["rows"] for e in entries) for table in tables}
    if "guided" in added:
        rows["guided_crop"] = len(strongest_peaks(folder.described(description), added["guided"]))
    return rows


@dataclass(frozen=True)
class _Work:
    """What is made of a run's images."""

    folder: RunFolder
    settings: IndexSettings
    made: Opened
    description: RunDescription
    added: dict[str, Any]

    @property
    def pictures(self) -> PictureSettings | None:
        """The pictures that are added, as a run of its own would keep them."""
        stated = self.description.settings.get("pictures")
        if stated is None:
            return None
        kept = PictureSettings.from_json(stated)
        left_out: dict[str, Any] = {n: None for n in ("thumbnails", "maps", "guided") if n not in self.added}
        return replace(kept, **left_out)

    @property
    def run(self) -> Run:
        made, total = self.made, self.description.totals[0]
        return Run(self.settings, made.network, made.source, made.preprocessing, made.arithmetic, total)

    def make_shards(self, extension: Extension, report: Progress) -> None:
        """Stage what every shard gets."""
        decomposed = self.added.keys() - {"thumbnails", "guided"}
        pending = extension.pending()
        if not decomposed and "thumbnails" not in self.added:
            for shard in pending:
                extension.stage(shard, {})
            return
        indexer = indexer_of(self.run, self._measurements())
        made = self.made.preprocessing
        size = self.settings.execution.batch_size or indexer.automatic_batch_size(made.channels, made.size)
        ids = {shard: self._ids(shard, every=bool(decomposed)) for shard in pending}
        chunks = [chunk for shard in pending for chunk in in_batches(ids[shard], size)]
        workers = self.made.cores.workers
        cuda = self.made.arithmetic.device.type == "cuda"
        batches = iterate_chunks(self.made.source, made, chunks, workers=workers, pin_memory=cuda)
        done, total = 0, sum(map(len, chunks))
        for shard in pending:
            rows = ShardRows()
            for chunk in in_batches(ids[shard], size):
                if decomposed:
                    indexer.add(next(batches), rows)
                else:
                    self._add_thumbnails(indexer, next(batches), rows)
                done += len(chunk)
                report("extend", done, total)
            extension.stage(shard, self._tables(shard, rows.tables(), compare=bool(decomposed)))

    def _ids(self, shard: int, *, every: bool) -> Sequence[int]:
        """The images of a shard: all, or those that could be used."""
        if every:
            return self.folder.image_range(shard)
        ids: list[int] = self.folder.read(shard, "image", ["image_id"])["image_id"].to_pylist()
        return ids

    def _measurements(self) -> list[Measurement]:
        """Those that the whole run would have, less pictures that it has."""
        kept = [m for m in measurements_of(self.run) if not isinstance(m, Pictures)]
        return [*kept, Pictures(self.pictures, self.made.preprocessing)] if self.pictures else kept

    def _add_thumbnails(self, indexer: BatchIndexer, batch: Batch, rows: ShardRows) -> None:
        if batch.skipped:
            image_id, reason = batch.skipped[0]
            raise DataError(
                f"image {self.made.source.samples[image_id].uri} was indexed but can no longer be used ({reason}); "
                "bring it back, or run the same `evigraph index` command first"
            )
        if self.pictures and len(batch.image_ids):
            pictures = Pictures(self.pictures, self.made.preprocessing)
            rows.add(pictures.thumbnails(batch.image_ids, indexer.seen(batch)))

    def _tables(self, shard: int, fresh: dict[str, pa.Table], *, compare: bool) -> dict[str, pa.Table]:
        """What a shard gets of what was made of its images anew."""
        got = {table: fresh[table] for name, table in _TABLES.items() if name in self.added}
        if compare:
            stored = {table: self._stored(shard, table) for table in COMPARED}
            require_same(self.folder.path, shard, stored, fresh)
            got |= {t: filled(stored[t], fresh[t]) for name, t in _FILLS.items() if name in self.added}
            if "context_layers" in self.added:
                got |= {table: fresh[table] for table in _MASKS if table in fresh}
        return got

    def _stored(self, shard: int, table: str) -> pa.Table:
        """A shard's table; a column of after it is null."""
        rows = self.folder.read(shard, table)
        for field in SHARD_SCHEMAS[table]:
            if field.name not in rows.schema.names:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
        return rows.select(SHARD_SCHEMAS[table].names)

    def make_guided(self, report: Progress) -> None:
        """Make the guided crops of the stored peaks."""
        pictures = self.pictures
        if pictures is None:
            return
        folder = self.folder.described(self.description)
        total, done = len(strongest_peaks(folder, pictures.guided or 0)), _Counter()
        made, workers = self.made, self.made.cores.workers
        make_guided(
            folder,
            made.network,
            made.source,
            made.preprocessing,
            pictures,
            indexer_of(self.run, []).inputs,
            workers,
            lambda count: report("guided", done.add(count), total),
        )


@dataclass
class _Counter:
    value: int = 0

    def add(self, count: int) -> int:
        self.value += count
        return self.value
