"""Publishing when the process is killed or the disk is full: the served file never breaks."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evigraph.indexer.publish.manage import rollback
from evigraph.indexer.publish.publish import publish
from evigraph.schema.database import resolve
from evigraph.schema.errors import DatabaseError, RunFolderError
from tests.database.conftest import rows_of
from tests.support.synthetic import synthetic_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

KILLED_AT_STEP = """
import os, signal, sys
from pathlib import Path
from evigraph.indexer.publish.publish import publish
run, db, left = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def step(stage, done, total):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
publish([run], db, step)
"""

KILLED_IN_SWAP = """
import os, signal, sys
from pathlib import Path
from evigraph.indexer.publish.publish import publish
run, db, left = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
swapping = False
def step(stage, done, total):
    global swapping
    swapping = stage == "swap"
def killing(method):
    def call(self, *arguments, **options):
        global left
        if swapping:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *arguments, **options)
    return call
for name in ("rename", "symlink_to", "replace", "unlink"):
    setattr(Path, name, killing(getattr(Path, name)))
publish([run], db, step)
"""


@pytest.fixture(scope="module")
def second_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is added to the first one."""
    path = tmp_path_factory.mktemp("second") / "run"
    synthetic_run(path, name="second", seed=5)
    return path


@dataclass(frozen=True)
class Undisturbed:
    """A database, its rows, and its rows once the second run was published without disturbance."""

    db: Path
    before: dict[str, list[tuple[Any, ...]]]
    after: dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def undisturbed(published: Path, second_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What a disturbed publish is compared with."""
    after = tmp_path_factory.mktemp("after") / "evidence.duckdb"
    shutil.copyfile(resolve(published), after)
    publish([second_run], after)
    return Undisturbed(published, rows_of(published), rows_of(after))


def _copy(db: Path, folder: Path) -> Path:
    folder.mkdir()
    shutil.copyfile(resolve(db), folder / resolve(db).name)
    (folder / db.name).symlink_to(resolve(db).name)
    return folder / db.name


def _kill(program: str, run: Path, db: Path, after: int) -> int:
    command = [sys.executable, "-c", program, str(run), str(db), str(after)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


def _ends_as_if_undisturbed(db: Path, run: Path, undisturbed: Undisturbed) -> None:
    assert rows_of(db) in (undisturbed.before, undisturbed.after)
    publish([run], db)
    assert rows_of(db) == undisturbed.after
    assert not [p for p in db.parent.iterdir() if ".building" in p.name or p.name.endswith(".wal")]
    assert len(list(db.parent.glob("evidence.*.duckdb"))) <= 2


@pytest.mark.parametrize("after", sorted(random.Random(2).sample(range(70), 5)))
def test_killed_at_a_step(tmp_path: Path, second_run: Path, undisturbed: Undisturbed, after: int) -> None:
    db = _copy(undisturbed.db, tmp_path / "db")
    assert _kill(KILLED_AT_STEP, second_run, db, after) == -signal.SIGKILL
    _ends_as_if_undisturbed(db, second_run, undisturbed)


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_killed_while_swapping(tmp_path: Path, second_run: Path, undisturbed: Undisturbed, after: int) -> None:
    db = _copy(undisturbed.db, tmp_path / "db")
    assert _kill(KILLED_IN_SWAP, second_run, db, after) == -signal.SIGKILL
    _ends_as_if_undisturbed(db, second_run, undisturbed)


def test_killed_while_a_plain_file_is_taken_over(tmp_path: Path, second_run: Path, undisturbed: Undisturbed) -> None:
    for after in (1, 2):
        db = tmp_path / str(after) / "evidence.duckdb"
        db.parent.mkdir()
        shutil.copyfile(resolve(undisturbed.db), db)
        assert _kill(KILLED_IN_SWAP, second_run, db, after) == -signal.SIGKILL
        _ends_as_if_undisturbed(db, second_run, undisturbed)


def test_killed_at_any_moment(tmp_path: Path, second_run: Path, undisturbed: Undisturbed) -> None:
    """By the clock, so that DuckDB is caught in the midst of its own writes."""
    db = _copy(undisturbed.db, tmp_path / "db")
    moments = random.Random(4)
    for _ in range(5):
        command = [sys.executable, "-c", KILLED_AT_STEP, str(second_run), str(db), "100000"]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=0.5 + moments.random() * 1.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert rows_of(db) in (undisturbed.before, undisturbed.after)
    _ends_as_if_undisturbed(db, second_run, undisturbed)


KILLED_IN_ROLLBACK = """
import os, signal, sys
from pathlib import Path
from evigraph.indexer.publish.manage import rollback
left = int(sys.argv[3])
def killing(method):
    def call(self, *arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *arguments, **options)
    return call
for name in ("symlink_to", "replace", "unlink"):
    setattr(Path, name, killing(getattr(Path, name)))
rollback(Path(sys.argv[2]))
"""


def test_killed_in_a_rollback(tmp_path: Path, second_run: Path, undisturbed: Undisturbed) -> None:
    """One version or the other is served, and whole; the next publish leaves nothing behind."""
    for after in range(4):
        db = _copy(undisturbed.db, tmp_path / str(after))
        publish([second_run], db)
        assert _kill(KILLED_IN_ROLLBACK, second_run, db, after) == -signal.SIGKILL
        assert rows_of(db) == undisturbed.after
        assert rollback(db).runs == ("synthetic",)
        assert rows_of(db) == undisturbed.before
        _ends_as_if_undisturbed(db, second_run, undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, whose size a test sets with `mount -o remount`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here (that takes root)")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)


def _refusal(work: Callable[[], object]) -> str | None:
    try:
        work()
    except (DatabaseError, RunFolderError) as error:
        return str(error)
    return None


def _used_bytes(disk: Path) -> int:
    return shutil.disk_usage(disk).used


def test_publishing_to_a_full_disk(
    small_disk: Path, second_run: Path, undisturbed: Undisturbed, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever the disk fills up, the served version stays and the room is given back."""
    _resize(small_disk, 100_000)
    db = _copy(undisturbed.db, small_disk / "db")
    size = _used_bytes(small_disk) // 1024
    refusals = 0
    for room in (0, 4, 300, 1000, 2500, 4000, 5000, 5600, 6200, 20_000):
        _resize(small_disk, size + room)
        message = _refusal(lambda: publish([second_run], db))
        if message is not None:
            refusals += 1
            assert "\n" not in message
            assert "could not be built" in message
            assert "No space left on device" in message
            assert caplog.records == []  # no traceback is logged by the way
            assert rows_of(db) == undisturbed.before
            assert [p.name for p in db.parent.iterdir() if ".building" in p.name] == []
            assert _used_bytes(small_disk) // 1024 <= size + 4
        else:
            break
    assert refusals >= 3
    assert rows_of(db) == undisturbed.after


def test_indexing_to_a_full_disk(small_disk: Path, run_dir: Path) -> None:
    run = small_disk / "run"
    refusals = 0
    for kilobytes in (4, 16, 40, 64, 80, 96, 128, 1000):
        _resize(small_disk, kilobytes)
        message = _refusal(lambda: synthetic_run(run))
        if message is not None:
            refusals += 1
            assert "\n" not in message
            assert "No space left on device" in message
            assert not list(small_disk.rglob("*.partial"))
    assert refusals >= 3
    whole = {p.name: p.read_bytes() for p in (run_dir / "shards").iterdir()}
    assert {p.name: p.read_bytes() for p in (run / "shards").iterdir()} == whole


FILES_OF_AT_MOST = """
import resource, sys
from pathlib import Path
from evigraph.indexer.publish.publish import publish
from evigraph.schema.errors import EvidenceError
from tests.support.synthetic import synthetic_run
work, run, db, size = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # Python ignores the signal, so that a write fails
try:
    publish([run], db) if work == "publish" else synthetic_run(run)
except EvidenceError as error:
    print(error)
"""


def _limited(work: str, run: Path, db: Path, size: int) -> str:
    """The refusal of work that may write no file larger than this; empty where it was done."""
    command = [sys.executable, "-c", FILES_OF_AT_MOST, work, str(run), str(db), str(size)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("size", [0, 5_000, 600_000, 3_000_000])
def test_publishing_when_no_more_can_be_written(
    tmp_path: Path, second_run: Path, undisturbed: Undisturbed, size: int
) -> None:
    """A full disk for whoever cannot mount one: files may not grow beyond a limit."""
    db = _copy(undisturbed.db, tmp_path / "db")
    before = {path.name for path in db.parent.iterdir()}
    message = _limited("publish", second_run, db, size)
    assert "\n" not in message
    assert "could not be built" in message
    assert "the served version is as it was" in message
    assert rows_of(db) == undisturbed.before
    assert {path.name for path in db.parent.iterdir()} == before | {f"{db.name}.lock"}
    _ends_as_if_undisturbed(db, second_run, undisturbed)


def test_indexing_when_no_more_can_be_written(tmp_path: Path, run_dir: Path) -> None:
    run, whole = tmp_path / "run", _shards(run_dir)
    largest = max(map(len, whole.values()))
    for size in (0, 300, 3_000, largest - 1):
        message = _limited("index", run, tmp_path, size)
        assert "\n" not in message
        assert "File too large" in message
        assert not list(run.rglob("*.partial"))
        # What was written is whole.
        left = _shards(run) if (run / "shards").exists() else {}
        assert left.items() <= whole.items()
    assert left
    assert _limited("index", run, tmp_path, largest) == ""
    assert _shards(run) == whole


def _shards(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "shards").iterdir()}
