"""Progress bars on standard error: shown on a terminal only, so that logs and pipes stay clean."""

from __future__ import annotations

import sys
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


class IndexProgress(_Bar):
    """Images indexed, images a second, time left, images skipped."""

    def __init__(self, quiet: bool) -> None:
        skipped = TextColumn("{task.fields[skipped]} skipped")
        columns = (BarColumn(), MofNCompleteColumn(), _ImageRate(), TimeRemainingColumn(), skipped)
        super().__init__(quiet, TextColumn("indexing"), *columns, skipped=0)
        self._skipped = 0

    def start(self, total: int, done: int) -> None:
        """How many images the run has, and how many of them are indexed already."""
        # The rate is measured from here on, so what an earlier call did must not count as progress of this one.
        self._bar.reset(self._task, total=total, completed=done)

    def advance(self, images: int, skipped: int) -> None:
        """So many more images are finished, of which so many were skipped."""
        self._skipped += skipped
        self._bar.update(self._task, advance=images, skipped=self._skipped)


class StepProgress(_Bar):
    """Named steps, each counted up to its total: what publishing goes through."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet, TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())

    def __call__(self, step: str, done: int, total: int) -> None:
        """`done` of the `total` parts of a step are finished."""
        self._bar.update(self._task, description=step, completed=done, total=total)
