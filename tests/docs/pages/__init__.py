"""What a test of a page compares beyond the commands and their output: tables made by hand, and figures in the text.

Each asks, in the folder where the page's commands were run, the databases that they have left there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.docs.figures import Figures
from tests.docs.pages import context, degree, failures, verification

FIGURES: dict[str, Callable[[Figures, Path], None]] = {
    "docs/context.md": context.compare,
    "docs/degree.md": degree.compare,
    "docs/failures.md": failures.compare,
    "docs/verification.md": verification.compare,
}
