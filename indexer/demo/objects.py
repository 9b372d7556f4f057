"""The things in the demo's scenes, each of a few flat shapes.

All draw their colours from one palette, so that a class can be told by its shape, or by what it stands on, only.
"""

from __future__ import annotations

from collections.abc import Callable

from evigraph.indexer.demo.canvas import Canvas, Colour, Frame, shaded

GLASS: Colour = (205, 228, 240)
TYRE: Colour = (38, 38, 42)


def boat(canvas: Canvas, frame: Frame, colour: Colour, second: Colour, label: int) -> None:
    """A hull, a mast and two sails."""
    hull = frame.points((-1, 0.36), (1, 0.36), (0.7, 0), (-0.75, 0))
    canvas.line(frame.point(0, 0.3), frame.point(0, 1.5), 1.5, (70, 50, 40), label)
    canvas.polygon(frame.points((0.06, 0.45), (0.06, 1.45), (0.8, 0.45)), second, label)
    canvas.polygon(frame.points((-0.08, 0.45), (-0.08, 1.2), (-0.62, 0.45)), shaded(second, 0.85), label)
    canvas.polygon(hull, colour, label)
    canvas.line(frame.point(-0.9, 0.28), frame.point(0.9, 0.28), 1, shaded(colour, 1.3), label)


def bird(canvas: Canvas, frame: Frame, colour: Colour, second: Colour, label: int) -> None:
    """A body on two legs, with head, beak, wing and tail."""
    for across in (-0.05, 0.15):
        canvas.line(frame.point(across, 0.3), frame.point(across, 0), 1, (90, 70, 40), label)
    canvas.polygon(frame.points((-0.4, 0.65), (-1.05, 0.8), (-1, 0.5), (-0.4, 0.4)), shaded(colour, 0.8), label)
    _oval(canvas, frame, (0, 0.52), 0.58, 0.34, colour, label)
    _oval(canvas, frame, (0.56, 0.9), 0.27, 0.26, colour, label)
    canvas.polygon(frame.points((0.76, 1.0), (1.1, 0.88), (0.78, 0.78)), (235, 160, 40), label)
    _oval(canvas, frame, (-0.12, 0.55), 0.36, 0.18, second, label)
    _oval(canvas, frame, (0.63, 0.96), 0.06, 0.06, (15, 15, 15), label)


def train(canvas: Canvas, frame: Frame, colour: Colour, second: Colour, label: int) -> None:
    """A long engine with a sloping nose, a row of windows, a stripe and many wheels."""
    for across in (-0.85, -0.6, -0.2, 0.05, 0.45, 0.7):
        _oval(canvas, frame, (across, 0.11), 0.11, 0.11, TYRE, label)
    body = frame.points((-1.05, 0.13), (1.05, 0.13), (1.05, 0.3), (0.78, 0.74), (-1.05, 0.74))
    canvas.polygon(body, colour, label)
    canvas.polygon(frame.points((-1.05, 0.2), (1.05, 0.2), (1.05, 0.3), (-1.05, 0.3)), second, label)
    for left in (-0.95, -0.65, -0.35, -0.05, 0.25):
        pane = frame.points((left, 0.44), (left + 0.2, 0.44), (left + 0.2, 0.64), (left, 0.64))
        canvas.polygon(pane, GLASS, label)
    canvas.polygon(frame.points((0.6, 0.42), (0.92, 0.42), (0.78, 0.64), (0.6, 0.64)), GLASS, label)


def car(canvas: Canvas, frame: Frame, colour: Colour, second: Colour, label: int) -> None:
    """A low body with a cabin, on two wheels."""
    canvas.polygon(frame.points((-0.62, 0.5), (-0.38, 0.88), (0.3, 0.88), (0.62, 0.5)), colour, label)
    canvas.polygon(frame.points((-0.5, 0.52), (-0.32, 0.8), (-0.06, 0.8), (-0.06, 0.52)), GLASS, label)
    canvas.polygon(frame.points((0.04, 0.52), (0.04, 0.8), (0.26, 0.8), (0.48, 0.52)), GLASS, label)
    body = frame.points((-1, 0.18), (1, 0.18), (1, 0.42), (0.7, 0.54), (-0.95, 0.54))
    canvas.polygon(body, colour, label)
    canvas.polygon(frame.points((-1, 0.18), (1, 0.18), (1, 0.26), (-1, 0.26)), second, label)
    for across in (-0.55, 0.55):
        _oval(canvas, frame, (across, 0.2), 0.21, 0.21, TYRE, label)
        _oval(canvas, frame, (across, 0.2), 0.1, 0.1, (180, 180, 180), label)


def cow(canvas: Canvas, frame: Frame, colour: Colour, second: Colour, label: int) -> None:
    """A barrel on four legs, with patches, a head with horns, and a tail."""
    for across in (-0.66, -0.44, 0.26, 0.48):
        leg = frame.points((across, 0), (across + 0.14, 0), (across + 0.14, 0.5), (across, 0.5))
        canvas.polygon(leg, shaded(colour, 0.85), label)
    canvas.line(frame.point(-0.76, 0.9), frame.point(-0.95, 0.4), 1.2, shaded(colour, 0.7), label)
    canvas.polygon(
        frame.points((-0.76, 0.42), (0.62, 0.42), (0.68, 0.7), (0.6, 1), (-0.74, 1), (-0.8, 0.7)), colour, label
    )
    _oval(canvas, frame, (-0.35, 0.8), 0.22, 0.16, second, label)
    _oval(canvas, frame, (0.2, 0.66), 0.2, 0.17, second, label)
    canvas.polygon(frame.points((0.56, 1.16), (0.9, 1.2), (1.08, 0.86), (0.92, 0.74), (0.6, 0.8)), colour, label)
    for across in (0.62, 0.84):
        canvas.line(frame.point(across, 1.16), frame.point(across + 0.04, 1.36), 1.2, (230, 220, 190), label)
    _oval(canvas, frame, (1.0, 0.84), 0.09, 0.08, (230, 170, 160), label)


def plane(canvas: Canvas, frame: Frame, colour: Colour, second: Colour, label: int) -> None:
    """A slim fuselage with swept wings and a tail fin."""
    canvas.polygon(frame.points((0.25, 0.5), (-0.1, 0.5), (-0.42, 0.92), (-0.22, 0.92)), shaded(second, 0.8), label)
    canvas.polygon(frame.points((-0.62, 0.5), (-0.95, 0.5), (-1.12, 1), (-0.92, 1)), second, label)
    _oval(canvas, frame, (0, 0.48), 1.02, 0.17, colour, label)
    for across in (-0.5, -0.3, -0.1, 0.1, 0.3, 0.5):
        _oval(canvas, frame, (across, 0.53), 0.05, 0.05, TYRE, label)
    canvas.polygon(frame.points((0.3, 0.45), (-0.15, 0.42), (-0.62, 0.0), (-0.36, 0.0)), second, label)


OBJECTS: dict[str, Callable[[Canvas, Frame, Colour, Colour, int], None]] = {
    "boat": boat,
    "bird": bird,
    "train": train,
    "car": car,
    "cow": cow,
    "plane": plane,
}
"""The classes, in the network's output order."""


def _oval(
    canvas: Canvas, frame: Frame, centre: tuple[float, float], across: float, up: float, colour: Colour, label: int
) -> None:
    unit = frame.half_width
    canvas.ellipse(frame.point(*centre), across * unit, up * unit, colour, label)
