"""The database and the service at dataset scale: a drawn run of 18 million edges, published, asked and served.

    python -m benchmarks.database_scale [--edges 18000000] [--json FILE] [--strict] [--skip-publish] ...

    publish      edges a second of one publish, all told, in a process of its own; and by stage
    disk         bytes an edge of the published file; and by table
    in process   GraphQL as the HTTP view answers it, to the bytes of its JSON, warm, each question another one
    growth       the same / the same on a run of a tenth of the images, in turns
    over SQL     the same / its own statements alone on a raw cursor
    deep page    a page far into a long listing / its first page
    served       one server process, clients in one other process that ask the headline questions in turn
    adding       publish of the tenth into the database that holds the big run / into an empty one

The runs are made once and kept (benchmarks/scale/data.py), and so are their databases, for `--skip-publish`.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from benchmarks.report import Report
from benchmarks.scale import data as scale_data
from benchmarks.scale import server as scale_server
from benchmarks.scale.latency import Series, cursor_after, milliseconds, milliseconds_and_sql, percentile
from benchmarks.scale.publish import Published, bytes_by_table, publish_alone
from benchmarks.scale.questions import HEADLINES, LISTINGS, TEXTS, Drawer, Question, listing
from evigraph.graphapi.service.execution import Service
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.shards.folder import RunFolder
from evigraph.schema.database import resolve
from evigraph.schema.errors import EvidenceError

EDGES = 18_000_000
EDGES_PER_IMAGE = EDGES / scale_data.IMAGES
P50_MS_AT_MOST = (
    {"channelSupport": 6.0, "contextLabels": 6.0, "evidence": 60.0, "evidenceGraph": 60.0}
    | dict.fromkeys(("confusions", "supporters", "supports", "peaks"), 15.0)
    | dict.fromkeys(("contextLift", "labelsByPeak", "channelsLocalizing", "classContext", "profiles", "degrees"), 15.0)
    | dict.fromkeys(("contrast", "contrastOfAll"), 150.0)
    | dict.fromkeys(
        ("class", "classUnknown", "image", "imagesPrefix", "imagesSearch", "peaksOfClass", "runsNamed"), 15.0
    )
    | {"imageUnknown": 60.0, "compare": 150.0, "verification": 60.0, "verifiedPairs": 150.0}
)
P95_MS_AT_MOST = {"channelSupport": 15.0}
GROWTH_AT_MOST = 1.5
GROWING = (
    *("contrast", "contrastOfAll", "imageUnknown", "imagesPrefix", "imagesSearch", "compare"),
    *("verification", "verifiedPairs"),
)
"""These look at every image, decision or test of the run: no limit of growth."""
OVER_SQL_AT_MOST = 4.0
PUBLISH_EDGES_PER_S_AT_LEAST = 1e6
BYTES_PER_EDGE_AT_MOST = 12.0
REQUESTS_PER_S_AT_LEAST = 250.0
P99_MS_AT_MOST = 150.0
_MIXED = 500
"""Questions of each headline that the clients ask."""


class Printed:
    """The report, each figure of it printed as soon as it is measured."""

    def __init__(self, report: Report, out: TextIO) -> None:
        self.report, self._out = report, out
        print(report.heading(), file=out)
        self._line("figure", "measured", "", "limit", "", "beside it")

    def add(
        self, name: str, value: float, unit: str, *, most: float | None = None, least: float | None = None,
        note: str = "", **details: object,
    ) -> None:  # fmt: skip
        """Add a figure and print its line."""
        ok = self.report.add(name, value, most=most, least=least, unit=unit, **details)
        limit = "" if most is least else (f"at most {most:,g}" if most is not None else f"at least {least:,g}")
        verdict = "" if not limit else ("ok" if ok else "MISSED")
        self._line(name, f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}", unit, limit, verdict, note)

    def _line(self, name: str, value: str, unit: str, limit: str, verdict: str, note: str) -> None:
        line = f"{name:<23} {value:>10} {unit:<8} {limit:<19} {verdict:<6}  {note}"
        print(line.rstrip(), file=self._out, flush=True)


def add_publish(printed: Printed, published: Published) -> None:
    stages = sorted(published.stage_s.items(), key=lambda item: -item[1])
    printed.add(
        "publish.edges_per_s",
        published.edges / published.seconds,
        "edges/s",
        least=PUBLISH_EDGES_PER_S_AT_LEAST,
        note=f"{published.seconds:.1f} s: " + ", ".join(f"{stage} {s:.1f}" for stage, s in stages if s >= 0.05),
        **asdict(published),
    )
    printed.add("publish.peak_memory", published.peak_bytes / 2**30, "GiB")


def add_disk(printed: Printed, db: Path, edges: int) -> None:
    by_table = {name: size / edges for name, size in bytes_by_table(db).items()}
    shown = [f"{name} {size:.2f}" for name, size in by_table.items() if size >= 0.05]
    printed.add(
        "disk.bytes_per_edge",
        resolve(db).stat().st_size / edges,
        "bytes",
        most=BYTES_PER_EDGE_AT_MOST,
        note=", ".join(shown),
        by_table=by_table,
    )


def add_latencies(
    printed: Printed, services: list[Service], drawers: list[Drawer], options: argparse.Namespace
) -> None:
    """Of the first service, the big run's; growth against the second."""
    count = options.warm_up + options.questions
    for kind in TEXTS:
        both = [Series(s, d.draw(kind, count), options.warm_up) for s, d in zip(services, drawers, strict=True)]
        big, small = milliseconds(*both)
        p50, p95, tenth = percentile(big, 50), percentile(big, 95), percentile(small, 50)
        beside = {"p99": percentile(big, 99), "largest": max(big), "questions": len(big)}
        note = f"p99 {beside['p99']:.3g}, largest {beside['largest']:.3g}"
        printed.add(f"{kind}.p50_ms", p50, "ms", most=P50_MS_AT_MOST[kind], note=note, **beside)
        printed.add(f"{kind}.p95_ms", p95, "ms", most=P95_MS_AT_MOST.get(kind))
        note = f"p50 at a tenth: {tenth:.3g} ms"
        printed.add(
            f"{kind}.growth",
            p50 / tenth,
            "ratio",
            most=None if kind in GROWING else GROWTH_AT_MOST,
            note=note,
            tenth_p50_ms=tenth,
        )
    for kind in HEADLINES:
        series = Series(services[0], drawers[0].draw(kind, count), options.warm_up)
        whole, sql = (percentile(times, 50) for times in milliseconds_and_sql(series))
        note = f"{whole:.3g} ms / {sql:.3g} ms"
        printed.add(
            f"{kind}.over_sql", whole / sql, "ratio", most=OVER_SQL_AT_MOST, note=note, whole_ms=whole, sql_ms=sql
        )


