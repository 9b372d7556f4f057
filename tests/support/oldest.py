"""Print pip constraints that hold every dependency of pyproject.toml to the lower end of its range."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def oldest() -> list[str]:
    """`name==version` of each dependency, of those of extras too; development tools stay as new as they come."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ranges = [*project["dependencies"], *(one for extra in extras if extra != "dev" for one in extras[extra])]
    floors = (re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", range_) for range_ in ranges if "evigraph[" not in range_)
    return sorted({f"{floor[1]}=={floor[2]}" for floor in floors if floor})


if __name__ == "__main__":
    print(*oldest(), sep="\n")
