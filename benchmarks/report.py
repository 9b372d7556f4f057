"""Figures with their limits, as every benchmark prints and writes them.

The JSON is as docs/design.md says:

    {"machine": {...}, "figures": {NAME: {"value": x, "limit": y, "at": "most" | "least", "ok": bool, ...}}}

`at` tells whether the limit must not be exceeded or must be reached; both are null where there is none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, one_line


class Report:
    """The figures of one benchmark run."""

    def __init__(self) -> None:
        self.machine = describe()
        self.figures: dict[str, dict[str, Any]] = {}

    def add(
        self, name: str, value: float, *, most: float | None = None, least: float | None = None, **details: Any
    ) -> bool:
        """Add a figure; return whether it keeps its limit. One without a limit is always ok.

        Args:
            name: Such as "vgg16.end_to_end".
            value: As measured, in the unit of the limit.
            most: The limit that it must not exceed.
            least: Or the one that it must reach.
            details: Anything else worth keeping, as JSON values.
        """
        ok = (most is None or value <= most) and (least is None or value >= least)
        limit = most if most is not None else least
        at = None if limit is None else ("most" if most is not None else "least")
        self.figures[name] = {"value": value, "limit": limit, "at": at, "ok": ok, **details}
        return ok

    @property
    def missed(self) -> list[str]:
        """The figures that miss their limit."""
        return [name for name, figure in self.figures.items() if not figure["ok"]]

    def heading(self) -> str:
        """The machine in a line."""
        return one_line(self.machine)

    def finish(self, json_to: str | None, strict: bool) -> int:
        """Write the JSON where asked ("-" is standard output), name what was missed, return the exit code.

        Args:
            json_to: path, "-", or None.
            strict: whether a figure that misses its limit fails the benchmark.
        """
        for name in self.missed:
            f = self.figures[name]
            print(f"missed: {name} is {f['value']:.3g}, the limit is at {f['at']} {f['limit']:g}", file=sys.stderr)
        if json_to is not None:
            text = json.dumps({"machine": self.machine, "figures": self.figures}, indent=2) + "\n"
            if json_to == "-":
                sys.stdout.write(text)
            else:
                Path(json_to).write_text(text)
        return 1 if strict and self.missed else 0


def table(header: list[str], rows: list[list[str]]) -> str:
    """Aligned columns of text; the first is aligned to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
