"""JSON in and out."""

from __future__ import annotations

from typing import Any

import orjson


def to_json(body: dict[str, Any]) -> bytes:
    """An answer as JSON."""
    return orjson.dumps(body)


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """An answer made of JSON's own types alone: what its JSON would be read as."""
    value: dict[str, Any] = orjson.loads(orjson.dumps(body))
    return value
