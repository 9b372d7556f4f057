"""A server process that is always ended, and load on it from another process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.scale.questions import Question

_ROOT = Path(__file__).parents[2]
_END_S = 10


@contextmanager
def serving(db: Path) -> Iterator[int]:
    """`evigraph serve` on a free port of 127.0.0.1, ended with the block; gives the port.

    Raises:
        RuntimeError: it did not start.
    """
    command = [sys.executable, "-m", "evigraph", "serve", "--db", str(db.absolute()), "--port", "0"]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        try:
            line = server.stdout.readline() if server.stdout is not None else ""
            address = re.search(r"http://[^\s/]+:(\d+)", line)
            if address is None:
                server.wait(_END_S)
                errors.seek(0)
                raise RuntimeError(f"{' '.join(command)} failed: {errors.read()}")
            yield int(address[1])
        finally:
            server.terminate()
            try:
                server.wait(_END_S)
            except subprocess.TimeoutExpired:
                server.kill()


def load(port: int, questions: list[Question], clients: int, seconds: float) -> dict[str, Any]:
    """What `benchmarks.scale.load` prints."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([{"query": question.text, "variables": question.variables} for question in questions], file)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.scale.load", str(port), file.name]
        command += ["--clients", str(clients), "--seconds", str(seconds)]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=60 + 2 * seconds)
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome
