"""`evigraph explain`: one image decomposed, and decided again without what the edits name.

1. The network and the image are loaded (`subject`), and the decision for one class is decomposed as `index` does it.
2. Each edit is found in that decision (`edits`). All of them are made at once, and the same class is explained again.
3. So are their controls, and the image whose pixels are all hidden, where pixels are: what the network says of grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evigraph.indexer.data.classes import ClassList
from evigraph.indexer.engine.sameness import departs
from evigraph.indexer.evidence.measurement import DecomposedBatch
from evigraph.indexer.explain.compare import stored_note
from evigraph.indexer.explain.edits import AskedEdit, Edit, asked_edit, controls_of, edits_of, without
from evigraph.indexer.explain.outcome import Outcome, Said, outcome_of, pictures_of, said_of
from evigraph.indexer.explain.settings import ExplainSettings
from evigraph.indexer.explain.subject import Subject, subject_of
from evigraph.indexer.shards.description import RunDescription
from evigraph.schema.errors import ModelError
from evigraph.schema.pictures import PictureSettings


@dataclass(frozen=True)
class WhatIf:
    """A decision without some of its evidence.

    Attributes:
        edits: what was taken away.
        outcome: the same class explained without it.
        controls: what was taken away for comparison, an edit for each; None where there is none for one of them.
        control: what the network says then of every class; None likewise.
        of_grey: what it predicts of an image that is all grey; None where no region was hidden.
    """

    edits: tuple[Edit, ...]
    outcome: Outcome
    controls: tuple[Edit, ...] | None
    control: tuple[Said, ...] | None
    of_grey: Said | None


@dataclass(frozen=True)
class Explained:
    """One image, explained.

    Attributes:
        uri: what the image is called.
        run: name of its run; None of a file.
        description: everything that determines the numbers, as a run has it.
        label_ids: the image's right classes; none of a file.
        pictures: where the layers' places lie in the input.
        preprocessing: in words.
        is_sigmoid: whether each class has a probability of its own.
        outcome: the decision.
        what_if: the decision without some evidence; None without edits.
        stored: how it compares with what the run stores; None of a file.
        notes: what the user should know, a sentence each.
    """

    uri: str
    run: str | None
    description: RunDescription
    label_ids: tuple[int, ...]
    pictures: PictureSettings
    preprocessing: str
    is_sigmoid: bool
    outcome: Outcome
    what_if: WhatIf | None
    stored: str | None
    notes: tuple[str, ...]


def explain_image(
    path: Path | None, settings: ExplainSettings, class_name: str | None = None, edits: Sequence[str] = ()
) -> Explained:
    """Explain one image.

    Args:
        path: of a file; None where the settings name an image of a run.
        settings: which network, and how decisions are decomposed.
        class_name: name, key or index of the class that is explained; None for the predicted one.
        edits: what is taken away, each METHOD:LAYER/CHANNEL.

    Raises:
        EvidenceError: something named cannot be used; the message says why.
    """
    asked = [asked_edit(text) for text in edits]
    with subject_of(path, settings) as subject:
        classes: ClassList = subject.source.class_list
        class_id = None if class_name is None else classes.find(class_name)
        batch = subject.decomposed(class_id)
        outcome = outcome_of(subject, batch)
        return Explained(
            uri=subject.uri,
            run=subject.description.name if subject.run else None,
            description=subject.description,
            label_ids=subject.label_ids,
            pictures=pictures_of(subject),
            preprocessing=subject.preprocessing_line,
            is_sigmoid=subject.network.head.sigmoid,
            outcome=outcome,
            what_if=_what_if(subject, batch, outcome, asked) if asked else None,
            stored=stored_note(subject.run, subject.image_id, outcome) if subject.run else None,
            notes=subject.notes,
        )


def _what_if(subject: Subject, batch: DecomposedBatch, before: Outcome, asked: Sequence[AskedEdit]) -> WhatIf:
    edits = edits_of(asked, subject.network, batch)
    class_id = before.explained.class_id
    after = outcome_of(subject, _decided_without(subject, class_id, edits))
    controls = controls_of(edits, subject.network, batch)
    control = None
    if controls is not None:
        control = said_of(subject, _decided_without(subject, class_id, controls))
    of_grey = None
    if any(edit.region is not None for edit in edits):
        grey = subject.decomposed(None, torch.zeros_like(subject.pixels))
        of_grey = said_of(subject, grey)[int(grey.decided.predicted[0])]
    return WhatIf(tuple(edits), after, None if controls is None else tuple(controls), control, of_grey)


def _decided_without(subject: Subject, class_id: int, edits: Sequence[Edit]) -> DecomposedBatch:
    """The decision without what the edits name.

    Raises:
        ModelError: the network with a channel removed is not what is recorded of it.
    """
    pixels, change = without(edits, subject.pixels)
    batch = subject.decomposed(class_id, pixels, change)
    removed = [edit for edit in edits if edit.method == "remove"]
    if len(removed) == 1:
        (edit,) = removed
        maps = batch.record.features[edit.level]
        own = subject.network.recorder.logits_from(edit.level, maps, batch.inputs)
        if departs(batch.record.logits, own, batch.inputs):
            raise ModelError(
                f"what is recorded without channel {edit.channel} of {edit.layer} is not the network without it: it "
                "takes the map by a way of its own; remove a channel of another layer"
            )
    return batch
