"""From what a client calls a thing to the thing: runs, layers, channels and classes.

A class goes by its name, its key (wnid, folder name) or its index. Where these clash, "index:7", "key:7" and
"name:7" say which is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from evigraph.graphapi.store.catalog import ClassInfo, LayerInfo, RunInfo
from evigraph.schema.asked import Asked, asked_run
from evigraph.schema.errors import AmbiguousError, NotFoundError, UsageError

_WAYS = ("index", "key", "name")


def find_run(runs: Sequence[RunInfo], name: str) -> RunInfo:
    """The run of this name; NotFoundError else."""
    for run in runs:
        if run.name == name:
            return run
    raise NotFoundError("run", name, [run.name for run in runs], "(`runs` lists what there is)")


def chosen_run(runs: Sequence[RunInfo], name: str | None) -> tuple[RunInfo, Asked]:
    """The run of this name, or the one that is asked where none is given, and why it is that one.

    Raises:
        NotFoundError: There is no run of the name.
        UsageError: There is none at all.
    """
    if name is not None:
        return find_run(runs, name), Asked.NAME
    if not runs:
        raise UsageError("the database has no runs; publish one with `evigraph publish RUN_DIR --db DATABASE`")
    return asked_run(runs)


def unnamed_note(runs: Sequence[RunInfo], name: str | None) -> str | None:
    """What a user is told where no run was named and there are several; None else."""
    if name is not None or len(runs) < 2:
        return None
    run, asked = asked_run(runs)
    if asked is Asked.DEFAULT:
        return f"no run was named: {run.name!r} is the default of {len(runs)} runs"
    return (
        f"no run was named: {run.name!r} is the newest of {len(runs)} runs, and the next one published will answer "
        "instead; name the run, or make one the default by `evigraph runs default`"
    )


def find_layer(run: RunInfo, name: str) -> LayerInfo:
    """The layer of this name, or else the one of this module path; NotFoundError else."""
    for layer in run.layers:
        if layer.name == name:
            return layer
    by_module = [layer for layer in run.layers if layer.module and layer.module == name]
    if len(by_module) == 1:
        return by_module[0]
    if by_module:
        raise AmbiguousError("layer", name, [layer.name for layer in by_module])
    known = [layer.name for layer in run.layers]
    hint = f"in run {run.name!r}, which has {', '.join(known)}"
    raise NotFoundError("layer", name, known + [layer.module for layer in run.layers if layer.module], hint)


def evidence_layer(run: RunInfo, name: str) -> LayerInfo:
    """The layer of this name, whose channels can be evidence; UsageError for the logits."""
    layer = find_layer(run, name)
    if layer is run.layers[-1]:
        below = ", ".join(other.name for other in run.layers[:-1])
        raise UsageError(f"layer: {layer.name!r} is what is explained, not evidence; take one of {below}")
    return layer


def find_context_label(run: RunInfo, name: str) -> int:
    """The id of the context label of this name; NotFoundError else."""
    for label_id, known in run.context_labels.items():
        if known == name:
            return label_id
    hint = f"in run {run.name!r}" + ("" if run.context_labels else ", whose data have no semantic maps")
    raise NotFoundError("context label", name, list(run.context_labels.values()), hint)


def check_channel(run: RunInfo, layer: LayerInfo, index: int) -> None:
    """NotFoundError that names the range unless the layer has a channel of this index."""
    if not 0 <= index < layer.channels:
        hint = f"in layer {layer.name!r} of run {run.name!r}, which has channels 0 to {layer.channels - 1}"
        raise NotFoundError("channel", str(index), (), hint)


def find_class(run: RunInfo, name: str) -> ClassInfo:
    """The class that `name` is the name, key or index of.

    Raises:
        NotFoundError: No class goes by it; the error has near names.
        AmbiguousError: Several do; the error lists them as "index (key, name)".
    """
    way, _, rest = name.partition(":")
    classes = _called(run, name, _WAYS)
    if not classes and way in _WAYS:
        classes = _called(run, rest, (way,))
    if len(classes) == 1:
        return classes[0]
    if classes:
        candidates = [f"index:{entry.class_id} ({entry.key}, {entry.name})" for entry in classes]
        raise AmbiguousError("class", name, candidates)
    known = [text for entry in run.classes.values() for text in (entry.name, entry.key)]
    hint = f"in run {run.name!r}"
    if name.strip().isdecimal() or not name.strip():  # no slip of a name, but an index that is none
        known = [text for text in known if text.isdecimal()] if name.strip() else []
        hint += f", which has classes 0 to {len(run.classes) - 1}; `classes` lists them"
    raise NotFoundError("class", name, known, hint)


def _called(run: RunInfo, name: str, ways: Sequence[str]) -> list[ClassInfo]:
    """The classes that go by `name` in any of the ways, each once, by index."""
    by_id = {entry.class_id: entry for way in ways for entry in run.classes_called.get((way, name), ())}
    return [by_id[class_id] for class_id in sorted(by_id)]
