"""The demo: scenes drawn by a program, and a small network trained on them.

canvas -> contexts, objects -> scenes (pictures with semantic maps) -> model -> train. `make` lays out what
`evigraph demo` indexes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODEL = "evigraph.indexer.demo.model:narrow_vgg16"
"""For `--model`."""
VALIDATION_SCENES = 400


@dataclass(frozen=True)
class DemoPaths:
    """What `make` laid out.

    Attributes:
        data: folder for `scenes:`.
        weights: safetensors file, part of the package.
        classes: file for `--classes`.
    """

    data: Path
    weights: Path
    classes: Path


def make(directory: Path, count: int = VALIDATION_SCENES) -> DemoPaths:
    """Draw the validation scenes and write the class list; the same files again if they are there already.

    Args:
        directory: made where it is missing.
        count: scenes; one in five is contradicting.
    """
    # imported here so that `import evigraph.indexer.demo` loads neither torch nor Pillow
    from evigraph.indexer.demo.model import WEIGHTS
    from evigraph.indexer.demo.scenes import CLASSES, write_scenes

    data, classes = directory / "scenes", directory / "classes.txt"
    write_scenes(data, "validation", count)
    classes.write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    return DemoPaths(data, WEIGHTS, classes)
