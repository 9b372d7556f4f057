"""Settings as data: a field of a settings class says everything that is shown and checked of an option.

    @dataclass(frozen=True)
    class Method(Settings):
        top_n: int = option("Channels kept of each decomposition.", default=3, flag="--top", least=1)

1. `option` makes such a field. Its choices are those of its type, a Literal. `like` makes one as another class has it.
2. `part` makes a field that holds settings of another class; an optional part is None until its first option is given.
3. `Settings` checks bounds and choices, whether the values come from the command line or from Python.
4. `options_of` lists the options of a class and of its parts, from which the command line is made; `settings_from`
   makes settings of the values given there.
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from evigraph.schema.errors import UsageError

_BOUNDS = {
    "least": (operator.ge, "{} or more"),
    "above": (operator.gt, "more than {}"),
    "most": (operator.le, "at most {}"),
    "below": (operator.lt, "less than {}"),
}


@dataclass(frozen=True)
class Option:
    """An option of the command line.

    Attributes:
        help: a line for `--help`.
        default: as `--help` shows it, so text where there is `parse`; `...` for none.
        flag: "--max-nodes"; made of the field's name where it is not given.
        least, above, most, below: bounds of a number; `above` and `below` are themselves out of range.
        hint: ends the message about a number out of range.
        parse: makes a value of the option's text; takes the flag, which its error names, and the text.
        metavar: what `--help` shows for the value in place of its type.
        needs: flag of the option without which this one does nothing.
        name, type: of the field.
    """

    help: str
    default: Any = ...
    flag: str = ""
    least: int | None = None
    above: int | None = None
    most: int | None = None
    below: int | None = None
    hint: str = ""
    parse: Callable[[str, str], Any] | None = None
    metavar: str | None = None
    needs: str | None = None
    name: str = ""
    type: Any = None

    @property
    def is_required(self) -> bool:
        """Whether a value must be given."""
        return self.default is ...

    @property
    def words(self) -> str:
        """The flag in words: "max nodes"."""
        return self.flag.removeprefix("--").replace("-", " ")

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a Literal; empty for other types."""
        kinds = (self.type, *typing.get_args(self.type))
        return next((typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is Literal), ())

    def check(self, value: Any) -> None:
        """Check choices and bounds; None is no value.

        Raises:
            UsageError: the value cannot be used; the message says which can.
        """
        if value is None:
            return
        if self.choices and value not in self.choices:
            raise UsageError(f"unknown {self.words} {value!r}; give one of {', '.join(map(str, self.choices))}")
        limits = {name: limit for name in _BOUNDS if (limit := getattr(self, name)) is not None}
        if not all(_BOUNDS[name][0](value, limit) for name, limit in limits.items()):
            wrong = "too small" if list(limits) == ["least"] else "out of range"
            allowed = " and ".join(_BOUNDS[name][1].format(limit) for name, limit in limits.items())
            raise UsageError(f"{self.flag} {value} is {wrong}; give {allowed}{self.hint and f', {self.hint}'}")


class Settings:
    """Base of the settings classes, all of them frozen dataclasses."""

    def __post_init__(self) -> None:
        """Check every option.

        Raises:
            UsageError: a value cannot be used.
        """
        for own in _own_options(type(self)).values():
            own.check(getattr(self, own.name))


SettingsT = TypeVar("SettingsT", bound=Settings)


def option(help_: str, **attributes: Any) -> Any:
    """A field that is an option: what `--help` says of it, and further attributes of `Option`."""
    return _field(Option(help_, **attributes))


def like(settings: type[Settings], name: str, **changed: Any) -> Any:
    """A field that is the option of a field of another class, with some attributes of `Option` changed."""
    return _field(replace(_own_options(settings)[name], name="", type=None, **changed))


def _field(made: Option) -> Any:
    if made.is_required:
        return field(metadata={"option": made})
    value = made.parse(made.flag, made.default) if made.parse and made.default is not None else made.default
    return field(default=value, metadata={"option": made})


def part(settings: type[Settings], *, optional: bool = False) -> Any:
    """A field that holds settings of another class: by default its defaults, or None where it is optional."""
    metadata = {"part": settings}
    return field(default=None, metadata=metadata) if optional else field(default_factory=settings, metadata=metadata)


def options_of(settings: type[Settings]) -> list[Option]:
    """The options of a settings class and of its parts, in the order of their fields."""
    own, listed = _own_options(settings), list[Option]()
    for entry in _fields(settings):
        if entry.name in own:
            listed.append(own[entry.name])
            continue
        options = options_of(entry.metadata["part"])
        if entry.default is None:
            first, *others = options
            options = [replace(first, default=None), *(replace(o, needs=o.needs or first.flag) for o in others)]
        listed += options
    return listed


def settings_from(settings: type[SettingsT], given: Mapping[str, Any]) -> SettingsT:
    """Settings made of the values of all their options, by flag.

    Raises:
        UsageError: a text cannot be parsed, or a value cannot be used.
    """
    own, values = _own_options(settings), dict[str, Any]()
    for entry in _fields(settings):
        if entry.name in own:
            flag, parse = own[entry.name].flag, own[entry.name].parse
            values[entry.name] = parse(flag, given[flag]) if parse and given[flag] is not None else given[flag]
        elif entry.default is not None or given[options_of(entry.metadata["part"])[0].flag] is not None:
            values[entry.name] = settings_from(entry.metadata["part"], given)
    return settings(**values)


def names(flag: str, text: str) -> tuple[str, ...]:
    """Names from "conv4_3,conv5_3".

    Raises:
        UsageError: one is empty.
    """
    listed = tuple(name.strip() for name in text.split(","))
    if not all(listed):
        raise UsageError(f"{flag} {text!r} has an empty name; separate names by single commas")
    return listed


def _fields(settings: type[Settings]) -> tuple[Field[Any], ...]:
    return fields(settings)  # type: ignore[arg-type]


def _own_options(settings: type[Settings]) -> dict[str, Option]:
    """The options of a class, without those of its parts, by the name of their field."""
    types = typing.get_type_hints(settings)
    own: dict[str, Option] = {}
    for entry in _fields(settings):
        if "option" in entry.metadata:
            said: Option = entry.metadata["option"]
            flag = said.flag or f"--{entry.name.replace('_', '-')}"
            own[entry.name] = replace(said, flag=flag, name=entry.name, type=types[entry.name])
    return own
