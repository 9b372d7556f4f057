"""What the edits did: the decision before, without its evidence, and without the controls, a row each."""

from __future__ import annotations

from dataclasses import dataclass

from evigraph.graphapi.files.canvas import percent
from evigraph.indexer.explain.edits import Edit
from evigraph.indexer.explain.explain import Explained, WhatIf
from evigraph.indexer.explain.outcome import Said


@dataclass(frozen=True)
class Repeated:
    """What the network says with or without something.

    Attributes:
        name: "as it is", "without it" or "control".
        explained: of the class that is explained.
        predicted: of the predicted class.
        drop: by how much the explained class's logit fell; None of the decision as it is.
    """

    name: str
    explained: Said
    predicted: Said
    drop: float | None

    @property
    def drop_text(self) -> str:
        """The drop as it is shown; never "-0.000"."""
        return "" if self.drop is None else f"{round(self.drop, 3) or 0.0:.3f}"


def repeated(explained: Explained, what_if: WhatIf) -> list[Repeated]:
    """The decision as it is, without what the edits take away, and without the controls, where there are any."""
    before = explained.outcome.explained
    found = [
        Repeated("as it is", before, explained.outcome.predicted, None),
        Repeated(
            "without it",
            what_if.outcome.explained,
            what_if.outcome.predicted,
            before.logit - what_if.outcome.explained.logit,
        ),
    ]
    if what_if.control is not None:
        own = what_if.control[before.class_id]
        predicted = max(what_if.control, key=lambda said: said.logit)
        found.append(Repeated("control", own, predicted, before.logit - own.logit))
    return found


def remarks(explained: Explained, what_if: WhatIf) -> list[str]:
    """What was taken away, and what for comparison, a sentence each."""
    size = explained.pictures.size
    said = [f"taken away: {'; '.join(_taken(edit, size, of_channel=True) for edit in what_if.edits)}"]
    said += [
        f"channel {edit.channel} of {edit.layer} is 0 everywhere in this image, so nothing was taken away"
        for edit in what_if.edits
        if edit.region is None and not edit.disturbance
    ]
    said += [
        f"channel {edit.channel} of {edit.layer} is not in this decision's evidence; its peak is its largest value"
        for edit in what_if.edits
        if edit.region is not None and not edit.is_evidence
    ]
    if what_if.controls is None:
        said.append("control: none, since nothing of the same kind and size is left that is not the evidence")
    else:
        said.append(f"control: {'; '.join(_taken(edit, size, of_channel=False) for edit in what_if.controls)}")
    if what_if.of_grey is not None:
        name = explained.description.classes[what_if.of_grey.class_id].name
        said.append(f"an image that is all grey is called {name} ({percent(what_if.of_grey.probability)})")
    return said


def _taken(edit: Edit, size: tuple[int, int], *, of_channel: bool) -> str:
    if edit.region is None:
        return f"{edit.layer} channel {edit.channel}, its map set to 0"
    area = percent(edit.region.area / (size[0] * size[1]))
    if edit.region.shape != "box":
        y, x = edit.region.start
        return f"as many pixels from y {y}, x {x} on, {area} of the image made grey"
    top, bottom, left, right = edit.region.box
    of = f"the field of {edit.layer} channel {edit.channel} at {edit.y},{edit.x}: " if of_channel else ""
    return f"{of}rows {top} to {bottom - 1}, columns {left} to {right - 1}, {area} of the image made grey"
