"""The images of a run: what `--data KIND:PLACE` names, as a sorted listing with labels and semantic maps.

A kind is a layout of files. The function that lists one registers itself:

    @layout("voc", "DIR", options=("split", "year"))
    def open_voc(request: DataRequest) -> DataSource: ...

Every module of this folder is searched for such functions, so a new layout is a new module and nothing else. A
sample's place in the listing is its image id, whether or not the file can be decoded.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from evigraph.indexer import data
from evigraph.indexer.data.classes import ClassList, check_class_count
from evigraph.indexer.data.formats import arrays_listed
from evigraph.indexer.data.request import DataRequest, parse_options
from evigraph.indexer.data.samples import DataSource
from evigraph.schema.errors import UsageError

Opener = Callable[[DataRequest], DataSource]
"""Lists the images of a layout; raises DataError for data that cannot be used, UsageError for a wrong option."""


@dataclass(frozen=True)
class Layout:
    """A layout of images on the disk.

    Attributes:
        place: what follows the kind and the colon, as help has it: "DIR" or "FILE.csv".
        options: names that may follow the place, as ?NAME=VALUE&NAME=VALUE.
        open: lists it.
        names_classes: whether its folders name the network's classes, in sorted order, where nobody else does.
    """

    place: str
    options: tuple[str, ...]
    open: Opener
    names_classes: bool = False


_LAYOUTS: dict[str, Layout] = {}


def layout(
    kind: str, place: str, options: tuple[str, ...] = (), *, names_classes: bool = False
) -> Callable[[Opener], Opener]:
    """Register the decorated function as what lists `kind`; the other arguments are those of `Layout`.

    Raises:
        ValueError: two functions claim one kind.
    """

    def register(opener: Opener) -> Opener:
        if kind in _LAYOUTS:
            raise ValueError(f"two layouts are registered as {kind!r}")
        _LAYOUTS[kind] = Layout(place, options, opener, names_classes)
        return opener

    return register


def layouts() -> Mapping[str, Layout]:
    """Every layout by its kind, in alphabetical order."""
    for module in pkgutil.iter_modules(data.__path__, f"{data.__name__}."):
        import_module(module.name)
    return dict(sorted(_LAYOUTS.items()))


def names_classes(spec: str) -> bool:
    """Whether the layout of KIND:PLACE names the network's classes itself; an unknown one does not."""
    known = layouts().get(spec.partition(":")[0])
    return known is not None and known.names_classes


def open_source(spec: str, classes: ClassList | None, class_count: int, *, arrays: bool = False) -> DataSource:
    """List the images that `spec` names.

    Args:
        spec: KIND:PLACE; kinds with options take ?NAME=VALUE&NAME=VALUE behind it.
        classes: the network's classes in output order, if known.
        class_count: the network's outputs.
        arrays: whether .npy files are images too.

    Raises:
        UsageError: an unknown kind of data, or a wrong option.
        DataError: a missing or empty folder, classes or labels that match nothing, a malformed file.
    """
    kind, _, place = spec.partition(":")
    known = layouts()
    if kind not in known:
        kinds = ", ".join(f"{name}:{one.place}" for name, one in known.items())
        raise UsageError(f"unknown kind of data {spec!r}; give one of {kinds}")
    chosen = known[kind]
    options = {}
    if chosen.options and "?" in place and not os.path.lexists(_path(place)):
        place, _, text = place.rpartition("?")
        options = parse_options(spec, text, chosen.options)
    if not place:
        raise UsageError(f"data {spec!r} names no place; give {kind}:{chosen.place}")
    if classes is not None:
        check_class_count(classes, class_count)
    with arrays_listed(arrays):
        source = chosen.open(DataRequest(spec, _path(place), classes, class_count, options))
    return replace(source, notes=(*classes.notes, *source.notes)) if classes else source


def _path(place: str) -> Path:
    """A place as a path; ~ stands for the home directory, but not where nobody has such a home."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        return Path(place)
