"""An explained image as JSON; `docs/explain.md` says what each key is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from evigraph.explained.depicted import Depiction
from evigraph.indexer.explain.edits import Edit
from evigraph.indexer.explain.outcome import Said

LIKELIEST = 5
"""Classes that are listed beside the predicted one."""
_PLACES = ("channel", "y", "x")
_OF_NODE = ("importance", "positive_sum", "positive_count", "evidence_count")
_OF_EDGE = ("contribution", "share", "rank", "feature", "activation", "importance")


def explained_json(shown: Sequence[Depiction], command: str) -> dict[str, Any]:
    """Everything that is known of an explained image, as JSON values.

    Args:
        shown: the decision, and the one without its evidence where there are edits.
        command: that made it.
    """
    explained = shown[0].explained
    described = explained.description
    settings = {name: value for name, value in described.settings.items() if name != "data"}
    return {
        "image": explained.uri,
        "run": explained.run,
        "command": command,
        "evigraph": version("evigraph"),
        "model": described.model,
        "weights_sha256": described.weights_sha256,
        "top": described.top_n,
        "preprocessing": explained.preprocessing,
        "settings": settings,
        "input": list(explained.pictures.size),
        "layers": [vars(layer) for layer in described.layers],
        "labels": [_class(shown[0], class_id) for class_id in explained.label_ids],
        "decision": _decision(shown[0]),
        "what_if": _what_if(shown),
        "stored": explained.stored,
        "notes": list(explained.notes),
    }


def likeliest(said: Sequence[Said]) -> list[Said]:
    """The classes of the largest logits, the largest first, among equals the lower class."""
    return sorted(said, key=lambda one: (-one.logit, one.class_id))[:LIKELIEST]


def _decision(shown: Depiction) -> dict[str, Any]:
    outcome = shown.outcome
    (decision,) = outcome.rows("decision")
    return {
        **_said(shown, outcome.explained),
        "role": shown.role,
        "predicted": _said(shown, outcome.predicted),
        "likeliest": [_said(shown, one) for one in likeliest(outcome.said)],
        "cut_node_count": decision["cut_node_count"],
        "cut_importance": decision["cut_importance"],
        "nodes": [
            _place(shown, row, "target", "") | {name: row[name] for name in _OF_NODE}
            for row in outcome.rows("decomposition")
        ],
        "edges": [_edge(shown, row) for row in outcome.rows("edge")],
    }


def _edge(shown: Depiction, row: Mapping[str, Any]) -> dict[str, Any]:
    geometry = shown.explained.pictures.layers[row["source_layer"]]
    field = geometry.box(row["source_y"], row["source_x"], shown.explained.pictures.size)
    return {
        **_place(shown, row, "target", "target_"),
        **_place(shown, row, "source", "source_"),
        **{name: row[name] for name in _OF_EDGE},
        "field": field._asdict(),
    }


def _place(shown: Depiction, row: Mapping[str, Any], end: str, prefix: str) -> dict[str, Any]:
    layer = {f"{prefix}layer": shown.layer_name(row[f"{end}_layer"])}
    return layer | {f"{prefix}{name}": row[f"{end}_{name}"] for name in _PLACES}


def _said(shown: Depiction, said: Said) -> dict[str, Any]:
    return {"class": _class(shown, said.class_id), "logit": said.logit, "probability": said.probability}


def _class(shown: Depiction, class_id: int) -> dict[str, Any]:
    one = shown.run.classes[class_id]
    return {"index": class_id, "key": one.key, "name": one.name}


def _what_if(shown: Sequence[Depiction]) -> dict[str, Any] | None:
    first = shown[0]
    what_if = first.explained.what_if
    if what_if is None:
        return None
    control = what_if.control
    return {
        "edits": [_edit(edit) for edit in what_if.edits],
        "decision": _decision(shown[1]),
        "controls": None if what_if.controls is None else [_edit(edit) for edit in what_if.controls],
        "control": None
        if control is None
        else {
            **_said(first, control[first.outcome.explained.class_id]),
            "predicted": _said(first, likeliest(control)[0]),
        },
        "grey": None if what_if.of_grey is None else _said(first, what_if.of_grey),
    }


def _edit(edit: Edit) -> dict[str, Any]:
    made: dict[str, Any] = {name: getattr(edit, name) for name in ("method", "layer", *_PLACES)}
    region = edit.region
    if region is not None:
        top, bottom, left, right = region.box
        made["region"] = {"shape": region.shape, "top": top, "left": left, "bottom": bottom, "right": right}
        made["region"]["start"] = list(region.start)
    return made | {"is_evidence": edit.is_evidence, "disturbance": edit.disturbance}
