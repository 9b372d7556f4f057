"""The table of reports: collected from the marks of the tests, written to README.md."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

README = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Report:
    """A case: its kind, the test that shows it, where it was reported, and the right answer."""

    kind: str
    test: str
    source: str
    answer: str


def report(source: str, answer: str) -> pytest.MarkDecorator:
    """Mark a test, or a parameter of one, as a case that somebody reported.

    Args:
        source: OWNER/REPOSITORY#NUMBER of an issue or pull request, or an address.
        answer: what is right, in a few words.
    """
    return pytest.mark.report(source, answer)


def reports() -> list[Report]:
    """Every case, by kind and in the order of its module."""
    names = sorted(one.name for one in pkgutil.iter_modules([str(README.parent)]) if one.name.startswith("test_"))
    return [one for name in names for one in _of_module(import_module(f"{__package__}.{name}"))]


def _of_module(module: ModuleType) -> Iterator[Report]:
    kind = module.__name__.rpartition("test_")[2].replace("_", " ")
    own = [one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__]
    for holder in (module, *(one for one in own if isinstance(one, type) and one.__name__.startswith("Test"))):
        for name, function in vars(holder).items():
            if name.startswith("test_") and callable(function):
                for mark in _marks(function):
                    yield Report(kind, name, *mark.args)


def _marks(function: Any) -> Iterator[pytest.Mark]:
    """The report marks of a test and of its parameters."""
    for mark in reversed(getattr(function, "pytestmark", [])):
        if mark.name == "report":
            yield mark
        elif mark.name == "parametrize":
            for value in mark.args[1]:
                yield from (one for one in getattr(value, "marks", ()) if one.name == "report")


def written() -> str:
    """README.md as it should be."""
    rows = [
        f"| {one.kind} | {_link(one.source)} | {one.answer} | `{one.test}` |".replace("\n", " ") for one in reports()
    ]
    return "\n".join(
        [
            "# Reports",
            "",
            "What people reported of programs that explain or read images with CNNs, and the right answer,",
            "which a test here holds. A new case is a test marked `@report(source, answer)` in the module of",
            "its kind; then `python -m tests.reports.table` writes this table.",
            "",
            "| kind | reported | right answer | test |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _link(source: str) -> str:
    """A source as a link."""
    if source.startswith("http"):
        return f"[{source.split('//')[1].split('/')[0]}]({source})"
    repository, _, number = source.partition("#")
    return f"[{source}](https://github.com/{repository}/issues/{number})"


if __name__ == "__main__":
    README.write_text(written())
