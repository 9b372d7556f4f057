"""Downloads that end in seconds, and quietly, where there is no network."""

from __future__ import annotations

import logging
import os
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from io import TextIOBase
from typing import Any, TextIO
from urllib.parse import urlsplit

_PATIENCE_S = 20.0
"""Of one answer of a server; a download of any length has many."""
_KNOCK_S = 5.0


@contextmanager
def quick_to_fail() -> Iterator[None]:
    """Within the block a download that cannot be made raises soon and prints nothing; what is cached is found.

    Hugging Face's client tries each file for half a minute: where its server cannot be reached it is told that it is
    offline.
    """
    with ExitStack() as stack:
        before = socket.getdefaulttimeout()
        if before is None:
            socket.setdefaulttimeout(_PATIENCE_S)
            stack.callback(socket.setdefaulttimeout, before)
        stack.enter_context(redirect_stderr(_Held(sys.stderr)))
        stack.enter_context(_hub_offline_if_unreachable())
        yield


def is_download_error(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, is of the network."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror | urllib.request.URLError):
            return True
        if any(word in type(error).__name__ for word in ("Connect", "LocalEntryNotFound", "Offline", "HubHTTP")):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _hub_offline_if_unreachable() -> Iterator[None]:
    hub = sys.modules.get("huggingface_hub.constants")
    if hub is None and "timm" in sys.modules:
        try:
            from huggingface_hub import constants as hub
        except ImportError:
            hub = None
    if hub is None or getattr(hub, "HF_HUB_OFFLINE", True) or _reachable(os.environ.get("HF_ENDPOINT")):
        yield
        return
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    hub.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = False  # type: ignore[attr-defined]
        logger.setLevel(level)


def _reachable(address: str | None) -> bool:
    """Whether a server answers; taken for granted where requests go through a proxy."""
    if urllib.request.getproxies():
        return True
    parts = urlsplit(address or "https://huggingface.co")
    try:
        with socket.create_connection((parts.hostname, parts.port or 443), timeout=_KNOCK_S):
            return True
    except OSError:
        return False


class _Held(TextIOBase):
    """A stream that passes `Downloading ...` on when more follows: it is not said of what fails at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._kept = stream, ""

    def write(self, text: str) -> int:
        self._stream.write(self._kept)
        self._kept = ""
        if text.startswith("Downloading: "):
            self._kept = text
        else:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        return getattr(self._stream, "encoding", "utf-8")
