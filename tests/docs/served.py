"""A page's server, and the addresses that are others in every run.

A page serves at http://127.0.0.1:8000; its commands are given a free port instead, and the server ends with the page.
The digest in `/media/DIGEST/` is of the times at which a run was made: the page's stands for the one that was printed.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.docs.scripts import environment

ON_PAGES = "127.0.0.1:8000"
_MEDIA = re.compile(r"/media/[0-9a-f]{16}\b")
_START_S = 60.0


@dataclass
class Served:
    """What stands on this machine, in one run, for what the page names."""

    folder: Path
    address: str = ON_PAGES
    media: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Served:
        """Nothing is served yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The servers are ended."""
        for process in self.running:
            process.terminate()
            process.wait(timeout=30)

    def start(self, command: str) -> str:
        """Starts what a page starts, and says what it printed once it answers."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        output = self.folder / f"served-{port}.txt"
        with output.open("wb") as to:
            words = ["bash", "-c", f"exec {command.removesuffix('&')} --port {port}"]
            process = subprocess.Popen(words, cwd=self.folder, env=environment(), stdout=to, stderr=subprocess.STDOUT)
        self.running.append(process)
        end = time.monotonic() + _START_S
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return output.read_text(encoding="utf-8")
            time.sleep(0.1)
        raise AssertionError(f"{command} does not answer: {output.read_text(encoding='utf-8')}")

    def here(self, text: str) -> str:
        """A page's command, with the addresses of this run."""
        for stated, printed in self.media.items():
            text = text.replace(stated, printed)
        return text.replace(ON_PAGES, self.address)

    def as_stated(self, stated: str, printed: str) -> str:
        """What was printed, with the addresses of the page; those that it names for the first time are learnt."""
        for ours, theirs in zip(_MEDIA.findall(printed), _MEDIA.findall(stated), strict=False):
            self.media.setdefault(theirs, ours)
        for theirs, ours in self.media.items():
            printed = printed.replace(ours, theirs)
        return printed.replace(self.address, ON_PAGES)
