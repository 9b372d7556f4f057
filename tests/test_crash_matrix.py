"""Index and publish, killed at points drawn by a seed: what is left is whole, and ends as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny import ROOT, environment

POINTS = 32


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_kill_ends_as_if_undisturbed(tmp_path: Path) -> None:
    words = ["--seed", "4", "--points", str(POINTS), "--dir", str(tmp_path / "matrix")]
    # A process of its own with no thread but one, since it forks.
    alone = environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crash", *words],
        capture_output=True, text=True, cwd=ROOT, env=alone, check=False,
    )  # fmt: skip
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kill for kill in kills if kill["fault"]] == []
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(kills) == POINTS
    killed = [kill for kill in kills if kill["killed"]]
    assert len(killed) >= 30
    assert {kill["scenario"] for kill in killed} == {"index", "add", "first", "plain"}
    assert any(kill["power_failure"] for kill in killed)
