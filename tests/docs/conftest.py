"""The demo, made once for all pages that take it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> Path:
    """A folder that has demo/, with the demo's database; not to be changed."""
    return demo_folder
