"""Figures of a page compared with what was made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.figures.stated import Figures, alike

PAGE = """Of 1,800 scenes
**108** are wrong (6.0 %), at `fire9` as well: 2e-8.

| layer | count | rates |
|---|---|---|
| fire9 | 83 | .05 .077 |

    $ evigraph query --db e.duckdb '{ run {
        accuracy } }'
"""


@pytest.mark.parametrize(
    ("stated", "made", "same"),
    [
        ("93%", "93.103448%", True),
        ("93%", "93.6%", False),
        ("1.89 (1.62 to 2.16)", "1.8911 (1.6203 to 2.1619)", True),
        ("1.89", "1.8960", False),
        ("7e-12", "7.31e-12", True),
        ("7e-12", "7.31e-11", False),
        (".18", "0.1812", True),
        ("1,800 of 4", "1800 of 4", True),
        ("fire9 3 : 4", "fire9 3 : 5", False),
        ("-0.05", "0.05", False),
        ("cow 3", "boat 3", False),
        ("0.17, 12", "0.17", False),
    ],
)
def test_a_number_is_the_other_rounded(stated: str, made: str, same: bool) -> None:
    assert alike(stated, made) is same


def test_sentences_and_tables_of_a_page(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    figures = Figures(tmp_path / "page.md")
    figures.says(f"Of 1800 scenes 108 are wrong ({100 * 108 / 1800} %), at fire9 as well: {1.9e-8}")
    figures.table("layer", "count", [["fire9", "83", "0.0501 0.0774"]])
    assert figures.wrong == []
    figures.says("Of 1800 scenes 109 are wrong")
    figures.says("Of all scenes")
    figures.table("layer", "count", [["fire9", "84", ".05 .077"]])
    figures.table("layer", "count", [])
    assert len(figures.wrong) == 4
    assert figures.asked("run { accuracy }").split() == ["{", "run", "{", "accuracy", "}", "}"]
    with pytest.raises(LookupError, match="0 queries"):
        figures.asked("edgeCount")