def add_deep_pages(printed: Printed, service: Service, run: str, options: argparse.Namespace) -> None:
    """A page deep in a listing against its first, in turns."""
    for field in LISTINGS:
        first = listing(run, field, 20)
        after = cursor_after(service, listing(run, field, 100), ("run", field), 200)
        deep = Question(first.text, first.variables | {"after": after})
        count = options.warm_up + options.questions
        pages = [Series(service, [page] * count, options.warm_up) for page in (first, deep)]
        at_first, at_depth = (percentile(times, 50) for times in milliseconds(*pages))
        note = f"p50 {at_depth:.3g} ms / {at_first:.3g} ms"
        printed.add(f"{field}.deep_page", at_depth / at_first, "ratio", note=note)


def add_load(printed: Printed, db: Path, questions: list[Question], clients: int, seconds: float) -> None:
    with scale_server.serving(db) as port:
        outcome = scale_server.load(port, questions, clients, seconds)
    note = f"{clients} clients for {seconds:g} s, which took {outcome['client_cpu']:.2f} of a core themselves"
    printed.add(
        "served.requests_per_s",
        outcome["requests_per_s"],
        "1/s",
        least=REQUESTS_PER_S_AT_LEAST,
        note=note,
        clients=clients,
        **outcome,
    )
    printed.add("served.p99_ms", outcome["p99_ms"], "ms", most=P99_MS_AT_MOST, note=f"p50 {outcome['p50_ms']:.3g}")
    printed.add("served.errors", outcome["errors"], "requests", most=0, note=outcome["first_error"] or "")


