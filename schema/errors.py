"""Every error that evigraph raises on purpose.

    EvidenceError                 exit code 1, the work failed
    ├── UsageError                exit code 2, the request itself is wrong
    │   ├── NotFoundError         an unknown name; carries near matches
    │   └── AmbiguousError        a name that stands for several things; carries the candidates
    ├── DataError                 images, labels or semantic maps that cannot be used
    ├── ModelError                a network, its weights or its layers
    ├── RunFolderError            a run folder that is locked, unfinished, damaged or of other settings
    ├── NotInstalledError         a library that an extra of the installation brings
    └── DatabaseError             a database file that is missing, foreign, newer or broken
        └── InvariantError        `check` found a broken invariant

A message is one line that names the value, the limit and the next step.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from evigraph.schema.near import near_matches


class EvidenceError(Exception):
    """Root of the tree: an expected failure, shown as one line without a traceback."""

    exit_code = 1
    code = "FAILED"


class UsageError(EvidenceError):
    """The request cannot be carried out as it was put."""

    exit_code = 2
    code = "BAD_USER_INPUT"


class NotFoundError(UsageError):
    """A name that stands for nothing, with the nearest names that do."""

    code = "NOT_FOUND"

    def __init__(
        self, kind: str, name: str, known: Iterable[str], hint: str = "", *, near: list[str] | None = None
    ) -> None:
        """Of a kind, among known names; `near` are the nearest where who looked for it has ranked them already."""
        self.kind, self.name = kind, name
        self.near = near_matches(name, known) if near is None else near
        meant = f"; did you mean {' or '.join(repr(n) for n in self.near)}?" if self.near else ""
        if hint.startswith(";"):  # which continues the sentence, or begins one after the question
            hint = hint.removeprefix("; ") if meant else hint
        separator = " " if hint and not hint.startswith(";") else ""
        super().__init__(f"no {kind} {name!r}{meant}{separator}{hint}")


class AmbiguousError(UsageError):
    """A name that stands for more than one thing, with the candidates."""

    code = "AMBIGUOUS"

    def __init__(self, kind: str, name: str, candidates: Iterable[str]) -> None:
        self.kind, self.name, self.candidates = kind, name, list(candidates)
        super().__init__(f"{kind} {name!r} is ambiguous: it may be {', '.join(self.candidates)}")


class DataError(EvidenceError):
    """Images, labels or semantic maps that cannot be used."""

    code = "DATA"


class ModelError(EvidenceError):
    """A network that cannot be built, loaded or decomposed."""

    code = "MODEL"


class RunFolderError(EvidenceError):
    """A run folder that is locked, unfinished, damaged, or made with other settings."""

    code = "RUN_FOLDER"


class NotInstalledError(EvidenceError):
    """A library that an extra of the installation brings is missing; see `schema.extras`."""

    code = "NOT_INSTALLED"


class DatabaseError(EvidenceError):
    """A database file that is missing, foreign, newer than this program, or broken."""

    code = "DATABASE"


class InvariantError(DatabaseError):
    """A published database breaks one of its own invariants."""

    code = "INVARIANT"


def in_shell(path: Path) -> str:
    """A path as a message writes it in a command, to be pasted into a shell."""
    return shlex.quote(str(path))


def first_line(error: BaseException, most: int | None = 200) -> str:
    """What another's code raised, as part of a message: its first line, in `most` characters; else its type."""
    return (str(error).splitlines() or [type(error).__name__])[0][:most]


def raised_by_user(error: BaseException) -> str:
    """As `first_line`, for a user's module or function, which may end the program too."""
    if isinstance(error, SystemExit):
        return f"it ends the program, with exit code {error.code}"
    return first_line(error)
