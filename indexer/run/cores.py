"""How many threads and decoding processes a run takes: together no more than the CPUs that it may use.

Each thread of torch waits for the others of its run at every operation. Where another process holds one of the CPUs
that they need, all of them wait: on 2 busy cores a run of 2 threads made a fifth of the images a second of one of 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from evigraph.indexer.run.settings import Execution

_MOST_WORKERS = 4
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cores:
    """What a run takes: threads of torch, and processes that decode, of the CPUs that it may use."""

    threads: int
    workers: int
    cpus: int

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        workers = f"{self.workers} decoding process{'es' * (self.workers != 1)}" if self.workers else "decoding beside"
        return f"{threads} and {workers} on {self.cpus} core{'s' * (self.cpus != 1)}"


def cores_for(execution: Execution, cpus: int | None = None) -> Cores:
    """What a run takes where its settings leave it open.

    On a CPU one of four CPUs decodes, and the network runs on the others; beside a GPU all but one decode.
    OMP_NUM_THREADS counts where --threads is not given.

    Args:
        execution: of the run.
        cpus: that it may use; None to look.
    """
    cpus = usable_cpus() if cpus is None else cpus
    workers = execution.workers
    if workers is None:
        workers = min(_MOST_WORKERS, cpus - 1, math.ceil(cpus / 4) if execution.device == "cpu" else cpus)
    threads = execution.threads
    if threads is None and "OMP_NUM_THREADS" in os.environ:
        threads = torch.get_num_threads()
    return Cores(threads or max(1, cpus - workers), workers, cpus)


def usable_cpus() -> int:
    """CPUs that this process may use: those that it may run on, and no more than its control group's quota."""
    quota = _quota(Path("/proc/self/cgroup"), _CGROUPS)
    allowed = len(os.sched_getaffinity(0))
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def _quota(own: Path, groups: Path) -> float | None:
    """The least quota in CPUs of a process's control group and those that it lies in; None where there is none."""
    quotas = []
    for line in _text(own).splitlines():
        _, kind, path = line.split(":", 2)
        if kind and "cpu" not in kind.split(","):
            continue
        top = groups / "cpu" if kind else groups
        place = top / path.lstrip("/")
        # In a container the path may be the host's, so the top is always looked at.
        for folder in {place, *place.parents, top}:
            if not folder.is_relative_to(top):
                continue
            if kind:
                numbers = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
            else:
                numbers = _text(folder / "cpu.max").split()
            if len(numbers) == 2 and all(number.isdecimal() and int(number) for number in numbers):
                quotas.append(int(numbers[0]) / int(numbers[1]))
    return min(quotas, default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


@contextmanager
def threads_of(cores: Cores) -> Iterator[None]:
    """Within the block torch computes on so many threads of the CPU; afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(cores.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
