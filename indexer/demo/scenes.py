"""The demo's scenes: a thing where it belongs, and now and then where it does not.

Each class has a usual context (a boat the sea, a train its track ...). A network trained on these learns both the
thing's shape and its context, and is misled where they contradict: what evidence graphs are to show. The semantic
map labels contexts and things alike.

A scene depends on (split, seed, index) alone. It is drawn with NumPy's RandomState, whose stream is frozen for good,
and Pillow's polygons, so the pixels are the same everywhere; the PNG files' bytes depend on the zlib in use.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from evigraph.indexer.demo.canvas import SIDE, Canvas, Colour, Frame
from evigraph.indexer.demo.contexts import CONTEXTS, DRAW
from evigraph.indexer.demo.objects import OBJECTS

CLASSES = tuple(OBJECTS)
"""Class names in the network's output order."""
USUAL_CONTEXT = {
    "boat": "sea",
    "bird": "branch",
    "train": "track",
    "car": "road",
    "cow": "grass",
    "plane": "sky",
}
MAP_LABELS = dict(enumerate((*CONTEXTS, *CLASSES), start=1))
"""Name by value of the semantic maps; 0 is void."""
CONTRADICTING_EVERY = {"training": 8, "validation": 5}
"""One in so many scenes of each class shows it in another class's context."""

_PALETTE: tuple[Colour, ...] = (
    (200, 50, 45),
    (240, 200, 60),
    (245, 245, 240),
    (60, 60, 70),
    (150, 75, 160),
    (225, 125, 40),
    (60, 90, 190),
    (170, 110, 80),
)


@dataclass(frozen=True)
class Scene:
    """One scene with what it was drawn from.

    Attributes:
        name: file name without suffix, such as "0007_bird_on_road".
        class_name: the thing.
        context: what it stands on.
        picture: SIDE x SIDE, mode RGB.
        semantic_map: SIDE x SIDE, mode L, values of MAP_LABELS.
    """

    name: str
    class_name: str
    context: str
    picture: Image.Image
    semantic_map: Image.Image

    @property
    def contradicting(self) -> bool:
        """Whether the context is another class's."""
        return self.context != USUAL_CONTEXT[self.class_name]


def draw_scene(split: str, index: int, seed: int = 0) -> Scene:
    """Draw one scene; classes take turns, so that all are equally frequent.

    Args:
        split: "training" or "validation", which share no scene and differ in how often contexts contradict.
        index: from 0.
        seed: for another set of scenes.
    """
    random = np.random.RandomState([list(CONTRADICTING_EVERY).index(split), seed, index])
    class_name = CLASSES[index % len(CLASSES)]
    context = USUAL_CONTEXT[class_name]
    every = CONTRADICTING_EVERY[split]
    if (index // len(CLASSES)) % every == every - 1:
        others = [name for name in CONTEXTS if name != context]
        context = others[random.randint(len(others))]
    canvas = Canvas()
    x, base = DRAW[context](canvas, random)
    frame = Frame(x, base, float(random.randint(15, 28)), int(random.choice([-1, 1])))
    first, second = random.permutation(len(_PALETTE))[:2]
    label = len(CONTEXTS) + 1 + CLASSES.index(class_name)
    OBJECTS[class_name](canvas, frame, _PALETTE[first], _PALETTE[second], label)
    noise = random.randint(-9, 10, size=(SIDE, SIDE, 3)) + random.randint(-20, 21)
    picture, semantic_map = canvas.finished(noise)
    return Scene(f"{index:04d}_{class_name}_on_{context}", class_name, context, picture, semantic_map)


def draw_scenes(split: str, count: int, seed: int = 0) -> Iterator[Scene]:
    """The first `count` scenes of a split."""
    return (draw_scene(split, index, seed) for index in range(count))


def write_scenes(directory: Path, split: str, count: int, seed: int = 0) -> None:
    """Write scenes as a folder that `scenes:` reads: images/, masks/ (indexed PNG), classes.csv, labels.csv.

    labels.csv has, beside uri and label, the columns context and contradicting (0 or 1).
    """
    for folder in ("images", "masks"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    things = set(CLASSES)
    with (directory / "classes.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(value, name, "thing" if name in things else "stuff") for value, name in MAP_LABELS.items()]
        csv.writer(file).writerows([("mask_value", "name", "kind"), (0, "void", "void"), *rows])
    with (directory / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        labels = csv.writer(file)
        labels.writerow(("uri", "label", "context", "contradicting"))
        for scene in draw_scenes(split, count, seed):
            scene.picture.save(directory / "images" / f"{scene.name}.png")
            _indexed(scene.semantic_map).save(directory / "masks" / f"{scene.name}.png")
            labels.writerow((f"images/{scene.name}.png", scene.class_name, scene.context, int(scene.contradicting)))


def _indexed(semantic_map: Image.Image) -> Image.Image:
    """With a palette, so that a viewer shows each label in a colour of its own."""
    indexed = semantic_map.copy()
    steps = np.arange(256)
    indexed.putpalette(np.stack([steps * 67 % 256, steps * 111 % 256, steps * 173 % 256], 1).flatten().tolist())
    return indexed
