"""Scripts of a page with what they print: a fence of `sh`, and after it one of `text`.

    ```sh
    evigraph demo --dir demo --quiet > demo.txt
    ```

    ```text
    wrote boat.svg: 590.6 kB as svg
    ```

Each runs from an empty folder with the programs of this environment. JSON is compared by value, to a thousandth; of
other lines the numbers before a unit of time, size or speed may differ.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-3
_FENCE = re.compile(
    r"^## (?P<title>[^\n]+)\n.*?^```sh\n(?P<script>.*?)^```\n\n```text\n(?P<printed>.*?)^```$", re.DOTALL | re.MULTILINE
)
FREE = re.compile(r"\d[\d.]*(?= (?:s|ms|MB|kB|images/s)\b)")
"""Numbers that may differ: times, sizes and speeds."""


@dataclass(frozen=True)
class Script:
    """A script of a page, under a heading, and what it prints."""

    title: str
    text: str
    printed: str


def scripts_of(page: str) -> list[Script]:
    """Those of a page in docs/, in their order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [Script(*found.group("title", "script", "printed")) for found in _FENCE.finditer(text)]


def environment() -> dict[str, str]:
    """This process's, where `evigraph` and `python` are those that run the tests, and no terminal has a width."""
    return {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }


def printed_by(script: Script, folder: Path) -> str:
    """What a script prints in a folder; fails with what it says on standard error."""
    done = subprocess.run(
        ["bash", "-e", "-c", script.text], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr or done.stdout}"
    return done.stdout


def differences(stated: str, printed: str) -> list[str]:
    """How what was printed differs from what a page states."""
    try:
        return list(_of_values(json.loads(stated), json.loads(printed), "$"))
    except ValueError:
        pass
    one, other = (FREE.sub("N", text).rstrip().split("\n") for text in (stated, printed))
    if len(one) != len(other):
        return [f"{len(one)} lines are stated and {len(other)} printed: {printed}"]
    pairs = zip(one, other, strict=True)
    return [f"{said!r} is stated and {was!r} printed" for said, was in pairs if said.rstrip() != was.rstrip()]


def _of_values(stated: Any, printed: Any, at: str) -> list[str]:
    if isinstance(stated, dict) and isinstance(printed, dict) and stated.keys() == printed.keys():
        return [each for name in stated for each in _of_values(stated[name], printed[name], f"{at}.{name}")]
    if isinstance(stated, list) and isinstance(printed, list) and len(stated) == len(printed):
        pairs = enumerate(zip(stated, printed, strict=True))
        return [each for place, (one, other) in pairs for each in _of_values(one, other, f"{at}[{place}]")]
    numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (stated, printed))
    if numbers and not (isinstance(stated, int) and isinstance(printed, int)):
        same = math.isclose(stated, printed, rel_tol=TOLERANCE)
    else:
        same = stated == printed and type(stated) is type(printed)
    return [] if same else [f"{at} is stated as {stated!r} and printed as {printed!r}"]
