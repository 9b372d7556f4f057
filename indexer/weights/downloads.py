"""Downloads that end in seconds, and quietly, where there is no network."""

from __future__ import annotations

import logging
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib.abc import MetaPathFinder
from io import TextIOBase
from typing import Any, TextIO
from urllib.parse import urlsplit

_PATIENCE_S = 20.0
"""Of one answer of a server; a download of any length has many."""
_KNOCK_S = 5.0
_OFFLINE = "HF_HUB_OFFLINE"


@contextmanager
def quick_to_fail() -> Iterator[None]:
    """Within the block a download that cannot be made raises soon and prints nothing; what is cached is found.

    Hugging Face's client tries each file for half a minute: where its server cannot be reached it is told that it is
    offline, at once if it is there already, else when it is imported. What is printed goes to standard error, since
    standard output is the report's.
    """
    with ExitStack() as stack:
        if socket.getdefaulttimeout() is None:
            socket.setdefaulttimeout(_PATIENCE_S)
            stack.callback(socket.setdefaulttimeout, None)
        held = _Held(sys.stderr)
        stack.enter_context(redirect_stderr(held))
        stack.enter_context(redirect_stdout(held))
        client = _HubClient()
        stack.callback(client.restore)
        if "huggingface_hub" in sys.modules:
            client.prepare()
        else:
            sys.meta_path.insert(0, client)
            stack.callback(sys.meta_path.remove, client)
        yield


def is_download_error(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, is of the network."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror | urllib.error.URLError):
            return True
        if any(word in type(error).__name__ for word in ("Connect", "LocalEntryNotFound", "Offline", "HubHTTP")):
            return True
        error = error.__cause__ or error.__context__
    return False


class _HubClient(MetaPathFinder):
    """Tells Hugging Face's client that it is offline where that is so."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("huggingface_hub")
        self._level: int | None = None

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Nothing is found here: this only sees that the client is imported."""
        if fullname == "huggingface_hub" and self._level is None:
            self.prepare()

    def prepare(self) -> None:
        """Knock at the server, and set the client offline if nobody answers."""
        if os.environ.get(_OFFLINE) or _reachable(os.environ.get("HF_ENDPOINT")):
            return
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL)
        os.environ[_OFFLINE] = "1"
        self._set(True)

    def restore(self) -> None:
        """As it was."""
        if self._level is not None:
            os.environ.pop(_OFFLINE, None)
            self._logger.setLevel(self._level)
            self._set(False)

    def _set(self, offline: bool) -> None:
        constants = sys.modules.get("huggingface_hub.constants")
        if constants is not None:
            constants.HF_HUB_OFFLINE = offline  # type: ignore[attr-defined]


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
