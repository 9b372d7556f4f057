"""What a benchmark ran on: figures without their machine mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "torchvision", "duckdb", "pyarrow", "strawberry-graphql", "starlette")
_ROOT = Path(__file__).parents[1]


def describe() -> dict[str, Any]:
    """The machine, its load, the versions of what is measured, and the commit: JSON values."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: installed for name in _PACKAGES if (installed := _version(name))},
        "commit": _commit(),
    }


def one_line(machine: dict[str, Any]) -> str:
    """The machine in a line of text."""
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    torch = machine["packages"].get("torch", "none")
    return (
        f"{machine['cores']} cores of {machine['cpu']}{gpu}, {machine['memory_gib']} GiB, Python {machine['python']}, "
        f"torch {torch}, commit {machine['commit']}, load {machine['load_average']} at the start"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """The commit, marked where files that are measured differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
