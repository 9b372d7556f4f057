"""The browser that benchmarks and tests drive: where it is, and what it is started with."""

from __future__ import annotations

import os
import shutil

ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def chromium() -> str | None:
    """The path of EVIGRAPH_CHROMIUM, or of what is installed; None where there is no browser."""
    return os.environ.get("EVIGRAPH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
