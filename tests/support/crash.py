"""Killing a process at its n-th step, or at a moment, and seeing what it left.

    python -m tests.support.crash --seed 7 --points 200 --dir /tmp/crash

A step is a call that changes the file system (open for writing, fsync, rename, link, unlink, mkdir) or a statement of
SQL. The process that works is forked from one that has everything imported, which makes a kill cost no more than the
work before it; that one runs no network and opens no database, as their threads would not survive the fork.

With a kill the power may fail too: every file that was written and not flushed since is cut in half.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

Work = Callable[[], Any]
SCENARIOS = ("add", "first", "plain")
"""A run added to a database, the first run of one, a run added to a plain file that becomes a version."""
_CALLS = ("fsync", "replace", "rename", "symlink", "link", "unlink", "remove", "mkdir", "rmdir")


class Steps:
    """Counts the steps of this process from `watch` on, and kills it at one of them."""

    def __init__(self, folder: Path, last: int | None = None, power_failure: bool = False) -> None:
        """Set what is to come.

        Args:
            folder: where the work writes.
            last: the process is killed when this many steps are done; None for never.
            power_failure: whether what lies unflushed under `folder` is then damaged.
        """
        self.count = 0
        self._folder, self._last, self._power_failure = folder, last, power_failure
        self._lock = threading.Lock()
        self._flushed = {path: _state(path) for path in _files(folder)}
        self._fsync = os.fsync

    def watch(self) -> None:
        """Count, from now to the end of the process."""
        from sqlalchemy import Engine, event

        for name in _CALLS:
            setattr(os, name, self._counted(getattr(os, name)))
        opened = io.open

        def open_counted(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if set(mode) & set("wax+"):
                self._step()
            return opened(file, mode, *arguments, **options)

        io.open = open_counted
        event.listen(Engine, "before_cursor_execute", lambda *_: self._step())
        event.listen(Engine, "commit", lambda _: self._step())

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self._step()
            given = call(*arguments, **options)
            if call is self._fsync:
                path = Path(f"/proc/self/fd/{arguments[0]}").readlink()
                self._flushed[path] = _state(path)
            return given

        return counted

    def _step(self) -> None:
        with self._lock:
            if self.count == self._last:
                if self._power_failure:
                    self._cut_unflushed()
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1

    def _cut_unflushed(self) -> None:
        # By inode: a file that was renamed after its flush is on the disk all the same.
        flushed = set(self._flushed.values())
        for path in _files(self._folder):
            if _state(path) not in flushed:
                os.truncate(path, path.stat().st_size // 2)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def in_child(work: Work, *, kill_after_s: float | None = None) -> tuple[int, Any]:
    """Do something in a forked process.

    Args:
        work: gives something that JSON can hold.
        kill_after_s: when to kill the process; None for never.

    Returns:
        The signal that ended the process, 0 for none, and what `work` gave.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            with open(writing, "w", closefd=True) as pipe:  # noqa: PTH123 (a descriptor)
                json.dump(work(), pipe)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)
    with open(reading, closefd=True) as pipe:  # noqa: PTH123 (a descriptor)
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status), None
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"the work failed with exit code {os.WEXITSTATUS(status)}; its traceback is above")
    return 0, json.loads(said)


def result_of(work: Work) -> Any:
    """What `work` gives in a forked process that nobody kills."""
    return in_child(work)[1]


def step_count(work: Work, folder: Path) -> int:
    """How many steps some work takes."""

    def counted() -> int:
        steps = Steps(folder)
        steps.watch()
        work()
        return steps.count

    return int(result_of(counted))


def killed_at(work: Work, folder: Path, step: int, power_failure: bool) -> bool:
    """Do some work and kill it at a step; False where it ended before."""

    def cut_short() -> None:
        Steps(folder, step, power_failure).watch()
        work()

    return in_child(cut_short)[0] == signal.SIGKILL


