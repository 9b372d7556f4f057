"""What the things stand on: each context fills the whole canvas and says where a thing may stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evigraph.indexer.demo.canvas import SIDE, Canvas, Colour, Point, shaded

Random = np.random.RandomState

CONTEXTS = ("sky", "sea", "branch", "track", "road", "grass")
"""Context labels 1 to 6 of the semantic maps; 0 is void, which no place of a scene is."""
_LABEL = {name: label for label, name in enumerate(CONTEXTS, start=1)}

_SKIES: tuple[Colour, ...] = ((120, 175, 230), (165, 200, 230), (190, 195, 205), (235, 185, 150))


def sky(canvas: Canvas, random: Random) -> Point:
    """Paler towards the bottom, with clouds; also behind all others."""
    top = _SKIES[random.randint(len(_SKIES))]
    for y in range(0, SIDE, 3):
        canvas.box(0, y, SIDE, y + 3, shaded(top, 0.92 + 0.2 * y / SIDE), _LABEL["sky"])
    for _ in range(random.randint(1, 5)):
        x, y = random.randint(0, SIDE), random.randint(4, SIDE)
        for step in range(3):
            centre = (x + 7.0 * step, y + random.randint(-2, 3))
            canvas.ellipse(centre, random.randint(6, 11), random.randint(3, 6), shaded(top, 1.25), _LABEL["sky"])
    return random.randint(18, SIDE - 18), random.randint(34, SIDE - 14)


def sea(canvas: Canvas, random: Random) -> Point:
    """Short crests on blue or green water."""
    colour, label = _one_of(random, (35, 85, 140), (30, 110, 130), (50, 100, 115)), _LABEL["sea"]
    horizon = _ground(canvas, random, colour, label)
    for _ in range(45):
        x, y = random.randint(-4, SIDE), random.randint(horizon + 2, SIDE)
        crest = shaded(colour, (0.8, 1.25, 1.5)[random.randint(3)])
        canvas.line((x, y), (x + random.randint(4, 10), y), 1, crest, label)
    return _place(random, horizon)


def branch(canvas: Canvas, random: Random) -> Point:
    """A bough from edge to edge, with leaves around it; the thing stands on the bough."""
    sky(canvas, random)
    wood, label = _one_of(random, (95, 65, 40), (120, 85, 55), (75, 55, 45)), _LABEL["branch"]
    leaf = _one_of(random, (60, 120, 50), (85, 140, 45), (45, 100, 60))
    left, right = random.randint(58, 84), random.randint(58, 84)
    for _ in range(70):
        x, y = random.randint(0, SIDE), random.randint(0, SIDE)
        along = left + (right - left) * x / SIDE
        if y < along - 34 or y > along:
            centre = (float(x), float(y))
            size = random.randint(4, 8)
            canvas.ellipse(centre, size, size * 0.6, shaded(leaf, 0.75 + 0.1 * random.randint(6)), label)
    canvas.line((-4, left), (SIDE + 4, right), random.randint(5, 9), wood, label)
    for x in range(8, SIDE, 17):
        bough = left + (right - left) * x / SIDE
        canvas.line((x, bough), (x + 6, bough + 9), 2, shaded(wood, 0.85), label)
    place = random.randint(22, SIDE - 22)
    return place, left + (right - left) * place / SIDE - 2


def track(canvas: Canvas, random: Random) -> Point:
    """Two rails on sleepers in gravel; the thing stands on the upper rail."""
    colour, label = _one_of(random, (130, 115, 100), (110, 100, 95), (145, 125, 105)), _LABEL["track"]
    horizon = _ground(canvas, random, colour, label)
    for _ in range(130):
        x, y = random.randint(0, SIDE), random.randint(horizon, SIDE)
        canvas.box(x, y, x + 1.5, y + 1.5, shaded(colour, (0.7, 1.25)[random.randint(2)]), label)
    rail = random.randint(horizon + 14, SIDE - 14)
    for x in range(random.randint(-8, 0), SIDE, 9):
        canvas.polygon([(x, rail - 2), (x + 4, rail - 2), (x + 1, rail + 11), (x - 4, rail + 11)], (70, 52, 40), label)
    for y in (rail, rail + 8):
        canvas.line((0, y), (SIDE, y), 2, (190, 190, 198), label)
    return random.randint(24, SIDE - 24), rail


def road(canvas: Canvas, random: Random) -> Point:
    """Asphalt with kerbs and a dashed line."""
    grey = random.randint(70, 110)
    colour, label = (grey, grey, grey + 4), _LABEL["road"]
    horizon = _ground(canvas, random, colour, label)
    canvas.line((0, horizon + 2), (SIDE, horizon + 2), 2, (215, 215, 210), label)
    middle = random.randint(horizon + 10, SIDE - 6)
    for x in range(random.randint(-14, 0), SIDE, 20):
        canvas.box(x, middle, x + 11, middle + 3, (238, 236, 225), label)
    return _place(random, horizon)


def grass(canvas: Canvas, random: Random) -> Point:
    """A meadow of upright blades, with a few flowers."""
    colour, label = _one_of(random, (80, 140, 55), (105, 150, 60), (65, 120, 60)), _LABEL["grass"]
    horizon = _ground(canvas, random, colour, label)
    for _ in range(150):
        x, y = random.randint(0, SIDE), random.randint(horizon + 3, SIDE + 4)
        blade = shaded(colour, (0.7, 0.85, 1.25)[random.randint(3)])
        canvas.line((x, y), (x + random.randint(-2, 3), y - random.randint(3, 7)), 1, blade, label)
    for _ in range(random.randint(0, 6)):
        centre = (float(random.randint(0, SIDE)), float(random.randint(horizon + 4, SIDE)))
        canvas.ellipse(centre, 1.5, 1.5, (245, 225, 90), label)
    return _place(random, horizon)


DRAW: dict[str, Callable[[Canvas, Random], Point]] = {
    "sky": sky,
    "sea": sea,
    "branch": branch,
    "track": track,
    "road": road,
    "grass": grass,
}
"""Draws a context and returns (x, y) in pixels, the middle of the base of what stands in it."""


def _ground(canvas: Canvas, random: Random, colour: Colour, label: int) -> int:
    """Sky down to a horizon and the ground's colour below; returns the horizon's y."""
    sky(canvas, random)
    horizon = int(random.randint(34, 54))
    canvas.box(0, horizon, SIDE, SIDE, colour, label)
    return horizon


def _place(random: Random, horizon: int) -> Point:
    return random.randint(24, SIDE - 24), random.randint(horizon + 10, SIDE - 6)


def _one_of(random: Random, *colours: Colour) -> Colour:
    return colours[random.randint(len(colours))]
