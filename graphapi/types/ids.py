"""Global ids: base64 of "Type:part/part", each part percent-encoded.

A run is named by its name and a layer by its name, not by their numbers, so that an id still means the same
object in a database that was published again, in another order, or elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import quote, unquote

from evigraph.schema.errors import UsageError

PARTS = {"Run": 1, "Layer": 2, "Channel": 3, "Class": 2, "Image": 2, "Decision": 2}
"""How many parts the id of each type has; the first is the run's name."""
_MAX_LENGTH = 2000


def encode(type_name: str, *parts: str | int) -> str:
    """The global id of one object."""
    text = f"{type_name}:{'/'.join(quote(str(part), safe='') for part in parts)}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(global_id: str) -> tuple[str, list[str]]:
    """The type name and parts of an id; UsageError if `encode` cannot have made it."""
    try:
        if len(global_id) > _MAX_LENGTH:
            raise ValueError
        text = base64.b64decode(global_id.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise _bad(global_id) from None
    type_name, _, rest = text.partition(":")
    parts = [unquote(part) for part in rest.split("/")]
    if PARTS.get(type_name) != len(parts) or encode(type_name, *parts) != global_id:
        raise _bad(global_id)
    return type_name, parts


def number(part: str, global_id: str) -> int:
    """A part that is a whole number from 0 to 2^31 - 1; UsageError else."""
    if not (part.isascii() and part.isdigit() and len(part) <= 10 and int(part) < 2**31):
        raise _bad(global_id)
    return int(part)


def _bad(global_id: str) -> UsageError:
    return UsageError(f"id {global_id[:80]!r} is not one that this service gives; take it from an `id` field")
