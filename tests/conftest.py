"""The command line in process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from evigraph.cli import main
from tests.support import PATIENCE_S


@dataclass(frozen=True)
class Outcome:
    """What a command gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line on standard error; fails where there is not just one, or it is a traceback."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("evigraph: "), self.stderr
        return lines[0]


Cli = Callable[..., Outcome]


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that has demo/, as `evigraph demo --dir demo` makes it in 25 s; not to be changed.

    One for all processes of a test run: the first that needs it makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "the-demo"
    ended = folder / "ended"
    try:
        folder.mkdir()
    except FileExistsError:
        end = time.monotonic() + PATIENCE_S
        while not ended.exists() and time.monotonic() < end:
            time.sleep(0.2)
    else:
        from tests.support import tiny  # loads torch

        command = tiny.command("demo", "--dir", "demo", "--quiet")
        done = subprocess.run(
            command, cwd=folder, env=tiny.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        ended.write_text(done.stderr if done.returncode else "")
    if not ended.exists() or ended.read_text():
        pytest.fail(f"the demo could not be made: {ended.read_text() if ended.exists() else 'it has not ended'}")
    return folder


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `evigraph` with these words, in this process."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["evigraph", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run
