"""Notebooks of docs/notebooks: their cells are run as a kernel runs them, and give the outputs that are stored.

    python -m tests.docs.notebooks FOLDER     runs them in a folder that has demo/, and stores what they give

1. Cells share one namespace and run inside a running event loop, as they do in Jupyter's kernel. What they print is a
   stream; the value of the last expression is shown as text and, where it has them, as HTML and SVG.
2. Outputs are compared as text: numbers to a thousandth, pictures by their type alone, since another version of Pillow
   encodes the same picture otherwise.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

from evigraph.reading import Database
from tests.docs.scripts import ROOT, TOLERANCE

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
_WAYS = {"text/html": "_repr_html_", "image/svg+xml": "_repr_svg_"}
_PICTURE = re.compile(r"data:(image/\w+);base64,[\w+/=]+")
_RUN = re.compile(r"/media/[0-9a-f]{16}/")
"""Part of the address of a picture, which is another for each run that is made."""
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook as JSON has it."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def outputs_of(notebook: Notebook) -> list[list[dict[str, Any]]]:
    """The stored outputs of each cell of code."""
    return [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: Notebook) -> list[list[dict[str, Any]]]:
    """The outputs of each cell of code, run in the current folder; raises what a cell raises."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]

    async def all_cells() -> list[list[dict[str, Any]]]:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        try:
            return [_ran(source, number, namespace) for number, source in enumerate(sources, start=1)]
        finally:  # as the end of a kernel does
            for value in namespace.values():
                if isinstance(value, Database):
                    value.close()

    return asyncio.run(all_cells())


def _ran(source: str, number: int, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"<cell {number}>", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        for kind, way in _WAYS.items():
            drawn = getattr(value, way)() if hasattr(value, way) else None
            if drawn is not None:
                data[kind] = _lines(drawn)
        outputs.append({"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"})
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def differences(stated: list[list[dict[str, Any]]], given: list[list[dict[str, Any]]]) -> list[str]:
    """How outputs differ from those that a notebook states, a line a cell."""
    if len(stated) != len(given):
        return [f"{len(stated)} cells are stated and {len(given)} ran"]
    found = []
    for number, (one, other) in enumerate(zip(stated, given, strict=True), start=1):
        ours, theirs = _texts(one), _texts(other)
        kinds = sorted(ours.keys() | theirs.keys())
        found += [
            f"cell {number}, {kind}: {why}"
            for kind in kinds
            if (why := _unlike(ours.get(kind, ""), theirs.get(kind, "")))
        ]
    return found


def _texts(outputs: list[dict[str, Any]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for output in outputs:
        parts = {"stream": output["text"]} if output["output_type"] == "stream" else output["data"]
        for kind, lines in parts.items():
            texts[kind] = texts.get(kind, "") + "".join(lines)
    return texts


def _unlike(stated: str, given: str) -> str:
    ours, theirs = (_NUMBER.split(_RUN.sub("/media/RUN/", _PICTURE.sub(r"data:\1", text))) for text in (stated, given))
    if ours[::2] != theirs[::2]:
        pair = next((pair for pair in zip(ours[::2], theirs[::2], strict=False) if pair[0] != pair[1]), ("", "more"))
        return f"{pair[0][-200:]!r} is stated and {pair[1][-200:]!r} given"
    for one, other in zip(ours[1::2], theirs[1::2], strict=True):
        if not math.isclose(float(one), float(other), rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return f"{one} is stated and {other} given"
    return ""


def store(path: Path) -> None:
    """Run a notebook in the current folder and store its outputs in it."""
    notebook = read(path)
    given = iter(run(notebook))
    number = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            cell["outputs"], cell["execution_count"] = next(given), number
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    for each in NOTEBOOKS:
        store(each)
        print(f"stored {each.relative_to(ROOT)}: {each.stat().st_size / 1e3:.0f} kB")