def add_adding(printed: Printed, run_dir: Path, db: Path, into_empty: Published, folder: Path) -> None:
    """The cost of a run is its own where this is near 1."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        copy = Path(temporary) / "copy.duckdb"
        shutil.copyfile(resolve(db), copy)
        added = publish_alone(run_dir, copy)
    printed.add(
        "adding.over_empty",
        added.seconds / into_empty.seconds,
        "ratio",
        note=f"{added.seconds:.1f} s / {into_empty.seconds:.1f} s for {added.edges:,} edges; "
        + ", ".join(f"{stage} {s:.1f}" for stage, s in added.stage_s.items() if s >= 0.05),
        added=asdict(added),
        into_empty=asdict(into_empty),
    )


def measure(options: argparse.Namespace, printed: Printed) -> None:
    """Everything that is not skipped."""
    images = max(10, round(options.edges / EDGES_PER_IMAGE / 10) * 10)
    folder: Path = options.folder or scale_data.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    big_run, small_run = (
        scale_data.make(count, options.seed, name, scale_data.kept_at(count, options.seed, name, folder))
        for count, name in ((images, "scale"), (images // 10, "tenth"))
    )
    big_db, small_db = (run_dir.with_suffix(".duckdb") for run_dir in (big_run, small_run))
    small_published = None
    if not options.skip_publish:
        for db in (big_db, small_db):
            for file in folder.glob(f"{db.stem}.*"):
                file.unlink()
        add_publish(printed, publish_alone(big_run, big_db))
        small_published = publish_alone(small_run, small_db)
    with RunFolder.open_for_reading(big_run) as run:
        edges = sum((run.manifest(shard) or {})["files"]["edge"]["rows"] for shard in range(run.shard_count))
    add_disk(printed, big_db, edges)
    if not options.skip_latency:
        drawers = [Drawer(run_dir, options.seed) for run_dir in (big_run, small_run)]
        # torch, which a service never loads, made collections of garbage take 200 ms now and then.
        gc.collect()
        gc.freeze()
        services = [Service(db, Settings()) for db in (big_db, small_db)]
        try:
            add_latencies(printed, services, drawers, options)
            add_deep_pages(printed, services[0], "scale", options)
        finally:
            for service in services:
                service.close()
            gc.unfreeze()
    if not options.skip_load:
        drawer = Drawer(big_run, options.seed + 1)
        mixed = [q for pair in zip(*(drawer.draw(kind, _MIXED) for kind in HEADLINES), strict=True) for q in pair]
        add_load(printed, big_db, mixed, options.clients, options.seconds)
    if small_published is not None and not options.skip_adding:
        add_adding(printed, small_run, big_db, small_published, folder)


def main() -> int:
    options = _arguments()
    report = Report()
    printed = Printed(report, sys.stderr if options.json == "-" else sys.stdout)
    try:
        measure(options, printed)
    except EvidenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return report.finish(options.json, options.strict)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=EDGES, help=f"about so many; default {EDGES}")
    parser.add_argument("--seed", type=int, default=0, help="of the run and of the questions")
    parser.add_argument("--questions", type=int, default=200, help="timed questions of each kind")
    parser.add_argument("--warm-up", type=int, default=50, help="questions of each kind asked before those")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10, help="of load")
    parser.add_argument("--folder", type=Path, help="where runs and databases are kept; default: ~/.cache/evigraph")
    parser.add_argument("--skip-publish", action="store_true", help="measure the databases that are kept")
    parser.add_argument("--skip-latency", action="store_true")
    parser.add_argument("--skip-load", action="store_true")
    parser.add_argument("--skip-adding", action="store_true")
    parser.add_argument("--json", metavar="FILE", help='where the figures go; "-" is standard output')
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a figure misses its limit")
    return parser.parse_args()


if __name__ == "__main__":
    # Ends by an exception, so that a server or a publish that it started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
