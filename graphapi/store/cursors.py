"""Keyset cursors: the sort key of a row, opaque to the client, and the check of one that comes back.

A cursor is base64 of a JSON list: a tag of the listing and its order, then the row's sort key. The last
parts of every key tell rows apart, so that pages are stable under ties.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Sequence

from evigraph.schema.errors import UsageError

Key = tuple[int | float | str, ...]
_MAX_LENGTH = 600
_to_json = json.JSONEncoder(separators=(",", ":")).encode


def encode(tag: str, key: Key) -> str:
    """The cursor of the row with this sort key in the listing `tag`."""
    text = _to_json([tag, *key])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, tag: str, types: Sequence[type]) -> Key:
    """The sort key in a cursor.

    Args:
        cursor: What the client sent as `after`.
        tag: The listing and order that it must belong to.
        types: int, float or str for each part of the key.

    Raises:
        UsageError: Not a cursor, or one of another listing or order.
    """
    try:
        if len(cursor) > _MAX_LENGTH:
            raise ValueError
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _bad(cursor, tag) from None
    if not isinstance(values, list) or len(values) != len(types) + 1 or values[0] != tag:
        raise _bad(cursor, tag)
    key = tuple(values[1:])
    if not all(_fits(value, kind) for value, kind in zip(key, types, strict=True)):
        raise _bad(cursor, tag)
    return key


def _fits(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, float) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, str)


def _bad(cursor: str, tag: str) -> UsageError:
    return UsageError(f"after: {cursor[:80]!r} is no cursor of this listing ({tag}); take it from pageInfo.endCursor")
