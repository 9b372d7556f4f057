"""Every setting of the service, in one table: its name, its default, its bounds and what it does.

`SETTINGS` is read off the dataclass, so that a setting cannot exist without its help. `docs/settings.md` has the same
table; a test compares them, and finds every limit in graphapi/ that is in neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self, TypeVar

from evigraph.schema.errors import NotFoundError, UsageError

T = TypeVar("T")

_LARGEST = 2**31 - 1
"""Of every limit: what GraphQL's Int, sockets and timers all hold."""
_SWITCHES = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def _setting(default: T, help_text: str, *, most: int = _LARGEST) -> T:
    """A dataclass field that carries its own help and upper bound; typed as its value, as `dataclasses.field` is."""
    value: T = field(default=default, metadata={"help": help_text, "most": most})
    return value


@dataclass(frozen=True)
class Settings:
    """Limits and switches of one service; limits are inclusive, and none is below 1."""

    page_size: int = _setting(20, "rows of a connection where `first` is not given; up to max_page_size")
    max_page_size: int = _setting(100, "largest `first`")
    max_depth: int = _setting(15, "levels of fields in one query, introspection left out")
    max_fields: int = _setting(1000, "fields in one query with its fragments spread, aliases counted singly")
    max_tokens: int = _setting(5000, "lexical tokens in one query")
    max_body_bytes: int = _setting(100_000, "bytes in the body of one request")
    max_objects: int = _setting(50_000, "rows, evidence nodes and evidence edges in one answer")
    max_statements: int = _setting(200, "SQL statements that one request may need")
    max_evidence_edges: int = _setting(5000, "edges of one decision's evidence before it is truncated")
    time_limit_ms: int = _setting(10_000, "time that one request may wait for its SQL statements")
    # Exports run on these threads, with connections of SQLAlchemy's pool: 15, of which one keeps the file open.
    threads: int = _setting(4, "SQL statements that run at the same time", most=12)
    max_exports: int = _setting(2, "exports of edges that run at the same time")
    export_time_limit_ms: int = _setting(600_000, "time that one export of edges may take, its client's reading too")
    cached_queries: int = _setting(128, "query texts that stay parsed and validated")
    look_every_ms: int = _setting(1000, "how often a service without requests looks for a new version")
    retry_after_ms: int = _setting(1000, "how long a new version that could not be opened is left alone")
    max_waiting_connections: int = _setting(2048, "connections that wait to be accepted")
    shutdown_limit_s: int = _setting(5, "time that running requests have to end when the server is stopped")
    cors_origins: tuple[str, ...] = _setting((), "origins whose pages may call the service, separated by commas")
    explorer: bool = _setting(True, "whether browsers get the explorer at /")
    graphiql: bool = _setting(True, "whether browsers get the query editor")

    def __post_init__(self) -> None:
        """Raise UsageError for a limit that is out of its bounds."""
        for setting in SETTINGS:
            value = getattr(self, setting.name)
            if isinstance(value, bool) or not isinstance(value, int):
                continue
            if value < 1:
                raise UsageError(f"setting {setting.name}: {value} is below 1")
            if value > setting.most:
                raise UsageError(f"setting {setting.name}: {value} is above {setting.most}")
        if self.page_size > self.max_page_size:
            raise UsageError(f"setting page_size: {self.page_size} is above max_page_size {self.max_page_size}")

    @classmethod
    def from_texts(cls, assignments: Iterable[str]) -> Self:
        """Settings as a command line gives them: NAME=VALUE each, of which the last of a name counts.

        Raises:
            NotFoundError: No setting has such a name.
            UsageError: An assignment has no value, or one that the setting cannot take.
        """
        defaults = {setting.name: setting.default for setting in SETTINGS}
        values: dict[str, Any] = {}
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            if not equals:
                raise UsageError(f"setting {assignment!r} has no value; give it as NAME=VALUE")
            if name not in defaults:
                raise NotFoundError("setting", name, defaults, "(`evigraph serve --help-settings` lists them)")
            values[name] = _parsed(name, text.strip(), defaults[name])
        return cls(**values)


class Setting(NamedTuple):
    """One row of the table of settings; `most` is the largest value of a limit."""

    name: str
    default: Any
    most: int
    help: str

    @property
    def shown_default(self) -> str:
        """The default as `from_texts` reads it."""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return ",".join(self.default) if isinstance(self.default, tuple) else str(self.default)

    @property
    def shown_help(self) -> str:
        """The help, with the upper bound where it is one to think of."""
        return self.help if self.most == _LARGEST else f"{self.help}; up to {self.most}"


def _parsed(name: str, text: str, default: object) -> object:
    """The value that a text stands for, of the default's type."""
    if isinstance(default, bool):
        if text.lower() not in _SWITCHES:
            raise UsageError(f"setting {name}: {text!r} is neither on nor off")
        return _SWITCHES[text.lower()]
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"setting {name}: {text!r} is not a whole number; the default is {default}") from None


SETTINGS = tuple(Setting(f.name, f.default, f.metadata["most"], f.metadata["help"]) for f in fields(Settings))
