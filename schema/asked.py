"""Which run answers a question that names none: the default of its database, else the newest."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar


class Asked(StrEnum):
    """Why a run is the one that answers."""

    NAME = "name"
    """It was named."""
    ONLY = "only"
    """There is no other."""
    DEFAULT = "default"
    """It was named the default of its database."""
    NEWEST = "newest"
    """No run is the default, and it was made last."""


class Dated(Protocol):
    """A run, as far as it matters here."""

    @property
    def run_id(self) -> int:
        """Its id in the database."""

    @property
    def created_at(self) -> datetime:
        """When it was begun."""

    @property
    def is_default(self) -> bool:
        """Whether it was named the default."""


D = TypeVar("D", bound=Dated)


def asked_run(runs: Collection[D]) -> tuple[D, Asked]:
    """The run that a question without a name asks, of at least one."""
    for run in runs:
        if run.is_default:
            return run, Asked.DEFAULT
    newest = max(runs, key=lambda run: (run.created_at, run.run_id))
    return newest, Asked.ONLY if len(runs) == 1 else Asked.NEWEST
