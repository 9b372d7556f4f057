"""The demo, made once for all pages that take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.scripts import Script, printed_by


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has demo/, with the demo's database; not to be changed."""
    folder = tmp_path_factory.mktemp("demo")
    printed_by(Script("", "evigraph demo --dir demo --quiet", ""), folder)
    return folder
