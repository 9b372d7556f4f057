"""The bound on an argument of a request: one check, in one wording."""

from __future__ import annotations

from typing import TypeVar, overload

from evigraph.schema.errors import UsageError

N = TypeVar("N", int, float)


@overload
def bounded(name: str, value: N | None, least: N, most: N | None, default: N, hint: str = "") -> N: ...
@overload
def bounded(name: str, value: N | None, least: N, most: N | None = None, default: None = None) -> N | None: ...
def bounded(
    name: str, value: N | None, least: N, most: N | None = None, default: N | None = None, hint: str = ""
) -> N | None:
    """The value of an argument, or its default where it is None.

    Args:
        name: As the client knows it.
        value: As the client gave it.
        least: The smallest that may be given.
        most: The largest; None for no bound.
        default: What None stands for; None where that is all there are.
        hint: What to do instead, where the message is to say it.

    Raises:
        UsageError: It is not within its bounds.
    """
    if value is None:
        return default
    if most is None and value < least:
        raise UsageError(f"{name}: {value} is below {least}; leave it out for {'all' if default is None else default}")
    if most is not None and not least <= value <= most:
        raise UsageError(f"{name}: {value} is not within {least} and {most}{hint and f'; {hint}'}")
    return value
