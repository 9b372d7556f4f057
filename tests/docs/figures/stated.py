"""Figures of a page, each made again by a query and compared as the page rounds it.

    figures = Figures(ROOT / "docs" / "degree.md")
    figures.says(f"at {least} edges {count} channels are left")      # {count} is 2.0 or 1.98: the page rounds it to 2
    figures.table("run", "layer", [["demo", "conv1_2", "0.28340"]])
    assert figures.wrong == []

A test states no figure: it says the sentence with what a query gives, in full, and the page's numbers must be those,
rounded. Emphasis and line breaks of the page count for nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.docs.console import steps_of
from tests.docs.tables import table_of

_NUMBER = re.compile(r"-?(?:\d+(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?(?:e[-+]?\d+)?")
_EMPHASIS = re.compile(r"[*`]")
SLACK = 0.02
"""Of a unit of the last digit, beyond the half that rounding takes: machines differ in their last digits."""


class Figures:
    """Those of a page, and how they differ from what was made again."""

    def __init__(self, page: Path) -> None:
        """Of this page, which is read once."""
        self.page = page
        self.wrong: list[str] = []
        self._text = " ".join(_plain(page.read_text(encoding="utf-8")).split())

    def asked(self, part: str) -> str:
        """The GraphQL of the page's one `evigraph query` that has this part, spaces apart.

        Raises:
            LookupError: It has none such, or several.
        """
        found = []
        for step in steps_of(self.page):
            if step.text.startswith("evigraph query ") and part in " ".join(step.text.split()):
                found += [word for word in shlex.split(step.text) if word.startswith(("{", "query "))]
        if len(found) != 1:
            raise LookupError(f"{len(found)} queries of {self.page} have {part!r}")
        return found[0]

    def says(self, made: str) -> None:
        """The page has this sentence, or part of one, with its own rounding of the numbers."""
        made = " ".join(_plain(made).split())
        pattern = _NUMBER.pattern.join(re.escape(part) for part in _NUMBER.split(made))
        found = re.findall(f"(?<![\\w.])(?:{pattern})", self._text)
        if not any(alike(stated, made) for stated in found):
            self.wrong.append(f"made is {made!r}, and stated " + (repr(found[0]) if found else "no such sentence"))

    def table(self, first: str, second: str, made: Sequence[Sequence[str]]) -> None:
        """The table whose first columns these are has these rows."""
        stated = table_of(self.page, first, second)
        if len(stated) != len(made):
            self.wrong.append(f"the table of {first} and {second} has {len(stated)} rows, and {len(made)} were made")
        for one, other in zip(stated, made, strict=False):
            if len(one) != len(other) or not all(alike(_plain(a), b) for a, b in zip(one, other, strict=True)):
                self.wrong.append(f"the table of {first} and {second} has {one}, and made is {list(other)}")


def alike(stated: str, made: str) -> bool:
    """Whether one text is the other with its numbers rounded: each within half a unit of the last digit stated."""
    if _NUMBER.sub("", stated) != _NUMBER.sub("", made):
        return False
    pairs = zip(_NUMBER.findall(stated), _NUMBER.findall(made), strict=True)
    return all(_rounded(one.replace(",", ""), float(other.replace(",", ""))) for one, other in pairs)


def _rounded(stated: str, made: float) -> bool:
    digits, _, exponent = stated.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return abs(float(stated) - made) <= (0.5 + SLACK) * unit


def _plain(text: str) -> str:
    return _EMPHASIS.sub("", text)
