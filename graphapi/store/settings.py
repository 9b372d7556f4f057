"""Every setting of the service, in one table: its name, its default and what it does.

`SETTINGS` is read off the dataclass, so that a setting cannot exist without its help.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from evigraph.schema.errors import UsageError

T = TypeVar("T")

_MAX_THREADS = 12
"""Exports run on these threads, with connections of SQLAlchemy's pool: 15, of which one keeps the file open."""


def _setting(default: T, help_text: str) -> T:
    """A dataclass field that carries its own help; typed as its value, as `dataclasses.field` is."""
    value: T = field(default=default, metadata={"help": help_text})
    return value


@dataclass(frozen=True)
class Settings:
    """Limits and switches of one service; all limits are inclusive."""

    page_size: int = _setting(20, "rows of a connection where `first` is not given")
    max_page_size: int = _setting(100, "largest `first`")
    max_depth: int = _setting(15, "levels of fields in one query, introspection left out")
    max_fields: int = _setting(1000, "fields in one query with its fragments spread, aliases counted singly")
    max_tokens: int = _setting(5000, "lexical tokens in one query")
    max_body_bytes: int = _setting(100_000, "bytes in the body of one request")
    max_objects: int = _setting(50_000, "rows, evidence nodes and evidence edges in one answer")
    max_statements: int = _setting(200, "SQL statements that one request may need")
    max_evidence_edges: int = _setting(5000, "edges of one decision's evidence before it is truncated")
    time_limit_ms: int = _setting(10_000, "time that one request may wait for its SQL statements")
    threads: int = _setting(4, "SQL statements that run at the same time")
    max_exports: int = _setting(2, "exports of edges that run at the same time")
    export_time_limit_ms: int = _setting(600_000, "time that one export of edges may take, its client's reading too")
    cors_origins: tuple[str, ...] = _setting((), "origins whose pages may call the service; none by default")
    graphiql: bool = _setting(True, "serve the query editor to browsers")

    def __post_init__(self) -> None:
        """Raise UsageError for a limit below one."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise UsageError(f"setting {setting.name}: {value} is below 1")
        if self.threads > _MAX_THREADS:
            raise UsageError(f"setting threads: {self.threads} is above {_MAX_THREADS}")
        if self.page_size > self.max_page_size:
            raise UsageError(f"setting page_size: {self.page_size} is above max_page_size {self.max_page_size}")


class Setting(NamedTuple):
    """One row of the table of settings."""

    name: str
    default: Any
    help: str


SETTINGS = tuple(Setting(f.name, f.default, f.metadata["help"]) for f in fields(Settings))
