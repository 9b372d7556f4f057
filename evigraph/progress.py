"""Progress bars on standard error: shown on a terminal only, so that logs and pipes stay clean."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _ImageRate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} images/s" if speed else "")


class _Bar:
    """A bar that is drawn while the block runs, on a terminal and unless `quiet`."""

    def __init__(self, quiet: bool, *columns: ProgressColumn, **fields: Any) -> None:
        console = Console(file=sys.stderr)
        self._bar = Progress(*columns, console=console, disable=quiet or not sys.stderr.isatty())
        self._task = self._bar.add_task("", total=None, **fields)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar.disable:  # rich before 14.3 ends the line even so
            self._bar.stop()


LINE_EVERY_S = 30.0
"""Where there is no terminal for a bar, a line is written so often."""


class IndexProgress(_Bar):
    """Images indexed, images a second, time left, images skipped: a bar on a terminal, elsewhere a line now and then.

    Attributes:
        noted: what was told at once.
    """

    def __init__(self, quiet: bool, *, bar: bool = True) -> None:
        """Say nothing of progress where `quiet`; without `bar` lines are all that is written."""
        skipped = TextColumn("{task.fields[skipped]} skipped")
        columns = (BarColumn(), MofNCompleteColumn(), _ImageRate(), TimeRemainingColumn(), skipped)
        super().__init__(quiet or not bar, TextColumn("indexing"), *columns, skipped=0)
        self.noted: list[str] = []
        self._lines = not quiet and not sys.stderr.isatty()
        self._skipped = self._before = self._done = self._total = 0
        self._began = self._told = time.monotonic()

    def start(self, total: int, done: int) -> None:
        """How many images the run has, and how many of them are indexed already."""
        # The rate is measured from here on, so what an earlier call did must not count as progress of this one.
        self._bar.reset(self._task, total=total, completed=done)
        self._total, self._done, self._before = total, done, done
        self._began = self._told = time.monotonic()

    def advance(self, images: int, skipped: int) -> None:
        """So many more images are finished, of which so many were skipped."""
        self._skipped += skipped
        self._done += images
        self._bar.update(self._task, advance=images, skipped=self._skipped)
        now = time.monotonic()
        if self._lines and now - self._told >= LINE_EVERY_S:
            self._told = now
            rate = (self._done - self._before) / (now - self._began)
            left = timedelta(seconds=round((self._total - self._done) / rate))
            print(
                f"evigraph: {self._done} of {self._total} images, {rate:.1f} images/s, {left} left, "
                f"{self._skipped} skipped",
                file=sys.stderr,
                flush=True,
            )

    def note(self, text: str) -> None:
        """Say at once what the user should know, above the bar."""
        self.noted.append(text)
        self._bar.console.print(f"evigraph: note: {text}", markup=False, highlight=False, soft_wrap=True)


class StepProgress(_Bar):
    """Named steps, each counted up to its total: what publishing goes through."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet, TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())

    def __call__(self, step: str, done: int, total: int) -> None:
        """`done` of the `total` parts of a step are finished."""
        self._bar.update(self._task, description=step, completed=done, total=total)
