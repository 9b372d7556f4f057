"""What pages say of their runs in tables made by hand and in prose: made again from the files that their commands left.

Each module has the function `wrong` of a page, which is given the folder in which the page was run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.docs.figures import (
    attacks,
    class_graph,
    context,
    data,
    degree,
    failures,
    overlaps,
    pictures,
    verification,
)

FIGURES: dict[str, Callable[[Path], Iterator[str]]] = {
    "docs/attacks.md": attacks.wrong,
    "docs/class-graph.md": class_graph.wrong,
    "docs/context.md": context.wrong,
    "docs/data.md": data.wrong,
    "docs/degree.md": degree.wrong,
    "docs/failures.md": failures.wrong,
    "docs/overlaps.md": overlaps.wrong,
    "docs/pictures.md": pictures.wrong,
    "docs/verification.md": verification.wrong,
}
