"""How evigraph refuses: by an error that it raises on purpose, of one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evigraph.schema.errors import EvidenceError


def refusal_of(work: Callable[[], object]) -> str:
    """The message of what work raises; fails where that is of several lines, unexpected, or nothing."""
    with pytest.raises(EvidenceError) as caught:
        work()
    message = str(caught.value)
    assert "\n" not in message
    return message
