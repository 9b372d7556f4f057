"""The images and maps of a `scenes:` folder in the layouts of four published sets, for docs/data.md.

    python -m tests.docs.made.layouts ../shared/data/msrc_v2

1. VOCdevkit: palette PNGs with a `classes.csv`, void 255; VOC2010 has the same images for PASCAL-Context.
2. PASCAL-Context: matrices, whose labels begin at 431 + 1; void 0.
3. ADEChallengeData2016: grey PNGs, void 0.
4. coco: grey PNGs of one less than the label, void 255.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image

FIRST_OF_MATRICES = 431


def main(scenes: Path, to: Path) -> None:
    """Writes all four."""
    with (scenes / "classes.csv").open(encoding="utf-8") as file:
        names = {int(row["mask_value"]): row["name"] for row in csv.DictReader(file) if row["name"] != "void"}
    stems = [path.stem for path in sorted((scenes / "images").iterdir())]
    years = [to / "VOCdevkit" / year for year in ("VOC2012", "VOC2010")]
    ade, coco = to / "ADEChallengeData2016", to / "coco"
    of_coco = coco / "annotations" / "stuffthingmaps_trainval2017" / "val2017"
    for stem in stems:
        for folder in (*(year / "JPEGImages" for year in years), ade / "images/validation", coco / "images/val2017"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(scenes / "images" / f"{stem}.jpg", folder / f"{stem}.jpg")
        with Image.open(scenes / "masks" / f"{stem}.png") as image:
            drawn = np.asarray(image, dtype=np.uint16)
        _palette(years[0] / "SegmentationClass" / f"{stem}.png", np.where(drawn == 0, 255, drawn))
        _grey(ade / "annotations" / "validation" / f"{stem}.png", drawn)
        _grey(of_coco / f"{stem}.png", np.where(drawn == 0, 255, drawn - 1))
        matrix = to / "PASCAL-Context" / "trainval" / f"{stem}.mat"
        matrix.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(matrix, {"LabelMap": np.where(drawn == 0, 0, FIRST_OF_MATRICES + drawn).astype(np.uint16)})
    _write(years[0] / "ImageSets" / "Segmentation" / "val.txt", stems)
    _write(years[0] / "classes.csv", ["mask_value,name", *(f"{value},{name}" for value, name in names.items())])
    of_matrices = [f"{FIRST_OF_MATRICES + value}: {name}" for value, name in names.items()]
    _write(to / "PASCAL-Context" / "labels.txt", of_matrices)
    titled = ["Idx\tRatio\tTrain\tVal\tStuff\tName", *(f"{value}\t0\t0\t0\t0\t{name}" for value, name in names.items())]
    _write(ade / "objectInfo150.txt", titled)
    _write(ade / "sceneCategories.txt", [f"{stem} misc" for stem in stems])
    _write(coco / "labels.txt", [f"{value}: {name}" for value, name in names.items()])


def _grey(path: Path, drawn: NDArray[np.uint16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn.astype(np.uint8)).save(path)


def _palette(path: Path, drawn: NDArray[np.uint16]) -> None:
    """Colours that are nothing like the indices, as VOC's are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(drawn.astype(np.uint8)).convert("L")
    image.putpalette([(37 * number + 11) % 256 for number in range(768)])
    image.save(path)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path())
