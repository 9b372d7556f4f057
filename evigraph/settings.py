"""Commands that take settings: each field of a settings class (`indexer.options`) is an option.

The class is imported when the options are asked for, so that `import evigraph.cli` loads nothing of the indexer.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evigraph.schema.errors import UsageError

if TYPE_CHECKING:
    from evigraph.indexer.options import Option, Settings


class SettingsCommand:
    """What typer takes for a function with a parameter for each option, and after these the function's own.

    Its signature is made from the settings class, and its call makes the settings.
    """

    def __init__(self, function: Callable[..., None], place: str) -> None:
        """Take a function whose first argument is settings.

        Args:
            function: called with the settings and its other arguments by name.
            place: of the settings class, as "package.module:Class".
        """
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__annotations__: dict[str, Any] = {}  # typer reads the signature's
        self._function, self._place = function, place

    @property
    def __signature__(self) -> inspect.Signature:
        settings = self._settings()
        hints = typing.get_type_hints(self._function, localns={settings.__name__: settings}, include_extras=True)
        _, *others = inspect.signature(self._function).parameters.values()
        return inspect.Signature(
            [
                inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
                *map(_parameter, _options(settings)),
                *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in others),
            ]
        )

    def __call__(self, context: typer.Context, **values: Any) -> None:
        from evigraph.indexer.options import settings_from

        settings = self._settings()
        given = {option.flag: values.pop(_name(option)) for option in _options(settings)}
        _refuse_idle(context, _options(settings), given)
        self._function(settings_from(settings, given), **values)

    def _settings(self) -> type[Settings]:
        module, _, name = self._place.partition(":")
        settings: type[Settings] = getattr(importlib.import_module(module), name)
        return settings


def takes(place: str) -> Callable[[Callable[..., None]], SettingsCommand]:
    """Decorate a function whose first argument is settings of the class at `place`, "package.module:Class"."""
    return lambda function: SettingsCommand(function, place)


def _options(settings: type[Settings]) -> list[Option]:
    from evigraph.indexer.options import options_of

    return options_of(settings)


def _name(option: Option) -> str:
    return option.words.replace(" ", "_")


def _parameter(option: Option) -> inspect.Parameter:
    # What a text stands for, and open bounds, typer does not know: those the settings check.
    closed = option.parse is None and option.above is None and option.below is None
    least, most = (option.least, option.most) if closed else (None, None)
    shown = typer.Option(option.flag, help=option.help, min=least, max=most, metavar=option.metavar)
    return inspect.Parameter(
        _name(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.is_required else option.default,
        annotation=Annotated[str if option.parse else option.type, shown],
    )


def _refuse_idle(context: typer.Context, options: Sequence[Option], given: dict[str, Any]) -> None:
    """Refuse an option that would do nothing, since the one that it needs is not given."""
    for option in options:
        source = context.get_parameter_source(_name(option))
        if option.needs and not given[option.needs] and source and source.name == "COMMANDLINE":
            raise UsageError(
                f"{option.flag} is given without {option.needs}, so it would do nothing; "
                f"give {option.needs} too, or leave it out"
            )