def checksums(db: Path) -> dict[str, str]:
    """Count and checksum of the rows of each table, less the moments at which a run was made."""
    from evigraph.schema.database import open_read_only
    from evigraph.schema.tables import BASE_TABLES, ROLLUP_TABLES
    from evigraph.schema.tables.base import Base

    found = {}
    engine = open_read_only(db)
    with engine.connect() as connection:
        for table in BASE_TABLES + ROLLUP_TABLES:
            names = [c.name for c in Base.metadata.tables[table].columns if c.name not in ("created_at", "finished_at")]
            columns = ", ".join(f'"{name}"' for name in names)
            row = connection.exec_driver_sql(f'SELECT count(*), sum(hash({columns})::HUGEINT) FROM "{table}"').one()
            found[table] = f"{row[0]} rows, {row[1]}"
    engine.dispose()
    return found


@dataclass(frozen=True)
class Kill:
    """A kill point and what came of it; `fault` is empty where everything was as it must be."""

    scenario: str
    at: str
    killed: bool
    power_failure: bool
    fault: str


class Matrix:
    """Kill points over `index` and `publish`, drawn by a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Index and publish once without disturbance: what every disturbed work must end with."""
        from tests.support import tiny

        self._random, self._folder = random.Random(seed), folder
        self._data = tiny.draw_images(folder / "images", 16)
        self._whole = folder / "whole"
        self._index(self._whole)
        self._files = _contents(self._whole)
        self._before, self._after = folder / "before" / "evidence.duckdb", folder / "after" / "evidence.duckdb"
        result_of(lambda: self._publish_synthetic(self._before))
        shutil.copytree(self._before.parent, self._after.parent, symlinks=True)
        started = time.monotonic()
        result_of(lambda: self._publish(self._after))
        self._publish_s = time.monotonic() - started
        result_of(lambda: self._publish(folder / "first" / "evidence.duckdb"))
        self._sums = {
            name: result_of(lambda name=name: checksums(folder / name / "evidence.duckdb"))  # type: ignore[misc]
            for name in ("before", "after", "first")
        }

    def run(self, points: int) -> Iterator[Kill]:
        """A third of the points over `index`, the others over `publish`."""
        index_steps = step_count(lambda: self._index_here(self._folder / "counted"), self._folder)
        for _ in range(points // 3):
            yield self._kill_index(index_steps)
        totals = {}
        for scenario in SCENARIOS:
            db = self._copy(scenario)
            totals[scenario] = step_count(lambda db=db: self._publish(db), db.parent)  # type: ignore[misc]
        # Each step of the swap, over and over, in every scenario; then any other step or moment.
        swap = [(scenario, back) for scenario in SCENARIOS for back in self._random.sample(range(1, 10), 9)]
        for point in range(points - points // 3):
            scenario = SCENARIOS[point % 3]
            if point % 2 == 0:
                scenario, back = swap[point // 2 % len(swap)]
                yield self._kill_publish(scenario, totals[scenario] - back, totals[scenario])
            elif point % 4 == 1:
                yield self._kill_publish(scenario, self._random.randrange(totals[scenario]), totals[scenario])
            else:
                yield self._kill_publish(scenario, None, totals[scenario])

    def _kill_index(self, step_total: int) -> Kill:
        """Kill the work, then kill what takes it up again, then let it end."""
        run = self._folder / "killed"
        shutil.rmtree(run, ignore_errors=True)
        steps = self._random.randrange(step_total), self._random.randrange(step_total)
        power_failure = self._random.random() < 0.5
        run.mkdir()
        killed = [killed_at(lambda: self._index_here(run), run, step, power_failure) for step in steps]
        self._index(run)
        fault = ""
        if _contents(run) != self._files:
            fault = "the run folder differs from an undisturbed one"
        return Kill("index", f"steps {steps[0]} and {steps[1]} of {step_total}", killed[0], power_failure, fault)

    def _kill_publish(self, scenario: str, step: int | None, step_total: int) -> Kill:
        """Kill the work at a step, or by the clock, which catches DuckDB in the midst of its own writes."""
        db = self._copy(scenario)
        power_failure = False
        if step is None:
            moment_s, killed = self._random.uniform(0, self._publish_s), False
            while not killed:  # a machine that is busy at one time is not at another
                db = self._copy(scenario)
                at = f"{moment_s:.3f} s"
                killed = in_child(partial(self._publish, db), kill_after_s=moment_s)[0] == signal.SIGKILL
                moment_s /= 2
        else:
            power_failure = self._random.random() < 0.75 or step_total - step < 10
            at = f"step {step} of {step_total}"
            killed = killed_at(lambda: self._publish(db), db.parent, step, power_failure)
        try:
            fault = self._fault(scenario, db)
        except RuntimeError as error:
            fault = f"what is left cannot be read or published to: {error}"
        return Kill(scenario, at, killed, power_failure, fault)

    def _fault(self, scenario: str, db: Path) -> str:
        after = self._sums["first" if scenario == "first" else "after"]
        if scenario != "first" or db.exists():
            served = result_of(lambda: checksums(db))
            if served not in ([after] if scenario == "first" else [self._sums["before"], after]):
                return f"the served version is neither the old nor the new one: {served}"
        result_of(lambda: self._publish(db))
        ended = result_of(lambda: checksums(db))
        if ended != after:
            return f"checksums differ in the end: {ended}, not {after}"
        left = sorted(path.name for path in db.parent.iterdir())
        known = {db.name, f"{db.name}.lock", db.resolve().name}
        others = [name for name in left if name not in known]
        if any(name.endswith((".wal", ".tmp")) or ".building" in name for name in others) or len(others) > 1:
            return f"files are left behind: {others}"
        return ""

    def _copy(self, scenario: str) -> Path:
        """A fresh folder with the database that the scenario begins with."""
        folder = self._folder / "db"
        shutil.rmtree(folder, ignore_errors=True)
        db = folder / "evidence.duckdb"
        if scenario == "add":
            shutil.copytree(self._before.parent, folder, symlinks=True)
        else:
            folder.mkdir()
            if scenario == "plain":
                shutil.copyfile(self._before.resolve(), db)
        return db

    def _publish(self, db: Path) -> None:
        from evigraph.indexer.publish.publish import publish

        publish([self._whole], db)

    def _publish_synthetic(self, db: Path) -> None:
        from evigraph.indexer.publish.publish import publish
        from tests.support.synthetic import synthetic_run

        synthetic_run(db.parent.parent / "synthetic", images=20)
        publish([db.parent.parent / "synthetic"], db)

    def _index(self, run: Path) -> None:
        result_of(lambda: self._index_here(run))

    def _index_here(self, run: Path) -> None:
        import torch

        from evigraph.indexer.data.settings import PreprocessingOptions
        from evigraph.indexer.run.pipeline import index
        from evigraph.indexer.run.settings import Execution, IndexSettings
        from tests.support import tiny

        torch.manual_seed(0)
        index(
            IndexSettings(
                model=tiny.MODEL,
                weights="random",
                data=f"imagefolder:{self._data}",
                run=run,
                name="tiny",
                execution=Execution(workers=0, shard_size=4, batch_size=4),
                preprocessing=PreprocessingOptions(resize=0, crop=tiny.SIDE),
            )
        )


def _contents(run: Path) -> dict[str, str]:
    """Digest of each file of a run folder but for the two that name moments, and whether those are there."""
    found = {}
    for path in _files(run):
        moments = path.name in ("run.json", "finished.json")
        found[path.relative_to(run).as_posix()] = "there" if moments else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main() -> None:
    """Run a matrix and print each kill as a line of JSON; exit code 1 if one had a fault."""
    parser = argparse.ArgumentParser(description="Kill index and publish at many points.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--dir", type=Path, required=True, help="a new folder to work in")
    options = parser.parse_args()
    options.dir.mkdir(parents=True)
    _import_everything()
    faults = 0
    for kill in Matrix(options.dir.resolve(), options.seed).run(options.points):
        faults += kill.fault != ""
        print(json.dumps(asdict(kill)), flush=True)
    sys.exit(faults > 0)


def _import_everything() -> None:
    import torch

    import evigraph.graphapi.service.query
    import evigraph.indexer.publish.publish
    import evigraph.indexer.run.pipeline
    import tests.support.synthetic
    import tests.support.tiny

    del evigraph, tests
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
