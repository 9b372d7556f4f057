"""What `--data` asks for: KIND:PLACE, for some kinds with ?OPTION=VALUE&OPTION=VALUE behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evigraph.indexer.data.classes import ClassList, numbered_classes
from evigraph.schema.errors import AmbiguousError, NotFoundError, UsageError


@dataclass(frozen=True)
class DataRequest:
    """Some data, and the network that it is for.

    Attributes:
        spec: as given.
        place: the folder or file.
        options: those given, by name.
        classes: the network's classes in output order, if known.
        class_count: the network's outputs.
    """

    spec: str
    place: Path
    classes: ClassList | None
    class_count: int
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def class_list(self) -> ClassList:
        """The network's classes, named by their index where nothing else is known."""
        return self.classes or numbered_classes(self.class_count)

    def label_ids(self, tags: Iterable[str]) -> tuple[int, ...]:
        """The classes whose key or name is one of the tags, ascending.

        A tag that names two classes is left out: which of them was meant is not known, and to take the wrong one
        would make right predictions wrong. So are tags of networks whose classes have no names.
        """
        if self.classes is None:
            return ()
        indices = set()
        for tag in tags:
            try:
                indices.add(self.classes.match(tag))
            except AmbiguousError:
                continue
        return tuple(sorted(index for index in indices if index is not None))


def parse_options(spec: str, text: str, known: Collection[str]) -> dict[str, str]:
    """Options by name from "year=2012&split=Main/val".

    Raises:
        UsageError: an option without a value, an unknown one, or one given twice.
    """
    options: dict[str, str] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if not name or not value:
            raise UsageError(f"data {spec!r}: {part!r} is not an option; give ?NAME=VALUE&NAME=VALUE")
        if name not in known:
            raise NotFoundError("data option", name, known, f"in {spec!r} (there are {', '.join(known)})")
        if name in options:
            raise UsageError(f"data {spec!r} gives {name} twice; give it once")
        options[name] = value
    return options
