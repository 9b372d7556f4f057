"""A killed or interrupted `index`, and the same command again: the rows of an undisturbed run."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support import PATIENCE_S, tiny

pytestmark = pytest.mark.slow

COUNT = 144


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough images for 36 shards of four: work is left wherever it is killed, though the kill may come late."""
    return tiny.draw_images(tmp_path_factory.mktemp("many") / "set", COUNT)


def words(images: Path, run: Path) -> list[str]:
    """The command, one process alone."""
    return tiny.command(
        *("index", "--model", tiny.MODEL, "--weights", "random", "--data", f"imagefolder:{images}", "--run", run),
        *(*tiny.INPUT, "--workers", "0", "--shard-size", "4", "--batch-size", "4", "--name", "tiny", "--json"),
    )


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The rows of a run that nothing stopped."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    subprocess.run(words(images, run), check=True, capture_output=True, timeout=PATIENCE_S, cwd=tiny.ROOT)
    return rows(run)


def rows(run: Path) -> dict[str, object]:
    """Every shard file's table by name."""
    assert not list(run.rglob("*.partial"))
    return {path.name: pq.read_table(path).to_pylist() for path in sorted((run / "shards").glob("*.parquet"))}


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_any_moment_it_ends_with_the_same_rows(
    images: Path, undisturbed: dict[str, object], tmp_path: Path, seed: int
) -> None:
    run, chance = tmp_path / "run", random.Random(seed)
    started = kills = 0
    for _ in range(3):
        indexing = subprocess.Popen(
            words(images, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tiny.ROOT
        )
        # Somewhere in the next shards, or while the folder is being made.
        _wait_for_shards(indexing, run, started + chance.randrange(8))
        time.sleep(chance.random() * 0.02)
        kills += indexing.poll() is None
        indexing.kill()
        indexing.wait()
        started = _shards(run)
    assert kills
    assert started < COUNT // 4
    again = subprocess.run(
        words(images, run), check=True, capture_output=True, text=True, timeout=PATIENCE_S, cwd=tiny.ROOT
    )
    report = json.loads(again.stdout)
    assert report["image_total"] == COUNT
    assert report["new_image_count"] <= COUNT - 4 * started
    assert rows(run) == undisturbed
    assert (run / "finished.json").is_file()


def test_interrupted_it_says_that_it_goes_on(images: Path, undisturbed: dict[str, object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    indexing = subprocess.Popen(
        words(images, run),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tiny.ROOT,
        # A shell starts what is to run in the background, as these tests may be, with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _wait_for_shards(indexing, run, 2)
    indexing.send_signal(signal.SIGINT)
    _, errors = indexing.communicate(timeout=PATIENCE_S)
    assert indexing.returncode == 130
    assert errors == "evigraph: interrupted; the same command goes on where it stopped\n"
    assert not list(run.rglob("*.partial"))
    subprocess.run(words(images, run), check=True, capture_output=True, timeout=PATIENCE_S, cwd=tiny.ROOT)
    assert rows(run) == undisturbed


def test_two_at_once_are_refused(images: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = subprocess.Popen(words(images, run), stdout=subprocess.DEVNULL, cwd=tiny.ROOT)
    try:
        _wait_for_shards(first, run, 1)
        first.send_signal(signal.SIGSTOP)
        second = subprocess.run(words(images, run), capture_output=True, text=True, timeout=PATIENCE_S, cwd=tiny.ROOT)
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 1
    assert "is in use by another process" in second.stderr
    assert second.stderr.count("\n") == 1


def _shards(run: Path) -> int:
    return len(list((run / "shards").glob("*.json")))


def _wait_for_shards(process: subprocess.Popen[str] | subprocess.Popen[bytes], run: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while _shards(run) < count and process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"no {count} shards within {PATIENCE_S} s")
        time.sleep(0.002)
